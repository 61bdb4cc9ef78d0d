/* cross_entropy.c: the loss and its gradient: class weights, smoothing, ignored rows, extreme logits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/harness.h"

enum { LOGITS, TARGET, WEIGHT, LOSS };
enum { GRAD_LOSS = 3, DLOGITS = 4 };
enum { WEIGHTED = 1, SMOOTH = 2, IGNORING = 4, EXTREME = 8, TIES = 16, DIFFERENCES = 32, ONE = 64 };

typedef struct problem {
    int64_t rows, classes;
    const double *logits;
    const int32_t *target;
    const float *weight;
    double smoothing;
    int ignore;
} problem;

static double log_sum_exp(const double *x, int64_t k) {
    double most = x[0], sum = 0;
    for (int64_t i = 1; i < k; i++)
        most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < k; i++)
        sum += exp(x[i] - most);
    return most + log(sum);
}

static double weight_of(const problem *p, int64_t k) {
    return p->weight ? p->weight[k] : 1;
}

/* loss[0] .. loss[3]; `magnitude`: what loss[0] is the sum of, absolutely, lse taken as |max| + log K. */
static void forward(const problem *p, double loss[4], double *magnitude) {
    memset(loss, 0, 4 * sizeof(*loss));
    *magnitude = 0;
    for (int64_t r = 0; r < p->rows; r++) {
        const double *x = p->logits + r * p->classes;
        int t = p->target[r];
        if (t == p->ignore)
            continue;
        double lse = log_sum_exp(x, p->classes), part = p->smoothing / (double)p->classes;
        double row = (1 - p->smoothing) * weight_of(p, t) * (lse - x[t]);
        double size = weight_of(p, t) * (fabs(lse) + fabs(x[t]) + 1);
        for (int64_t k = 0; k < p->classes; k++) {
            row += part * weight_of(p, k) * (lse - x[k]);
            size += part * weight_of(p, k) * (fabs(lse) + fabs(x[k]) + 1);
        }
        int64_t largest = 0;
        for (int64_t k = 1; k < p->classes; k++)
            largest = x[k] > x[largest] ? k : largest;
        loss[0] += row;
        loss[1] += weight_of(p, t);
        loss[2] += largest == t;
        loss[3] += 1;
        *magnitude += size;
    }
}

static void backward(const problem *p, double scale, double total, double *dx) {
    for (int64_t r = 0; r < p->rows; r++) {
        const double *x = p->logits + r * p->classes;
        int t = p->target[r];
        double lse = log_sum_exp(x, p->classes), all = 0, part = p->smoothing / (double)p->classes;
        for (int64_t k = 0; k < p->classes; k++)
            all += part * weight_of(p, k);
        for (int64_t k = 0; k < p->classes; k++) {
            double *out = &dx[r * p->classes + k], w = t == p->ignore ? 0 : (1 - p->smoothing) * weight_of(p, t);
            *out = t == p->ignore ? 0
                                  : scale / total * ((w + all) * exp(x[k] - lse) - (k == t ? w : 0) -
                                                     part * weight_of(p, k));
        }
    }
}

static problem problem_of(const t_op *op, double *logits) {
    const tl_tensor_desc *d = &op->operand[LOGITS].desc;
    return (problem){d->shape[0] * d->shape[1] * d->shape[2], d->shape[3], logits, op->operand[TARGET].data,
                     op->operand[WEIGHT].data, op->desc.smoothing, op->desc.ignore_index};
}

static bool verify(const t_op *op, void *user, char *why) {
    double *logits = t_f64(op->operand[LOGITS].data, t_count(&op->operand[LOGITS].desc)), want[4], tolerance[4] = {0};
    problem p = problem_of(op, logits);
    (void)user;
    forward(&p, want, &tolerance[0]);
    tolerance[0] *= 8 * T_UNIT;       /* log-sum-exp and a difference in each row, summed in f64 */
    tolerance[1] = 2 * T_UNIT * want[1];
    bool ok = t_close(why, "loss", op->operand[LOSS].result, want, tolerance, 4);
    free(logits);
    return ok;
}

static bool verify_grad(const t_op *op, void *user, char *why) {
    int64_t count = t_count(&op->operand[LOGITS].desc);
    bool differences = *(const bool *)user;
    double *logits = t_f64(op->operand[LOGITS].data, count), *want = t_zeros(count), *tolerance = t_zeros(count);
    problem p = problem_of(op, logits);
    const float *loss = op->operand[GRAD_LOSS].data;
    backward(&p, op->desc.scale, loss[1], want);
    for (int64_t i = 0; i < count; i++) {
        int t = p.target[i / p.classes];
        /* p_k <= 1 comes of exp(x - lse): relative error |x - lse| u, at most e^-1 u absolutely, and a few u */
        double size = t == p.ignore ? 0 : fabs(op->desc.scale / loss[1]) * (weight_of(&p, t) + 1.5);
        tolerance[i] = 8 * T_UNIT * size;
    }
    for (int64_t i = 0; differences && i < count; i++) {
        double here = logits[i], above[4], below[4], unused;
        logits[i] = here + 1e-4;
        forward(&p, above, &unused);
        logits[i] = here - 1e-4;
        forward(&p, below, &unused);
        logits[i] = here;
        want[i] = op->desc.scale * (above[0] - below[0]) / 2e-4 / loss[1];
        tolerance[i] += 1e-8 * op->desc.scale; /* step^2 times a third derivative below 1 */
    }
    bool ok = t_close(why, "dlogits", op->operand[DLOGITS].result, want, tolerance, count);
    free(logits);
    free(want);
    free(tolerance);
    return ok;
}

static void test(int n, int h, int w, int k, int form, bool grad) {
    t_op op;
    t_begin(&op, grad ? TL_OP_CROSS_ENTROPY_GRAD : TL_OP_CROSS_ENTROPY);
    int64_t rows = (int64_t)n * h * w;
    float *logits = t_give(&op, LOGITS, TL_DTYPE_F32, T_SHAPE(n, h, w, k));
    int32_t *target = t_give(&op, TARGET, TL_DTYPE_I32, T_SHAPE(n, h, w));
    if (form & WEIGHTED)
        t_fill(t_give(&op, WEIGHT, TL_DTYPE_F32, T_SHAPE(k)), k, 0.2, 2);
    if (form & TIES)
        t_fill_integers(logits, rows * k, 0, 2);
    else
        t_fill(logits, rows * k, form & EXTREME ? -200 : -3, form & EXTREME ? 200 : 3);
    op.desc.ignore_index = form & IGNORING ? 255 : -100;
    op.desc.smoothing = form & SMOOTH ? 0.1f : 0;
    op.desc.scale = form & ONE ? 1 : 0.5f;
    for (int64_t i = 0; i < rows; i++)
        target[i] = form & IGNORING && t_random() % 3 == 0 ? 255 : (int32_t)(t_random() % (uint32_t)k);
    target[0] = k - 1;
    bool differences = form & DIFFERENCES;
    float *loss = t_give(&op, LOSS, TL_DTYPE_F32, T_SHAPE(4));
    if (grad) {
        double *x = t_f64(logits, rows * k), sums[4], unused;
        problem p = problem_of(&op, x);
        p.weight = op.operand[WEIGHT].data;
        forward(&p, sums, &unused);
        for (int i = 0; i < 4; i++)
            loss[i] = (float)sums[i];
        free(x);
        t_give(&op, DLOGITS, TL_DTYPE_F32, T_SHAPE(n, h, w, k));
    }
    t_case(&op, grad ? verify_grad : verify, &differences, "cross_entropy%s %dx%dx%dx%d%s%s%s%s%s%s",
           grad ? "_grad" : "", n, h, w, k, form & WEIGHTED ? " weighted" : "", form & SMOOTH ? " smooth" : "",
           form & IGNORING ? " ignoring" : "", form & EXTREME ? " extreme" : "", form & TIES ? " ties" : "",
           form & DIFFERENCES ? " differences" : "");
    t_end(&op);
}

/* A target that is no class shows as NaN, and nothing outside the row is read. */
static bool verify_wrong(const t_op *op, void *user, char *why) {
    (void)user;
    double want[4] = {NAN, 2, 0, 2}, tolerance[4] = {0, 0, 2, 0};
    return t_close(why, "loss", op->operand[LOSS].result, want, tolerance, 4);
}

static void test_wrong_target(int wrong) {
    t_op op;
    t_begin(&op, TL_OP_CROSS_ENTROPY);
    t_fill(t_give(&op, LOGITS, TL_DTYPE_F32, T_SHAPE(3, 1, 1, 5)), 15, -1, 1);
    int32_t *target = t_give(&op, TARGET, TL_DTYPE_I32, T_SHAPE(3, 1, 1));
    t_give(&op, LOSS, TL_DTYPE_F32, T_SHAPE(4));
    op.desc.ignore_index = -100;
    target[1] = wrong;
    t_case(&op, verify_wrong, NULL, "cross_entropy with target %d of 5", wrong);
    t_end(&op);
}

static void cases(void) {
    static const int forms[] = {0, WEIGHTED, SMOOTH, IGNORING, WEIGHTED | SMOOTH | IGNORING, EXTREME, TIES,
                                EXTREME | SMOOTH};
    static const int shapes[][4] = {{1, 1, 1, 1},  {1, 1, 1, 2},  {5, 1, 1, 2},     {33, 1, 1, 10},   {2, 3, 5, 7},
                                    {3, 1, 1, 1000}, {2, 1, 1, 1025}, {2, 23, 29, 21}, {1, 57, 55, 3}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
            for (int grad = 0; grad < 2; grad++) {
                const int *d = shapes[s];
                test(d[0], d[1], d[2], d[3], forms[f] | (f % 2 ? ONE : 0), grad);
                if (grad && !(forms[f] & EXTREME) && d[0] * d[1] * d[2] * d[3] < 400)
                    test(d[0], d[1], d[2], d[3], forms[f] | DIFFERENCES, true);
            }
    test_wrong_target(5);
    test_wrong_target(-1);
    test_wrong_target(2147483647);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
