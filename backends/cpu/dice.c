/* dice.c: the soft Dice loss of rows of logits, and its gradient. */
#include <math.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/kernels.h"

enum { LOGITS, TARGET };
enum { LOSS = 2, SUMS };
enum { GRAD_SUMS = 2, DLOGITS };
enum { BOTH, PREDICTED, TRUE, PARTS }; /* the rows of `sums` */

#define CHUNK 1024 /* rows that are added up before they go to the others', whatever the threads */
#define BATCH 32   /* rows whose exponentials are taken at a time */

typedef struct rows {
    cpu_kernel *kernel;
    int64_t count, classes;
    const float *logits;
    const int32_t *target;
    double *sums; /* [chunk][PARTS][classes], then their total */
    float *exponentials; /* [thread][BATCH][classes] */
    float *slopes; /* [2][classes], see grad_row */
} rows;

static int64_t chunks_of(const rows *r) {
    return (r->count + CHUNK - 1) / CHUNK;
}

static int64_t sums_bytes(const rows *r) {
    return cpu_round_up((chunks_of(r) + 1) * PARTS * r->classes * (int64_t)sizeof(double), CPU_ALIGNMENT);
}

static rows rows_of(cpu_kernel *kernel) {
    rows r = {.kernel = kernel, .logits = kernel->ptr[LOGITS], .target = kernel->ptr[TARGET]};
    r.classes = cpu_shape(kernel, LOGITS)[kernel->operands[LOGITS].desc.rank - 1];
    r.count = r.classes ? tl__cpu_elements(kernel, LOGITS) / r.classes : 0;
    return r;
}

static void exponentials(const rows *r, float *e, float *most, float *sum, int64_t first, int64_t count) {
    const float *x = r->logits + first * r->classes;
    r->kernel->device->kernels->exp_rows(e, most, sum, x, (size_t)count, (size_t)r->classes);
}

/* Row i, whose exponentials add up to `sum`. */
static void add_row(const rows *r, int64_t i, const float *e, float sum, double *sums) {
    int64_t t = r->target[i], classes = r->classes;
    if (t == r->kernel->op.ignore_index)
        return;
    if (t < 0 || t >= classes) { /* the caller's mistake: it must not pass unseen */
        sums[TRUE * classes] = NAN;
        return;
    }
    double inverse = 1 / (double)sum;
    for (int64_t k = 0; k < classes; k++)
        sums[PREDICTED * classes + k] += e[k] * inverse;
    sums[BOTH * classes + t] += e[t] * inverse;
    sums[TRUE * classes + t]++;
}

static void add_chunks(void *user, int64_t first, int64_t last, int thread) {
    const rows *r = user;
    float *e = r->exponentials + (int64_t)thread * BATCH * r->classes, most[BATCH], sum[BATCH];
    for (int64_t chunk = first; chunk < last; chunk++) {
        double *sums = r->sums + chunk * PARTS * r->classes;
        int64_t end = (chunk + 1) * CHUNK < r->count ? (chunk + 1) * CHUNK : r->count;
        memset(sums, 0, (size_t)(PARTS * r->classes) * sizeof(*sums));
        for (int64_t from = chunk * CHUNK; from < end; from += BATCH) {
            int64_t count = end - from < BATCH ? end - from : BATCH;
            exponentials(r, e, most, sum, from, count);
            for (int64_t i = 0; i < count; i++)
                add_row(r, from + i, e + i * r->classes, sum[i], sums);
        }
    }
}

static void run(cpu_kernel *kernel) {
    rows r = rows_of(kernel);
    int64_t chunks = chunks_of(&r), each = PARTS * r.classes;
    r.sums = kernel->workspace;
    r.exponentials = (float *)((char *)kernel->workspace + sums_bytes(&r));
    double *total = r.sums + chunks * each, scores = 0, there = 0, eps = kernel->op.eps;
    float *loss = kernel->ptr[LOSS], *sums = kernel->ptr[SUMS];
    tl__cpu_parallel(kernel->device, chunks, 1, add_chunks, &r);
    memset(total, 0, (size_t)each * sizeof(*total));
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        for (int64_t k = 0; k < each; k++)
            total[k] += r.sums[chunk * each + k];
    for (int64_t k = 0; k < each; k++)
        sums[k] = (float)total[k];
    for (int64_t k = 0; k < r.classes; k++) {
        double truth = total[TRUE * r.classes + k];
        if (truth == 0)
            continue;
        scores += (2 * total[BOTH * r.classes + k] + eps) / (total[PREDICTED * r.classes + k] + truth + eps);
        there++;
    }
    loss[0] = there > 0 ? (float)(1 - scores / there) : 0;
    loss[1] = (float)there;
}

static tl_status prepare(cpu_kernel *kernel) {
    tl_status status = tl__cpu_expect(kernel, "fiff");
    rows r = rows_of(kernel);
    kernel->run = run;
    kernel->base.workspace = (uint64_t)sums_bytes(&r) +
                             (uint64_t)kernel->device->threads * BATCH * (uint64_t)r.classes * sizeof(float);
    return status;
}

/* ---- gradient ---- */

/* With N = 2 I + eps and D = P + Y + eps of a class, d loss / d p_k = a_k - y_k b_k, where a = N / (|C| D D) and
 * b = 2 / (|C| D), both 0 for classes that are not there. */
static void find_slopes(const rows *r, float *a, float *b) {
    const float *sums = r->kernel->ptr[GRAD_SUMS];
    double there = 0, eps = r->kernel->op.eps, scale = r->kernel->op.scale;
    for (int64_t k = 0; k < r->classes; k++)
        there += sums[TRUE * r->classes + k] != 0;
    for (int64_t k = 0; k < r->classes; k++) {
        double truth = sums[TRUE * r->classes + k], below = sums[PREDICTED * r->classes + k] + truth + eps;
        a[k] = truth != 0 ? (float)(scale * (2.0 * sums[BOTH * r->classes + k] + eps) / (there * below * below)) : 0;
        b[k] = truth != 0 ? (float)(scale * 2 / (there * below)) : 0;
    }
}

/* dlogits_k = p_k (a_k - y_k b_k - sum over j of p_j (a_j - y_j b_j)), with the exponentials in dx and their sum
 * given. */
static void grad_row(const rows *r, int64_t i, float sum) {
    float *dx = (float *)r->kernel->ptr[DLOGITS] + i * r->classes;
    const float *a = r->slopes, *b = a + r->classes;
    int64_t t = r->target[i];
    if (t == r->kernel->op.ignore_index) {
        memset(dx, 0, (size_t)r->classes * sizeof(*dx));
        return;
    }
    bool wrong = t < 0 || t >= r->classes;
    double mean = 0, inverse = 1 / (double)sum, own = wrong ? NAN : dx[t] * inverse * b[t];
    for (int64_t k = 0; k < r->classes; k++)
        mean += (double)dx[k] * a[k];
    mean = mean * inverse - own;
    for (int64_t k = 0; k < r->classes; k++)
        dx[k] = (float)(dx[k] * inverse * (a[k] - mean));
    if (!wrong)
        dx[t] -= (float)own;
}

static void grad_rows(void *user, int64_t first, int64_t last, int thread) {
    const rows *r = user;
    float most[BATCH], sum[BATCH];
    (void)thread;
    for (int64_t from = first; from < last; from += BATCH) {
        int64_t count = last - from < BATCH ? last - from : BATCH;
        exponentials(r, (float *)r->kernel->ptr[DLOGITS] + from * r->classes, most, sum, from, count);
        for (int64_t i = 0; i < count; i++)
            grad_row(r, from + i, sum[i]);
    }
}

static void grad_run(cpu_kernel *kernel) {
    rows r = rows_of(kernel);
    r.slopes = kernel->workspace;
    find_slopes(&r, r.slopes, r.slopes + r.classes);
    tl__cpu_parallel(kernel->device, r.count, 64, grad_rows, &r);
}

static tl_status grad_prepare(cpu_kernel *kernel) {
    kernel->run = grad_run;
    kernel->base.workspace = 2 * (uint64_t)rows_of(kernel).classes * sizeof(float);
    return tl__cpu_expect(kernel, "fiff");
}

const cpu_implementation tl__cpu_dice_implementations[] = {{"rows", prepare}, {NULL, NULL}};
const cpu_implementation tl__cpu_dice_grad_implementations[] = {{"rows", grad_prepare}, {NULL, NULL}};
