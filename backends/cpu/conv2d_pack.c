/* conv2d_pack.c: weights into panels. */
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

/* Rows of a block are read side by side, so that each cache line of the weights is used whole. */
#define BLOCK 16

typedef struct job {
    const cpu_conv2d_walk *walk;
    const float *weights;
    float *packed;
} job;

/* to[k][o] = from[o][k] for o < columns and 0 up to width. */
static void pack_forward(const float *from, int64_t depth, int64_t columns, int64_t width, float *to) {
    for (int64_t k = 0; k < depth; k += BLOCK) {
        int64_t end = k + BLOCK < depth ? k + BLOCK : depth;
        for (int64_t o = 0; o < columns; o++)
            for (int64_t i = k; i < end; i++)
                to[i * width + o] = from[o * depth + i];
        for (int64_t i = k; i < end; i++)
            for (int64_t o = columns; o < width; o++)
                to[i * width + o] = 0;
    }
}

/* to[tap, o][c] = from[o][tap][c]. */
static void pack_transposed(const cpu_conv2d_walk *walk, const cpu_conv2d_phase *phase, const float *from,
                            int64_t columns, int64_t width, float *to) {
    const cpu_conv2d_shape *s = &walk->shape;
    for (int64_t i = 0; i < phase->taps[0]; i++)
        for (int64_t j = 0; j < phase->taps[1]; j++) {
            const float *tap = from + (phase->index[0][i] * s->kernel[1] + phase->index[1][j]) * s->group_channels;
            for (int64_t o = 0; o < s->group_outputs; o++, to += width) {
                const float *row = tap + o * s->kernel[0] * s->kernel[1] * s->group_channels;
                memcpy(to, row, (size_t)columns * sizeof(float));
                memset(to + columns, 0, (size_t)(width - columns) * sizeof(float));
            }
        }
}

/* to[tap][k][column] for destination channels first .. first + columns - 1, k being a channel of its own group. */
static void pack_spread(const cpu_conv2d_walk *walk, const cpu_conv2d_phase *phase, const float *weights, int64_t first,
                        int64_t columns, int64_t width, float *to) {
    const cpu_conv2d_shape *s = &walk->shape;
    const int64_t taps = s->kernel[0] * s->kernel[1], depth = walk->depth;
    for (int64_t i = 0; i < phase->taps[0]; i++)
        for (int64_t j = 0; j < phase->taps[1]; j++)
            for (int64_t k = 0; k < depth; k++, to += width)
                for (int64_t c = 0; c < width; c++) {
                    int64_t tap = phase->index[0][i] * s->kernel[1] + phase->index[1][j], channel = first + c;
                    int64_t out = walk->transposed ? channel / depth * depth + k : channel;
                    int64_t in = walk->transposed ? channel % depth : k;
                    to[c] = c < columns ? weights[(out * taps + tap) * depth + in] : 0;
                }
}

/* Item: (phase, group, panel). */
static void pack(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    const cpu_conv2d_walk *walk = j->walk;
    const cpu_conv2d_shape *s = &walk->shape;
    const int64_t per_output = s->kernel[0] * s->kernel[1] * s->group_channels;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        int64_t panel = item % walk->panels, group = item / walk->panels % walk->groups;
        const cpu_conv2d_phase *phase = &walk->phases[item / walk->panels / walk->groups];
        int64_t depth = phase->taps[0] * phase->taps[1] * walk->depth, column = panel * walk->width;
        int64_t columns = walk->columns - column < walk->width ? walk->columns - column : walk->width;
        int64_t width = walk->padded - column < walk->width ? walk->padded - column : walk->width;
        float *to = j->packed + phase->weights + (group * walk->padded + column) * depth;
        const float *from = j->weights + group * s->group_outputs * per_output;
        if (walk->spread)
            pack_spread(walk, phase, j->weights, column, columns, width, to);
        else if (walk->transposed)
            pack_transposed(walk, phase, from + column, columns, width, to);
        else
            pack_forward(from + column * per_output, depth, columns, width, to);
    }
}

void tl__cpu_conv2d_pack(const cpu_device *device, const cpu_conv2d_walk *walk, const float *weights, float *packed) {
    job j = {walk, weights, packed};
    tl__cpu_parallel(device, walk->phase_count * walk->groups * walk->panels, 1, pack, &j);
}
