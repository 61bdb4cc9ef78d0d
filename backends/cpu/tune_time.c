/* tune_time.c: runs the ways of a form in turns on made-up numbers, and looks whether they compute the same, and how
 * fast. */
#include <math.h>
#include <string.h>

#include "backends/cpu/tune.h"
#include "backends/form.h"

#define ENOUGH 0.15     /* seconds of measuring for each way */
#define FEWEST 3        /* runs of each */
#define MOST 32
#define TOLERANCE 1e-3  /* of what is typical: apart from errors, ways differ in rounding alone */
#define PASSING ((size_t)128 << 20) /* bytes of the rest of a network, about */
#define LINE 16         /* floats of a cache line */

static void fill(float *x, int64_t count, uint32_t state) {
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
}

static bool is_bound(const cpu_kernel *kernel, uint32_t i) {
    return cpu_present(kernel, (int)i);
}

/* ---- memory ---- */

static tl_status give(cpu_trial *t) {
    const cpu_kernel *form = t->kernels[0];
    uint64_t workspace = 1;
    for (int k = 0; k < t->count; k++)
        workspace = t->kernels[k]->base.workspace > workspace ? t->kernels[k]->base.workspace : workspace;
    t->workspace = tl__cpu_allocate(t->device, (size_t)workspace);
    t->passing = t->workspace ? tl__cpu_allocate(t->device, PASSING) : NULL;
    if (!t->passing)
        return TL_ERROR_MEMORY;
    memset(t->passing, 0, PASSING);
    for (uint32_t i = 0; i < form->count; i++) {
        const int64_t count = tl__cpu_elements(form, (int)i);
        const size_t bytes = (size_t)count * sizeof(float);
        if (!is_bound(form, i))
            continue;
        if (!(t->operands[i] = tl__cpu_allocate(t->device, bytes)))
            return TL_ERROR_MEMORY;
        if (i < t->inputs)
            fill(t->operands[i], count, i + 1);
        else if (!(t->expected[i - t->inputs] = tl__cpu_allocate(t->device, bytes)))
            return TL_ERROR_MEMORY;
    }
    /* What was made of a constant is the kernel's own, a copy of it included. */
    for (int k = 0; k < t->count; k++) {
        cpu_kernel *kernel = t->kernels[k];
        kernel->workspace = t->workspace;
        for (uint32_t i = 0; i < kernel->count; i++)
            if (is_bound(kernel, i) && !kernel->ptr[i])
                kernel->ptr[i] = t->operands[i];
    }
    return TL_OK;
}

static void take(cpu_trial *t) {
    for (int i = 0; i < CPU_OPERANDS; i++)
        tl__cpu_release(t->device, t->operands[i]);
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        tl__cpu_release(t->device, t->expected[i]);
    tl__cpu_release(t->device, t->passing);
    tl__cpu_release(t->device, t->workspace);
}

/* ---- what they compute ---- */

static bool differs(const float *got, const float *expected, int64_t count) {
    double scale = 0;
    for (int64_t k = 0; k < count; k++)
        scale += fabs((double)expected[k]) / (double)count;
    bool wrong = !isfinite(scale);
    for (int64_t k = 0; k < count; k++)
        wrong |= !(fabs((double)got[k] - (double)expected[k]) <= TOLERANCE * (scale + fabs((double)expected[k])));
    return wrong;
}

/* The first one's results are what the others' are compared with. */
static void check(cpu_trial *t, int which) {
    cpu_kernel *kernel = t->kernels[which];
    for (uint32_t i = t->inputs; i < kernel->count; i++)
        if (t->operands[i])
            memset(t->operands[i], 0xff, (size_t)tl__cpu_bytes(kernel, (int)i));
    kernel->run(kernel);
    t->seconds[which] = INFINITY;
    for (uint32_t i = t->inputs; i < kernel->count; i++) {
        float *expected = t->expected[i - t->inputs];
        if (!t->operands[i])
            continue;
        if (which == 0)
            memcpy(expected, t->operands[i], (size_t)tl__cpu_bytes(kernel, (int)i));
        if (differs(t->operands[i], expected, tl__cpu_elements(kernel, (int)i)))
            t->seconds[which] = -1;
    }
}

/* ---- how long they take ---- */

static void pass_body(void *user, int64_t first, int64_t last, int thread) {
    const float *x = user;
    volatile float sum = 0;
    float all = 0;
    (void)thread;
    for (int64_t line = first; line < last; line++)
        all += x[line * LINE];
    sum = all;
    (void)sum;
}

/* Between two runs of a layer the rest of the network goes through the caches, and its weights must be fetched again:
 * without that the larger ones of Winograd's algorithm look better at small batches than they are. */
static double time_of(const cpu_trial *t, int which) {
    tl__cpu_parallel(t->device, (int64_t)(PASSING / sizeof(float) / LINE), 1024, pass_body, t->passing);
    const double begin = tl__cpu_seconds();
    t->kernels[which]->run(t->kernels[which]);
    return tl__cpu_seconds() - begin;
}

static bool is_behind(const cpu_trial *t, int which) {
    bool behind = t->seconds[which] < 0;
    for (int k = 0; k < t->count; k++)
        behind |= t->seconds[k] >= 0 && 2 * t->seconds[k] < t->seconds[which];
    return behind;
}

tl_status tl__cpu_trial_run(cpu_trial *t) {
    tl_status status = give(t);
    for (int k = 0; status == TL_OK && k < t->count; k++)
        check(t, k);
    const double end = tl__cpu_seconds() + ENOUGH * t->count;
    for (int round = 0; status == TL_OK && round < MOST && (round < FEWEST || tl__cpu_seconds() < end); round++)
        for (int k = 0; k < t->count; k++) {
            if (t->seconds[k] < 0 || (round >= FEWEST && is_behind(t, k)))
                continue;
            const double seconds = time_of(t, k);
            t->seconds[k] = seconds < t->seconds[k] ? seconds : t->seconds[k];
        }
    take(t);
    return status;
}
