/* maxpool2d.c: maximum pooling and its gradient. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/harness.h"

typedef struct shape {
    int n, h, w, c, k[2], s[2], p[2];
} shape;

enum { X, Y, INDEX };
enum { DY, DINDEX, DX };
enum { ANY, TIES, NOT_FINITE, LOW };

static int out(const shape *s, int axis) {
    return ((axis ? s->w : s->h) + 2 * s->p[axis] - s->k[axis]) / s->s[axis] + 1;
}

/* The maximum of one window and its place among the taps; *at is where in x. */
static float maximum(const shape *s, const float *x, int n, int p, int q, int c, int *tap, int64_t *at) {
    float best = 0;
    bool found = false;
    for (int i = 0; i < s->k[0]; i++)
        for (int j = 0; j < s->k[1]; j++) {
            int h = p * s->s[0] - s->p[0] + i, w = q * s->s[1] - s->p[1] + j;
            if (h < 0 || h >= s->h || w < 0 || w >= s->w)
                continue;
            int64_t here = (((int64_t)n * s->h + h) * s->w + w) * s->c + c;
            if (found && !(x[here] > best || isnan(x[here])))
                continue;
            found = true;
            best = x[here];
            *tap = i * s->k[1] + j;
            *at = here;
        }
    return best;
}

#define FOR_EACH_OUTPUT(s)                               \
    for (int n = 0; n < (s)->n; n++)                     \
        for (int p = 0; p < out(s, 0); p++)              \
            for (int q = 0; q < out(s, 1); q++)          \
                for (int c = 0; c < (s)->c; c++)

static bool verify(const t_op *op, void *user, char *why) {
    const shape *s = user;
    int64_t i = 0;
    const float *y = op->operand[Y].result;
    const uint8_t *index = op->operand[INDEX].result;
    FOR_EACH_OUTPUT(s) {
        int tap = 0;
        int64_t at = 0;
        float want = maximum(s, op->operand[X].data, n, p, q, c, &tap, &at);
        bool same = isnan(want) ? isnan(y[i]) : y[i] == want;
        if (!same || (index && index[i] != tap)) {
            snprintf(why, T_WHY, "at %d,%d,%d,%d: %g (tap %d) instead of %g (tap %d)", n, p, q, c, (double)y[i],
                     index ? index[i] : -1, (double)want, tap);
            return false;
        }
        i++;
    }
    return true;
}

static void fill(float *x, int64_t count, int values) {
    if (values == TIES)
        t_fill_integers(x, count, -2, 1);
    else
        t_fill(x, count, values == LOW ? -1e38 : -1, values == LOW ? -1e37 : 1);
    for (int64_t i = 0; values == NOT_FINITE && i < count; i += 1 + t_random() % 23)
        x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? -INFINITY : INFINITY;
    for (int64_t i = 0; values == NOT_FINITE && i < count / 4; i++)
        x[i] = -INFINITY;
}

static const char *text(const shape *s) {
    static char buffer[96];
    snprintf(buffer, sizeof(buffer), "%dx%dx%dx%d k%d,%d s%d,%d p%d,%d", s->n, s->h, s->w, s->c, s->k[0], s->k[1],
             s->s[0], s->s[1], s->p[0], s->p[1]);
    return buffer;
}

static void attributes(t_op *op, const shape *s) {
    memcpy(op->desc.kernel, s->k, sizeof(s->k));
    memcpy(op->desc.stride, s->s, sizeof(s->s));
    memcpy(op->desc.pad, s->p, sizeof(s->p));
    op->desc.dilation[0] = op->desc.dilation[1] = 1;
}

static void test(const shape *s, int values, bool index) {
    static const char *const names[] = {"", " ties", " not finite", " low"};
    t_op op;
    t_begin(&op, TL_OP_MAXPOOL2D);
    attributes(&op, s);
    fill(t_give(&op, X, TL_DTYPE_F32, T_SHAPE(s->n, s->h, s->w, s->c)), (int64_t)s->n * s->h * s->w * s->c, values);
    t_give(&op, Y, TL_DTYPE_F32, T_SHAPE(s->n, out(s, 0), out(s, 1), s->c));
    if (index)
        t_give(&op, INDEX, TL_DTYPE_U8, T_SHAPE(s->n, out(s, 0), out(s, 1), s->c));
    t_case(&op, verify, (void *)(uintptr_t)s, "maxpool2d %s%s%s", text(s), names[values], index ? " index" : "");
    t_end(&op);
}

/* ---- gradient: where x moves, the sum of dy * maxima moves with the dy of the windows it is the maximum of ---- */

typedef struct expected {
    double *dx, *tolerance;
    int64_t count;
} expected;

static bool verify_grad(const t_op *op, void *user, char *why) {
    const expected *e = user;
    return t_close(why, "dx", op->operand[DX].result, e->dx, e->tolerance, e->count);
}

/* By differences of the forward reference; all values of x differ by more than the step. */
static void by_differences(const shape *s, float *x, const float *dy, double *dx, int64_t count) {
    for (int64_t m = 0; m < count; m++) {
        float here = x[m];
        double above = 0, below = 0;
        int tap;
        int64_t at, i = 0;
        x[m] = here + 0.25f;
        FOR_EACH_OUTPUT(s)
            above += (double)dy[i++] * maximum(s, x, n, p, q, c, &tap, &at);
        x[m] = here - 0.25f;
        i = 0;
        FOR_EACH_OUTPUT(s)
            below += (double)dy[i++] * maximum(s, x, n, p, q, c, &tap, &at);
        x[m] = here;
        dx[m] = (above - below) / 0.5;
    }
}

static void test_grad(const shape *s, bool differences) {
    t_op op;
    t_begin(&op, TL_OP_MAXPOOL2D_GRAD);
    attributes(&op, s);
    int64_t count = (int64_t)s->n * s->h * s->w * s->c, small = (int64_t)s->n * out(s, 0) * out(s, 1) * s->c, i = 0;
    float *dy = t_give(&op, DY, TL_DTYPE_F32, T_SHAPE(s->n, out(s, 0), out(s, 1), s->c));
    uint8_t *index = t_give(&op, DINDEX, TL_DTYPE_U8, T_SHAPE(s->n, out(s, 0), out(s, 1), s->c));
    t_give(&op, DX, TL_DTYPE_F32, T_SHAPE(s->n, s->h, s->w, s->c));
    t_fill(dy, small, -1, 1);
    float *x = t_allocate((size_t)count * sizeof(float));
    for (int64_t k = 0; k < count; k++)
        x[k] = (float)k;
    for (int64_t k = count - 1; k > 0; k--) { /* a permutation: no ties */
        int64_t other = t_random() % (k + 1);
        float swap = x[k];
        x[k] = x[other];
        x[other] = swap;
    }
    expected e = {t_zeros(count), t_zeros(count), count};
    FOR_EACH_OUTPUT(s) {
        int tap = 0;
        int64_t at = 0;
        maximum(s, x, n, p, q, c, &tap, &at);
        index[i] = (uint8_t)tap;
        e.dx[at] += dy[i];
        e.tolerance[at] += 8 * T_UNIT * fabs((double)dy[i]);
        i++;
    }
    if (differences) {
        by_differences(s, x, dy, e.dx, count);
        for (int64_t k = 0; k < count; k++) /* the objective is a sum of values up to count, in f64 */
            e.tolerance[k] += 1e-12 * (double)(count * small);
    }
    t_case(&op, verify_grad, &e, "maxpool2d_grad %s%s", text(s), differences ? " differences" : "");
    free(x);
    free(e.dx);
    free(e.tolerance);
    t_end(&op);
}

static const shape shapes[] = {
    {1, 1, 1, 1, {1, 1}, {1, 1}, {0, 0}},    {1, 4, 4, 3, {2, 2}, {2, 2}, {0, 0}},
    {2, 9, 7, 16, {3, 3}, {2, 2}, {1, 1}},   {1, 8, 8, 17, {3, 3}, {2, 2}, {1, 1}},
    {3, 5, 6, 63, {3, 3}, {1, 1}, {1, 1}},   {1, 7, 7, 65, {2, 2}, {2, 2}, {0, 0}},
    {1, 11, 10, 7, {3, 2}, {2, 1}, {1, 0}},  {1, 13, 9, 5, {5, 5}, {3, 2}, {2, 2}},
    {2, 3, 3, 129, {3, 3}, {2, 2}, {1, 1}},  {1, 20, 17, 2, {16, 16}, {1, 1}, {0, 0}},
    {1, 6, 7, 24, {2, 3}, {3, 4}, {0, 0}}, /* stride larger than the window: some pixels are in none */
    {2, 112, 112, 64, {3, 3}, {2, 2}, {1, 1}}, /* stored past the caches */
};

static void cases(void) {
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        for (int values = ANY; values <= LOW; values++) {
            test(&shapes[i], values, true);
            test(&shapes[i], values, false);
        }
        test_grad(&shapes[i], false);
        if ((int64_t)shapes[i].h * shapes[i].w * shapes[i].c < 700)
            test_grad(&shapes[i], true);
    }
    static const shape huge = {1, 40, 30, 3, {20, 25}, {1, 1}, {0, 0}}; /* more taps than an index can tell */
    test(&huge, ANY, false);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
