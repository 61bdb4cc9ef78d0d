/* conv2d_winograd.c: where Winograd's algorithm is used, and how on devices like CPUs.
 *
 * Whether it is used depends on the layer alone, never on the batch. */
#include <limits.h>

#include "backends/opencl/conv2d_vectors.h"
#include "backends/opencl/conv2d_winograd.h"

#define STEM "conv2d_winograd"
enum { X = OPENCL_WINOGRAD_X, W, BIAS, RESIDUAL, Y };
enum { PATCHES = 1, PRODUCTS = 2, TILES = 4, ALL = 7 };

#define TILE WINOGRAD_TILE
#define PLANES WINOGRAD_PLANES
#define FEWEST_CHANNELS 32   /* with fewer the transforms cost more than is saved */
#define LARGE (16 << 20)     /* bytes of transformed weights that are better read once for all compute units */
#define TILES_FOR_LARGE 4    /* in an image; with fewer, weights four times as large are not worth it */
#define TILES_FOR_CHANGING 16 /* in an image, where weights are transformed anew each time */
#define GPU_CHANNELS 128
#define GPU_TILES 16         /* in an image: a product has so many rows at least */
#define STAGED_TILES 192
#define LEAST_TILES 24
#define MOST_TILES 96
#define CACHE (640 << 10)    /* bytes for a block's planes: what most cores have nearer than the cache of all, about */
#define SCRATCH (64 << 20)   /* bytes of planes of all blocks under way, unless there are more compute units */
#define LINE 16              /* floats; planes are a line further apart than they are long, or they would all lie in the
                              * same few sets of the cache */

/* ---- where ---- */

static tl_status refuse(opencl_kernel *kernel, const char *why) {
    return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: not by Winograd's algorithm: %s", kernel->stem, why);
}

static tl_status plan_of(opencl_kernel *kernel, opencl_winograd *plan) {
    tl_status status = tl__opencl_expect(kernel, "fffff");
    if (status != TL_OK)
        return status;
    const tl_operand *o = kernel->operands;
    conv2d_shape s;
    if (!conv2d_shape_of(&kernel->op, &o[X], &o[W], &o[Y], &s))
        return tl__opencl_fail(kernel->device, TL_ERROR_ARGUMENT, "%s: the shapes do not fit each other", kernel->stem);
    for (int i = 0; i < 2; i++)
        if (s.kernel[i] != 3 || s.stride[i] != 1 || s.dilation[i] != 1 || s.groups != 1)
            return refuse(kernel, "it is not a 3x3 kernel with stride 1 in one group");
    if (s.channels < FEWEST_CHANNELS || s.out_channels < FEWEST_CHANNELS)
        return refuse(kernel, "it has few channels");
    if (kernel->device->winograd == OPENCL_WINOGRAD_NEVER)
        return refuse(kernel, "the device was told so");
    if (kernel->device->winograd == OPENCL_WINOGRAD_AUTO && kernel->op.exact)
        return refuse(kernel, "it is to be exact");
    plan->shape = s;
    plan->tiles_y = (s.out_height + TILE - 1) / TILE;
    plan->tiles_x = (s.out_width + TILE - 1) / TILE;
    plan->tiles = s.images * plan->tiles_y * plan->tiles_x;
    /* Kernels count tiles, floats of an image and of the transformed weights, and those of the planes in ints. */
    const double most = INT_MAX / 4;
    if ((double)s.images * (double)plan->tiles_y * (double)plan->tiles_x > most ||
        (double)s.height * (double)s.width * (double)s.channels > most ||
        (double)s.out_height * (double)s.out_width * (double)s.out_channels > most ||
        (double)PLANES * (double)s.channels * STAGED_TILES > most ||
        (double)PLANES * (double)s.out_channels * STAGED_TILES > most ||
        (double)PLANES * (double)s.channels * (double)s.out_channels > most)
        return refuse(kernel, "it is too large");
    /* With the rest of the last panel. */
    const double weights = (double)PLANES * (double)s.channels * (double)(s.out_channels + 64) * sizeof(float);
    if (weights > (double)kernel->device->max_buffer)
        return refuse(kernel, "the device has no buffer for its weights");
    return TL_OK;
}

/* Whether it is thought to be faster. On CPUs measured; on a GPU the planes are written and read beside the pixels, 4.5
 * times as many numbers, for which many multiplications must be saved, and `tl tune` knows better. */
static bool wins(const opencl_kernel *kernel, const opencl_winograd *plan) {
    const conv2d_shape *s = &plan->shape;
    const int64_t tiles = plan->tiles_y * plan->tiles_x;
    if (!kernel->device->vectors)
        return opencl_is_constant(kernel, W) && s->channels >= GPU_CHANNELS && s->out_channels >= GPU_CHANNELS &&
               tiles >= GPU_TILES;
    if (!opencl_is_constant(kernel, W))
        return tiles >= TILES_FOR_CHANGING;
    return tiles >= TILES_FOR_LARGE || PLANES * s->channels * s->out_channels * (int64_t)sizeof(float) < LARGE;
}

tl_status tl__opencl_conv2d_winograd(opencl_kernel *kernel) {
    opencl_winograd plan;
    tl_status status = plan_of(kernel, &plan);
    if (status != TL_OK)
        return status;
    if (!kernel->asked && kernel->device->winograd != OPENCL_WINOGRAD_ALWAYS && !wins(kernel, &plan))
        return refuse(kernel, "it would not be faster");
    return kernel->device->vectors ? tl__opencl_winograd_vectors(kernel, &plan)
                                   : tl__opencl_winograd_gpu(kernel, &plan, false);
}

tl_status tl__opencl_conv2d_winograd_gemm(opencl_kernel *kernel) {
    opencl_winograd plan;
    tl_status status = plan_of(kernel, &plan);
    if (status != TL_OK)
        return status;
    return kernel->device->vectors ? refuse(kernel, "a CPU has kernels of its own")
                                   : tl__opencl_winograd_gpu(kernel, &plan, true);
}

/* ---- weights ---- */

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

typedef struct walk {
    const opencl_winograd *plan;
    opencl_vectors_tile tile;
    int64_t panels;           /* of outputs */
    int64_t block, workers;   /* the most tiles at a time; those that take blocks through all steps, 0: staged */
    int64_t from_pitch, to_pitch, from_plane, to_plane; /* floats from line to line, from plane to plane */
    int64_t zeros_at;         /* floats of packed weights, behind which there are zeros for a pixel */
} walk;

/* [plane][panel][channel][output]; outputs past the last and the zeros are 0 already. */
static tl_status fill(opencl_kernel *kernel, const void *source, void *to, void *user) {
    const walk *w = user;
    const int64_t channels = w->plan->shape.channels, width = w->tile.width, plane = w->panels * channels * width;
    (void)kernel;
    for (int64_t first = 0; first < w->plan->shape.out_channels; first += width)
        for (int64_t c = 0; c < channels; c++) /* what is written together lies together */
            for (int64_t o = first; o < least(first + width, w->plan->shape.out_channels); o++) {
                double t[PLANES];
                winograd_weights((const float *)source + o * 9 * channels, channels, c, t);
                float *at = (float *)to + (first * channels + c * width) + o - first;
                for (int i = 0; i < PLANES; i++)
                    at[i * plane] = (float)t[i];
            }
    return TL_OK;
}

typedef struct packed {
    opencl_constant *constant;
    uint64_t at; /* without: in the workspace */
} packed;

static tl_status pack(opencl_kernel *kernel, walk *w, packed *to) {
    const conv2d_shape *s = &w->plan->shape;
    const size_t bytes = (size_t)(w->zeros_at + s->channels) * sizeof(float);
    if (opencl_is_constant(kernel, W))
        return tl__opencl_constant_derive(kernel, W, OPENCL_FORM('W', w->tile.width, s->channels, s->out_channels), bytes,
                                          fill, w, &to->constant);
    to->at = tl__opencl_workspace(kernel, bytes);
    opencl_range range = {.global = {(size_t)((s->channels + LINE - 1) / LINE), (size_t)w->panels}, .local = {1},
                          .fixed = true};
    return tl__opencl_launch(kernel, STEM, w->tile.options, "conv2d_winograd_weights", &range, "owlii", W, to->at,
                             w->zeros_at, (int)s->channels, (int)s->out_channels);
}

/* ---- launches ---- */

static tl_status launch(opencl_kernel *kernel, const walk *w, const packed *from, uint64_t planes, int64_t items, int steps,
                        int64_t first, int64_t count) {
    const conv2d_shape *s = &w->plan->shape;
    opencl_range range = {.global = {(size_t)items}, .local = {1}, .fixed = true};
#define NUMBERS "ooow" "l" "iiii" "iiii" "iiiiii" "iiiiii"
#define VALUES                                                                                                         \
    BIAS, RESIDUAL, Y, planes, w->zeros_at, (int)first, (int)count, (int)w->block, steps, (int)w->from_pitch,           \
        (int)w->to_pitch, (int)w->from_plane, (int)w->to_plane, (int)s->height, (int)s->width, (int)s->channels,       \
        (int)s->out_height, (int)s->out_width, (int)s->out_channels, (int)s->pad[0], (int)s->pad[1],                   \
        (int)w->plan->tiles_y, (int)w->plan->tiles_x, (int)w->panels, (int)kernel->op.relu
    if (from->constant)
        return tl__opencl_launch(kernel, STEM, w->tile.options, "conv2d_winograd", &range, "oc" NUMBERS, X,
                                 from->constant, VALUES);
    return tl__opencl_launch(kernel, STEM, w->tile.options, "conv2d_winograd", &range, "ow" NUMBERS, X, from->at, VALUES);
#undef VALUES
#undef NUMBERS
}

/* What passes between the caches for each tile decides: a block that stays in the nearer cache has its planes there, and
 * reads all weights for its few tiles; with staged blocks the planes go out and back, and each compute unit reads its part
 * of the weights once for many tiles. */
static void choose_block(const opencl_device *device, walk *w) {
    const conv2d_shape *s = &w->plan->shape;
    const int64_t tiles = w->plan->tiles, units = device->units, rows = w->tile.rows;
    const int64_t tile_bytes = PLANES * (w->from_pitch + w->to_pitch) * (int64_t)sizeof(float);
    const int64_t weight_bytes = PLANES * s->channels * w->to_pitch * (int64_t)sizeof(float);
    w->block = CACHE / tile_bytes / rows * rows;
    w->block = w->block < LEAST_TILES ? LEAST_TILES : least(w->block, MOST_TILES);
    const int64_t staged = least(tiles, STAGED_TILES);
    const int64_t local_cost = weight_bytes / w->block;
    const int64_t staged_cost = 2 * tile_bytes + weight_bytes / staged / units;
    if (tiles < w->block * units || (weight_bytes > CACHE * 8 / 5 && staged_cost < local_cost)) {
        w->block = staged;
    } else {
        /* More than units, so that one that is held up leaves its rest to others; but each has its planes. */
        const int64_t room = SCRATCH / (w->block * tile_bytes), most = room < units ? units : room;
        w->workers = least((tiles + w->block - 1) / w->block, least(4 * units, most));
    }
    w->from_plane = w->block * w->from_pitch + LINE;
    w->to_plane = w->block * w->to_pitch + LINE;
}

static tl_status launch_staged(opencl_kernel *kernel, const walk *w, const packed *from, uint64_t planes) {
    const int64_t units = 8 * (int64_t)kernel->device->units;
    int64_t first = 0;
    tl_status status = TL_OK;
    for (int64_t left = (w->plan->tiles + w->block - 1) / w->block; left > 0 && status == TL_OK; left--) {
        const int64_t count = (w->plan->tiles - first + left - 1) / left;
        status = launch(kernel, w, from, planes, least(count, units), PATCHES, first, count);
        if (status == TL_OK)
            status = launch(kernel, w, from, planes, PLANES * w->panels, PRODUCTS, first, count);
        if (status == TL_OK)
            status = launch(kernel, w, from, planes, least(count, units), TILES, first, count);
        first += count;
    }
    return status;
}

tl_status tl__opencl_winograd_vectors(opencl_kernel *kernel, const opencl_winograd *plan) {
    const conv2d_shape *s = &plan->shape;
    walk w = {.plan = plan, .tile = tl__opencl_vectors_tile(kernel->device, false)};
    w.panels = (s->out_channels + w.tile.width - 1) / w.tile.width;
    w.from_pitch = opencl_round_up(s->channels, kernel->device->lanes);
    w.to_pitch = w.panels * w.tile.width;
    w.zeros_at = PLANES * s->channels * w.to_pitch;
    choose_block(kernel->device, &w);
    packed from = {0};
    tl_status status = pack(kernel, &w, &from);
    if (status != TL_OK)
        return status;
    const int64_t each = PLANES * (w.from_plane + w.to_plane), copies = w.workers ? w.workers : 1;
    const uint64_t planes = tl__opencl_workspace(kernel, (uint64_t)(copies * each) * sizeof(float));
    return w.workers ? launch(kernel, &w, &from, planes, w.workers, ALL, 0, plan->tiles)
                     : launch_staged(kernel, &w, &from, planes);
}
