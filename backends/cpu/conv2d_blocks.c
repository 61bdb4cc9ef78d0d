/* conv2d_blocks.c: see the header. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "backends/cpu/bf16.h"
#include "backends/cpu/conv2d_blocks.h"
#include "backends/cpu/kernels.h"

enum { X, W, BIAS, RESIDUAL, Y };


#define ROWS CPU_BLOCK_ROWS
#define STEP CPU_BLOCK_STEP
#define SUMS_BYTES (ROWS * CPU_BLOCK_WIDTH * (int64_t)sizeof(float)) /* of a piece by a panel */
#define MOST_ROWS 512                                                /* of a block */
#define MOST_PANELS 16                                               /* of a group whose sums wait */
#define TILE_ROWS 16                                                 /* that tiles of AMX read, whole */
/* Of a chunk, with AMX: a piece's rows are a third of the first cache then, which is why they stay there while weights pass by.
 * Tiles that come from the second cache on both sides keep AMX waiting for half of the time. */
#define TILE_STEPS 8

typedef struct job {
    const cpu_kernel *kernel;
    const cpu_blocks *blocks;
    cpu_gather_source source;
    int64_t row_parts, panel_parts;
} job;

/* Rows times panels, in a chunk of k. */
typedef struct part {
    int64_t row, end, panel, panel_end, step, step_end;
    char *sums;
    uint8_t *gathered;
    const char *next; /* the weights of the first panel that come after these; NULL: none are to be fetched */
} part;

/* Where the piece's rows are, gathered if need be. */
static void bring_rows(const job *j, const part *b, int64_t row, cpu_block_product *product) {
    const cpu_blocks *p = j->blocks;
    /* Tiles read whole rows: the last ones, which are fewer, are copied to where there is room. */
    const bool whole = product->rows % TILE_ROWS == 0 || !p->amx;
    if (p->gathering == CPU_ROWS_WHOLE) {
        product->a = b->gathered + (row - b->row) * p->source.row + b->step * STEP;
        product->a_row = p->source.row;
        product->at = p->close;
    } else if (p->gathering == CPU_ROWS_DIRECT && whole) {
        product->a = j->source.x + row * p->depth + b->step * STEP;
        product->a_row = p->depth;
        product->at = p->close;
    } else {
        j->kernel->device->kernels->gather_steps(&j->source, row, product->rows, b->step, product->steps, b->gathered);
        product->a = b->gathered;
        product->a_row = STEP;
        product->at = p->apart;
    }
}

/* `bytes` from `from` on are brought near in `products` products of which this is number `index`. */
static void bring_near(cpu_block_product *product, int stream, const void *from, int64_t bytes, int64_t products,
                       int64_t index) {
    const int64_t lines = (bytes / 64 + products * product->steps - 1) / (products * product->steps);
    product->soon[stream] = (const char *)from + index * lines * product->steps * 64;
    product->lines[stream] = (int)lines;
}

enum { SOON_ROWS, SOON_OTHER, SOON_Y };

/* While products run they bring near what comes next: weights where those do not stay in the cache, else the rows of
 * x, of the residual and of y in the next piece. */
static void look_ahead(const job *j, const part *b, int64_t row, int64_t panel, cpu_block_product *product) {
    const cpu_blocks *p = j->blocks;
    const int64_t panels = b->panel_end - b->panel, index = panel - b->panel;
    const char *residual = j->kernel->ptr[RESIDUAL], *y = j->kernel->ptr[Y];
    if (b->next)
        bring_near(product, SOON_OTHER, b->next + index * p->panel_bytes, p->chunk * p->step_bytes,
                   (b->end - b->row + ROWS - 1) / ROWS, (row - b->row) / ROWS);
    if (p->far)
        return;
    const int64_t chunks = (p->steps + p->chunk - 1) / p->chunk, row_bytes = p->shape.out_channels * p->element;
    if (p->ahead >= 0)
        bring_near(product, SOON_ROWS, j->source.x + (row + ROWS + p->ahead) * p->source.pixel, ROWS * p->source.pixel,
                   chunks * panels, b->step / p->chunk * panels + index);
    if (b->step_end < p->steps)
        return;
    if (residual)
        bring_near(product, SOON_OTHER, residual + (row + ROWS) * row_bytes, ROWS * row_bytes, panels, index);
    bring_near(product, SOON_Y, y + (row + ROWS) * row_bytes, ROWS * row_bytes, panels, index);
}

static void multiply_part(const job *j, const part *b) {
    const cpu_blocks *p = j->blocks;
    const bool waiting = p->chunk < p->steps;
    char *sums = b->sums;
    for (int64_t row = b->row; row < b->end; row += ROWS) {
        cpu_block_product product = {.steps = b->step_end - b->step, .add = b->step > 0};
        product.rows = (int)(b->end - row < ROWS ? b->end - row : ROWS);
        bring_rows(j, b, row, &product);
        for (int64_t panel = b->panel; panel < b->panel_end; panel++) {
            product.b = p->weights + panel * p->panel_bytes + b->step * p->step_bytes;
            product.sums = sums;
            look_ahead(j, b, row, panel, &product);
            p->multiply(&product);
            if (b->step_end == p->steps)
                p->finish(j->kernel, sums, row, product.rows, panel);
            sums += waiting ? SUMS_BYTES : 0;
        }
    }
}

/* Rows row .. end - 1 times panels panel .. panel_end - 1. */
static void run_block(const job *j, int64_t row, int64_t end, int64_t panel, int64_t panel_end, char *scratch) {
    const cpu_blocks *p = j->blocks;
    part b = {.row = row, .end = end, .sums = scratch, .gathered = (uint8_t *)scratch + p->sums_bytes};
    if (p->gathering == CPU_ROWS_WHOLE)
        j->kernel->device->kernels->gather_rows(&j->source, row, end - row, b.gathered);
    for (b.panel = panel; b.panel < panel_end; b.panel = b.panel_end) {
        b.panel_end = panel_end - b.panel < p->group ? panel_end : b.panel + p->group;
        for (b.step = 0; b.step < p->steps; b.step = b.step_end) {
            b.step_end = p->steps - b.step < p->chunk ? p->steps : b.step + p->chunk;
            const char *weights = p->weights + b.panel * p->panel_bytes;
            b.next = b.step_end < p->steps ? weights + b.step_end * p->step_bytes
                     : b.panel_end < panel_end ? p->weights + b.panel_end * p->panel_bytes : NULL;
            if (!p->far)
                b.next = NULL;
            multiply_part(j, &b);
        }
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
    for (int64_t item = first_part; item < last_part; item++) {
        const int64_t r = item / j->panel_parts, c = item % j->panel_parts;
        const int64_t panel = p->panels * c / j->panel_parts, panel_end = p->panels * (c + 1) / j->panel_parts;
        int64_t row = tiles * r / j->row_parts * ROWS, end = tiles * (r + 1) / j->row_parts * ROWS;
        end = end > p->rows ? p->rows : end;
        /* Blocks of as equal a size as can be. */
        for (int64_t left = (end - row + p->block - 1) / p->block; left > 0; left--) {
            const int64_t count = cpu_round_up((end - row + left - 1) / left, ROWS);
            const int64_t stop = count < end - row ? row + count : end;
            run_block(j, row, stop, panel, panel_end, scratch);
            row = stop;
        }
    }
#ifdef TL_CPU_BF16
    if (p->amx)
        tl__cpu_amx_end();
#endif
}

void tl__cpu_blocks_run(cpu_kernel *kernel) {
    const cpu_blocks *p = kernel->data;
    job j = {.kernel = kernel, .blocks = p, .source = p->source};
    j.source.x = kernel->ptr[X];
    const double work = (double)p->rows * (double)(p->depth / p->element) * (double)p->shape.out_channels / p->least;
    tl__cpu_conv2d_split(kernel->device, work, (p->block + ROWS - 1) / ROWS, (p->rows + ROWS - 1) / ROWS, p->panels,
                         &j.row_parts, &j.panel_parts);
    tl__cpu_parallel(kernel->device, j.row_parts * j.panel_parts, 1, body, &j);
}

/* ---- the plan ---- */

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

static bool is_direct(const cpu_blocks *p) {
    bool direct = p->depth == p->shape.channels * p->element && p->depth % STEP == 0;
    for (int i = 0; i < 2; i++)
        direct = direct && p->shape.stride[i] == 1 && p->shape.pad[i] == 0;
    return direct;
}

static int64_t limited(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* Of k, panels and rows. */
static void choose_sizes(cpu_blocks *p, int64_t l2) {
    const int64_t most = p->amx ? TILE_STEPS : CPU_BLOCK_STEPS, chunks = (p->steps + most - 1) / most;
    p->chunk = (p->steps + chunks - 1) / chunks;
    /* Rows whose lines fall into the same sets of the cache are copied, where they are to stay. */
    p->gathering = is_direct(p) && (chunks == 1 || !p->amx) ? CPU_ROWS_DIRECT
                   : p->source.pixel % STEP ? CPU_ROWS_WHOLE : CPU_ROWS_STEPS;
    const int64_t slice = p->chunk * p->step_bytes; /* of a panel */
    p->group = chunks > 1 ? limited(p->panels, 1, MOST_PANELS) : limited(p->far ? l2 / 2 / slice : p->panels, 1, p->panels);
    p->block = ROWS; /* rows go by once */
    if (p->far && p->gathering == CPU_ROWS_WHOLE)
        p->block = l2 / 2 / p->source.row;
    else if (p->far && chunks == 1)
        p->block = l2 / 4 / (p->chunk * STEP);
    else if (p->far)
        p->block = (l2 * 3 / 4 - p->group * slice) / (p->group * SUMS_BYTES / ROWS + p->chunk * STEP);
    p->block = limited(p->block / ROWS * ROWS, ROWS, MOST_ROWS);
    p->sums_bytes = (size_t)((chunks > 1 ? p->block / ROWS * p->group : 1) * SUMS_BYTES);
    const int64_t gathered = p->gathering == CPU_ROWS_WHOLE ? p->block * p->source.row : ROWS * p->chunk * STEP;
    p->scratch_bytes = p->sums_bytes + (size_t)cpu_round_up(gathered + CPU_PADDING, CPU_ALIGNMENT);
}

cpu_blocks tl__cpu_blocks_plan(const cpu_device *device, const cpu_conv2d_shape *s, int64_t element, int64_t widened,
                               int zero, bool amx, double least) {
    cpu_blocks p = {.shape = *s, .element = element, .amx = amx, .least = least};
    p.rows = s->images * s->out_height * s->out_width;
    p.depth = s->kernel[0] * s->kernel[1] * s->channels * element;
    p.steps = (p.depth + STEP - 1) / STEP;
    p.panels = (s->out_channels + CPU_BLOCK_WIDTH - 1) / CPU_BLOCK_WIDTH;
    p.step_bytes = STEP * CPU_BLOCK_WIDTH * widened;
    p.panel_bytes = p.steps * p.step_bytes;
    p.far = (size_t)(p.panels * p.panel_bytes) > device->l2 / 2;
    /* The space keeps rows from lying in the same sets of the cache. */
    p.source = source_of(s, element, (p.steps + 1) * STEP, zero);
    choose_sizes(&p, (int64_t)device->l2);
    p.ahead = s->height == s->out_height && s->width == s->out_width ? s->pad[0] * s->width + s->pad[1] : -1;
    for (int t = 0; t < CPU_BLOCK_STEPS; t++) {
        p.close[t] = t * STEP;
        p.apart[t] = t * ROWS * STEP;
    }
    return p;
}
