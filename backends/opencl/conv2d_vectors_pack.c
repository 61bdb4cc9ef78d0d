/* conv2d_vectors_pack.c: weights into panels: on the host for constants, on the device for weights that train. */
#include <string.h>

#include "backends/opencl/conv2d_vectors.h"

/* Rows of a block are read side by side, so that each line of the weights is used whole. */
#define BLOCK 16

/* to[k][column] for a tap of a panel; the same as conv2d_pack in conv2d_vectors.cl. */
static void pack_tap(const opencl_vectors_walk *walk, const float *from, int64_t per_output, int64_t valid, float *to) {
    const int64_t width = walk->tile.width, depth = walk->depth;
    for (int64_t begin = 0; begin < depth; begin += BLOCK) {
        const int64_t end = begin + BLOCK < depth ? begin + BLOCK : depth;
        if (walk->transposed) {
            for (int64_t k = begin; k < end; k++)
                memcpy(to + k * width, from + k * per_output, (size_t)valid * sizeof(float));
            continue;
        }
        for (int64_t c = 0; c < valid; c++)
            for (int64_t k = begin; k < end; k++)
                to[k * width + c] = from[c * per_output + k];
    }
}

/* Columns past the last and the zeros are 0 already. */
static tl_status fill(opencl_kernel *kernel, const void *source, void *to, void *user) {
    const opencl_vectors_walk *walk = user;
    const opencl_vectors_shape *s = &walk->shape;
    const int64_t per_output = s->kernel[0] * s->kernel[1] * s->group_channels;
    (void)kernel;
    for (int p = 0; p < walk->phase_count; p++) {
        const opencl_vectors_phase *phase = &walk->phases[p];
        float *tap = (float *)to + phase->weights;
        for (int64_t panel = 0; panel < walk->groups * walk->panels; panel++) {
            const int64_t column = panel % walk->panels * walk->tile.width, left = walk->columns - column;
            const int64_t valid = left < walk->tile.width ? left : walk->tile.width;
            const float *from = (const float *)source + panel / walk->panels * s->group_outputs * per_output +
                                (walk->transposed ? column : column * per_output);
            for (int i = 0; i < phase->taps[0]; i++)
                for (int j = 0; j < phase->taps[1]; j++, tap += walk->depth * walk->tile.width) {
                    const int64_t y = phase->index[0] + i * phase->index_step[0];
                    const int64_t x = phase->index[1] + j * phase->index_step[1];
                    pack_tap(walk, from + (y * s->kernel[1] + x) * s->group_channels, per_output, valid, tap);
                }
        }
    }
    return TL_OK;
}

/* FNV-1a. */
uint64_t tl__opencl_vectors_form(const opencl_vectors_walk *walk) {
    const opencl_vectors_shape *s = &walk->shape;
    const bool t = walk->transposed;
    const int64_t numbers[] = {t, walk->spread, walk->tile.width, s->out_channels, s->groups,
                               s->kernel[0] * s->kernel[1], walk->zeros, t ? s->kernel[0] : 0, t ? s->stride[0] : 0,
                               t ? s->stride[1] : 0, t ? s->dilation[0] : 0, t ? s->dilation[1] : 0,
                               t ? s->pad[0] : 0, t ? s->pad[1] : 0, walk->phase_count,
                               t && walk->to_size[0] < s->stride[0] ? walk->to_size[0] : 0};
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        hash = (hash ^ (uint64_t)numbers[i]) * 1099511628211u;
    return OPENCL_FORM('V', 0, 0, 0) | hash >> 8;
}

static tl_status launch_phase(opencl_kernel *kernel, const opencl_vectors_walk *walk, const opencl_vectors_phase *phase,
                              int weights, uint64_t at) {
    const opencl_vectors_shape *s = &walk->shape;
    opencl_range range = {.global = {(size_t)phase->taps[0], (size_t)walk->panels, (size_t)walk->groups}, .local = {1},
                          .fixed = true};
    return tl__opencl_launch(kernel, "conv2d_vectors", walk->tile.options, "conv2d_pack", &range, "owlliiiiiiiiiii",
                             weights, at, walk->zeros_at, phase->weights, (int)walk->zeros, (int)walk->transposed,
                             phase->taps[1], phase->index[0], phase->index[1], phase->index_step[0],
                             phase->index_step[1], (int)s->kernel[0], (int)s->kernel[1], (int)s->group_outputs,
                             (int)s->group_channels);
}

tl_status tl__opencl_vectors_pack(opencl_kernel *kernel, const opencl_vectors_walk *walk, int weights,
                                  opencl_constant **constant, uint64_t *at) {
    const size_t bytes = (size_t)(walk->zeros_at + walk->zeros) * sizeof(float);
    if (opencl_is_constant(kernel, weights))
        return tl__opencl_constant_derive(kernel, weights, tl__opencl_vectors_form(walk), bytes, fill,
                                          (void *)(uintptr_t)walk, constant);
    *at = tl__opencl_workspace(kernel, bytes);
    tl_status status = TL_OK;
    for (int i = 0; i < walk->phase_count && status == TL_OK; i++)
        if (walk->phases[i].taps[0] * walk->phases[i].taps[1] > 0)
            status = launch_phase(kernel, walk, &walk->phases[i], weights, *at);
    return status;
}
