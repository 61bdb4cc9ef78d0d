/* winograd.c: the transforms, a vector of channels at a time; compiled for each instruction set. */
#include "backends/cpu/winograd.h"
#include "backends/cpu/gemm_tile.h"
#include "backends/cpu/kernels.h"

#define P ((float)CPU_WINOGRAD_P)
#define Q ((float)CPU_WINOGRAD_Q)
#define PATCH CPU_WINOGRAD_PATCH
#define TILE CPU_WINOGRAD_TILE

/* t = B^T d */
static inline __attribute__((always_inline)) void transform_input(const vf d[PATCH], vf t[PATCH]) {
    vf even = d[4] - 2.0f * d[2], odd = P * d[3] - Q * d[1];
    t[0] = d[0] - 2.5f * d[2] + d[4];
    t[1] = even + odd;
    t[2] = even - odd;
    even = d[4] - 0.5f * d[2];
    odd = Q * d[3] - P * d[1];
    t[3] = even + odd;
    t[4] = even - odd;
    t[5] = d[1] - 2.5f * d[3] + d[5];
}

/* y = A^T m */
static inline __attribute__((always_inline)) void transform_output(const vf m[PATCH], vf y[TILE]) {
    vf sum1 = m[1] + m[2], sum2 = m[3] + m[4], odd1 = m[1] - m[2], odd2 = m[3] - m[4];
    y[0] = m[0] + sum1 + sum2;
    y[1] = P * odd1 + Q * odd2;
    y[2] = 0.5f * sum1 + 2.0f * sum2;
    y[3] = (P / 2) * odd1 + (2 * Q) * odd2 + m[5];
}

void CPU_NAME(winograd_input)(const float *const *pixels, const float *const *soon, int64_t channels, int64_t plane,
                              float *to) {
    for (int64_t c = 0; c < channels; c += VL, to += VL) {
        vf half[PATCH][PATCH]; /* transformed along the columns */
        UNROLL for (int j = 0; j < PATCH; j++) {
            vf d[PATCH], t[PATCH];
            UNROLL for (int i = 0; i < PATCH; i++) {
                d[i] = v_load(pixels[i * PATCH + j] + c);
                __builtin_prefetch(soon[i * PATCH + j] + c, 0, 2);
            }
            transform_input(d, t);
            UNROLL for (int i = 0; i < PATCH; i++)
                half[i][j] = t[i];
        }
        UNROLL for (int i = 0; i < PATCH; i++) {
            vf t[PATCH];
            transform_input(half[i], t);
            UNROLL for (int j = 0; j < PATCH; j++)
                v_store(to + (i * PATCH + j) * plane, t[j]);
        }
    }
}

void CPU_NAME(winograd_output)(const cpu_winograd_output *o) {
    for (int64_t c = 0; c < o->channels; c += VL) {
        vf half[TILE][PATCH];
        UNROLL for (int j = 0; j < PATCH; j++) {
            vf m[PATCH], t[TILE];
            UNROLL for (int i = 0; i < PATCH; i++)
                m[i] = v_load(o->from + (i * PATCH + j) * o->plane + c);
            transform_output(m, t);
            UNROLL for (int i = 0; i < TILE; i++)
                half[i][j] = t[i];
        }
        const vf bias = o->bias ? v_load(o->bias + c) : (vf){0};
        UNROLL for (int i = 0; i < TILE; i++) {
            vf y[TILE];
            if (i >= o->height)
                break;
            transform_output(half[i], y);
            UNROLL for (int j = 0; j < TILE; j++) {
                if (j >= o->width)
                    break;
                int64_t at = i * o->row + j * o->pixel + c;
                vf x = y[j] + bias;
                if (o->residual)
                    x += v_load(o->residual + at);
                if (o->relu)
                    x = v_relu(x);
                if (o->mask)
                    x = v_keep(v_load(o->mask + at) > 0, x);
                if (o->stream)
                    v_stream(o->y + at, x);
                else
                    v_store(o->y + at, x);
            }
        }
    }
    if (o->stream)
        v_fence();
}

/* t = G w */
static inline __attribute__((always_inline)) void transform_weights(const vf w[3], vf t[PATCH]) {
    vf even = (-2.0f / 3) * w[0] - (1.0f / 3) * w[2], odd = (2.0f / 3 * P) * w[1];
    t[0] = w[0];
    t[1] = even - odd;
    t[2] = even + odd;
    even = (1.0f / 6) * w[0] + (1.0f / 3) * w[2];
    odd = (Q / 6) * w[1];
    t[3] = even + odd;
    t[4] = even - odd;
    t[5] = w[2];
}

void CPU_NAME(winograd_turned)(const float *w, int64_t step, int64_t channels, int64_t plane, float *to) {
    for (int64_t c = 0; c < channels; c += VL, w += VL, to += VL) {
        vf half[PATCH][3];
        UNROLL for (int j = 0; j < 3; j++) {
            vf taps[3], t[PATCH];
            UNROLL for (int i = 0; i < 3; i++)
                taps[i] = v_load(w + ((2 - i) * 3 + 2 - j) * step);
            transform_weights(taps, t);
            UNROLL for (int i = 0; i < PATCH; i++)
                half[i][j] = t[i];
        }
        UNROLL for (int i = 0; i < PATCH; i++) {
            vf t[PATCH];
            transform_weights(half[i], t);
            UNROLL for (int j = 0; j < PATCH; j++)
                v_store(to + (i * PATCH + j) * plane, t[j]);
        }
    }
}

/* t = A d */
static inline __attribute__((always_inline)) void transform_tile(const vf d[TILE], vf t[PATCH]) {
    vf even = d[0] + 0.5f * d[2], odd = P * d[1] + (P / 2) * d[3];
    t[0] = d[0];
    t[1] = even + odd;
    t[2] = even - odd;
    even = d[0] + 2.0f * d[2];
    odd = Q * d[1] + (2 * Q) * d[3];
    t[3] = even + odd;
    t[4] = even - odd;
    t[5] = d[3];
}

void CPU_NAME(winograd_tile)(const float *const *pixels, int64_t channels, int64_t plane, float *to) {
    for (int64_t c = 0; c < channels; c += VL, to += VL) {
        vf half[PATCH][TILE];
        UNROLL for (int j = 0; j < TILE; j++) {
            vf d[TILE], t[PATCH];
            UNROLL for (int i = 0; i < TILE; i++)
                d[i] = v_load(pixels[i * TILE + j] + c);
            transform_tile(d, t);
            UNROLL for (int i = 0; i < PATCH; i++)
                half[i][j] = t[i];
        }
        UNROLL for (int i = 0; i < PATCH; i++) {
            vf t[PATCH];
            transform_tile(half[i], t);
            UNROLL for (int j = 0; j < PATCH; j++)
                v_store(to + (i * PATCH + j) * plane, t[j]);
        }
    }
}

/* w = G^T u */
static inline __attribute__((always_inline)) void transform_gradient(const vf u[PATCH], vf w[3]) {
    const vf near = u[1] + u[2], far = u[3] + u[4];
    w[0] = u[0] - (2.0f / 3) * near + (1.0f / 6) * far;
    w[1] = (2.0f / 3 * P) * (u[2] - u[1]) + (Q / 6) * (u[3] - u[4]);
    w[2] = u[5] - (1.0f / 3) * (near - far);
}

void CPU_NAME(winograd_gradient)(const cpu_winograd_gradient *g) {
    for (int64_t o = 0; o < g->outputs; o++)
        for (int64_t c = 0; c < g->width; c += VL) {
            const float *from = g->from + o * g->width + c;
            float *dw = g->dw + o * 9 * g->channels + c;
            vf half[3][PATCH];
            UNROLL for (int j = 0; j < PATCH; j++) {
                vf u[PATCH], w[3];
                UNROLL for (int i = 0; i < PATCH; i++)
                    u[i] = v_load(from + (i * PATCH + j) * g->plane);
                transform_gradient(u, w);
                UNROLL for (int i = 0; i < 3; i++)
                    half[i][j] = w[i];
            }
            UNROLL for (int i = 0; i < 3; i++) {
                vf w[3];
                transform_gradient(half[i], w);
                UNROLL for (int j = 0; j < 3; j++)
                    v_store(dw + (i * 3 + j) * g->channels, w[j]);
            }
        }
}
