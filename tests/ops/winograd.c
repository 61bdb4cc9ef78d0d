/* winograd.c: convolutions by F(4x4, 3x3) against a bound that is derived from its matrices, on data where errors are
 * small everywhere and on data where they are not; and where it is used by default.
 *
 * y = A^T [sum over c of (G w G^T) . (B^T x B)] A. Every number that is added up on the way is at most what the same
 * formula makes of the matrices', weights' and pixels' absolute values, M = |A|^T [sum (|G| |w| |G|^T) . (|B|^T |x| |B|)]
 * |A|: with n roundings one after the other, each by u at most, y is off by sqrt(n) u M (as conv_tolerance has it for
 * direct sums). n is at most 4 for each of the two passes over a patch (a rounded constant, a product, two sums), 1 for
 * the weights (transformed in f64; those that change in f32, at most 4 for each of two passes), 1 + C for products and
 * their sum, 5 for each pass over a tile, 2 for bias and residual. With weights and pixels of random sign M is some 30
 * times the sum of the products themselves; the errors are far less than that, so that conv2d.c holds this algorithm to
 * the direct bound there. Where one pixel is large, its neighbours in the patch have errors of its size, and the direct
 * bound cannot hold. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/conv_common.h"
#include "tests/ops/winograd_matrices.h"

enum { X, W, BIAS, RESIDUAL, Y };

#define ROUNDINGS 22
#define MORE_CHANGING 7
/* |G| |w| |G|^T of output o and channel c. */
static void weights_of(const conv_shape *s, const float *w, int o, int c, double t[36]) {
    double taps[9];
    for (int i = 0; i < 9; i++)
        taps[i] = fabs((double)w[((int64_t)o * 9 + i) * s->c + c]);
    winograd_both_sides(winograd_g, 6, 3, taps, t);
}

static void patch_of(const conv_shape *s, const float *x, int n, int y0, int x0, int c, double t[36]) {
    double patch[36];
    for (int i = 0; i < 36; i++) {
        int y = y0 + i / 6 * s->dilation[0], at_x = x0 + i % 6 * s->dilation[1];
        bool inside = y >= 0 && y < s->h && at_x >= 0 && at_x < s->w;
        patch[i] = inside ? fabs((double)x[(((int64_t)n * s->h + y) * s->w + at_x) * s->c + c]) : 0;
    }
    winograd_both_sides(winograd_bt, 6, 6, patch, t);
}

/* M for every output, into m. */
static void magnitudes(const conv_shape *s, const float *x, const float *w, double *m) {
    int oh = conv_out(s, 0), ow = conv_out(s, 1);
    double *weights = t_zeros((int64_t)s->o * s->c * 36), *patches = t_zeros((int64_t)s->c * 36);
    for (int o = 0; o < s->o; o++)
        for (int c = 0; c < s->c; c++)
            weights_of(s, w, o, c, weights + ((int64_t)o * s->c + c) * 36);
    for (int n = 0; n < s->n; n++)
        for (int y = 0; y < oh; y = winograd_next_tile(y, s->dilation[0]))
            for (int v = 0; v < ow; v = winograd_next_tile(v, s->dilation[1])) {
                for (int c = 0; c < s->c; c++)
                    patch_of(s, x, n, y - s->pad[0], v - s->pad[1], c, patches + (int64_t)c * 36);
                for (int o = 0; o < s->o; o++) {
                    double sum[36] = {0}, tile[16];
                    for (int c = 0; c < s->c; c++)
                        for (int i = 0; i < 36; i++)
                            sum[i] += weights[((int64_t)o * s->c + c) * 36 + i] * patches[(int64_t)c * 36 + i];
                    winograd_both_sides(winograd_at, 4, 6, sum, tile);
                    for (int i = 0; i < 16; i++) {
                        const int row = y + i / 4 * s->dilation[0], column = v + i % 4 * s->dilation[1];
                        if (row < oh && column < ow)
                            m[(((int64_t)n * oh + row) * ow + column) * s->o + o] = tile[i];
                    }
                }
            }
    free(weights);
    free(patches);
}

typedef struct expected {
    double *y, *tolerance;
    int64_t count;
} expected;

static bool verify(const t_op *op, void *user, char *why) {
    const expected *e = user;
    return t_close(why, "y", op->operand[Y].result, e->y, e->tolerance, e->count);
}

/* Every 50th number is 10000 times as large as the others. */
static void raise_some(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i += 50)
        x[i] *= 1e4f;
}

enum { UNEVEN = 1, WITH_RESIDUAL = 2, CHANGING = 4, RELU = 8 };

static void test(const conv_shape *s, int form) {
    const bool uneven = form & UNEVEN, residual = form & WITH_RESIDUAL, changing = form & CHANGING;
    t_op op;
    conv_begin(&op, TL_OP_CONV2D, s);
    conv_give_x(&op, X, s, false);
    conv_give_w(&op, W, s, false);
    conv_give_bias(&op, BIAS, s, false);
    if (residual)
        conv_give_y(&op, RESIDUAL, s, false);
    conv_give_y(&op, Y, s, false);
    op.operand[W].constant = op.operand[BIAS].constant = !changing;
    op.desc.relu = form & RELU ? 1 : 0;
    if (uneven) {
        raise_some(op.operand[X].data, conv_x_count(s));
        raise_some(op.operand[W].data, conv_w_count(s));
    }
    expected e = {.count = conv_y_count(s)};
    double *x = t_f64(op.operand[X].data, conv_x_count(s)), *w = t_f64(op.operand[W].data, conv_w_count(s));
    e.y = t_zeros(e.count);
    e.tolerance = t_zeros(e.count);
    conv_forward(s, x, w, e.y, e.tolerance);
    magnitudes(s, op.operand[X].data, op.operand[W].data, e.tolerance);
    const double roundings = ROUNDINGS + (changing ? MORE_CHANGING : 0) + (double)s->c;
    const float *bias = op.operand[BIAS].data, *more = op.operand[RESIDUAL].data;
    for (int64_t i = 0; i < e.count; i++) {
        double b = bias[i % s->o], r = more ? more[i] : 0;
        e.y[i] += b + r;
        if (op.desc.relu && e.y[i] < 0)
            e.y[i] = 0;
        e.tolerance[i] = sqrt(roundings) * T_UNIT * (e.tolerance[i] + fabs(b) + fabs(r));
    }
    t_case(&op, verify, &e, "winograd %s%s%s%s%s", conv_text(s), uneven ? " uneven" : "",
           residual ? " residual" : "", changing ? " changing" : "", op.desc.relu ? " relu" : "");
    free(x);
    free(w);
    free(e.y);
    free(e.tolerance);
    t_end(&op);
}

static const tl_backend *cpu(void) {
    const tl_backend *tl__backend_entry_cpu(uint32_t abi, const tl_host *host);
    return tl__backend_entry_cpu(TL_BACKEND_ABI, t_host());
}

/* Which implementation a device that was opened with this option takes. */
static void test_choice(const tl_backend *backend, const char *option, int exact, bool constant, bool winograd) {
    static const conv_shape s = {1, 14, 14, 128, 128, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1};
    t_op op;
    const char *variable = strcmp(backend->name, "cpu") == 0 ? "TL_CPU_WINOGRAD" : "TL_OPENCL_WINOGRAD";
    if (option)
        setenv(variable, option, 1);
    else
        unsetenv(variable);
    t_device *device = t_device_open(backend, 0, NULL, 0);
    conv_begin(&op, TL_OP_CONV2D, &s);
    conv_give_x(&op, X, &s, false);
    conv_give_w(&op, W, &s, false);
    conv_give_y(&op, Y, &s, false);
    op.operand[W].constant = constant;
    op.desc.exact = exact;
    const char *name = device ? t_implementation(device, &op) : NULL;
    t_ok(name && (strcmp(name, "winograd") == 0) == winograd, "%s, option %s, exact %d, %s weights: %s", backend->name,
         option ? option : "left open", exact, constant ? "constant" : "changing", name ? name : t_failure());
    t_end(&op);
    if (device)
        t_device_close(device);
}

static const char *plugin;

static void cases(void) {
    static const conv_shape shapes[] = {
        {1, 14, 14, 64, 64, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1}, {2, 9, 6, 32, 64, 3, 3, {1, 1}, {0, 0}, {1, 1}, 1},
        {1, 6, 5, 64, 32, 3, 3, {1, 1}, {2, 2}, {1, 1}, 1},   {2, 23, 21, 32, 32, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
        {3, 12, 9, 48, 80, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},  {5, 7, 7, 128, 96, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
    };
    static const conv_shape dilated[] = {
        {1, 16, 14, 32, 64, 3, 3, {1, 1}, {2, 2}, {2, 2}, 1}, {2, 13, 15, 32, 32, 3, 3, {1, 1}, {4, 1}, {4, 1}, 1},
        {1, 11, 23, 64, 32, 3, 3, {1, 1}, {2, 6}, {1, 3}, 1},
    };
    /* Rests of vectors and of tiles in every direction; many tiles; large weights; forms that the CPU leaves to others; what
     * is little work. */
    static const conv_shape rests[] = {
        {2, 7, 11, 33, 35, 3, 3, {1, 1}, {0, 2}, {1, 1}, 1},  {1, 13, 6, 65, 63, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
        {1, 5, 5, 130, 66, 3, 3, {1, 1}, {2, 0}, {1, 1}, 1},  {3, 31, 34, 34, 49, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
        {2, 3, 3, 257, 259, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1}, {9, 1, 2, 36, 40, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
        {1, 4, 4, 32, 32, 3, 3, {1, 1}, {1, 1}, {1, 1}, 1},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (int form = 0; form < 4; form++)
            test(&shapes[i], form);
    /* Plugins leave these to direct sums, whose errors have another bound (conv2d.c). */
    for (size_t i = 0; i < sizeof(dilated) / sizeof(dilated[0]) && !plugin; i++)
        for (int form = 0; form < 4; form++)
            test(&dilated[i], form);
    for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++)
        for (int form = 0; form < 4; form++)
            test(&rests[i], (form & 1 ? UNEVEN | RELU : 0) | (form & 2 ? CHANGING : WITH_RESIDUAL));
    const tl_backend *backend = plugin ? t_backend_load(plugin) : cpu();
    test_choice(backend, NULL, 0, true, true);
    test_choice(backend, NULL, 1, true, false);
    test_choice(backend, NULL, 1, false, false);
    if (!plugin)
        test_choice(backend, NULL, 0, false, false);
    test_choice(backend, "1", 1, true, true);
    test_choice(backend, "0", 0, true, false);
}

int main(int argc, char **argv) {
    setenv("TL_CPU_WINOGRAD", "1", 1);
    setenv("TL_OPENCL_WINOGRAD", "1", 1);
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--plugin") == 0)
            plugin = argv[i + 1];
    return t_main(argc, argv, cases);
}
