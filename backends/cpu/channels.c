/* channels.c: loops over rows with a parameter for each channel; compiled for each instruction set. */
#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

void CPU_NAME(channel_moments)(float *sum, float *square, const float *x, const float *pivot, size_t rows,
                               size_t channels) {
    for (size_t r = 0; r < rows; r++, x += channels) {
        size_t c = 0;
        for (; c + VL <= channels; c += VL) {
            vf d = v_load(x + c) - v_load(pivot + c);
            v_store(sum + c, v_load(sum + c) + d);
            v_store(square + c, v_load(square + c) + d * d);
        }
        for (; c < channels; c++) {
            float d = x[c] - pivot[c];
            sum[c] += d;
            square[c] += d * d;
        }
    }
}

/* One loop for all forms of a row; `ahead` fetches what later rows will load. */
#define ROW_LOOP(out, ahead, vector, scalar)         \
    do {                                             \
        size_t c = 0;                                \
        if (stream)                                  \
            for (; c + VL <= channels; c += VL) {    \
                ahead;                               \
                v_stream((out) + c, (vector));       \
            }                                        \
        else                                         \
            for (; c + VL <= channels; c += VL)      \
                v_store((out) + c, (vector));        \
        for (; c < channels; c++)                    \
            (out)[c] = (scalar);                     \
    } while (0)
#define AHEAD2(a, b) (v_ahead((a) + c), v_ahead((b) + c))

static inline float relu1(float x) {
    return x < 0 ? 0 : x;
}

void CPU_NAME(channel_affine)(float *y, const float *x, const float *residual, const float *mean, const float *factor,
                              const float *shift, size_t rows, size_t channels, int relu, int stream) {
#define NORMED ((v_load(x + c) - v_load(mean + c)) * v_load(factor + c) + v_load(shift + c))
#define NORMED1 ((x[c] - mean[c]) * factor[c] + shift[c])
    for (size_t r = 0; r < rows; r++, x += channels, y += channels) {
        if (residual) {
            if (relu)
                ROW_LOOP(y, (void)0, v_relu(NORMED + v_load(residual + c)), relu1(NORMED1 + residual[c]));
            else
                ROW_LOOP(y, (void)0, NORMED + v_load(residual + c), NORMED1 + residual[c]);
            residual += channels;
        } else if (relu) {
            ROW_LOOP(y, (void)0, v_relu(NORMED), relu1(NORMED1));
        } else {
            ROW_LOOP(y, (void)0, NORMED, NORMED1);
        }
    }
    if (stream)
        v_fence();
}

static inline vf masked(const float *dy, const float *y) {
    return y ? v_keep(v_load(y) > 0, v_load(dy)) : v_load(dy);
}

static inline float masked1(const float *dy, const float *y) {
    return !y || *y > 0 ? *dy : 0;
}

static inline void sums_row(float *dx, float *sum, float *product, const float *x, const float *dy, const float *y,
                            const float *mean, const float *factor, size_t channels) {
    size_t c = 0;
    for (; c + VL <= channels; c += VL) {
        v_ahead(x + c);
        v_ahead(dy + c);
        if (y)
            v_ahead(y + c);
        vf dz = masked(dy + c, y ? y + c : NULL);
        v_store(sum + c, v_load(sum + c) + dz);
        v_store(product + c, v_load(product + c) + dz * (v_load(x + c) - v_load(mean + c)));
        if (dx)
            v_store(dx + c, dz * v_load(factor + c));
    }
    for (; c < channels; c++) {
        float dz = masked1(dy + c, y ? y + c : NULL);
        sum[c] += dz;
        product[c] += dz * (x[c] - mean[c]);
        if (dx)
            dx[c] = dz * factor[c];
    }
}

void CPU_NAME(channel_grad_sums)(float *dx, float *sum, float *product, const cpu_channel_grad *g, size_t rows,
                                 size_t channels) {
    for (size_t r = 0; r < rows; r++) {
        size_t at = r * channels;
        const float *x = g->x + at, *dy = g->dy + at;
        if (dx && g->y)
            sums_row(dx + at, sum, product, x, dy, g->y + at, g->mean, g->factor, channels);
        else if (dx)
            sums_row(dx + at, sum, product, x, dy, NULL, g->mean, g->factor, channels);
        else if (g->y)
            sums_row(NULL, sum, product, x, dy, g->y + at, g->mean, g->factor, channels);
        else
            sums_row(NULL, sum, product, x, dy, NULL, g->mean, g->factor, channels);
    }
}

void CPU_NAME(channel_grad_scale)(float *dx, const cpu_channel_grad *g, size_t rows, size_t channels, int stream) {
    const float *factor = g->factor, *dy = g->dy, *y = g->y;
    for (size_t r = 0; r < rows; r++, dx += channels, dy += channels) {
        if (y) {
            ROW_LOOP(dx, AHEAD2(dy, y), masked(dy + c, y + c) * v_load(factor + c),
                     masked1(dy + c, y + c) * factor[c]);
            y += channels;
        } else {
            ROW_LOOP(dx, v_ahead(dy + c), v_load(dy + c) * v_load(factor + c), dy[c] * factor[c]);
        }
    }
    if (stream)
        v_fence();
}

void CPU_NAME(channel_grad_apply)(float *dx, const cpu_channel_grad *g, size_t rows, size_t channels, int stream) {
    const float *x = g->x, *dy = g->dy, *y = g->y;
    const float *mean = g->mean, *factor = g->factor, *constant = g->constant, *slope = g->slope;
#define APPLIED(dz)                                                                                   \
    (v_load(factor + c) * ((dz) - v_load(constant + c) - (v_load(x + c) - v_load(mean + c)) * v_load(slope + c)))
#define APPLIED1(dz) (factor[c] * ((dz) - constant[c] - (x[c] - mean[c]) * slope[c]))
    for (size_t r = 0; r < rows; r++, dx += channels, dy += channels, x += channels) {
        if (y) {
            ROW_LOOP(dx, (AHEAD2(x, dy), v_ahead(y + c)), APPLIED(masked(dy + c, y + c)),
                     APPLIED1(masked1(dy + c, y + c)));
            y += channels;
        } else {
            ROW_LOOP(dx, AHEAD2(x, dy), APPLIED(v_load(dy + c)), APPLIED1(dy[c]));
        }
    }
    if (stream)
        v_fence();
}
