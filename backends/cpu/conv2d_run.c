/* conv2d_run.c: the walk at run time: threads take blocks of rows by panels; for each group of rows the pointers to
 * their pieces are made, and then every panel is multiplied with them. */
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

#define GROUP CPU_GEMM_GROUP
#define TILE 6 /* rows; blocks of rows begin at multiples of it */

/* Less work than this is not worth waking another thread for. */
#define MULTIPLY_ADDS_PER_THREAD (1 << 19)
#define HALVINGS 3 /* of a thread's part */

typedef struct job {
    cpu_kernel *kernel;
    const cpu_conv2d_walk *walk;
    const cpu_conv2d_operands *operands;
    const cpu_conv2d_phase *phase;
    const float *packed;
    char *scratch;
    int64_t rows, panels; /* all of the phase; panels of all groups */
    int64_t row_parts, panel_parts;
    int stream;
    bool far; /* the weights do not stay in the second cache */
} job;

void tl__cpu_conv2d_split(const cpu_device *device, double work, int64_t piece, int64_t rows, int64_t columns,
                          int64_t *row_parts, int64_t *column_parts) {
    const int64_t parts = work < device->threads ? 1 + (int64_t)work : device->threads;
    double best = 0;
    *row_parts = *column_parts = 1;
    for (int64_t c = 1; c <= parts && c <= columns; c++) {
        int64_t r = parts / c < rows ? parts / c : rows;
        /* A part pays for its products, for bringing in each panel and for preparing each tile of rows. */
        double cost = ((double)((columns + c - 1) / c) + 0.25) * ((double)((rows + r - 1) / r) + 2);
        if (c == 1 || cost < best) {
            best = cost;
            *row_parts = r;
            *column_parts = c;
        }
    }
    for (int i = 0; i < HALVINGS && parts == device->threads && parts > 1 && rows / *row_parts >= 2 * piece; i++)
        *row_parts *= 2;
}

/* Where rows first .. first + count - 1 of the phase are in the destination. */
static void locate(const job *j, int64_t first, int count, int64_t *at) {
    const cpu_conv2d_walk *walk = j->walk;
    const cpu_conv2d_phase *phase = j->phase;
    if (walk->phase_count == 1) {
        for (int i = 0; i < count; i++)
            at[i] = (first + i) * walk->to_channels;
        return;
    }
    int64_t x = first % phase->count[1], y = first / phase->count[1] % phase->count[0];
    int64_t n = first / phase->count[1] / phase->count[0];
    for (int i = 0; i < count; i++) {
        int64_t to_y = phase->first[0] + y * walk->to_step[0], to_x = phase->first[1] + x * walk->to_step[1];
        at[i] = ((n * walk->to_size[0] + to_y) * walk->to_size[1] + to_x) * walk->to_channels;
        if (++x == phase->count[1]) {
            x = 0;
            if (++y == phase->count[0]) {
                y = 0;
                n++;
            }
        }
    }
}

/* The pieces of rows first .. first + count - 1, in place or zeros. */
static void point(const job *j, int64_t first, int count, const float **rows) {
    const cpu_conv2d_walk *walk = j->walk;
    const cpu_conv2d_phase *phase = j->phase;
    const int64_t height = walk->from_size[0], width = walk->from_size[1], channels = walk->from_channels;
    const int64_t pieces_x = walk->merged > 1 ? 1 : phase->taps[1];
    int64_t x = first % phase->count[1], y = first / phase->count[1] % phase->count[0];
    int64_t n = first / phase->count[1] / phase->count[0];
    for (int i = 0; i < count; i++) {
        const float *image = j->operands->from + n * height * width * channels;
        const float **row = rows + i;
        for (int64_t a = 0; a < phase->taps[0]; a++) {
            int64_t from_y = y * walk->from_step[0] + phase->offset[0][a];
            const float *line = image + from_y * width * channels;
            bool inside = (uint64_t)from_y < (uint64_t)height;
            for (int64_t b = 0; b < pieces_x; b++, row += GROUP) {
                int64_t from_x = x * walk->from_step[1] + phase->offset[1][b];
                *row = inside && (uint64_t)from_x < (uint64_t)width ? line + from_x * channels : walk->zeros;
            }
        }
        if (++x == phase->count[1]) {
            x = 0;
            if (++y == phase->count[0]) {
                y = 0;
                n++;
            }
        }
    }
}

/* Pixels from_x .. from_x + count - 1 of a line of the source, zeros outside; `line` is NULL where all is outside. */
static void copy_padded(const float *line, int64_t width, int64_t channels, int64_t from_x, int64_t count, float *to) {
    int64_t begin = from_x < 0 ? -from_x : 0, end = width - from_x < count ? width - from_x : count;
    if (!line || begin >= end) {
        memset(to, 0, (size_t)(count * channels) * sizeof(float));
        return;
    }
    memset(to, 0, (size_t)(begin * channels) * sizeof(float));
    memcpy(to + begin * channels, line + (from_x + begin) * channels,
           (size_t)((end - begin) * channels) * sizeof(float));
    memset(to + end * channels, 0, (size_t)((count - end) * channels) * sizeof(float));
}

/* The same as point, from a copy: each run of rows in one line of the destination has a patch of the source's lines. */
static void point_patches(const job *j, int64_t first, int count, const float **rows, float *patch) {
    const cpu_conv2d_walk *walk = j->walk;
    const cpu_conv2d_phase *phase = j->phase;
    const int64_t height = walk->from_size[0], width = walk->from_size[1], channels = walk->from_channels;
    const int64_t step = walk->from_step[1];
    for (int i = 0; i < count;) {
        int64_t x = (first + i) % phase->count[1], y = (first + i) / phase->count[1] % phase->count[0];
        int64_t n = (first + i) / phase->count[1] / phase->count[0];
        int64_t run = phase->count[1] - x < count - i ? phase->count[1] - x : count - i;
        int64_t pixels = (run - 1) * step + walk->shape.kernel[1];
        for (int64_t a = 0; a < phase->taps[0]; a++, patch += pixels * channels) {
            int64_t from_y = y * walk->from_step[0] + phase->offset[0][a];
            bool inside = (uint64_t)from_y < (uint64_t)height;
            const float *line = j->operands->from + (n * height + from_y) * width * channels;
            copy_padded(inside ? line : NULL, width, channels, x * step + phase->offset[1][0], pixels, patch);
            for (int64_t r = 0; r < run; r++)
                rows[a * GROUP + i + r] = patch + r * step * channels;
        }
        i += (int)run;
    }
}

/* The same for the group after one of `before` rows, which is as long or shorter: it is then filled up. */
static void point_soon(const job *j, int64_t first, int count, int before, const float **rows) {
    const int64_t pieces = j->phase->taps[0] * j->phase->taps[1] / j->walk->merged;
    point(j, first, count, rows);
    for (int64_t t = 0; t < pieces; t++)
        for (int i = count; i < before; i++)
            rows[t * GROUP + i] = rows[t * GROUP + count - 1];
}

/* A panel in parts of k. */
static void multiply_parts(const cpu_kernels *kernels, cpu_gemm_panel *panel, int64_t part) {
    const int64_t width = cpu_round_up(panel->columns, kernels->lanes), taps = panel->taps, depth = panel->depth;
    const int64_t offset = panel->offset, soon_end = panel->soon_end;
    /* Whole taps, or pieces of the only one. */
    const int64_t step = taps > 1 ? (part > depth ? part / depth : 1) : part, all = taps > 1 ? taps : depth;
    const int64_t each = width * (taps > 1 ? depth : 1); /* floats of b for a step */
    const float *next = panel->b_soon;
    const int64_t next_bytes = panel->b_soon_bytes;
    for (int64_t at = 0; at < all; at += step) {
        const int64_t now = all - at < step ? all - at : step;
        panel->resume = at > 0;
        panel->suspend = at + now < all;
        panel->taps = taps > 1 ? now : 1;
        panel->depth = taps > 1 ? depth : now;
        if (next_bytes > 0) { /* the next part, or the first one of the next panel */
            const int64_t left = (all - at - now) * each * (int64_t)sizeof(float), most = step * each * (int64_t)sizeof(float);
            panel->b_soon = left > 0 ? panel->b + now * each : next;
            panel->b_soon_bytes = left > 0 ? left : next_bytes;
            if (panel->b_soon_bytes > most)
                panel->b_soon_bytes = most;
        }
        kernels->gemm_panel(panel);
        if (taps > 1)
            panel->rows += now * GROUP;
        else
            panel->offset += now;
        panel->b += now * each;
        panel->soon_end = 0; /* is on its way */
        panel->ahead = 0;
    }
    panel->taps = taps;
    panel->depth = depth;
    panel->offset = offset;
    panel->soon_end = soon_end;
    panel->resume = panel->suspend = 0;
}

/* Panel p's weights and how many bytes they are. */
static const float *panel_weights(const job *j, int64_t p, int64_t *bytes) {
    const cpu_conv2d_walk *walk = j->walk;
    const int64_t k = j->phase->taps[0] * j->phase->taps[1] * walk->depth, column = p % walk->panels * walk->width;
    *bytes = (walk->padded - column < walk->width ? walk->padded - column : walk->width) * k * (int64_t)sizeof(float);
    return j->packed + j->phase->weights + (p / walk->panels * walk->padded + column) * k;
}

/* One group of rows times panels p .. end - 1. */
static void multiply(const job *j, const float *const *rows, const int64_t *at, int count, const float *const *soon,
                     float *sums, int64_t p, int64_t end) {
    const cpu_conv2d_walk *walk = j->walk;
    const cpu_conv2d_phase *phase = j->phase;
    const cpu_conv2d_operands *o = j->operands;
    const cpu_kernels *kernels = j->kernel->device->kernels;
    const int64_t taps = phase->taps[0] * phase->taps[1];
    cpu_gemm_panel panel = {
        .rows = rows,
        .zeros = walk->zeros,
        .taps = taps / walk->merged,
        .depth = walk->pieces_depth,
        .at = at,
        .count = count,
        .relu = o->relu,
        .stream = j->stream,
        .sums = sums,
        /* What the piece nearest to the end of the image reads has not been read before. */
        .soon = soon && taps > 0 ? soon + (walk->transposed ? 0 : (taps / walk->merged - 1) * GROUP) : rows,
    };
    const int64_t first = p, each = soon && taps > 0 ? (walk->pieces_depth + end - p - 1) / (end - p) : 0;
    for (; p < end; p++) {
        int64_t bytes;
        int64_t group = p / walk->panels, column = p % walk->panels * walk->width;
        int64_t to = group * walk->columns + column;
        panel.columns = (int)(walk->columns - column < walk->width ? walk->columns - column : walk->width);
        panel.offset = walk->spread ? column : group * walk->depth;
        panel.b = panel_weights(j, p, &bytes);
        panel.y = o->to + to;
        panel.bias = o->bias ? o->bias + to : NULL;
        panel.residual = o->residual ? o->residual + to : NULL;
        panel.mask = o->mask ? o->mask + to : NULL;
        panel.soon_first = (p - first) * each;
        panel.soon_end = panel.soon_first + each;
        panel.ahead = p + 1 < end ? walk->width : count * walk->to_channels - (end - first - 1) * walk->width;
        panel.rows = rows;
        if (j->far)
            panel.b_soon = panel_weights(j, p + 1 < end ? p + 1 : first, &panel.b_soon_bytes);
        if (walk->spread)
            kernels->gemm_spread(&panel);
        else if (walk->part < panel.taps * panel.depth)
            multiply_parts(kernels, &panel, walk->part);
        else
            kernels->gemm_panel(&panel);
    }
}

/* Items are parts: (row part, panel part). */
static void body(void *user, int64_t first_part, int64_t last_part, int thread) {
    const job *j = user;
    const cpu_conv2d_walk *walk = j->walk;
    char *scratch = j->scratch + (size_t)thread * walk->scratch_bytes;
    const int64_t pieces = walk->shape.kernel[0] * walk->shape.kernel[1] / walk->merged;
    const float **buffer = (const float **)scratch, **rows = buffer;
    int64_t *at = (int64_t *)(scratch + 2 * (size_t)(GROUP * pieces) * sizeof(float *));
    float *patch = (float *)(scratch + cpu_round_up(GROUP * (2 * pieces * (int64_t)sizeof(float *) +
                                                             (int64_t)sizeof(int64_t)), CPU_ALIGNMENT));
    float *sums = patch + walk->patch;
    const int64_t tiles = (j->rows + TILE - 1) / TILE;
    for (int64_t part = first_part; part < last_part; part++) {
        int64_t r = part / j->panel_parts, c = part % j->panel_parts;
        int64_t row = tiles * r / j->row_parts * TILE, end = tiles * (r + 1) / j->row_parts * TILE;
        if (end > j->rows)
            end = j->rows;
        int64_t left = (end - row + GROUP - 1) / GROUP;
        const int64_t panel = j->panels * c / j->panel_parts, panel_end = j->panels * (c + 1) / j->panel_parts;
        if (left > 0 && !walk->patches)
            point(j, row, (int)((end - row + left - 1) / left), rows);
        for (; left > 0; left--) {
            int count = (int)((end - row + left - 1) / left);
            locate(j, row, count, at);
            const float **soon = NULL;
            if (walk->patches)
                point_patches(j, row, count, rows, patch);
            else if (left > 1) {
                soon = rows == buffer ? buffer + GROUP * pieces : buffer;
                point_soon(j, row + count, (int)((end - row - count + left - 2) / (left - 1)), count, soon);
            }
            multiply(j, rows, at, count, soon, sums, panel, panel_end);
            row += count;
            if (soon)
                rows = soon;
        }
    }
}

static void run_phase(job *j) {
    const cpu_conv2d_walk *walk = j->walk;
    const cpu_conv2d_phase *phase = j->phase;
    const cpu_device *device = j->kernel->device;
    int64_t taps = phase->taps[0] * phase->taps[1];
    if (taps == 0 && j->operands->to == j->operands->residual && !j->operands->mask)
        return; /* nothing is added to what is there */
    j->rows = walk->shape.images * phase->count[0] * phase->count[1];
    j->panels = walk->groups * walk->panels;
    double work = (double)j->rows * (double)(taps * walk->depth + 1) * (double)walk->to_channels;
    tl__cpu_conv2d_split(device, work / MULTIPLY_ADDS_PER_THREAD, GROUP / TILE, (j->rows + TILE - 1) / TILE, j->panels,
                         &j->row_parts, &j->panel_parts);
    tl__cpu_parallel(device, j->row_parts * j->panel_parts, 1, body, j);
}

void tl__cpu_conv2d_walk_run(cpu_kernel *kernel, const cpu_conv2d_operands *operands) {
    const cpu_conv2d_walk *walk = kernel->data;
    const cpu_device *device = kernel->device;
    job j = {.kernel = kernel, .walk = walk, .operands = operands, .packed = walk->packed};
    j.scratch = kernel->workspace;
    if (!walk->packed) {
        tl__cpu_conv2d_pack(device, walk, operands->weights, kernel->workspace);
        j.packed = kernel->workspace;
        j.scratch += cpu_round_up((int64_t)walk->packed_bytes, CPU_ALIGNMENT);
    }
    int64_t elements = walk->shape.images * walk->to_size[0] * walk->to_size[1] * walk->to_channels;
    j.stream = cpu_streams(device, (uint64_t)elements * sizeof(float)) && operands->to != operands->residual &&
               walk->to_channels % device->kernels->lanes == 0 && walk->columns % device->kernels->lanes == 0;
    j.far = walk->packed_bytes / (size_t)walk->phase_count > device->l2 / 2;
    for (int i = 0; i < walk->phase_count; i++) {
        j.phase = &walk->phases[i];
        run_phase(&j);
    }
}
