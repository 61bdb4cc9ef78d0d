/* stored.c: loops over values that are stored in bf16, with arithmetic in f32; compiled for each instruction set. */
#include <math.h>

#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

void CPU_NAME(stored_widen)(float *to, const uint16_t *from, size_t count) {
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        v_store(to + i, v_load_bf16(from + i));
    for (; i < count; i++)
        to[i] = bf16_to(from[i]);
}

void CPU_NAME(stored_narrow)(uint16_t *to, const float *from, size_t count) {
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        v_store_bf16(to + i, v_load(from + i));
    for (; i < count; i++)
        to[i] = bf16_from(from[i]);
}

static inline float relu1(float x) {
    return x < 0 ? 0 : x;
}

static inline __attribute__((always_inline)) void finish_row(const cpu_stored_rows *r, int row, int f32) {
    const float *sums = r->sums + row * r->step;
    const uint16_t *residual = r->residual ? r->residual + row * r->y_step : NULL;
    uint16_t *narrow = (uint16_t *)r->y + row * r->y_step;
    float *wide = (float *)r->y + row * r->y_step;
    int c = 0;
    for (; c + VL <= r->columns; c += VL) {
        vf x = v_load(sums + c);
        if (r->bias)
            x += v_load(r->bias + c);
        if (residual)
            x += v_load_bf16(residual + c);
        if (r->relu)
            x = v_relu(x);
        if (f32)
            v_store(wide + c, x);
        else
            v_store_bf16(narrow + c, x);
    }
    for (; c < r->columns; c++) {
        float x = sums[c];
        if (r->bias)
            x += r->bias[c];
        if (residual)
            x += bf16_to(residual[c]);
        if (r->relu)
            x = relu1(x);
        if (f32)
            wide[c] = x;
        else
            narrow[c] = bf16_from(x);
    }
}

void CPU_NAME(stored_finish)(const cpu_stored_rows *rows) {
    for (int row = 0; row < rows->rows; row++)
        if (rows->f32)
            finish_row(rows, row, 1);
        else
            finish_row(rows, row, 0);
}

void CPU_NAME(stored_look_up)(uint16_t *y, const uint8_t *x, const float *tables, size_t rows, size_t channels) {
    if (channels == 3) {
        for (size_t r = 0; r < rows; r++, x += 3, y += 3) {
            y[0] = bf16_from(tables[x[0]]);
            y[1] = bf16_from(tables[256 + x[1]]);
            y[2] = bf16_from(tables[512 + x[2]]);
        }
        return;
    }
    for (size_t r = 0; r < rows; r++, x += channels, y += channels)
        for (size_t c = 0; c < channels; c++)
            y[c] = bf16_from(tables[256 * c + x[c]]);
}

void CPU_NAME(stored_relu)(uint16_t *y, const uint16_t *x, size_t count) {
    size_t i = 0;
    for (; i + VL <= count; i += VL)
        v_store_bf16(y + i, v_relu(v_load_bf16(x + i)));
    for (; i < count; i++)
        y[i] = bf16_from(relu1(bf16_to(x[i])));
}

void CPU_NAME(stored_add)(uint16_t *y, const uint16_t *a, const uint16_t *b, size_t count, int relu) {
    size_t i = 0;
    for (; i + VL <= count; i += VL) {
        vf sum = v_load_bf16(a + i) + v_load_bf16(b + i);
        v_store_bf16(y + i, relu ? v_relu(sum) : sum);
    }
    for (; i < count; i++) {
        float sum = bf16_to(a[i]) + bf16_to(b[i]);
        y[i] = bf16_from(relu ? relu1(sum) : sum);
    }
}

/* The taps [*first, *last) of a window that fall inside 0 .. size - 1. */
static void inside(int64_t start, int64_t size, int64_t taps, int64_t dilation, int64_t *first, int64_t *last) {
    *first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    int64_t end = start >= size ? 0 : (size - 1 - start) / dilation + 1;
    *last = end < taps ? end : taps;
}

void CPU_NAME(stored_maxpool)(uint16_t *y, const uint16_t *x, const cpu_pool *p, int64_t oh) {
    int64_t i0, i1, j0, j1, top = oh * p->stride[0] - p->pad[0];
    const int64_t row = p->dilation[0] * p->w * p->c, column = p->dilation[1] * p->c;
    inside(top, p->h, p->kernel[0], p->dilation[0], &i0, &i1);
    for (int64_t ow = 0; ow < p->ow; ow++, y += p->c) {
        int64_t left = ow * p->stride[1] - p->pad[1], c = 0;
        inside(left, p->w, p->kernel[1], p->dilation[1], &j0, &j1);
        const uint16_t *from = x + (top * p->w + left) * p->c;
        for (; c + VL <= p->c; c += VL) {
            vf best = v_set(-INFINITY);
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    vf value = v_load_bf16(from + i * row + j * column + c);
                    best = v_choose(v_greater_or_nan(value, best), value, best);
                }
            v_store_bf16(y + c, best);
        }
        for (; c < p->c; c++) {
            float best = -INFINITY;
            for (int64_t i = i0; i < i1; i++)
                for (int64_t j = j0; j < j1; j++) {
                    float value = bf16_to(from[i * row + j * column + c]);
                    if (value > best || value != value)
                        best = value;
                }
            y[c] = bf16_from(best);
        }
    }
}

void CPU_NAME(stored_avgpool)(float *y, const uint16_t *x, int64_t h, int64_t w, int64_t pitch, int64_t step,
                              int64_t channels) {
    int64_t c = 0;
    const float count = (float)(h * w);
    for (; c + VL <= channels; c += VL) {
        vf sum = {0};
        for (int64_t i = 0; i < h; i++)
            for (int64_t j = 0; j < w; j++)
                sum += v_load_bf16(x + i * pitch + j * step + c);
        v_store(y + c, sum / count);
    }
    for (; c < channels; c++) {
        float sum = 0;
        for (int64_t i = 0; i < h; i++)
            for (int64_t j = 0; j < w; j++)
                sum += bf16_to(x[i * pitch + j * step + c]);
        y[c] = sum / count;
    }
}
