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
