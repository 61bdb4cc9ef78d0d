#include <math.h>
#include <string.h>

#include <tl/segment.h>

#include "core/core.h"
#include "formats/npy.h"

/* Between which two of `in` values the one numbered `index` of `out` lies, and how far from the first. */
static float between(int in, int out, int index, int *low, int *high) {
    double at = ((double)index + 0.5) * in / out - 0.5;
    at = at > 0 ? at : 0;
    *low = (int)at < in - 1 ? (int)at : in - 1;
    *high = *low < in - 1 ? *low + 1 : *low;
    return (float)(at - *low);
}

typedef struct logits {
    const float *values;
    int height, width, classes, out_height, out_width;
} logits;

/* Class by class at an output pixel. */
static void interpolate(const logits *l, int y, int x, float *out) {
    int top, bottom, left, right;
    const float down = between(l->height, l->out_height, y, &top, &bottom), across = between(l->width, l->out_width, x, &left, &right);
    const size_t line = (size_t)l->width * (size_t)l->classes, step = (size_t)l->classes;
    const float *a = l->values + (size_t)top * line, *b = l->values + (size_t)bottom * line;
    for (int c = 0; c < l->classes; c++) {
        float upper = a[(size_t)left * step + c] * (1 - across) + a[(size_t)right * step + c] * across;
        float lower = b[(size_t)left * step + c] * (1 - across) + b[(size_t)right * step + c] * across;
        out[c] = upper * (1 - down) + lower * down;
    }
}

void tl_logits_label(const float *values, int height, int width, int classes, int out_height, int out_width, uint8_t *labels) {
    const logits l = {values, height, width, classes, out_height, out_width};
    float at[256];
    for (int y = 0; y < out_height; y++)
        for (int x = 0; x < out_width; x++) {
            int best = 0;
            interpolate(&l, y, x, at);
            for (int c = 1; c < classes; c++)
                if (at[c] > at[best])
                    best = c;
            *labels++ = (uint8_t)best;
        }
}

void tl_logits_probabilities(const float *values, int height, int width, int classes, int out_height, int out_width, float *out) {
    const logits l = {values, height, width, classes, out_height, out_width};
    const size_t pixels = (size_t)out_height * (size_t)out_width;
    float at[256];
    for (int y = 0; y < out_height; y++)
        for (int x = 0; x < out_width; x++, out++) {
            interpolate(&l, y, x, at);
            tl_softmax(at, 1, (size_t)classes);
            for (int c = 0; c < classes; c++)
                out[(size_t)c * pixels] = at[c];
        }
}

static tl_status write_values(tl__writer *writer, const float *values, int64_t count) {
    float part[4096];
    for (int64_t done = 0; done < count;) {
        int64_t now = count - done < (int64_t)TL__COUNT(part) ? count - done : (int64_t)TL__COUNT(part);
        memcpy(part, values + done, (size_t)now * sizeof *part);
        tl__npy_order(part, now);
        TL__TRY(tl__writer_write(writer, part, (size_t)now * sizeof *part));
        done += now;
    }
    return TL_OK;
}

tl_status tl_array_save(tl_context *context, const char *path, int rank, const int64_t *shape, const float *values) {
    tl__writer writer;
    int64_t count = 1;
    bool fits = rank >= 1 && rank <= 4;
    for (int i = 0; fits && i < rank; i++)
        fits = shape[i] >= 0 && tl__multiply(count, shape[i], &count);
    if (!fits)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: an array of such a shape cannot be written", path);
    TL__TRY(tl__writer_open(context, path, &writer));
    tl_status status = tl__npy_begin(&writer, "<f4", rank, shape);
    if (status == TL_OK)
        status = write_values(&writer, values, count);
    if (status == TL_OK)
        return tl__writer_commit(&writer);
    tl__writer_abandon(&writer);
    return status;
}

void tl_class_colour(int index, uint8_t rgb[3]) {
    memset(rgb, 0, 3);
    for (int bit = 7; bit >= 0; bit--, index >>= 3)
        for (int c = 0; c < 3; c++)
            rgb[c] |= (uint8_t)((index >> c & 1) << bit);
}
