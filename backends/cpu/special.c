/* special.c: table look-up, exponentials, random numbers and Adam; compiled for each instruction set. */
#include <math.h>
#include <string.h>

#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

void CPU_NAME(look_up)(float *y, const uint8_t *x, const float *tables, size_t rows, size_t channels) {
    if (channels == 3) {
        for (size_t r = 0; r < rows; r++, x += 3, y += 3) {
            y[0] = tables[x[0]];
            y[1] = tables[256 + x[1]];
            y[2] = tables[512 + x[2]];
        }
        return;
    }
    for (size_t r = 0; r < rows; r++, x += channels, y += channels)
        for (size_t c = 0; c < channels; c++)
            y[c] = tables[256 * c + x[c]];
}

/* ---- exp: x = n ln 2 + r with |r| <= ln 2 / 2, and the series of exp to r^7 / 7!, whose rest is below 2^-28 ---- */

static inline vf v_exp_negative(vf x) {
    const float lowest = -87.3f; /* exp of it is just normal */
    vi tiny = x < lowest;
    vf bounded = (vf)(((vi)v_set(lowest) & tiny) | ((vi)x & ~tiny));
    vf shifted = bounded * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: n is in its low bits */
    vf n = shifted - 12582912.0f;
    vf r = bounded - n * 0.693145752f; /* ln 2 to 16 bits: the product is exact */
    r = r - n * 1.42860677e-6f;
    vf p = v_set(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    vu exponent = ((vu)shifted - (0x4b400000u - 127)) << 23;
    return v_keep(~tiny, p * (vf)exponent);
}

/* A row of at least a vector: the last vector overlaps the one before where the row is no multiple of vectors. */
static void exp_row(float *e, float *most, float *sum, const float *x, size_t k) {
    vf max = v_load(x + k - VL), total = v_set(0);
    size_t c = 0;
    for (; c + VL <= k; c += VL)
        max = v_max(max, v_load(x + c));
    *most = v_most(max); /* a NaN that this passes over shows in the sum */
    for (c = 0; c + VL <= k; c += VL) {
        vf value = v_exp_negative(v_load(x + c) - *most);
        if (e)
            v_store(e + c, value);
        total += value;
    }
    *sum = v_sum(total);
    if (c < k) {
        float last[VL];
        v_store(last, v_exp_negative(v_load(x + k - VL) - *most));
        for (size_t i = c; i < k; i++)
            *sum += last[i + VL - k];
        for (size_t i = c; e && i < k; i++)
            e[i] = last[i + VL - k];
    }
}

#define SHORT 64 /* rows so short are turned rather than cut into vectors */

/* VL short rows at a time, turned so that each has a lane; what lacks for VL rows repeats the last. */
static void exp_short_rows(float *e, float *most, float *sum, const float *x, size_t rows, size_t k) {
    float turned[SHORT * VL], results[2][VL];
    for (size_t r = 0; r < rows; r += VL) {
        size_t count = rows - r < VL ? rows - r : VL;
        for (size_t i = 0; i < VL; i++)
            for (size_t c = 0; c < k; c++)
                turned[c * VL + i] = x[(r + (i < count ? i : count - 1)) * k + c];
        vf max = v_load(turned), total = v_set(0);
        for (size_t c = 1; c < k; c++)
            max = v_max(max, v_load(turned + c * VL));
        for (size_t c = 0; c < k; c++) {
            vf value = v_exp_negative(v_load(turned + c * VL) - max);
            v_store(turned + c * VL, value);
            total += value;
        }
        v_store(results[0], max);
        v_store(results[1], total);
        for (size_t i = 0; i < count; i++) {
            most[r + i] = results[0][i];
            sum[r + i] = results[1][i];
            for (size_t c = 0; e && c < k; c++)
                e[(r + i) * k + c] = turned[c * VL + i];
        }
    }
}

void CPU_NAME(exp_rows)(float *e, float *most, float *sum, const float *x, size_t rows, size_t k) {
    if (k <= SHORT) {
        exp_short_rows(e, most, sum, x, rows, k);
        return;
    }
    for (size_t r = 0; r < rows; r++)
        exp_row(e ? e + r * k : NULL, most + r, sum + r, x + r * k, k);
}

/* ---- Philox4x32-10, VL counters side by side (Salmon et al., SC11) ---- */

static inline void philox(vu c[4], uint32_t key0, uint32_t key1) {
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        vu high0, low0, high1, low1;
        v_multiply_wide(c[0], 0xD2511F53u, &high0, &low0);
        v_multiply_wide(c[2], 0xCD9E8D57u, &high1, &low1);
        c[0] = high1 ^ c[1] ^ key0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ key1;
        c[3] = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

void CPU_NAME(dropout)(float *y, const float *x, size_t count, uint64_t block, const cpu_dropout *d) {
    for (size_t i = 0; i < count; i += 4 * VL, block += VL) {
        vu c[4];
        uint32_t numbers[4][VL], stream[4 * VL];
        for (int b = 0; b < VL; b++) {
            numbers[0][b] = (uint32_t)(block + (uint64_t)b);
            numbers[1][b] = (uint32_t)((block + (uint64_t)b) >> 32);
            numbers[2][b] = d->counter[0];
            numbers[3][b] = d->counter[1];
        }
        memcpy(c, numbers, sizeof(c));
        philox(c, d->key[0], d->key[1]);
        memcpy(numbers, c, sizeof(numbers));
        for (int b = 0; b < VL; b++)
            for (int k = 0; k < 4; k++)
                stream[4 * b + k] = numbers[k][b];
        for (size_t k = 0; k < 4 * VL; k += VL) {
            vu number = *(const vu_memory *)(stream + k);
            size_t left = count - i < k ? 0 : count - i - k;
            if (left >= VL) {
                v_store(y + i + k, v_keep((vi)(number >= d->threshold), v_load(x + i + k) / d->rest));
                continue;
            }
            for (size_t l = 0; l < left; l++)
                y[i + k + l] = number[l] >= d->threshold ? x[i + k + l] / d->rest : 0;
        }
    }
}

/* One segment's numbers, and what becomes of an element; float or vf. */
#define ADAM_STEP(type, root_of)                                              \
    type gradient = g + decay * p, first = b1 * m + rest1 * gradient;         \
    type second = b2 * v + rest2 * (gradient * gradient);                     \
    type changed = keep * p - step * first / (root_of(second) / root + eps)

void CPU_NAME(adam)(float *param, const float *grad, float *moment1, float *moment2, size_t count,
                    const float *table) {
    const float step = table[0], root = table[1], rest1 = table[2], rest2 = table[3], eps = table[4];
    const float b1 = 1 - rest1, b2 = 1 - rest2;
    const float decay = table[7] == 0 ? table[5] : 0;               /* through the gradient */
    const float keep = table[7] == 0 ? 1 : 1 - table[6] * table[5]; /* decoupled */
    size_t i = 0;
    for (; i + VL <= count; i += VL) {
        v_ahead(param + i);
        v_ahead(grad + i);
        v_ahead(moment1 + i);
        v_ahead(moment2 + i);
        vf p = v_load(param + i), g = v_load(grad + i), m = v_load(moment1 + i), v = v_load(moment2 + i);
        ADAM_STEP(vf, v_sqrt);
        v_store(moment1 + i, first);
        v_store(moment2 + i, second);
        v_store(param + i, changed);
    }
    for (; i < count; i++) {
        float p = param[i], g = grad[i], m = moment1[i], v = moment2[i];
        ADAM_STEP(float, sqrtf);
        moment1[i] = first;
        moment2[i] = second;
        param[i] = changed;
    }
}
