/* conv2d_blocks.c: see the header. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "backends/cpu/bf16.h"
#include "backends/cpu/conv2d_blocks.h"
#include "backends/cpu/kernels.h"

enum { X, W, BIAS, RESIDUAL, Y };

#define ROWS CPU_BLOCK_ROWS
#define MOST_ROWS 512 /* of a block */
#define TILE_ROWS 16  /* that tiles of AMX read, whole */

typedef struct job {
    const cpu_kernel *kernel;
    const cpu_blocks *blocks;
    int64_t row_parts, panel_parts;
} job;

/* Cache lines of so many bytes in each step of k. */
static int64_t lines_of(const cpu_blocks *p, int64_t bytes) {
    const int64_t steps = p->padded / CPU_BLOCK_STEP;
    return (bytes / 64 + steps - 1) / steps;
}

/* A block of rows times panels panel .. end - 1. Where the weights stay in the cache, rows go by once; where they do
 * not, each panel goes by once for the block, and the next one comes meanwhile. */
static void multiply_block(const job *j, const cpu_block *b, int64_t panel, int64_t end) {
    const cpu_blocks *p = j->blocks;
    const int64_t pieces = (b->count + ROWS - 1) / ROWS, row_bytes = p->shape.out_channels * p->element;
    const char *residual = j->kernel->ptr[RESIDUAL];
    if (!p->far) {
        /* The next rows of the residual, cut into as many parts as there are panels. */
        const int64_t bytes = residual ? ROWS * row_bytes / (end - panel) / 64 * 64 : 0, lines = lines_of(p, bytes);
        for (int64_t piece = 0; piece < pieces; piece++)
            for (int64_t i = panel; i < end; i++)
                p->multiply(j->kernel, b, piece, i,
                            residual ? residual + (b->first + (piece + 1) * ROWS) * row_bytes + (i - panel) * bytes : NULL,
                            lines);
        return;
    }
    const int64_t bytes = p->panel_bytes / pieces / 64 * 64, lines = lines_of(p, bytes);
    for (int64_t i = panel; i < end; i++) {
        const char *soon = p->weights + (i + 1 < end ? i + 1 : panel) * p->panel_bytes;
        for (int64_t piece = 0; piece < pieces; piece++)
            p->multiply(j->kernel, b, piece, i, soon + piece * bytes, lines);
    }
}

/* Rows row .. end - 1 times panels panel .. panel_end - 1, in blocks of as equal a size as can be. */
static void run_part(const job *j, int64_t row, int64_t end, int64_t panel, int64_t panel_end, char *scratch) {
    const cpu_blocks *p = j->blocks;
    uint8_t *gathered = (uint8_t *)scratch + ROWS * CPU_BLOCK_WIDTH * sizeof(float);
    cpu_gather_source source = p->source;
    source.x = j->kernel->ptr[X];
    for (int64_t left = (end - row + p->block - 1) / p->block; row < end; left--) {
        int64_t count = cpu_round_up((end - row + (left > 1 ? left : 1) - 1) / (left > 1 ? left : 1), ROWS);
        if (count > end - row)
            count = end - row;
        /* Tiles read whole rows: the last ones, which are fewer, are copied to where there is room. */
        const bool direct = p->direct && (count >= TILE_ROWS || !p->amx);
        if (direct && p->amx)
            count -= count % TILE_ROWS;
        if (!direct)
            j->kernel->device->kernels->gather_rows(&source, row, count, gathered);
        cpu_block b = {row, count, direct ? source.x + row * p->depth : gathered, direct ? p->depth : source.row, scratch};
        multiply_block(j, &b, panel, panel_end);
        row += count;
    }
}

/* Items are parts: (row part, panel part). */
static void body(void *user, int64_t first_part, int64_t last_part, int thread) {
    const job *j = user;
    const cpu_blocks *p = j->blocks;
    char *scratch = (char *)j->kernel->workspace + (size_t)thread * p->scratch_bytes;
    const int64_t tiles = (p->rows + ROWS - 1) / ROWS;
#ifdef TL_CPU_BF16
    if (p->amx)
        tl__cpu_amx_begin();
#endif
    for (int64_t part = first_part; part < last_part; part++) {
        const int64_t r = part / j->panel_parts, c = part % j->panel_parts;
        int64_t row = tiles * r / j->row_parts * ROWS, end = tiles * (r + 1) / j->row_parts * ROWS;
        run_part(j, row, end > p->rows ? p->rows : end, p->panels * c / j->panel_parts,
                 p->panels * (c + 1) / j->panel_parts, scratch);
    }
#ifdef TL_CPU_BF16
    if (p->amx)
        tl__cpu_amx_end();
#endif
}

void tl__cpu_blocks_run(cpu_kernel *kernel) {
    const cpu_blocks *p = kernel->data;
    job j = {.kernel = kernel, .blocks = p};
    const double work = (double)p->rows * (double)(p->depth / p->element) * (double)p->shape.out_channels / p->least;
    tl__cpu_conv2d_split(kernel->device, work, (p->block + ROWS - 1) / ROWS, (p->rows + ROWS - 1) / ROWS, p->panels,
                         &j.row_parts, &j.panel_parts);
    tl__cpu_parallel(kernel->device, j.row_parts * j.panel_parts, 1, body, &j);
}

static cpu_gather_source source_of(const cpu_conv2d_shape *s, int64_t element, int64_t row, int zero) {
    cpu_gather_source source = {
        .height = s->height,
        .width = s->width,
        .pixel = s->channels * element,
        .out_height = s->out_height,
        .out_width = s->out_width,
        .row = row,
        .zero = (uint8_t)zero,
    };
    for (int i = 0; i < 2; i++) {
        source.kernel[i] = s->kernel[i];
        source.stride[i] = s->stride[i];
        source.pad[i] = s->pad[i];
        source.dilation[i] = s->dilation[i];
    }
    return source;
}

cpu_blocks tl__cpu_blocks_plan(const cpu_device *device, const cpu_conv2d_shape *s, int64_t element, int64_t widened,
                               int zero, bool amx, double least) {
    cpu_blocks p = {.shape = *s, .element = element, .amx = amx, .least = least};
    p.rows = s->images * s->out_height * s->out_width;
    p.depth = s->kernel[0] * s->kernel[1] * s->channels * element;
    p.padded = cpu_round_up(p.depth, CPU_BLOCK_STEP);
    p.panels = (s->out_channels + CPU_BLOCK_WIDTH - 1) / CPU_BLOCK_WIDTH;
    p.panel_bytes = p.padded * CPU_BLOCK_WIDTH * widened;
    p.direct = p.depth == s->channels * element && p.depth == p.padded;
    for (int i = 0; i < 2; i++)
        p.direct = p.direct && s->stride[i] == 1 && s->pad[i] == 0;
    p.far = (size_t)(p.panels * p.panel_bytes) > device->l2 / 2;
    /* The space keeps rows from lying in the same sets of the cache. */
    p.source = source_of(s, element, p.padded + CPU_BLOCK_STEP, zero);
    p.block = (int64_t)device->l2 * 3 / 4 / p.source.row / ROWS * ROWS;
    if (p.block < ROWS)
        p.block = ROWS;
    if (p.block > MOST_ROWS)
        p.block = MOST_ROWS;
    if (!p.far && !p.direct)
        p.block = ROWS; /* gathered into the first cache, nearly */
    p.scratch_bytes = (size_t)cpu_round_up(ROWS * CPU_BLOCK_WIDTH * (int64_t)sizeof(float) + p.block * p.source.row +
                                           CPU_PADDING, CPU_ALIGNMENT);
    return p;
}
