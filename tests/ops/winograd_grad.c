/* winograd_grad.c: the gradients of convolutions by F(4x4, 3x3) against bounds that are derived from its matrices, as
 * winograd.c does it for the convolution itself, on data where errors are small everywhere and on data where they are not.
 *
 * dx is the convolution of dy with turned weights. dw = G^T [sum over tiles of (A dy A^T) . (B^T x B)] G; with M made of the
 * absolute values in the same way, and n roundings one after the other of at most u each, it is off by sqrt(n) u M. n is at
 * most 4 for each of the two passes over a patch, a tile and a filter (a rounded constant, a product, two sums), 1 + the
 * number of summed products, and 5 for each of the two passes back, 1 for the addend. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/conv_common.h"
#include "tests/ops/winograd_matrices.h"

enum { DY, W, ADDEND, MASK, DX };
enum { X, GRAD_DY, DW, DBIAS };
enum { UNEVEN = 1, WITH_ADDEND = 2, WITH_MASK = 4, WITH_BIAS = 8 };

#define PASSES (8 + 8 + 10)

typedef struct expected {
    int operand;
    double *want, *tolerance;
    int64_t count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    return t_close(why, "gradient", op->operand[e->operand].result, e->want, e->tolerance, e->count);
}

/* Every 50th number is 10000 times as large as the others. */
static void raise_some(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i += 50)
        x[i] *= 1e4f;
}

/* |m| |values| |m|^T of `size` x `size` pixels of one channel from (y0, x0) on; zeros outside. */
static void transformed(const double *m, int rows, int size, const conv_shape *s, const float *image, int height, int width,
                        int channels, int y0, int x0, double *to) {
    double values[36];
    for (int i = 0; i < size * size; i++) {
        int y = y0 + i / size * s->dilation[0], x = x0 + i % size * s->dilation[1];
        bool inside = y >= 0 && y < height && x >= 0 && x < width;
        values[i] = inside ? fabs((double)image[((int64_t)y * width + x) * channels]) : 0;
    }
    winograd_both_sides(m, rows, size, values, to);
}

/* M of dx: a sum over outputs for each tile of dx. */
static void dx_magnitudes(const conv_shape *s, const float *dy, const float *w, double *magnitude) {
    const int oh = conv_out(s, 0), ow = conv_out(s, 1);
    for (int n = 0; n < s->n; n++)
        for (int y = 0; y < s->h; y = winograd_next_tile(y, s->dilation[0]))
            for (int x = 0; x < s->w; x = winograd_next_tile(x, s->dilation[1]))
                for (int c = 0; c < s->c; c++) {
                    double sum[36] = {0}, tile[16];
                    for (int o = 0; o < s->o; o++) {
                        double turned[9], weights[36], patch[36];
                        for (int t = 0; t < 9; t++)
                            turned[t] = fabs((double)w[((int64_t)o * 9 + 8 - t) * s->c + c]);
                        winograd_both_sides(winograd_g, 6, 3, turned, weights);
                        transformed(winograd_bt, 6, 6, s, dy + (int64_t)n * oh * ow * s->o + o, oh, ow, s->o,
                                    y - (2 * s->dilation[0] - s->pad[0]), x - (2 * s->dilation[1] - s->pad[1]), patch);
                        for (int i = 0; i < 36; i++)
                            sum[i] += weights[i] * patch[i];
                    }
                    winograd_both_sides(winograd_at, 4, 6, sum, tile);
                    for (int i = 0; i < 16; i++) {
                        const int row = y + i / 4 * s->dilation[0], column = x + i % 4 * s->dilation[1];
                        if (row < s->h && column < s->w)
                            magnitude[(((int64_t)n * s->h + row) * s->w + column) * s->c + c] = tile[i];
                    }
                }
}

/* M of dw: a sum over tiles. */
static void dw_magnitudes(const conv_shape *s, const float *x, const float *dy, double *magnitude) {
    const int oh = conv_out(s, 0), ow = conv_out(s, 1);
    double a[24], gt[18];
    winograd_transpose(winograd_at, 4, 6, a);
    winograd_transpose(winograd_g, 6, 3, gt);
    for (int o = 0; o < s->o; o++)
        for (int c = 0; c < s->c; c++) {
            double sum[36] = {0}, taps[9];
            for (int n = 0; n < s->n; n++)
                for (int y = 0; y < oh; y = winograd_next_tile(y, s->dilation[0]))
                    for (int v = 0; v < ow; v = winograd_next_tile(v, s->dilation[1])) {
                        double patch[36], tile[36];
                        transformed(winograd_bt, 6, 6, s, x + (int64_t)n * s->h * s->w * s->c + c, s->h, s->w, s->c,
                                    y - s->pad[0], v - s->pad[1], patch);
                        transformed(a, 6, 4, s, dy + (int64_t)n * oh * ow * s->o + o, oh, ow, s->o, y, v, tile);
                        for (int i = 0; i < 36; i++)
                            sum[i] += patch[i] * tile[i];
                    }
            winograd_both_sides(gt, 3, 6, sum, taps);
            for (int t = 0; t < 9; t++)
                magnitude[((int64_t)o * 9 + t) * s->c + c] = taps[t];
        }
}

static void test_input(const conv_shape *s, int form) {
    t_op op;
    conv_begin(&op, TL_OP_CONV2D_GRAD_INPUT, s);
    conv_give_y(&op, DY, s, false);
    conv_give_w(&op, W, s, false);
    if (form & WITH_ADDEND)
        conv_give_x(&op, ADDEND, s, false);
    if (form & WITH_MASK)
        conv_give_x(&op, MASK, s, true); /* has zeros */
    conv_give_x(&op, DX, s, false);
    if (form & UNEVEN) {
        raise_some(op.operand[DY].data, conv_y_count(s));
        raise_some(op.operand[W].data, conv_w_count(s));
    }
    expected e = {DX, t_zeros(conv_x_count(s)), t_zeros(conv_x_count(s)), conv_x_count(s)};
    double *dy = t_f64(op.operand[DY].data, conv_y_count(s)), *w = t_f64(op.operand[W].data, conv_w_count(s));
    conv_grad_input(s, dy, w, e.want, e.tolerance);
    dx_magnitudes(s, op.operand[DY].data, op.operand[W].data, e.tolerance);
    const float *addend = op.operand[ADDEND].data, *mask = op.operand[MASK].data;
    for (int64_t i = 0; i < e.count; i++) {
        const double more = addend ? addend[i] : 0;
        e.want[i] += more;
        e.tolerance[i] = sqrt(PASSES + 1 + 1 + (double)s->o) * T_UNIT * (e.tolerance[i] + fabs(more));
        if (mask && !(mask[i] > 0))
            e.want[i] = e.tolerance[i] = 0;
    }
    t_case(&op, verify, &e, "grad_input %s%s%s%s", conv_text(s), form & UNEVEN ? " uneven" : "",
           form & WITH_ADDEND ? " addend" : "", form & WITH_MASK ? " mask" : "");
    free(dy);
    free(w);
    free(e.want);
    free(e.tolerance);
    t_end(&op);
}

static void test_weight(const conv_shape *s, int form) {
    t_op op;
    conv_begin(&op, TL_OP_CONV2D_GRAD_WEIGHT, s);
    conv_give_x(&op, X, s, false);
    conv_give_y(&op, GRAD_DY, s, false);
    conv_give_w(&op, DW, s, false);
    if (form & WITH_BIAS)
        conv_give_bias(&op, DBIAS, s, false);
    if (form & UNEVEN) {
        raise_some(op.operand[X].data, conv_x_count(s));
        raise_some(op.operand[GRAD_DY].data, conv_y_count(s));
    }
    expected e = {DW, t_zeros(conv_w_count(s)), t_zeros(conv_w_count(s)), conv_w_count(s)};
    double *x = t_f64(op.operand[X].data, conv_x_count(s)), *dy = t_f64(op.operand[GRAD_DY].data, conv_y_count(s));
    conv_grad_weight(s, x, dy, e.want, e.tolerance);
    dw_magnitudes(s, op.operand[X].data, op.operand[GRAD_DY].data, e.tolerance);
    double tiles = s->n;
    for (int i = 0; i < 2; i++) {
        const int d = s->dilation[i], each = (conv_out(s, i) + d - 1) / d;
        tiles *= (double)d * ((each + 3) / 4);
    }
    for (int64_t i = 0; i < e.count; i++)
        e.tolerance[i] *= sqrt(PASSES + 1 + tiles) * T_UNIT;
    t_case(&op, verify, &e, "grad_weight %s%s%s", conv_text(s), form & UNEVEN ? " uneven" : "",
           form & WITH_BIAS ? " bias" : "");
    free(x);
    free(dy);
    free(e.want);
    free(e.tolerance);
    t_end(&op);
}

/* Which implementation the CPU takes where it may choose, for so many images. */
static void test_choice(tl_op which, int images, int exact, bool winograd) {
    const conv_shape s = {images, 28, 28, 64, 64, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1};
    const tl_backend *tl__backend_entry_cpu(uint32_t abi, const tl_host *host);
    t_op op;
    t_device *device = t_device_open(tl__backend_entry_cpu(TL_BACKEND_ABI, t_host()), 0, NULL, 0);
    conv_begin(&op, which, &s);
    if (which == TL_OP_CONV2D_GRAD_INPUT) {
        conv_give_y(&op, DY, &s, false);
        conv_give_w(&op, W, &s, false);
        conv_give_x(&op, DX, &s, false);
    } else {
        conv_give_x(&op, X, &s, false);
        conv_give_y(&op, GRAD_DY, &s, false);
        conv_give_w(&op, DW, &s, false);
    }
    op.desc.exact = exact;
    const char *name = device ? t_implementation(device, &op) : NULL;
    t_ok(name && (strcmp(name, "winograd") == 0) == winograd, "%s of %d images, exact %d: %s",
         which == TL_OP_CONV2D_GRAD_INPUT ? "grad_input" : "grad_weight", images, exact, name ? name : t_failure());
    t_end(&op);
    if (device)
        t_device_close(device);
}

static void cases(void) {
    /* Rests of tiles and panels; padding of 0 and 2; more tiles than a block of sums has. */
    static const conv_shape shapes[] = {
        {1, 14, 14, 64, 64, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1}, {2, 9, 6, 32, 80, 3, 3, {1, 1}, {0, 2}, {1, 1}, 1},
        {1, 6, 5, 96, 32, 3, 3, {1, 1}, {2, 0}, {1, 1}, 1},   {6, 29, 30, 32, 32, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
        {3, 3, 3, 128, 48, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},  {1, 16, 14, 32, 64, 3, 3, {1, 1}, {2, 2}, {2, 2}, 1},
        {2, 13, 15, 32, 32, 3, 3, {1, 1}, {4, 1}, {4, 1}, 1}, {1, 11, 23, 64, 32, 3, 3, {1, 1}, {2, 6}, {1, 3}, 1},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (int form = 0; form < 2; form++) {
            test_input(&shapes[i], form);
            test_input(&shapes[i], form | WITH_ADDEND | WITH_MASK);
            test_weight(&shapes[i], form | (form ? WITH_BIAS : 0));
        }
    static const tl_op both[] = {TL_OP_CONV2D_GRAD_INPUT, TL_OP_CONV2D_GRAD_WEIGHT};
    unsetenv("TL_CPU_WINOGRAD");
    for (int i = 0; i < 2; i++) {
        test_choice(both[i], 4, 0, true);
        test_choice(both[i], 4, 1, false);
        test_choice(both[i], 1, 0, false);
    }
}

int main(int argc, char **argv) {
    setenv("TL_CPU_WINOGRAD", "1", 1);
    return t_main(argc, argv, cases);
}
