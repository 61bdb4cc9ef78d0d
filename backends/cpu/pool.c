/* pool.c: the loops of pooling; compiled for each instruction set. */
#include <math.h>
#include <stdbool.h>

#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

typedef uint8_t vb __attribute__((vector_size(VL)));
typedef uint8_t vb_memory __attribute__((vector_size(VL), aligned(1), may_alias));

/* The taps [*first, *last) of a window that fall inside 0 .. size - 1. */
static void inside(int64_t start, int64_t size, int64_t taps, int64_t dilation, int64_t *first, int64_t *last) {
    *first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    int64_t end = start >= size ? 0 : (size - 1 - start) / dilation + 1;
    *last = end < taps ? end : taps;
}

static inline void put(float *p, vf value, int stream) {
    if (stream)
        v_stream(p, value);
    else
        v_store(p, value);
}

/* One pixel: the taps [i0, i1) x [j0, j1) of the window whose first would be at x. */
typedef struct window {
    const float *x;
    int64_t i0, i1, j0, j1, row, column; /* distance from tap to tap, in floats */
} window;

/* `count` vectors of channels from c on, side by side, so that one does not wait for the other. The first tap inside
 * begins, whatever it holds; a later one takes over if it is larger or NaN. */
static inline __attribute__((always_inline)) void max_vectors(float *y, uint8_t *index, const window *t,
                                                              const cpu_pool *p, int64_t c, int count) {
    vf best[4];
    vi where[4];
    int32_t kw = (int32_t)p->kernel[1], first = (int32_t)t->i0 * kw + (int32_t)t->j0;
#pragma GCC unroll 4
    for (int v = 0; v < count; v++) {
        best[v] = v_set(-INFINITY);
        where[v] = (vi){0} + first;
    }
    for (int64_t i = t->i0; i < t->i1; i++) {
        const float *x = t->x + i * t->row + t->j0 * t->column + c;
        int32_t tap = (int32_t)i * kw + (int32_t)t->j0;
        for (int64_t j = t->j0; j < t->j1; j++, tap++, x += t->column) {
#pragma GCC unroll 4
            for (int v = 0; v < count; v++) {
                vf value = v_load(x + v * VL);
                vm better = v_greater_or_nan(value, best[v]);
                best[v] = v_choose(better, value, best[v]);
                if (index)
                    where[v] = v_choose_int(better, (vi){0} + tap, where[v]);
            }
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < count; v++) {
        put(y + c + v * VL, best[v], p->stream);
        if (index)
            *(vb_memory *)(index + c + v * VL) = __builtin_convertvector(where[v], vb);
    }
}

static inline __attribute__((always_inline)) void max_pixel(float *y, uint8_t *index, const window *t,
                                                            const cpu_pool *p) {
    int64_t c = 0, kw = p->kernel[1];
    for (; c + 4 * VL <= p->c; c += 4 * VL)
        max_vectors(y, index, t, p, c, 4);
    for (; c + VL <= p->c; c += VL)
        max_vectors(y, index, t, p, c, 1);
    for (; c < p->c; c++) {
        float best = -INFINITY;
        int64_t where = t->i0 * kw + t->j0;
        for (int64_t i = t->i0; i < t->i1; i++)
            for (int64_t j = t->j0; j < t->j1; j++) {
                float x = t->x[i * t->row + j * t->column + c];
                if (x > best || x != x) {
                    best = x;
                    where = i * kw + j;
                }
            }
        y[c] = best;
        if (index)
            index[c] = (uint8_t)where;
    }
}

void CPU_NAME(maxpool)(float *y, uint8_t *index, const float *x, const cpu_pool *p, int64_t oh) {
    window t = {.row = p->dilation[0] * p->w * p->c, .column = p->dilation[1] * p->c};
    int64_t h = oh * p->stride[0] - p->pad[0];
    inside(h, p->h, p->kernel[0], p->dilation[0], &t.i0, &t.i1);
    for (int64_t ow = 0; ow < p->ow; ow++, y += p->c) {
        int64_t w = ow * p->stride[1] - p->pad[1];
        inside(w, p->w, p->kernel[1], p->dilation[1], &t.j0, &t.j1);
        t.x = x + (h * p->w + w) * p->c;
        if (index) {
            max_pixel(y, index, &t, p);
            index += p->c;
        } else {
            max_pixel(y, NULL, &t, p);
        }
    }
    if (p->stream)
        v_fence();
}

/* The windows along one axis that `at` is in: which output, and as which of its taps; outputs ascend. */
static int64_t windows(int64_t at, int axis, int64_t outputs, const cpu_pool *p, int64_t *output, int64_t *tap) {
    int64_t count = 0, stride = p->stride[axis], taps = p->kernel[axis], position = at + p->pad[axis];
    if (p->dilation[axis] == 1) {
        int64_t high = position / stride, low = position < taps ? 0 : (position - taps) / stride + 1;
        for (int64_t o = low; o <= high && o < outputs; o++) {
            output[count] = o;
            tap[count++] = position - o * stride;
        }
        return count;
    }
    for (int64_t k = taps - 1; k >= 0; k--) {
        int64_t start = position - k * p->dilation[axis];
        if (start < 0 || start % stride != 0 || start / stride >= outputs)
            continue;
        output[count] = start / stride;
        tap[count++] = k;
    }
    return count;
}

typedef struct source {
    const float *dy;
    const uint8_t *index;
    uint8_t tap;
} source;

static void max_grad_pixel(float *dx, const source *sources, int64_t count, int64_t channels, int stream) {
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) {
        vf sum = v_set(0);
        for (int64_t s = 0; s < count; s++) {
            sum += v_keep_equal(sources[s].index + c, sources[s].tap, v_load(sources[s].dy + c));
        }
        put(dx + c, sum, stream);
    }
    for (; c < channels; c++) {
        float sum = 0;
        for (int64_t s = 0; s < count; s++)
            sum += sources[s].index[c] == sources[s].tap ? sources[s].dy[c] : 0;
        dx[c] = sum;
    }
}

void CPU_NAME(maxpool_grad)(float *dx, const float *dy, const uint8_t *index, const cpu_pool *p, int64_t h) {
    int64_t oh[CPU_POOL_TAPS], ow[CPU_POOL_TAPS], i[CPU_POOL_TAPS], j[CPU_POOL_TAPS];
    source sources[CPU_POOL_TAPS];
    int64_t rows = windows(h, 0, p->oh, p, oh, i);
    for (int64_t w = 0; w < p->w; w++, dx += p->c) {
        int64_t columns = windows(w, 1, p->ow, p, ow, j), count = 0;
        for (int64_t a = 0; a < rows; a++)
            for (int64_t b = 0; b < columns; b++) {
                int64_t at = (oh[a] * p->ow + ow[b]) * p->c;
                sources[count++] = (source){dy + at, index + at, (uint8_t)(i[a] * p->kernel[1] + j[b])};
            }
        max_grad_pixel(dx, sources, count, p->c, p->stream);
    }
    if (p->stream)
        v_fence();
}

/* Rows of the window are summed on their own, so that large windows lose nothing. */
void CPU_NAME(avgpool)(float *y, const float *x, int64_t h, int64_t w, int64_t pitch, int64_t step, int64_t channels) {
    float count = (float)(h * w);
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) {
        vf sum = v_set(0);
        for (int64_t i = 0; i < h; i++) {
            vf row = v_set(0);
            for (int64_t j = 0; j < w; j++)
                row += v_load(x + i * pitch + j * step + c);
            sum += row;
        }
        v_store(y + c, sum / count);
    }
    for (; c < channels; c++) {
        float sum = 0;
        for (int64_t i = 0; i < h; i++) {
            float row = 0;
            for (int64_t j = 0; j < w; j++)
                row += x[i * pitch + j * step + c];
            sum += row;
        }
        y[c] = sum / count;
    }
}

/* Window o covers floor(o size / outputs) .. ceil((o + 1) size / outputs). */
static inline int64_t adaptive_start(int64_t o, int64_t size, int64_t outputs) {
    return o * size / outputs;
}

static inline int64_t adaptive_end(int64_t o, int64_t size, int64_t outputs) {
    return ((o + 1) * size + outputs - 1) / outputs;
}

void CPU_NAME(avgpool_grad)(float *dx, const float *dy, const cpu_pool *p, int64_t h) {
    int64_t a0 = h * p->oh / p->h, a1 = ((h + 1) * p->oh + p->h - 1) / p->h;
    for (int64_t w = 0; w < p->w; w++, dx += p->c) {
        int64_t b0 = w * p->ow / p->w, b1 = ((w + 1) * p->ow + p->w - 1) / p->w;
        for (int64_t a = a0; a < a1; a++)
            for (int64_t b = b0; b < b1; b++) {
                int64_t rows = adaptive_end(a, p->h, p->oh) - adaptive_start(a, p->h, p->oh);
                int64_t columns = adaptive_end(b, p->w, p->ow) - adaptive_start(b, p->w, p->ow);
                const float *from = dy + (a * p->ow + b) * p->c;
                float count = (float)(rows * columns);
                bool first = a == a0 && b == b0;
                int64_t c = 0;
                for (; c + VL <= p->c; c += VL) {
                    vf value = v_load(from + c) / count;
                    v_store(dx + c, first ? value : v_load(dx + c) + value);
                }
                for (; c < p->c; c++)
                    dx[c] = (first ? 0 : dx[c]) + from[c] / count;
            }
    }
}
