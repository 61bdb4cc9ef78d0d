/* dice.c: the soft Dice loss and its gradient: ignored rows, classes that are not there, extreme logits; against the
 * formula, finite differences, and what PyTorch's autograd said once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/harness.h"

enum { LOGITS, TARGET };
enum { LOSS = 2, SUMS };
enum { GRAD_SUMS = 2, DLOGITS };
enum { IGNORING = 1, EXTREME = 2, LACKING = 4, DIFFERENCES = 8, ALL_IGNORED = 16, SMOOTHER = 32 };

typedef struct problem {
    int64_t rows, classes;
    const double *logits;
    const int32_t *target;
    double eps;
    int ignore;
} problem;

static problem problem_of(const t_op *op, const double *logits) {
    const tl_tensor_desc *d = &op->operand[LOGITS].desc;
    return (problem){d->shape[0] * d->shape[1] * d->shape[2], d->shape[3], logits, op->operand[TARGET].data,
                     op->desc.eps, op->desc.ignore_index};
}

/* Softmax of a row; off[k] how far f32 may be from it: the row's sum of exponentials, one's own (a few ulp), and the
 * difference of logits in it, which is rounded to a relative u. */
static void softmax(const problem *p, int64_t r, double *out, double *off) {
    const double *x = p->logits + r * p->classes;
    double most = x[0], sum = 0;
    for (int64_t k = 1; k < p->classes; k++)
        most = fmax(most, x[k]);
    for (int64_t k = 0; k < p->classes; k++)
        sum += exp(x[k] - most);
    for (int64_t k = 0; k < p->classes; k++) {
        out[k] = exp(x[k] - most) / sum;
        /* At most 16 sums side by side, or one of 64. What is below the smallest normal number may be 0. */
        off[k] = 8 + fmin((double)p->classes, 64) + (double)p->classes / 16 + (most - x[k]);
        off[k] = 0x1p-125 + out[k] * T_UNIT * off[k];
    }
}

/* sums[3][K] with what they may be off, and the loss with the same. */
static void forward(const problem *p, double *sums, double *sums_off, double loss[2], double *loss_off) {
    int64_t classes = p->classes;
    double *chance = t_zeros(classes), *off = t_zeros(classes), scores = 0, there = 0, scores_off = 0;
    memset(sums, 0, (size_t)(3 * classes) * sizeof(*sums));
    memset(sums_off, 0, (size_t)(3 * classes) * sizeof(*sums));
    for (int64_t r = 0; r < p->rows; r++) {
        int t = p->target[r];
        if (t == p->ignore)
            continue;
        softmax(p, r, chance, off);
        sums[t] += chance[t];
        sums_off[t] += off[t];
        sums[2 * classes + t]++;
        for (int64_t k = 0; k < classes; k++) {
            sums[classes + k] += chance[k];
            sums_off[classes + k] += off[k];
        }
    }
    for (int64_t k = 0; k < 2 * classes; k++)
        sums_off[k] += 2 * T_UNIT * sums[k];
    for (int64_t k = 0; k < classes; k++) {
        double above = 2 * sums[k] + p->eps, below = sums[classes + k] + sums[2 * classes + k] + p->eps;
        if (sums[2 * classes + k] == 0)
            continue;
        there++;
        scores += above / below;
        scores_off += (2 * sums_off[k] + above / below * sums_off[classes + k]) / below + 2 * T_UNIT * above / below;
    }
    loss[0] = there > 0 ? 1 - scores / there : 0;
    loss[1] = there;
    *loss_off = there > 0 ? scores_off / there + 2 * T_UNIT : 0;
    free(chance);
    free(off);
}

/* From the sums that the operation is given: d p_j / d x_k = p_j ([j = k] - p_k), summed over j in the plainest way. */
static void backward(const problem *p, double scale, const float *sums, double *dx, double *tolerance) {
    int64_t classes = p->classes;
    double *chance = t_zeros(classes), *off = t_zeros(classes), there = 0;
    for (int64_t k = 0; k < classes; k++)
        there += sums[2 * classes + k] != 0;
    for (int64_t r = 0; r < p->rows; r++) {
        if (p->target[r] == p->ignore)
            continue;
        softmax(p, r, chance, off);
        for (int64_t k = 0; k < classes; k++)
            tolerance[r * classes + k] = 0x1p-125;
        for (int64_t j = 0; j < classes; j++) {
            double below = (double)sums[classes + j] + sums[2 * classes + j] + p->eps, above = 2.0 * sums[j] + p->eps;
            double y = p->target[r] == j, slope, size;
            if (sums[2 * classes + j] == 0)
                continue;
            slope = -scale / there * (2 * y * below - above) / (below * below);
            size = fabs(scale) / there * (2 * y * below + above) / (below * below);
            for (int64_t k = 0; k < classes; k++) {
                double both = (j == k) + chance[k], rounded = (8 + (double)classes) * T_UNIT * chance[j] * both;
                dx[r * classes + k] += slope * chance[j] * ((j == k) - chance[k]);
                /* two factors that are off, a sum over the classes, and a few roundings */
                tolerance[r * classes + k] += size * (off[j] * both + chance[j] * off[k] + rounded);
            }
        }
    }
    free(chance);
    free(off);
}

static double loss_at(const problem *p, double *sums, double *off) {
    double loss[2], unused;
    forward(p, sums, off, loss, &unused);
    return loss[0];
}

static bool verify(const t_op *op, void *user, char *why) {
    double *logits = t_f64(op->operand[LOGITS].data, t_count(&op->operand[LOGITS].desc)), loss[2], tolerance[2] = {0};
    problem p = problem_of(op, logits);
    double *sums = t_zeros(3 * p.classes), *off = t_zeros(3 * p.classes);
    (void)user;
    forward(&p, sums, off, loss, tolerance);
    bool ok = t_close(why, "loss", op->operand[LOSS].result, loss, tolerance, 2) &&
              t_close(why, "sums", op->operand[SUMS].result, sums, off, 3 * p.classes);
    free(logits);
    free(sums);
    free(off);
    return ok;
}

static bool verify_grad(const t_op *op, void *user, char *why) {
    int64_t count = t_count(&op->operand[LOGITS].desc);
    double *logits = t_f64(op->operand[LOGITS].data, count), *want = t_zeros(count), *tolerance = t_zeros(count);
    problem p = problem_of(op, logits);
    double *sums = t_zeros(3 * p.classes), *off = t_zeros(3 * p.classes);
    backward(&p, op->desc.scale, op->operand[GRAD_SUMS].data, want, tolerance);
    for (int64_t i = 0; *(const bool *)user && i < count; i++) {
        const double here = logits[i], step = 1e-4;
        double change;
        logits[i] = here + step;
        change = loss_at(&p, sums, off);
        logits[i] = here - step;
        change -= loss_at(&p, sums, off);
        logits[i] = here;
        want[i] = op->desc.scale * change / (2 * step);
        /* step^2 times a third derivative below 1, the loss's own rounding over the step, and sums given in f32 */
        tolerance[i] += 1e-8 + 1e-12 / step + 8 * T_UNIT;
    }
    bool ok = t_close(why, "dlogits", op->operand[DLOGITS].result, want, tolerance, count);
    free(logits);
    free(want);
    free(tolerance);
    free(sums);
    free(off);
    return ok;
}

static void fill(t_op *op, int64_t rows, int64_t k, int form) {
    int32_t *target = op->operand[TARGET].data;
    t_fill(op->operand[LOGITS].data, rows * k, form & EXTREME ? -200 : -3, form & EXTREME ? 200 : 3);
    op->desc.ignore_index = form & (IGNORING | ALL_IGNORED) ? 255 : -100;
    op->desc.eps = form & SMOOTHER ? 100 : 1;
    op->desc.scale = form & SMOOTHER ? 0.5f : 1;
    for (int64_t i = 0; i < rows; i++) {
        bool ignored = form & ALL_IGNORED || (form & IGNORING && t_random() % 3 == 0);
        target[i] = ignored ? 255 : (int32_t)(t_random() % (uint32_t)(form & LACKING ? (k + 1) / 2 : k));
    }
}

static void test(int n, int h, int w, int k, int form, bool grad) {
    t_op op;
    int64_t rows = (int64_t)n * h * w;
    bool differences = form & DIFFERENCES;
    t_begin(&op, grad ? TL_OP_DICE_GRAD : TL_OP_DICE);
    t_give(&op, LOGITS, TL_DTYPE_F32, T_SHAPE(n, h, w, k));
    t_give(&op, TARGET, TL_DTYPE_I32, T_SHAPE(n, h, w));
    fill(&op, rows, k, form);
    if (grad) {
        float *given = t_give(&op, GRAD_SUMS, TL_DTYPE_F32, T_SHAPE(3, k));
        double *x = t_f64(op.operand[LOGITS].data, rows * k), *sums = t_zeros(3 * k), *off = t_zeros(3 * k);
        problem p = problem_of(&op, x);
        loss_at(&p, sums, off);
        for (int i = 0; i < 3 * k; i++)
            given[i] = (float)sums[i];
        t_give(&op, DLOGITS, TL_DTYPE_F32, T_SHAPE(n, h, w, k));
        free(x);
        free(sums);
        free(off);
    } else {
        t_give(&op, LOSS, TL_DTYPE_F32, T_SHAPE(2));
        t_give(&op, SUMS, TL_DTYPE_F32, T_SHAPE(3, k));
    }
    t_case(&op, grad ? verify_grad : verify, &differences, "dice%s %dx%dx%dx%d%s%s%s%s%s%s", grad ? "_grad" : "", n, h,
           w, k, form & IGNORING ? " ignoring" : "", form & EXTREME ? " extreme" : "", form & LACKING ? " lacking" : "",
           form & ALL_IGNORED ? " all ignored" : "", form & SMOOTHER ? " smoother" : "",
           differences ? " differences" : "");
    t_end(&op);
}

/* A target that is no class shows as NaN, in the loss and in its row of the gradient, and nothing outside is read. */
static bool verify_wrong(const t_op *op, void *user, char *why) {
    double want[2] = {NAN, 2}, tolerance[2] = {0, 1};
    (void)user;
    return t_close(why, "loss", op->operand[LOSS].result, want, tolerance, 2);
}

static bool verify_wrong_grad(const t_op *op, void *user, char *why) {
    const float *dx = op->operand[DLOGITS].result;
    double want[15] = {0}, tolerance[15];
    (void)user;
    for (int i = 0; i < 15; i++) {
        want[i] = i / 5 == 1 ? NAN : 0;
        tolerance[i] = 1;
    }
    return t_close(why, "dlogits", dx, want, tolerance, 15);
}

static void test_wrong_target(int wrong, bool grad) {
    t_op op;
    t_begin(&op, grad ? TL_OP_DICE_GRAD : TL_OP_DICE);
    t_fill(t_give(&op, LOGITS, TL_DTYPE_F32, T_SHAPE(3, 1, 1, 5)), 15, -1, 1);
    int32_t *target = t_give(&op, TARGET, TL_DTYPE_I32, T_SHAPE(3, 1, 1));
    op.desc.ignore_index = -100;
    op.desc.eps = op.desc.scale = 1;
    target[1] = wrong;
    if (grad) {
        t_fill(t_give(&op, GRAD_SUMS, TL_DTYPE_F32, T_SHAPE(3, 5)), 15, 0.5, 1);
        t_give(&op, DLOGITS, TL_DTYPE_F32, T_SHAPE(3, 1, 1, 5));
    } else {
        t_give(&op, LOSS, TL_DTYPE_F32, T_SHAPE(2));
        t_give(&op, SUMS, TL_DTYPE_F32, T_SHAPE(3, 5));
    }
    t_case(&op, grad ? verify_wrong_grad : verify_wrong, NULL, "dice%s with target %d of 5", grad ? "_grad" : "",
           wrong);
    t_end(&op);
}

#include "tests/ops/dice_torch.h"

static bool verify_torch(const t_op *op, void *user, char *why) {
    double loss[2] = {torch_loss, 3}, tolerance[2] = {8 * T_UNIT, 0};
    (void)user;
    return t_close(why, "loss", op->operand[LOSS].result, loss, tolerance, 2);
}

static bool verify_torch_grad(const t_op *op, void *user, char *why) {
    double tolerance[TORCH_ROWS * TORCH_CLASSES];
    (void)user;
    for (int i = 0; i < TORCH_ROWS * TORCH_CLASSES; i++)
        tolerance[i] = 4 * T_UNIT; /* a dozen roundings of products of slopes below 0.3 with probabilities */
    return t_close(why, "dlogits", op->operand[DLOGITS].result, torch_gradient, tolerance, TORCH_ROWS * TORCH_CLASSES);
}

static void test_torch(bool grad) {
    t_op op;
    t_begin(&op, grad ? TL_OP_DICE_GRAD : TL_OP_DICE);
    float *logits = t_give(&op, LOGITS, TL_DTYPE_F32, T_SHAPE(1, 1, TORCH_ROWS, TORCH_CLASSES));
    memcpy(t_give(&op, TARGET, TL_DTYPE_I32, T_SHAPE(1, 1, TORCH_ROWS)), torch_target, sizeof(torch_target));
    for (int i = 0; i < TORCH_ROWS * TORCH_CLASSES; i++)
        logits[i] = (float)((i * 37 % 64 - 32) / 16.0);
    op.desc.ignore_index = 255;
    op.desc.eps = op.desc.scale = 1;
    if (grad) {
        float *given = t_give(&op, GRAD_SUMS, TL_DTYPE_F32, T_SHAPE(3, TORCH_CLASSES));
        for (int i = 0; i < 3 * TORCH_CLASSES; i++)
            given[i] = (float)torch_sums[i];
        t_give(&op, DLOGITS, TL_DTYPE_F32, T_SHAPE(1, 1, TORCH_ROWS, TORCH_CLASSES));
    } else {
        t_give(&op, LOSS, TL_DTYPE_F32, T_SHAPE(2));
        t_give(&op, SUMS, TL_DTYPE_F32, T_SHAPE(3, TORCH_CLASSES));
    }
    t_case(&op, grad ? verify_torch_grad : verify_torch, NULL, "dice%s as PyTorch's autograd has it",
           grad ? "_grad" : "");
    t_end(&op);
}

static void cases(void) {
    static const int forms[] = {0, IGNORING, LACKING, EXTREME, IGNORING | LACKING | SMOOTHER, EXTREME | LACKING,
                                ALL_IGNORED};
    static const int shapes[][4] = {{1, 1, 1, 1},    {1, 1, 1, 2},    {5, 1, 1, 2},    {33, 1, 1, 10},
                                    {2, 3, 5, 7},    {1, 5, 7, 16},   {3, 1, 1, 1000}, {2, 1, 1, 1025},
                                    {2, 23, 29, 21}, {1, 57, 55, 3},  {1, 141, 120, 5}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++)
            for (int grad = 0; grad < 2; grad++) {
                const int *d = shapes[s];
                test(d[0], d[1], d[2], d[3], forms[f], grad);
                if (grad && !(forms[f] & EXTREME) && d[0] * d[1] * d[2] * d[3] < 400)
                    test(d[0], d[1], d[2], d[3], forms[f] | DIFFERENCES, true);
            }
    for (int grad = 0; grad < 2; grad++) {
        test_wrong_target(5, grad);
        test_wrong_target(-1, grad);
        test_wrong_target(2147483647, grad);
        test_torch(grad);
    }
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
