/* resample.c: the loops of bilinear upsampling; compiled for each instruction set. */
#include <string.h>

#include "backends/cpu/kernels.h"

void CPU_NAME(resample)(float *restrict y, const float *restrict x, const cpu_resample *r, int64_t o) {
    const cpu_axis *rows = &r->axis[0], *columns = &r->axis[1];
    const int64_t c = r->c, pitch = columns->size * c;
    const float *top = x + rows->low[o] * pitch, *bottom = x + rows->high[o] * pitch;
    const float below = rows->weight[o], above = 1 - below;
    for (int64_t q = 0; q < columns->outputs; q++, y += c) {
        const int64_t a = columns->low[q] * c, b = columns->high[q] * c;
        const float right = columns->weight[q], left = 1 - right;
        for (int64_t k = 0; k < c; k++)
            y[k] = above * (left * top[a + k] + right * top[b + k]) + below * (left * bottom[a + k] + right * bottom[b + k]);
    }
}

/* How much of input i is in output o. */
static inline float share(const cpu_axis *axis, int64_t i, int64_t o) {
    return (axis->low[o] == i ? 1 - axis->weight[o] : 0) + (axis->high[o] == i ? axis->weight[o] : 0);
}

/* Rows first, into one row of sums, then columns: each output is read as often as rows have a share in it. */
void CPU_NAME(resample_grad)(float *restrict dx, const float *restrict dy, const cpu_resample *r, int64_t h,
                             float *restrict sums) {
    const cpu_axis *rows = &r->axis[0], *columns = &r->axis[1];
    const int64_t c = r->c, pitch = columns->outputs * c;
    memset(sums, 0, (size_t)pitch * sizeof(float));
    for (int64_t o = rows->from[h]; o < rows->to[h]; o++) {
        const float by = share(rows, h, o);
        for (int64_t k = 0; k < pitch; k++)
            sums[k] += by * dy[o * pitch + k];
    }
    for (int64_t w = 0; w < columns->size; w++, dx += c) {
        memset(dx, 0, (size_t)c * sizeof(float));
        for (int64_t q = columns->from[w]; q < columns->to[w]; q++) {
            const float by = share(columns, w, q);
            for (int64_t k = 0; k < c; k++)
                dx[k] += by * sums[q * c + k];
        }
    }
}
