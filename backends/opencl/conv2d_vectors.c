/* conv2d_vectors.c: conv2d and conv2d_grad_input on devices like CPUs: the plan of the walk, and its launches. */
#include <limits.h>
#include <stdio.h>

#include "backends/opencl/conv2d_vectors.h"

#define STEM "conv2d_vectors"

/* Up to so many channels lines are copied with their padding, so that a whole kernel row is one piece: with one piece
 * for each tap the kernel would hardly begin before the next. */
#define FEW_CHANNELS 8

/* So much of k at once that its part of a panel stays in the cache while the rows of a strip go over it. */
#define PART 1024

/* Kernels count in ints; offsets of images, lines and weights are longs. */
static bool countable(const opencl_vectors_shape *s) {
    const double x = (double)s->images * (double)(s->height + 2 * s->pad[0]) * (double)(s->width + 2 * s->pad[1]);
    const double y = (double)s->images * (double)s->out_height * (double)s->out_width;
    const double row = (double)s->kernel[0] * (double)s->kernel[1] * (double)s->group_channels;
    const double line = (double)(s->width + 2 * s->pad[1]) * (double)s->channels;
    const double most = INT_MAX / 4;
    return x < most && y < most && row < most && line < most && (double)s->out_channels < most;
}

tl_status tl__opencl_vectors_shape(opencl_kernel *kernel, int x, int w, int y, opencl_vectors_shape *shape) {
    if (!kernel->device->vectors)
        return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: for devices like CPUs", kernel->stem);
    tl_status status = tl__opencl_expect(kernel, "fffff");
    if (status != TL_OK)
        return status;
    const tl_operand *operands = kernel->operands;
    opencl_vectors_shape s;
    if (!conv2d_shape_of(&kernel->op, &operands[x], &operands[w], &operands[y], &s))
        return tl__opencl_fail(kernel->device, TL_ERROR_ARGUMENT, "%s: the shapes do not fit each other", kernel->stem);
    if (!countable(&s))
        return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: too large for this implementation", kernel->stem);
    *shape = s;
    return TL_OK;
}

/* As many sums as the registers hold beside a row of the panel, which are 32 where vectors have 16 floats and 16
 * otherwise. A narrow panel is one vector. */
opencl_vectors_tile tl__opencl_vectors_tile(const opencl_device *device, bool narrow) {
    const int vectors = narrow ? 1 : device->lanes == 16 ? 4 : 2;
    opencl_vectors_tile tile = {.rows = narrow ? 8 : 6, .width = vectors * device->lanes};
    snprintf(tile.options, sizeof(tile.options), "-DMR=%d -DNV=%d -DSTRIP=%d -DBLOCK=%d", tile.rows, vectors,
             OPENCL_VECTORS_STRIP, OPENCL_VECTORS_BLOCK);
    return tile;
}

/* ---- the plan ---- */

/* Along dimension d: residue e's taps of a destination pixel s q + e are those i with e + pad - i dilation divisible by
 * s, which are equally far apart. Without transposition there is one residue, and every tap is in it. */
static void list_taps(const opencl_vectors_walk *walk, int d, int e, opencl_vectors_phase *phase) {
    const opencl_vectors_shape *s = &walk->shape;
    int at[2] = {0}, index[2] = {0}, count = 0;
    for (int i = 0; i < s->kernel[d]; i++) {
        int offset = (int)(i * s->dilation[d] - s->pad[d]);
        if (walk->transposed) {
            if ((e - offset) % (int)s->stride[d])
                continue;
            offset = (e - offset) / (int)s->stride[d];
        }
        if (count < 2) {
            at[count] = offset;
            index[count] = i;
        }
        count++;
    }
    phase->first[d] = e;
    phase->count[d] = (int)((walk->to_size[d] - e + walk->to_step[d] - 1) / walk->to_step[d]);
    phase->taps[d] = count;
    phase->offset[d] = at[0];
    phase->index[d] = index[0];
    phase->tap_step[d] = count > 1 ? at[1] - at[0] : 0;
    phase->index_step[d] = count > 1 ? index[1] - index[0] : 0;
}

static int residues(const opencl_vectors_walk *walk, int d) {
    return (int)(walk->to_step[d] < walk->to_size[d] ? walk->to_step[d] : walk->to_size[d]);
}

static tl_status list_phases(opencl_kernel *kernel, opencl_vectors_walk *walk) {
    const int64_t count = (int64_t)residues(walk, 0) * residues(walk, 1);
    walk->phases = tl__opencl_allocate(kernel->device, (size_t)count * sizeof(*walk->phases));
    if (!walk->phases)
        return TL_ERROR_MEMORY;
    for (int y = 0; y < residues(walk, 0); y++)
        for (int x = 0; x < residues(walk, 1); x++) {
            opencl_vectors_phase *phase = &walk->phases[walk->phase_count++];
            list_taps(walk, 0, y, phase);
            list_taps(walk, 1, x, phase);
            phase->weights = walk->zeros_at;
            walk->zeros_at += phase->taps[0] * phase->taps[1] * walk->depth * walk->groups * walk->panels *
                              walk->tile.width;
        }
    return TL_OK;
}

/* Taps that lie side by side in the source become one piece. */
static void merge_taps(opencl_vectors_walk *walk) {
    const opencl_vectors_shape *s = &walk->shape;
    walk->merged = 1;
    if (!walk->transposed && s->groups == 1 && s->dilation[1] == 1 && s->kernel[1] > 1) {
        walk->padded = s->pad[1] > 0 && s->channels <= FEW_CHANNELS;
        if (s->pad[1] == 0 || walk->padded)
            walk->merged = s->kernel[1];
    }
}

tl_status tl__opencl_vectors_plan(opencl_kernel *kernel, const opencl_vectors_shape *s, bool transposed,
                                  bool spread, opencl_vectors_walk *walk) {
    const int64_t in[2] = {s->height, s->width}, out[2] = {s->out_height, s->out_width}, lanes = kernel->device->lanes;
    *walk = (opencl_vectors_walk){.shape = *s, .transposed = transposed, .spread = spread, .groups = s->groups};
    for (int d = 0; d < 2; d++) {
        walk->from_size[d] = transposed ? out[d] : in[d];
        walk->to_size[d] = transposed ? in[d] : out[d];
        walk->from_step[d] = transposed ? 1 : s->stride[d];
        walk->to_step[d] = transposed ? s->stride[d] : 1;
    }
    walk->from_channels = transposed ? s->out_channels : s->channels;
    walk->to_channels = transposed ? s->channels : s->out_channels;
    walk->depth = walk->from_channels / s->groups;
    walk->columns = walk->to_channels / s->groups;
    /* Many half empty panels are worth a program of their own; one is not. */
    walk->tile = tl__opencl_vectors_tile(kernel->device, spread || (s->groups > 1 && walk->columns <= 2 * lanes));
    if (spread) {
        walk->groups = 1;
        walk->columns = walk->to_channels;
    }
    walk->panels = (walk->columns + walk->tile.width - 1) / walk->tile.width;
    merge_taps(walk);
    walk->zeros = walk->merged * walk->depth;
    return list_phases(kernel, walk);
}

/* ---- launches ---- */

/* A copy of the source with its padding at both ends of each line; its byte in the workspace. */
static tl_status pad(opencl_kernel *kernel, const opencl_vectors_walk *walk, int from, uint64_t *at) {
    const opencl_vectors_shape *s = &walk->shape;
    const int64_t lines = s->images * s->height, width = (s->width + 2 * s->pad[1]) * s->channels;
    *at = tl__opencl_workspace(kernel, (uint64_t)(lines * width) * sizeof(float));
    opencl_range range = {.global = {(size_t)lines}, .local = {1}, .fixed = true};
    return tl__opencl_launch(kernel, STEM, walk->tile.options, "conv2d_pad", &range, "owii", from, *at,
                             (int)(s->width * s->channels), (int)(s->pad[1] * s->channels));
}

/* What the tiles read and where it is in the workspace. */
typedef struct source {
    opencl_constant *packed;
    uint64_t packed_at, padded_at;
} source;

/* Rows that go over each panel together: few enough for every compute unit to have some. */
static int strips_of(const opencl_kernel *kernel, const opencl_vectors_walk *walk, int64_t rows) {
    const int64_t tiles = (rows + walk->tile.rows - 1) / walk->tile.rows, panels = walk->groups * walk->panels;
    int64_t strips = (rows + OPENCL_VECTORS_STRIP - 1) / OPENCL_VECTORS_STRIP;
    int64_t enough = (4 * (int64_t)kernel->device->units + panels - 1) / panels;
    strips = strips < enough ? enough : strips;
    return (int)(strips < tiles ? strips : tiles);
}

static tl_status launch_phase(opencl_kernel *kernel, const opencl_vectors_walk *walk, const opencl_vectors_phase *phase,
                              const opencl_vectors_operands *o, const source *from) {
    const int taps = phase->taps[0] * phase->taps[1] / (int)walk->merged, depth = (int)(walk->merged * walk->depth);
    const int64_t rows = walk->shape.images * phase->count[0] * phase->count[1];
    const int strips = strips_of(kernel, walk, rows);
    int part_taps = taps > 0 ? taps : 1, part_depth = depth, parts = 1;
    if ((int64_t)taps * depth > PART && taps > 1) {
        part_taps = depth < PART ? PART / depth : 1;
        parts = (taps + part_taps - 1) / part_taps;
    } else if ((int64_t)taps * depth > PART) {
        part_depth = PART;
        parts = (depth + PART - 1) / PART;
    }
    const int width = (int)(walk->from_size[1] + (walk->padded ? 2 * walk->shape.pad[1] : 0));
    opencl_range range = {.global = {(size_t)walk->panels, (size_t)walk->groups, (size_t)strips}, .local = {1},
                          .fixed = true};
#define OPERANDS "oooo"
#define NUMBERS "ll" "iiii" "iiiiiiii" "iiiiii" "iii" "iiiiiiii"
#define VALUES                                                                                                       \
    o->bias, o->residual, o->mask, o->to, walk->zeros_at, phase->weights,                                            \
    (int)rows, phase->count[0], phase->count[1], strips,                                                             \
    (int)walk->from_size[0], width, (int)walk->from_channels, (int)walk->from_step[0], (int)walk->from_step[1],      \
    phase->offset[0], walk->padded ? 0 : phase->offset[1], phase->tap_step[0],                                       \
    phase->tap_step[1], taps, walk->merged > 1 ? 1 : phase->taps[1] > 0 ? phase->taps[1] : 1, depth,                 \
    (int)walk->depth, (int)walk->columns,                                                                            \
    parts, part_taps, part_depth,                                                                                    \
    (int)walk->to_size[0], (int)walk->to_size[1], (int)walk->to_channels, (int)walk->to_step[0],                     \
    (int)walk->to_step[1], phase->first[0], phase->first[1], (int)kernel->op.relu
#define LAUNCH(letters, ...) \
    tl__opencl_launch(kernel, STEM, walk->tile.options, "conv2d_tiles", &range, letters OPERANDS NUMBERS, __VA_ARGS__, \
                      VALUES)
    if (from->packed && walk->padded)
        return LAUNCH("wc", from->padded_at, from->packed);
    if (from->packed)
        return LAUNCH("oc", o->from, from->packed);
    if (walk->padded)
        return LAUNCH("ww", from->padded_at, from->packed_at);
    return LAUNCH("ow", o->from, from->packed_at);
#undef LAUNCH
#undef VALUES
#undef NUMBERS
#undef OPERANDS
}

static tl_status launch(opencl_kernel *kernel, const opencl_vectors_walk *walk, const opencl_vectors_operands *o) {
    source from = {0};
    tl_status status = tl__opencl_vectors_pack(kernel, walk, o->weights, &from.packed, &from.packed_at);
    if (status == TL_OK && walk->padded)
        status = pad(kernel, walk, o->from, &from.padded_at);
    for (int i = 0; i < walk->phase_count && status == TL_OK; i++)
        status = launch_phase(kernel, walk, &walk->phases[i], o, &from);
    return status;
}

tl_status tl__opencl_vectors_walk(opencl_kernel *kernel, const opencl_vectors_shape *shape, bool transposed,
                                  const opencl_vectors_operands *operands) {
    opencl_vectors_walk walk;
    tl_status status = tl__opencl_vectors_plan(kernel, shape, transposed, false, &walk);
    if (status == TL_OK)
        status = launch(kernel, &walk, operands);
    tl__opencl_release(kernel->device, walk.phases);
    return status;
}

tl_status tl__opencl_vectors_forward_by(opencl_kernel *kernel, opencl_vectors_way *way) {
    enum { X, W, BIAS, RESIDUAL, Y };
    static const opencl_vectors_operands operands = {X, W, BIAS, RESIDUAL, OPENCL_VECTORS_NONE, Y};
    opencl_vectors_shape shape;
    tl_status status = tl__opencl_vectors_shape(kernel, X, W, Y, &shape);
    return status == TL_OK ? way(kernel, &shape, false, &operands) : status;
}

tl_status tl__opencl_vectors_backward_by(opencl_kernel *kernel, opencl_vectors_way *way) {
    enum { DY, W, ADDEND, MASK, DX };
    static const opencl_vectors_operands operands = {DY, W, OPENCL_VECTORS_NONE, ADDEND, MASK, DX};
    opencl_vectors_shape shape;
    tl_status status = tl__opencl_vectors_shape(kernel, DX, W, DY, &shape);
    return status == TL_OK ? way(kernel, &shape, true, &operands) : status;
}

tl_status tl__opencl_conv2d_vectors(opencl_kernel *kernel) {
    return tl__opencl_vectors_forward_by(kernel, tl__opencl_vectors_walk);
}

tl_status tl__opencl_conv2d_grad_input_vectors(opencl_kernel *kernel) {
    return tl__opencl_vectors_backward_by(kernel, tl__opencl_vectors_walk);
}
