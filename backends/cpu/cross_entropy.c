/* cross_entropy.c: the loss of rows of logits, and its gradient. */
#include <math.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/kernels.h"

enum { LOGITS, TARGET, WEIGHT, LOSS };
enum { GRAD_LOSS = 3, DLOGITS = 4 };

#define CHUNK 1024 /* rows whose loss is added up before it goes to the others', whatever the threads */
#define BATCH 128  /* rows whose exponentials are taken at a time */

typedef struct rows {
    cpu_kernel *kernel;
    int64_t count, classes;
    const float *logits, *weight; /* weight NULL: 1 */
    const int32_t *target;
    double (*sums)[4]; /* by chunk */
} rows;

static rows rows_of(cpu_kernel *kernel) {
    rows r = {.kernel = kernel, .logits = kernel->ptr[LOGITS], .weight = kernel->ptr[WEIGHT],
              .target = kernel->ptr[TARGET], .sums = kernel->workspace};
    r.classes = cpu_shape(kernel, LOGITS)[kernel->operands[LOGITS].desc.rank - 1];
    r.count = r.classes ? tl__cpu_elements(kernel, LOGITS) / r.classes : 0;
    return r;
}

/* The sum over the classes of smoothing's part of the loss, or of its weights (logits NULL). */
static double smoothed(const rows *r, const float *x, double lse) {
    double sum = 0;
    for (int64_t k = 0; k < r->classes; k++)
        sum += (r->weight ? r->weight[k] : 1.0) * (x ? lse - x[k] : 1);
    return sum * r->kernel->op.smoothing / (double)r->classes;
}

static bool is_first_largest(const float *x, int64_t target, float most) {
    if (x[target] != most)
        return false;
    for (int64_t k = 0; k < target; k++)
        if (x[k] == most)
            return false;
    return true;
}

/* Row i, whose largest logit is `most` and whose exponentials below it add up to `sum`. */
static void add_row(const rows *r, int64_t i, float most, float sum, double sums[4]) {
    int64_t t = r->target[i];
    if (t == r->kernel->op.ignore_index)
        return;
    if (t < 0 || t >= r->classes) { /* the caller's mistake: it must not pass unseen */
        sums[0] = NAN;
        return;
    }
    const float *x = r->logits + i * r->classes;
    double w = r->weight ? r->weight[t] : 1, lse = most + log((double)sum), s = r->kernel->op.smoothing;
    sums[0] += (1 - s) * w * (lse - x[t]);
    if (s != 0)
        sums[0] += smoothed(r, x, lse);
    sums[1] += w;
    sums[2] += is_first_largest(x, t, most);
    sums[3] += 1;
}

static void add_chunks(void *user, int64_t first, int64_t last, int thread) {
    const rows *r = user;
    float most[BATCH], sum[BATCH];
    (void)thread;
    for (int64_t chunk = first; chunk < last; chunk++) {
        double sums[4] = {0};
        int64_t end = (chunk + 1) * CHUNK < r->count ? (chunk + 1) * CHUNK : r->count;
        for (int64_t from = chunk * CHUNK; from < end; from += BATCH) {
            int64_t count = end - from < BATCH ? end - from : BATCH;
            r->kernel->device->kernels->exp_rows(NULL, most, sum, r->logits + from * r->classes, (size_t)count,
                                                 (size_t)r->classes);
            for (int64_t i = 0; i < count; i++)
                add_row(r, from + i, most[i], sum[i], sums);
        }
        memcpy(r->sums[chunk], sums, sizeof(sums));
    }
}

static void run(cpu_kernel *kernel) {
    rows r = rows_of(kernel);
    int64_t chunks = (r.count + CHUNK - 1) / CHUNK;
    double total[4] = {0};
    tl__cpu_parallel(kernel->device, chunks, 1, add_chunks, &r);
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        for (int k = 0; k < 4; k++)
            total[k] += r.sums[chunk][k];
    for (int k = 0; k < 4; k++)
        ((float *)kernel->ptr[LOSS])[k] = (float)total[k];
}

static tl_status prepare(cpu_kernel *kernel) {
    tl_status status = tl__cpu_expect(kernel, "fiff");
    rows r = rows_of(kernel);
    kernel->run = run;
    kernel->base.workspace = (uint64_t)((r.count + CHUNK - 1) / CHUNK) * sizeof(*r.sums);
    return status;
}

/* ---- gradient ---- */

/* d loss / d logit k = (weight of all terms) p_k - (1 - s) w_t [k = t] - s / K w_k, with the exponentials in dx and
 * their sum given. */
static void grad_row(const rows *r, int64_t i, float sum, double all_smoothed, double scale) {
    float *dx = (float *)r->kernel->ptr[DLOGITS] + i * r->classes;
    int64_t t = r->target[i];
    if (t == r->kernel->op.ignore_index) {
        memset(dx, 0, (size_t)r->classes * sizeof(*dx));
        return;
    }
    bool wrong = t < 0 || t >= r->classes;
    double s = r->kernel->op.smoothing, w = wrong ? NAN : (1 - s) * (r->weight ? r->weight[t] : 1);
    float factor = (float)(scale * (w + all_smoothed) / sum), part = (float)(scale * s / (double)r->classes);
    if (s == 0)
        for (int64_t k = 0; k < r->classes; k++)
            dx[k] *= factor;
    else
        for (int64_t k = 0; k < r->classes; k++)
            dx[k] = factor * dx[k] - part * (r->weight ? r->weight[k] : 1);
    if (!wrong)
        dx[t] -= (float)(scale * w);
}

static void grad_rows(void *user, int64_t first, int64_t last, int thread) {
    const rows *r = user;
    const float *loss = r->kernel->ptr[GRAD_LOSS];
    double scale = (double)r->kernel->op.scale / loss[1], all = smoothed(r, NULL, 0);
    float most[BATCH], sum[BATCH];
    (void)thread;
    for (int64_t from = first; from < last; from += BATCH) {
        int64_t count = last - from < BATCH ? last - from : BATCH;
        r->kernel->device->kernels->exp_rows((float *)r->kernel->ptr[DLOGITS] + from * r->classes, most, sum,
                                             r->logits + from * r->classes, (size_t)count, (size_t)r->classes);
        for (int64_t i = 0; i < count; i++)
            grad_row(r, from + i, sum[i], all, scale);
    }
}

static void grad_run(cpu_kernel *kernel) {
    rows r = rows_of(kernel);
    tl__cpu_parallel(kernel->device, r.count, 64, grad_rows, &r);
}

static tl_status grad_prepare(cpu_kernel *kernel) {
    kernel->run = grad_run;
    return tl__cpu_expect(kernel, "fifff");
}

const cpu_implementation tl__cpu_cross_entropy_implementations[] = {{"rows", prepare}, {NULL, NULL}};
const cpu_implementation tl__cpu_cross_entropy_grad_implementations[] = {{"rows", grad_prepare}, {NULL, NULL}};
