#include <string.h>

#include "core/core.h"
#include "formats/npy.h"
#include "train/patch.h"

static tl__patch whole(const float *values, int height, int width, int classes, int out_height, int out_width) {
    return (tl__patch){.logits = values,
                       .height = height,
                       .width = width,
                       .core = {0, 0, height, width},
                       .whole_height = height,
                       .whole_width = width,
                       .classes = classes,
                       .out_height = out_height,
                       .out_width = out_width};
}

void tl_logits_label(const float *values, int height, int width, int classes, int out_height, int out_width, uint8_t *labels) {
    const tl__patch patch = whole(values, height, width, classes, out_height, out_width);
    tl__patch_label(&patch, labels);
}

void tl_logits_probabilities(const float *values, int height, int width, int classes, int out_height, int out_width, float *out) {
    const tl__patch patch = whole(values, height, width, classes, out_height, out_width);
    tl__patch_probabilities(&patch, out);
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
