/* conv2d_vectors_weight.c: conv2d_grad_weight on devices like CPUs: a matrix product over pixels, in blocks that are
 * brought together in a work-item's own memory. Where the output is too small for many work-items, the pixels are cut
 * into chunks, of a number that depends on the shapes alone, and the chunks' results are added up in order. */
#include "backends/opencl/conv2d_vectors.h"

enum { X, DY, DW, DBIAS };

#define STEM "conv2d_vectors_weight"

#define BLOCK 128         /* pixels at a time: a panel of so many stays in the first cache */
#define LARGE (8 << 20)   /* bytes of dw, that going over costs more than blocks of OPENCL_VECTORS_BLOCK do */
#define ENOUGH_TILES 64   /* so many need no chunks */
#define CHUNK_PIXELS 2048 /* the least worth a chunk */
#define BIAS_CHUNKS 64
#define PARTS_PER_UNIT 4  /* work-items, so that all compute units end together */
#define LEAST_TILES 6     /* of rows in a work-item: with fewer, bringing the pixels together would show */

static tl_status add_chunks(opencl_kernel *kernel, const char *options, uint64_t sums, int to, int64_t count,
                            int64_t chunks) {
    opencl_range range = {.global = {(size_t)((count + 15) / 16)}, .local = {1}, .fixed = true};
    return tl__opencl_launch(kernel, STEM, options, "conv2d_chunks", &range, "woli", sums, to, count, (int)chunks);
}

static tl_status launch_weights(opencl_kernel *kernel, const opencl_vectors_shape *s, int64_t pixels) {
    const int64_t row_length = s->kernel[0] * s->kernel[1] * s->group_channels;
    const opencl_vectors_tile tile = tl__opencl_vectors_tile(kernel->device, false);
    const int64_t panels = (row_length + tile.width - 1) / tile.width;
    const int64_t row_tiles = (s->group_outputs + tile.rows - 1) / tile.rows, all = panels * s->groups;
    int64_t most = pixels / CHUNK_PIXELS, chunks = (ENOUGH_TILES + row_tiles * all - 1) / (row_tiles * all);
    if (chunks > most)
        chunks = most < 1 ? 1 : most;
    const int64_t block = form_bytes(&kernel->operands[DW]) > LARGE ? OPENCL_VECTORS_BLOCK : BLOCK;
    int64_t row_parts = (PARTS_PER_UNIT * (int64_t)kernel->device->units + all * chunks - 1) / (all * chunks);
    if (row_parts > row_tiles / LEAST_TILES)
        row_parts = row_tiles < LEAST_TILES ? 1 : row_tiles / LEAST_TILES;
    const int64_t count = s->out_channels * row_length;
    const int unit_taps = s->groups == 1 && s->dilation[1] == 1 ? (int)s->kernel[1] : 1;
    opencl_range range = {.global = {(size_t)panels, (size_t)s->groups, (size_t)(chunks * row_parts)}, .local = {1},
                          .fixed = true};
    const uint64_t sums = chunks > 1 ? tl__opencl_workspace(kernel, (uint64_t)(chunks * count) * sizeof(float)) : 0;
#define NUMBERS "l" "iiiii" "iiii" "iiii" "iii" "iii"
#define VALUES                                                                                                     \
    pixels, (int)s->out_height, (int)s->out_width, (int)s->height, (int)s->width, (int)s->channels,                \
    (int)s->stride[0], (int)s->stride[1], (int)s->pad[0], (int)s->pad[1],                                          \
    (int)s->dilation[0], (int)s->dilation[1], (int)s->kernel[1], unit_taps,                                        \
    (int)s->group_channels, (int)s->group_outputs, (int)row_length,                                                \
    (int)row_parts, (int)chunks, (int)block
    if (chunks == 1)
        return tl__opencl_launch(kernel, STEM, tile.options, "conv2d_weight", &range, "ooo" NUMBERS, X, DY, DW, VALUES);
    tl_status status = tl__opencl_launch(kernel, STEM, tile.options, "conv2d_weight", &range, "oow" NUMBERS, X, DY,
                                         sums, VALUES);
#undef VALUES
#undef NUMBERS
    return status == TL_OK ? add_chunks(kernel, tile.options, sums, DW, count, chunks) : status;
}

static tl_status launch_bias(opencl_kernel *kernel, const opencl_vectors_shape *s, int64_t pixels) {
    const opencl_vectors_tile tile = tl__opencl_vectors_tile(kernel->device, false);
    const int64_t chunks = pixels < 16 * BIAS_CHUNKS ? (pixels + 15) / 16 : BIAS_CHUNKS;
    const int64_t vectors = (s->out_channels + kernel->device->lanes - 1) / kernel->device->lanes;
    const uint64_t sums = tl__opencl_workspace(kernel, (uint64_t)(chunks * s->out_channels) * sizeof(float));
    opencl_range range = {.global = {(size_t)vectors, (size_t)chunks}, .local = {1}, .fixed = true};
    tl_status status = tl__opencl_launch(kernel, STEM, tile.options, "conv2d_bias", &range, "owli", DY, sums, pixels,
                                         (int)s->out_channels);
    return status == TL_OK ? add_chunks(kernel, tile.options, sums, DBIAS, s->out_channels, chunks) : status;
}

tl_status tl__opencl_conv2d_grad_weight_vectors(opencl_kernel *kernel) {
    opencl_vectors_shape s;
    tl_status status = tl__opencl_vectors_shape(kernel, X, DW, DY, &s);
    if (status != TL_OK)
        return status;
    const int64_t pixels = s.images * s.out_height * s.out_width;
    if (opencl_present(kernel, DW))
        status = launch_weights(kernel, &s, pixels);
    if (status == TL_OK && opencl_present(kernel, DBIAS))
        status = launch_bias(kernel, &s, pixels);
    return status;
}
