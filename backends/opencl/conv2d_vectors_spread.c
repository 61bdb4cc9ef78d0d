/* conv2d_vectors_spread.c: the three convolutions on devices like CPUs for groups of few channels, as many in as out:
 * one group at a time would leave most of a vector empty. */
#include "backends/opencl/conv2d_vectors.h"

#define STEM "conv2d_vectors_spread"

#define BLOCK 128         /* pixels at a time */
#define ENOUGH 64         /* vectors; so many need no chunks */
#define CHUNK_PIXELS 2048 /* the least worth a chunk */
#define STRIP 512         /* rows of a work-item, about */

static bool spreads(const opencl_kernel *kernel, const opencl_vectors_shape *s) {
    return s->groups > 1 && s->group_channels == s->group_outputs && kernel->device->lanes % s->group_channels == 0;
}

static tl_status refuse(opencl_kernel *kernel) {
    return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: not groups of few channels", kernel->stem);
}

/* ---- conv2d and conv2d_grad_input ---- */

/* Columns past the last are 0 already. */
static tl_status fill(opencl_kernel *kernel, const void *source, void *to, void *user) {
    const opencl_vectors_walk *walk = user;
    const int64_t lanes = kernel->device->lanes, depth = walk->depth;
    const int64_t all = walk->shape.kernel[0] * walk->shape.kernel[1];
    const float *weights = source;
    for (int p = 0; p < walk->phase_count; p++) {
        const opencl_vectors_phase *phase = &walk->phases[p];
        const int taps = phase->taps[0] * phase->taps[1];
        for (int64_t channel = 0; channel < walk->columns; channel++)
            for (int tap = 0; tap < taps; tap++)
                for (int64_t k = 0; k < depth; k++) {
                    const int64_t y = phase->index[0] + tap / phase->taps[1] * phase->index_step[0];
                    const int64_t x = phase->index[1] + tap % phase->taps[1] * phase->index_step[1];
                    const int64_t out = walk->transposed ? channel / depth * depth + k : channel;
                    const int64_t in = walk->transposed ? channel % depth : k;
                    const int64_t at = ((channel / lanes * taps + tap) * depth + k) * lanes + channel % lanes;
                    ((float *)to)[phase->weights + at] =
                        weights[(out * all + y * walk->shape.kernel[1] + x) * depth + in];
                }
    }
    return TL_OK;
}

static tl_status launch_pack(opencl_kernel *kernel, const opencl_vectors_walk *walk, const opencl_vectors_phase *phase,
                             int weights, uint64_t at) {
    opencl_range range = {.global = {(size_t)phase->taps[1], (size_t)phase->taps[0], (size_t)walk->panels},
                          .local = {1}, .fixed = true};
    return tl__opencl_launch(kernel, STEM, "", "conv2d_spread_pack", &range, "owliiiiiiiii", weights, at,
                             phase->weights, (int)walk->transposed, phase->index[0], phase->index[1],
                             phase->index_step[0], phase->index_step[1], (int)walk->shape.kernel[0],
                             (int)walk->shape.kernel[1], (int)walk->depth, (int)walk->to_channels);
}

static tl_status launch_phase(opencl_kernel *kernel, const opencl_vectors_walk *walk, const opencl_vectors_phase *phase,
                              const opencl_vectors_operands *o, opencl_constant *packed, uint64_t packed_at) {
    const int64_t rows = walk->shape.images * phase->count[0] * phase->count[1];
    const int64_t enough = (4 * (int64_t)kernel->device->units + walk->panels - 1) / walk->panels;
    int64_t strips = (rows + STRIP - 1) / STRIP;
    strips = strips < enough ? enough : strips;
    strips = strips < (rows + 7) / 8 ? strips : (rows + 7) / 8;
    opencl_range range = {.global = {(size_t)walk->panels, (size_t)strips}, .local = {1}, .fixed = true};
#define NUMBERS "oooo" "l" "iii" "iiiiii" "iiiiii" "iiiiiii"
#define VALUES                                                                                                    \
    o->bias, o->residual, o->mask, o->to, phase->weights,                                                         \
    (int)rows, phase->count[0], phase->count[1],                                                                  \
    (int)walk->from_size[0], (int)walk->from_size[1], (int)walk->from_step[0], (int)walk->from_step[1],           \
    phase->offset[0], phase->offset[1],                                                                           \
    phase->tap_step[0], phase->tap_step[1], phase->taps[0] * phase->taps[1], phase->taps[1], (int)walk->depth,    \
    (int)walk->to_channels,                                                                                       \
    (int)walk->to_size[0], (int)walk->to_size[1], (int)walk->to_step[0], (int)walk->to_step[1],                   \
    phase->first[0], phase->first[1], (int)kernel->op.relu
    if (packed)
        return tl__opencl_launch(kernel, STEM, "", "conv2d_spread", &range, "oc" NUMBERS, o->from, packed, VALUES);
    return tl__opencl_launch(kernel, STEM, "", "conv2d_spread", &range, "ow" NUMBERS, o->from, packed_at, VALUES);
#undef VALUES
#undef NUMBERS
}

static tl_status launch_walk(opencl_kernel *kernel, opencl_vectors_walk *walk, const opencl_vectors_operands *o) {
    const size_t bytes = (size_t)walk->zeros_at * sizeof(float);
    opencl_constant *packed = NULL;
    uint64_t at = 0;
    tl_status status = TL_OK;
    if (opencl_is_constant(kernel, o->weights))
        status = tl__opencl_constant_derive(kernel, o->weights, tl__opencl_vectors_form(walk), bytes, fill, walk,
                                            &packed);
    else
        at = tl__opencl_workspace(kernel, bytes);
    for (int i = 0; i < walk->phase_count && status == TL_OK && !packed; i++)
        if (walk->phases[i].taps[0] * walk->phases[i].taps[1] > 0)
            status = launch_pack(kernel, walk, &walk->phases[i], o->weights, at);
    for (int i = 0; i < walk->phase_count && status == TL_OK; i++)
        status = launch_phase(kernel, walk, &walk->phases[i], o, packed, at);
    return status;
}

static tl_status prepare_walk(opencl_kernel *kernel, const opencl_vectors_shape *shape, bool transposed,
                              const opencl_vectors_operands *operands) {
    opencl_vectors_walk walk;
    if (!spreads(kernel, shape))
        return refuse(kernel);
    tl_status status = tl__opencl_vectors_plan(kernel, shape, transposed, true, &walk);
    if (status == TL_OK)
        status = launch_walk(kernel, &walk, operands);
    tl__opencl_release(kernel->device, walk.phases);
    return status;
}

tl_status tl__opencl_conv2d_spread(opencl_kernel *kernel) {
    return tl__opencl_vectors_forward_by(kernel, prepare_walk);
}

tl_status tl__opencl_conv2d_grad_input_spread(opencl_kernel *kernel) {
    return tl__opencl_vectors_backward_by(kernel, prepare_walk);
}

/* ---- conv2d_grad_weight ---- */

static tl_status launch_weights(opencl_kernel *kernel, const opencl_vectors_shape *s) {
    enum { X, DY, DW };
    const int64_t lanes = kernel->device->lanes, vectors = (s->channels + lanes - 1) / lanes;
    const int64_t pixels = s->images * s->out_height * s->out_width;
    const int64_t each = s->kernel[0] * s->kernel[1] * s->group_channels;
    int64_t most = pixels / CHUNK_PIXELS, chunks = (ENOUGH + vectors - 1) / vectors;
    if (chunks > most)
        chunks = most < 1 ? 1 : most;
    const uint64_t sums = tl__opencl_workspace(kernel, (uint64_t)(chunks * vectors * each * lanes) * sizeof(float));
    opencl_range range = {.global = {(size_t)vectors, (size_t)chunks}, .local = {1}, .fixed = true};
    tl_status status = tl__opencl_launch(
        kernel, STEM, "", "conv2d_spread_weight", &range, "oowliiiiiiiiiiiiiii", X, DY, sums, pixels,
        (int)s->out_height, (int)s->out_width, (int)s->height, (int)s->width, (int)s->stride[0], (int)s->stride[1],
        (int)s->pad[0], (int)s->pad[1], (int)s->dilation[0], (int)s->dilation[1], (int)s->kernel[0],
        (int)s->kernel[1], (int)s->group_channels, (int)s->channels, BLOCK);
    if (status != TL_OK)
        return status;
    range = (opencl_range){.global = {(size_t)s->channels}, .local = {1}, .fixed = true};
    return tl__opencl_launch(kernel, STEM, "", "conv2d_spread_scatter", &range, "woiii", sums, DW, (int)each,
                             (int)vectors, (int)chunks);
}

tl_status tl__opencl_conv2d_grad_weight_spread(opencl_kernel *kernel) {
    enum { X, DY, DW, DBIAS };
    opencl_vectors_shape shape;
    tl_status status = tl__opencl_vectors_shape(kernel, X, DW, DY, &shape);
    if (status != TL_OK)
        return status;
    if (!spreads(kernel, &shape) || !opencl_present(kernel, DW) || opencl_present(kernel, DBIAS))
        return refuse(kernel);
    return launch_weights(kernel, &shape);
}
