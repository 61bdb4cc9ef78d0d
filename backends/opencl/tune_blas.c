/* tune_blas.c: CLBlast's parameters, which it has of its own for the devices that its authors measured, and guesses for all
 * others. A few sets that others found good are tried; a set that computes otherwise than CLBlast's own is left out. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backends/opencl/blas.h"
#include "backends/opencl/canary.h"
#include "backends/opencl/tune.h"

typedef struct parameters {
    const char *name; /* what is kept; libtl's version is part of the key */
    size_t values[16];
} parameters;

/* ---- products of many tiles, whose matrices are copied into whole ones before ---- */

#define INDIRECT_SIZE 1024
static const char *const indirect_names[] = {"GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB",
                                             "NDIMC", "NWG",  "SA",  "SB",  "STRM",  "STRN",  "VWM", "VWN"};
static const parameters indirect[] = {
    {"64x64 of 16x16 shared", {0, 1, 16, 2, 16, 16, 64, 16, 16, 64, 1, 1, 0, 0, 4, 4}},
    {"128x128 of 16x16 shared", {0, 1, 16, 2, 16, 16, 128, 16, 16, 128, 1, 1, 0, 0, 4, 4}},
    {"128x64 of 16x16 shared", {0, 1, 16, 2, 16, 16, 128, 16, 16, 64, 1, 1, 0, 0, 4, 4}},
    {"64x64 of 8x8 shared", {0, 1, 16, 2, 8, 8, 64, 8, 8, 64, 1, 1, 0, 0, 4, 4}},
    {"64x64 of 8x8", {0, 1, 16, 2, 8, 8, 64, 8, 8, 64, 0, 0, 0, 0, 4, 4}},
    {"32x32 of 8x8", {0, 1, 16, 2, 8, 8, 32, 8, 8, 32, 0, 0, 0, 0, 4, 4}},
    {"128x128 of 8x16", {0, 1, 16, 2, 16, 8, 128, 32, 16, 128, 0, 0, 1, 1, 8, 4}},
};

/* ---- small products, which take the matrices as they lie ---- */

#define DIRECT_SIZE 256
static const char *const direct_names[] = {"KWID", "MDIMAD", "MDIMCD", "NDIMBD", "NDIMCD",
                                           "PADA", "PADB",   "VWMD",   "VWND",   "WGD"};
static const parameters direct[] = {
    {"32x32 of 8x8", {2, 8, 8, 8, 8, 1, 1, 2, 2, 32}},     {"32x32 of 16x16", {2, 16, 16, 16, 16, 1, 1, 2, 2, 32}},
    {"64x64 of 16x16", {2, 16, 16, 16, 16, 1, 1, 4, 4, 64}}, {"16x16 of 8x8", {2, 8, 8, 8, 8, 1, 1, 1, 1, 16}},
    {"64x64 of 8x8", {2, 8, 8, 8, 8, 1, 1, 4, 4, 64}},
};

/* ---- from which size on products are of the first kind ---- */

static const char *const routine_names[] = {"XGEMM_MIN_INDIRECT_SIZE"};
static const parameters routine[] = {
    {"64", {64}}, {"128", {128}}, {"256", {256}}, {"512", {512}}, {"1024", {1024}}, {"2048", {2048}},
};

typedef struct kind {
    const char *kernel; /* CLBlast's name */
    const char *const *names;
    size_t name_count;
    const parameters *sets;
    int set_count;
} kind;

enum { INDIRECT, DIRECT, ROUTINE, KINDS };
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
static const kind kinds[KINDS] = {
    {"Xgemm", indirect_names, COUNT(indirect_names), indirect, (int)COUNT(indirect)},
    {"XgemmDirect", direct_names, COUNT(direct_names), direct, (int)COUNT(direct)},
    {"GemmRoutine", routine_names, COUNT(routine_names), routine, (int)COUNT(routine)},
};
#define ENOUGH 0.1 /* seconds of measuring */
#define RUNS 16
#define OWN "CLBlast's own"

static tl_status set(opencl_device *device, const kind *k, int which) {
    return tl__opencl_blas_override(device, k->kernel, k->name_count, k->names, k->sets[which].values);
}

tl_status tl__opencl_tuned_blas(opencl_device *device) {
    tl_status status = TL_OK;
    for (int k = 0; k < KINDS; k++) {
        const tuned_choice *t = tl__opencl_tuned_find(device, kinds[k].kernel);
        for (int i = 0; t && i < kinds[k].set_count; i++)
            if (strcmp(kinds[k].sets[i].name, t->implementation) == 0) {
                tl_status set_status = set(device, &kinds[k], i);
                status = status == TL_OK ? set_status : status;
            }
    }
    return status;
}

/* ---- measuring: a product of two square matrices ---- */

typedef struct square {
    opencl_device *device;
    tl_backend_queue *queue;
    int64_t n;
    tl_backend_buffer *a, *b, *c, *temporary;
    float *values, *expected;
    bool first;
} square;

static void square_end(square *s) {
    tl_backend_device *base = &s->device->base;
    if (s->queue)
        tl__opencl_queue_finish(s->queue);
    tl__opencl_buffer_destroy(base, s->a);
    tl__opencl_buffer_destroy(base, s->b);
    tl__opencl_buffer_destroy(base, s->c);
    tl__opencl_buffer_destroy(base, s->temporary);
    tl__opencl_queue_destroy(base, s->queue);
    tl__opencl_release(s->device, s->values);
    tl__opencl_release(s->device, s->expected);
}

static tl_status square_begin(opencl_device *device, int64_t n, square *s) {
    const size_t count = (size_t)(n * n), bytes = count * sizeof(float);
    *s = (square){.device = device, .n = n, .first = true};
    s->values = tl__opencl_allocate(device, bytes);
    s->expected = s->values ? tl__opencl_allocate(device, bytes) : NULL;
    tl_status status = s->expected ? tl__opencl_queue_create(&device->base, &s->queue) : TL_ERROR_MEMORY;
    tl_backend_buffer **const buffers[] = {&s->a, &s->b, &s->c};
    for (int i = 0; i < 3 && status == TL_OK; i++) {
        status = tl__opencl_buffer_create(&device->base, bytes, buffers[i]);
        for (size_t k = 0; k < count; k++) /* whole numbers, whose sums are exact in any order */
            s->values[k] = (float)((k * 7 + k / (size_t)n * 3 + (size_t)i) % 5) - 2.0f;
        tl_view view = {*buffers[i], 0, bytes};
        if (status == TL_OK)
            status = tl__opencl_queue_write(s->queue, &view, s->values);
    }
    if (status != TL_OK)
        square_end(s);
    return status;
}

static tl_status multiply(square *s, int times) {
    tl_status status = TL_OK;
    for (int i = 0; i < times && status == TL_OK; i++)
        status = tl__opencl_blas_run(s->device, s->queue->commands, s->n, s->a->memory, s->b->memory, s->c->memory,
                                     s->temporary ? s->temporary->memory : NULL);
    tl_status finished = tl__opencl_queue_finish(s->queue);
    return status == TL_OK ? finished : status;
}

/* Seconds of one product with the parameters that are set now; what takes twice as long as `best` is not measured with
 * care. TL_UNSUPPORTED where it computes otherwise. */
static tl_status time_it(square *s, double best, double *seconds) {
    const size_t count = (size_t)(s->n * s->n), bytes = count * sizeof(float);
    size_t temporary = 0;
    tl_view c = {s->c, 0, bytes};
    memset(s->values, 0xff, bytes);
    tl__opencl_buffer_destroy(&s->device->base, s->temporary);
    s->temporary = NULL;
    tl_status status = tl__opencl_blas_temporary(s->device, s->n, &temporary);
    if (status == TL_OK && temporary)
        status = tl__opencl_buffer_create(&s->device->base, temporary, &s->temporary);
    if (status == TL_OK)
        status = tl__opencl_queue_write(s->queue, &c, s->values);
    if (status == TL_OK)
        status = multiply(s, 1);
    if (status == TL_OK)
        status = tl__opencl_queue_read(s->queue, &c, s->first ? s->expected : s->values);
    if (status == TL_OK && !s->first && memcmp(s->values, s->expected, bytes) != 0)
        status = tl__opencl_fail(s->device, TL_UNSUPPORTED, "it computes other numbers than CLBlast's own parameters");
    if (status != TL_OK)
        return status;
    s->first = false;
    double least = 0, begin = tl__opencl_seconds();
    int done = 0;
    while (status == TL_OK && (done == 0 || (done < RUNS && tl__opencl_seconds() - begin < ENOUGH &&
                                             (best <= 0 || least < 2 * best)))) {
        double at = tl__opencl_seconds();
        status = multiply(s, 1);
        double each = tl__opencl_seconds() - at;
        least = done == 0 || each < least ? each : least;
        done++;
    }
    *seconds = least;
    return status;
}

static bool report(const tl_tuning *tuning, const kind *k, const char *name, double seconds, const char *note) {
    char text[96];
    snprintf(text, sizeof(text), "%s %s", k->kernel, name);
    return !tuning->candidate || tuning->candidate(tuning->user, text, seconds, note) == 0;
}

/* CLBlast's own parameters cannot be had back once others were set. They are measured first, and are what is kept where no
 * set is faster by more than the noise; until the process ends the fastest set serves in their place. */
static tl_status measure_sets(opencl_device *device, const kind *k, int64_t n, const tl_tuning *tuning) {
    square s;
    double own = 0, best = 0, best_set = 0;
    int chosen = -1, fastest = -1;
    tl_status status = square_begin(device, n, &s);
    if (status != TL_OK)
        return status;
    status = time_it(&s, 0, &own);
    if (status == TL_OK && !report(tuning, k, OWN, own, ""))
        status = tl__opencl_fail(device, TL_CANCELLED, "cancelled while measuring");
    best = own;
    for (int i = 0; i < k->set_count && status == TL_OK; i++) {
        double seconds = -1;
        tl_status one = set(device, k, i);
        if (one == TL_OK)
            one = time_it(&s, fastest < 0 ? own : best_set, &seconds);
        if (device->lost)
            status = one;
        else if (!report(tuning, k, k->sets[i].name, one == TL_OK ? seconds : -1, one == TL_OK ? "" : device->failure))
            status = tl__opencl_fail(device, TL_CANCELLED, "cancelled while measuring");
        if (one == TL_OK && (fastest < 0 || seconds < best_set)) {
            best_set = seconds;
            fastest = i;
        }
    }
    square_end(&s);
    if (fastest >= 0 && best_set < 0.95 * own) {
        best = best_set;
        chosen = fastest;
    }
    if (status == TL_OK && fastest >= 0)
        status = set(device, k, fastest);
    if (status == TL_OK)
        status = tl__opencl_tuned_keep(device, k->kernel, chosen < 0 ? OWN : k->sets[chosen].name, best);
    if (status == TL_OK && tuning->chosen)
        tuning->chosen(tuning->user, k->kernel, chosen < 0 ? OWN : k->sets[chosen].name, best);
    return status;
}

static const size_t never = 8192, always = 1; /* XGEMM_MIN_INDIRECT_SIZE */

static tl_status set_routine(opencl_device *device, size_t size) {
    return tl__opencl_blas_override(device, kinds[ROUTINE].kernel, 1, kinds[ROUTINE].names, &size);
}

/* Both kinds at one size after the other, until the one for large products is the faster. */
static tl_status measure_routine(opencl_device *device, const tl_tuning *tuning) {
    const kind *k = &kinds[ROUTINE];
    tl_status status = TL_OK;
    int chosen = k->set_count - 1;
    double best = 0;
    for (int i = 0; i < k->set_count && status == TL_OK && chosen == k->set_count - 1; i++) {
        square s;
        const size_t n = k->sets[i].values[0];
        double seconds[2] = {0, 0};
        if (n > INDIRECT_SIZE)
            break;
        status = square_begin(device, (int64_t)n, &s);
        if (status != TL_OK)
            return status;
        for (int way = 0; way < 2 && status == TL_OK; way++) {
            status = set_routine(device, way ? always : never);
            if (status == TL_OK)
                status = time_it(&s, way ? seconds[0] : 0, &seconds[way]);
        }
        square_end(&s);
        best = seconds[1];
        if (status == TL_OK && seconds[1] < seconds[0])
            chosen = i;
    }
    if (status == TL_OK)
        status = set(device, k, chosen);
    if (status == TL_OK)
        status = tl__opencl_tuned_keep(device, k->kernel, k->sets[chosen].name, best);
    if (status == TL_OK && tuning->chosen)
        tuning->chosen(tuning->user, k->kernel, k->sets[chosen].name, best);
    return status;
}

tl_status tl__opencl_tune_blas(opencl_device *device, const tl_tuning *tuning) {
    const tuned_choice *before = tl__opencl_tuned_find(device, kinds[ROUTINE].kernel);
    if (before && before->fresh)
        return TL_OK;
    tl_status status = before ? tl__opencl_tuned_blas(device) : TL_OK;
    /* What was kept holds: CLBlast's own parameters are not to be had in a process that set others. */
    if (before || status != TL_OK)
        return status;
    if (device->blas_trust == OPENCL_TRUST_UNASKED)
        status = tl__opencl_canary_blas(device, &device->blas_trust);
    if (status != TL_OK || device->blas_trust != OPENCL_TRUST_ALL)
        return status;
    status = set_routine(device, always);
    if (status == TL_OK)
        status = measure_sets(device, &kinds[INDIRECT], INDIRECT_SIZE, tuning);
    if (status == TL_OK)
        status = set_routine(device, never);
    if (status == TL_OK)
        status = measure_sets(device, &kinds[DIRECT], DIRECT_SIZE, tuning);
    if (status == TL_OK)
        status = measure_routine(device, tuning);
    return status == TL_UNSUPPORTED || (status == TL_ERROR_DEVICE && !device->lost) ? TL_OK : status;
}
