/* blocks.c: gathers rows of stored values; compiled for each instruction set. */
#include <stdbool.h>
#include <string.h>

#include "backends/cpu/kernels.h"

#define STEP CPU_BLOCK_STEP

typedef uint8_t bytes __attribute__((vector_size(STEP), aligned(1), may_alias));

/* Both write up to STEP - 1 bytes too many, over what comes next or into the space between rows; the source is readable
 * as far (CPU_PADDING). */
static inline uint8_t *copy(uint8_t *to, const uint8_t *from, int64_t count) {
    for (int64_t i = 0; i < count; i += STEP)
        *(bytes *)(to + i) = *(const bytes *)(from + i);
    return to + count;
}

static inline uint8_t *fill(uint8_t *to, uint8_t value, int64_t count) {
    for (int64_t i = 0; i < count; i += STEP)
        memset(to + i, value, STEP);
    return to + count;
}

/* One row of the kernel: taps from x0 on in a line of the source. */
static inline uint8_t *gather_line(const cpu_gather_source *s, const uint8_t *line, int64_t x0, uint8_t *to) {
    const int64_t taps = s->kernel[1], c = s->pixel;
    if (s->dilation[1] == 1) {
        int64_t begin = x0 < 0 ? -x0 : 0, end = s->width - x0 < taps ? s->width - x0 : taps;
        if (begin >= end)
            return fill(to, s->zero, taps * c);
        to = fill(to, s->zero, begin * c);
        to = copy(to, line + (x0 + begin) * c, (end - begin) * c);
        return fill(to, s->zero, (taps - end) * c);
    }
    for (int64_t j = 0; j < taps; j++) {
        const int64_t x = x0 + j * s->dilation[1];
        to = (uint64_t)x < (uint64_t)s->width ? copy(to, line + x * c, c) : fill(to, s->zero, c);
    }
    return to;
}

/* All taps are inside, and a line of them is short, as an image's own are. */
static inline uint8_t *gather_short(const cpu_gather_source *s, const uint8_t *from, uint8_t *to) {
    const int64_t line = s->dilation[0] * s->width * s->pixel, run = s->kernel[1] * s->pixel;
    for (int64_t a = 0; a < s->kernel[0]; a++, from += line, to += run)
        *(bytes *)to = *(const bytes *)from;
    return to;
}

static inline bool is_inside(int64_t start, int64_t taps, int64_t dilation, int64_t size) {
    return start >= 0 && start + (taps - 1) * dilation < size;
}

void CPU_NAME(gather_rows)(const cpu_gather_source *s, int64_t first, int64_t count, uint8_t *to) {
    int64_t x = first % s->out_width, y = first / s->out_width % s->out_height;
    int64_t n = first / s->out_width / s->out_height;
    const bool unfinished = s->kernel[0] * s->kernel[1] * s->pixel % STEP != 0;
    const bool shorts = s->dilation[1] == 1 && s->kernel[1] * s->pixel <= STEP;
    for (int64_t i = 0; i < count; i++, to += s->row) {
        const uint8_t *image = s->x + n * s->height * s->width * s->pixel;
        const int64_t y0 = y * s->stride[0] - s->pad[0], x0 = x * s->stride[1] - s->pad[1];
        const bool all = shorts && is_inside(y0, s->kernel[0], s->dilation[0], s->height) &&
                         is_inside(x0, s->kernel[1], 1, s->width);
        uint8_t *at = all ? gather_short(s, image + (y0 * s->width + x0) * s->pixel, to) : to;
        for (int64_t a = 0; !all && a < s->kernel[0]; a++) {
            const int64_t from_y = y0 + a * s->dilation[0];
            if ((uint64_t)from_y < (uint64_t)s->height)
                at = gather_line(s, image + from_y * s->width * s->pixel, x0, at);
            else
                at = fill(at, s->zero, s->kernel[1] * s->pixel);
        }
        if (unfinished) /* zeros in the weights do not make up for a NaN here */
            fill(at, s->zero, 1);
        if (++x == s->out_width) {
            x = 0;
            if (++y == s->out_height) {
                y = 0;
                n++;
            }
        }
    }
}

/* ---- steps ---- */

/* Rows that are pixels side by side in one line of y: where the first tap of the first one is, maybe outside. */
typedef struct segment {
    const uint8_t *image;
    int64_t y, x, first, count;
} segment;

static int find_segments(const cpu_gather_source *s, int64_t first, int64_t count, segment *segments) {
    int64_t x = first % s->out_width, y = first / s->out_width % s->out_height;
    int64_t n = first / s->out_width / s->out_height;
    int found = 0;
    for (int64_t i = 0; i < count; x = 0) {
        segment *to = &segments[found++];
        to->image = s->x + n * s->height * s->width * s->pixel;
        to->y = y * s->stride[0] - s->pad[0];
        to->x = x * s->stride[1] - s->pad[1];
        to->first = i;
        to->count = s->out_width - x < count - i ? s->out_width - x : count - i;
        i += to->count;
        if (++y == s->out_height) {
            y = 0;
            n++;
        }
    }
    return found;
}

static inline void fill_column(uint8_t *to, bytes value, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        *(bytes *)(to + i * STEP) = value;
}

/* One step of a segment: the pixels at a tap, `begin` .. `end` - 1 of which are inside. */
static inline void copy_column(uint8_t *to, const uint8_t *from, int64_t apart, int64_t begin, int64_t end, int64_t count,
                               bytes zero) {
    fill_column(to, zero, begin);
    for (int64_t i = begin; i < end; i++)
        *(bytes *)(to + i * STEP) = *(const bytes *)(from + i * apart);
    fill_column(to + end * STEP, zero, count - end);
}

static inline int64_t limited(int64_t value, int64_t most) {
    return value < 0 ? 0 : value < most ? value : most;
}

void CPU_NAME(gather_steps)(const cpu_gather_source *s, int64_t first, int64_t count, int64_t from, int64_t steps,
                            uint8_t *to) {
    segment segments[CPU_BLOCK_ROWS];
    bytes zero;
    memset(&zero, s->zero, sizeof zero);
    const int found = find_segments(s, first, count, segments);
    const int64_t each = s->pixel / STEP, end = from + steps, apart = s->stride[1] * s->pixel;
    for (int64_t k = from; k < end;) {
        const int64_t tap = k / each, left = (tap + 1) * each, run = (left < end ? left : end) - k;
        const int64_t dy = tap / s->kernel[1] * s->dilation[0], dx = tap % s->kernel[1] * s->dilation[1];
        for (int g = 0; g < found; g++) {
            const segment *at = &segments[g];
            const int64_t y = at->y + dy, x = at->x + dx;
            int64_t begin = limited((s->stride[1] - 1 - x) / s->stride[1], at->count);
            int64_t stop = limited((s->width - x + s->stride[1] - 1) / s->stride[1], at->count);
            if ((uint64_t)y >= (uint64_t)s->height || stop < begin)
                begin = stop = 0;
            const uint8_t *line = at->image + (y * s->width + x) * s->pixel + k % each * STEP;
            for (int64_t t = 0; t < run; t++)
                copy_column(to + (t * CPU_BLOCK_ROWS + at->first) * STEP, line + t * STEP, apart, begin, stop, at->count, zero);
        }
        to += run * CPU_BLOCK_ROWS * STEP;
        k += run;
    }
}
