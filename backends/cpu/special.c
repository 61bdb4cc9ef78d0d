/* special.c: table look-up, exponentials, random numbers and Adam; compiled for each instruction set. */
#include <math.h>

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
    vf bounded = v_select(tiny, v_set(lowest), x);
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

void CPU_NAME(exp_negative)(float *x, size_t count) {
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        v_store(x + i, v_exp_negative(v_load(x + i)));
    if (i < count) {
        float rest[VL] = {0};
        for (size_t k = i; k < count; k++)
            rest[k - i] = x[k];
        v_store(rest, v_exp_negative(v_load(rest)));
        for (size_t k = i; k < count; k++)
            x[k] = rest[k - i];
    }
}

/* ---- Philox4x32-10, BLOCKS counters side by side (Salmon et al., SC11) ---- */

#define BLOCKS 16

static inline void multiply(uint32_t *high, uint32_t *low, const uint32_t *x, uint32_t by) {
    for (int b = 0; b < BLOCKS; b++) {
        uint64_t product = (uint64_t)x[b] * by;
        high[b] = (uint32_t)(product >> 32);
        low[b] = (uint32_t)product;
    }
}

static void philox(uint32_t c[4][BLOCKS], uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint32_t high0[BLOCKS], low0[BLOCKS], high1[BLOCKS], low1[BLOCKS];
        multiply(high0, low0, c[0], 0xD2511F53u);
        multiply(high1, low1, c[2], 0xCD9E8D57u);
        for (int b = 0; b < BLOCKS; b++) {
            c[0][b] = high1[b] ^ c[1][b] ^ key0;
            c[1][b] = low1[b];
            c[2][b] = high0[b] ^ c[3][b] ^ key1;
            c[3][b] = low0[b];
        }
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

void CPU_NAME(dropout)(float *y, const float *x, size_t count, uint64_t block, const cpu_dropout *d) {
    for (size_t i = 0; i < count; i += 4 * BLOCKS, block += BLOCKS) {
        uint32_t c[4][BLOCKS];
        float kept[4 * BLOCKS];
        for (int b = 0; b < BLOCKS; b++) {
            c[0][b] = (uint32_t)(block + (uint64_t)b);
            c[1][b] = (uint32_t)((block + (uint64_t)b) >> 32);
            c[2][b] = d->counter[0];
            c[3][b] = d->counter[1];
        }
        philox(c, d->key[0], d->key[1]);
        for (int b = 0; b < BLOCKS; b++)
            for (int k = 0; k < 4; k++)
                kept[4 * b + k] = c[k][b] >= d->threshold ? 1.0f : 0.0f;
        size_t n = count - i < 4 * BLOCKS ? count - i : 4 * BLOCKS;
        for (size_t k = 0; k < n; k++)
            y[i + k] = kept[k] != 0 ? x[i + k] / d->rest : 0;
    }
}

void CPU_NAME(adam)(float *param, const float *grad, float *m, float *v, size_t count, const float *table) {
    const float step = table[0], root = table[1], rest1 = table[2], rest2 = table[3], eps = table[4];
    const float b1 = 1 - rest1, b2 = 1 - rest2;
    const float decay = table[7] == 0 ? table[5] : 0;              /* through the gradient */
    const float keep = table[7] == 0 ? 1 : 1 - table[6] * table[5]; /* decoupled */
    float *restrict p = param, *restrict first = m, *restrict second = v;
    for (size_t i = 0; i < count; i++) {
        float g = grad[i] + decay * p[i];
        float a = b1 * first[i] + rest1 * g, b = b2 * second[i] + rest2 * (g * g);
        first[i] = a;
        second[i] = b;
        p[i] = keep * p[i] - step * a / (sqrtf(b) / root + eps);
    }
}
