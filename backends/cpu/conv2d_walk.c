/* conv2d_walk.c: sizes of a convolution, and the plan of its walk. */
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

/* Up to so many channels, rows are copied into patches, where a whole kernel row is one piece: with one piece for each
 * tap the kernel would hardly begin before the next. */
#define FEW_CHANNELS 8

/* So much of k at once that its part of a panel stays in the cache while all rows go over it; the same on every
 * machine, so that results are. */
enum { PART = 1024 };

tl_status tl__cpu_conv2d_shape(cpu_kernel *kernel, int x, int w, int y, cpu_conv2d_shape *shape) {
    const tl_operand *operands = kernel->operands;
    if (conv2d_shape_of(&kernel->op, &operands[x], &operands[w], &operands[y], shape))
        return TL_OK;
    return tl__cpu_fail(kernel->device, TL_ERROR_ARGUMENT, "cpu: the shapes of a convolution do not fit each other");
}

/* Along dimension d: residue e's taps of a destination pixel s q + e are those i with e + pad - i dilation divisible by
 * s. Without transposition there is one residue, and every tap is in it. */
static void list_taps(const cpu_conv2d_walk *walk, int d, int64_t e, int64_t *offset, int64_t *index, int64_t *count) {
    const cpu_conv2d_shape *s = &walk->shape;
    *count = 0;
    for (int64_t i = 0; i < s->kernel[d]; i++) {
        int64_t at = i * s->dilation[d] - s->pad[d];
        if (walk->transposed) {
            if ((e - at) % s->stride[d])
                continue;
            at = (e - at) / s->stride[d];
        }
        offset[*count] = at;
        index[(*count)++] = i;
    }
}

static int64_t residues(const cpu_conv2d_walk *walk, int d) {
    int64_t step = walk->to_step[d];
    return step < walk->to_size[d] ? step : walk->to_size[d];
}

static void list_phases(cpu_conv2d_walk *walk, int64_t *memory) {
    const cpu_conv2d_shape *s = &walk->shape;
    int64_t *base[2], weights = 0;
    for (int d = 0; d < 2; d++) {
        base[d] = memory;
        memory += residues(walk, d) * 2 * s->kernel[d];
    }
    for (int64_t y = 0; y < residues(walk, 0); y++)
        for (int64_t x = 0; x < residues(walk, 1); x++) {
            cpu_conv2d_phase *phase = &walk->phases[walk->phase_count++];
            const int64_t e[2] = {y, x};
            for (int d = 0; d < 2; d++) {
                phase->first[d] = e[d];
                phase->count[d] = (walk->to_size[d] - e[d] + walk->to_step[d] - 1) / walk->to_step[d];
                phase->offset[d] = base[d] + e[d] * 2 * s->kernel[d];
                phase->index[d] = phase->offset[d] + s->kernel[d];
                list_taps(walk, d, e[d], phase->offset[d], phase->index[d], &phase->taps[d]);
            }
            phase->weights = weights;
            weights += phase->taps[0] * phase->taps[1] * walk->depth * walk->groups * walk->padded;
        }
    walk->packed_bytes = (size_t)weights * sizeof(float);
}

/* Taps that lie side by side in the source become one piece. */
static void merge_taps(cpu_conv2d_walk *walk) {
    const cpu_conv2d_shape *s = &walk->shape;
    walk->merged = 1;
    if (!walk->transposed && s->groups == 1 && s->dilation[1] == 1 && s->kernel[1] > 1) {
        walk->patches = s->pad[1] > 0 && s->channels <= FEW_CHANNELS;
        if (s->pad[1] == 0 || walk->patches)
            walk->merged = s->kernel[1];
    }
    walk->pieces_depth = walk->merged * walk->depth;
}

static void plan(const cpu_kernel *kernel, const cpu_conv2d_shape *s, bool transposed, cpu_conv2d_walk *walk) {
    const int64_t in[2] = {s->height, s->width}, out[2] = {s->out_height, s->out_width};
    const cpu_kernels *kernels = kernel->device->kernels;
    *walk = (cpu_conv2d_walk){.shape = *s, .transposed = transposed};
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
    walk->groups = s->groups;
    walk->width = kernels->gemm_width();
    walk->spread = s->groups > 1 && walk->depth == walk->columns && kernels->lanes % walk->depth == 0;
    if (walk->spread) {
        walk->groups = 1;
        walk->columns = walk->to_channels;
        walk->width = kernels->lanes;
    }
    walk->panels = (walk->columns + walk->width - 1) / walk->width;
    walk->padded = cpu_round_up(walk->columns, kernels->lanes);
    merge_taps(walk);
    int64_t pieces = s->kernel[0] * s->kernel[1] / walk->merged;
    int64_t reach = s->kernel[1] > s->stride[1] ? s->kernel[1] : s->stride[1];
    walk->patch = cpu_round_up(walk->patches ? CPU_GEMM_GROUP * s->kernel[0] * reach * s->channels : 0, CPU_ALIGNMENT);
    walk->part = PART;
    walk->scratch_bytes = (size_t)cpu_round_up(CPU_GEMM_GROUP * (2 * pieces * (int64_t)sizeof(float *) +
                                                                 (int64_t)sizeof(int64_t)), CPU_ALIGNMENT) +
                          (size_t)(walk->patch + CPU_GEMM_GROUP * walk->width) * sizeof(float);
}

static tl_status fill_packed(cpu_kernel *kernel, const void *source, void *to, void *user) {
    tl__cpu_conv2d_pack(kernel->device, user, source, to);
    return TL_OK;
}

/* What the packed form depends on besides the weights' own bytes (FNV-1a). */
static uint64_t form_of(const cpu_conv2d_walk *walk) {
    const cpu_conv2d_shape *s = &walk->shape;
    const int64_t numbers[] = {walk->transposed, s->out_channels, s->groups, s->kernel[0] * s->kernel[1],
                               walk->transposed ? s->kernel[0] : 0, walk->transposed ? s->stride[0] : 0,
                               walk->transposed ? s->stride[1] : 0, walk->transposed ? s->dilation[0] : 0,
                               walk->transposed ? s->dilation[1] : 0, walk->transposed ? s->pad[0] : 0,
                               walk->transposed ? s->pad[1] : 0, residues(walk, 0), residues(walk, 1)};
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        hash = (hash ^ (uint64_t)numbers[i]) * 1099511628211u;
    return CPU_FORM('C', 0, 0, 0) | hash >> 8;
}

tl_status tl__cpu_conv2d_walk_create(cpu_kernel *kernel, const cpu_conv2d_shape *shape, bool transposed, int weights,
                                     cpu_conv2d_walk **out) {
    cpu_device *device = kernel->device;
    cpu_conv2d_walk head;
    plan(kernel, shape, transposed, &head);
    /* One piece of memory: the walk, its phases, their lists, the zeros. */
    int64_t phases = residues(&head, 0) * residues(&head, 1);
    int64_t lists = 2 * (residues(&head, 0) * shape->kernel[0] + residues(&head, 1) * shape->kernel[1]);
    int64_t zeros = cpu_round_up(head.merged > 1 ? head.pieces_depth : head.from_channels, device->kernels->lanes);
    size_t at_phases = (size_t)cpu_round_up(sizeof(head), CPU_ALIGNMENT);
    size_t at_lists = at_phases + (size_t)phases * sizeof(cpu_conv2d_phase);
    size_t at_zeros = (size_t)cpu_round_up((int64_t)at_lists + lists * (int64_t)sizeof(int64_t), CPU_ALIGNMENT);
    char *memory = tl__cpu_allocate(device, at_zeros + (size_t)zeros * sizeof(float));
    if (!memory)
        return TL_ERROR_MEMORY;
    cpu_conv2d_walk *walk = kernel->data = memory;
    *walk = head;
    walk->phases = (cpu_conv2d_phase *)(memory + at_phases);
    list_phases(walk, (int64_t *)(memory + at_lists));
    walk->zeros = (float *)(memory + at_zeros);
    memset(walk->zeros, 0, (size_t)zeros * sizeof(float));

    kernel->base.workspace = (uint64_t)device->threads * walk->scratch_bytes;
    *out = walk;
    if (!cpu_is_constant(kernel, weights)) {
        kernel->base.workspace += (uint64_t)cpu_round_up((int64_t)walk->packed_bytes, CPU_ALIGNMENT);
        return TL_OK;
    }
    const void *packed;
    tl_status status = tl__cpu_constant_derive(kernel, weights, form_of(walk), walk->packed_bytes, fill_packed, walk,
                                               &packed);
    if (status == TL_OK)
        walk->packed = packed;
    return status;
}
