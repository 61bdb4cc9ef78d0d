#include "data/mask.h"

#include <string.h>

#include "data/dataset.h"
#include "data/reader.h"

/* ---- from pixels to labels ---- */

static tl_status index_row(tl_context *context, const tl__mask_rule *rule, const char *name, int y, const uint8_t *pixels,
                           int count, uint8_t *labels) {
    for (int x = 0; x < count; x++) {
        int number = pixels[x];
        if (number == rule->ignore)
            labels[x] = TL_IGNORED;
        else if ((size_t)number < rule->classes)
            labels[x] = (uint8_t)number;
        else
            return tl__fail(context, TL_ERROR_DATA, "%s: pixel %d, %d is %d, and there are %zu classes from 0 on", name, x, y,
                            number, rule->classes);
    }
    return TL_OK;
}

/* The label of a colour; -1: of none. */
static int label_of(const tl__mask_rule *rule, const uint8_t *rgb) {
    for (size_t i = 0; i < rule->classes; i++)
        if (memcmp(rule->colours[i], rgb, 3) == 0)
            return (int)i;
    return rule->has_ignore_colour && memcmp(rule->ignore_colour, rgb, 3) == 0 ? TL_IGNORED : -1;
}

static tl_status colour_row(tl_context *context, const tl__mask_rule *rule, const char *name, int y, const uint8_t *pixels,
                            int channels, int count, uint8_t *labels) {
    const uint8_t *last = NULL; /* neighbours are mostly of one colour */
    int label = -1;
    for (int x = 0; x < count; x++, pixels += channels) {
        if (channels == 4 && pixels[3] != 255)
            return tl__fail(context, TL_ERROR_DATA, "%s: pixel %d, %d is partly transparent, which is no class's colour", name,
                            x, y);
        if (!last || memcmp(last, pixels, 3) != 0)
            label = label_of(rule, pixels);
        if (label < 0)
            return tl__fail(context, TL_ERROR_DATA, "%s: pixel %d, %d is #%02x%02x%02x, which is no class's colour", name, x, y,
                            pixels[0], pixels[1], pixels[2]);
        last = pixels;
        labels[x] = (uint8_t)label;
    }
    return TL_OK;
}

tl_status tl__mask_row(tl_context *context, const tl__mask_rule *rule, const char *name, int y, const uint8_t *pixels,
                       int channels, int count, uint8_t *labels) {
    switch (rule->kind) {
    case TL_MASKS_INDEX: return index_row(context, rule, name, y, pixels, count, labels);
    case TL_MASKS_COLOUR: return colour_row(context, rule, name, y, pixels, channels, count, labels);
    case TL_MASKS_ALPHA: break;
    }
    for (int x = 0; x < count; x++)
        labels[x] = pixels[x * channels + channels - 1] >= 128;
    return TL_OK;
}

/* ---- from the image's size to the network's ---- */

/* Which of `extent` pixels each output shows, as Pillow's nearest finds it: by adding up steps. */
static void nearest(const tl__axis *axis, int extent, uint32_t *from) {
    double step = (double)extent / (double)axis->size_out, at = step * 0.5;
    for (int64_t i = 0; i < axis->shown + axis->out; i++, at += step) {
        int64_t place = (int64_t)at;
        if (i >= axis->shown)
            from[i - axis->shown] = (uint32_t)(axis->origin + (place < extent ? place : extent - 1));
    }
}

static tl_status check_sizes(const tl__reader *reader, const char *image, const char *mask) {
    if (reader->mask_width != reader->width || reader->mask_height != reader->height)
        return tl__fail(reader->context, TL_ERROR_DATA, "%s: %d x %d pixels, and its image %s has %d x %d", mask,
                        reader->mask_width, reader->mask_height, image, reader->width, reader->height);
    return TL_OK;
}

tl_status tl__mask_show(tl__reader *reader, const char *image, const char *mask, uint8_t *labels) {
    const tl__resampler *r = &reader->resampler;
    const tl__axis *x = &r->x, *y = &r->y;
    TL__TRY(check_sizes(reader, image, mask));
    uint32_t *columns = tl__alloc(reader->context, ((size_t)x->out + (size_t)y->out) * sizeof *columns);
    if (!columns)
        return TL_ERROR_MEMORY;
    uint32_t *rows = columns + x->out;
    nearest(x, r->box[2] ? r->box[2] : reader->width, columns);
    nearest(y, r->box[2] ? r->box[3] : reader->height, rows);
    size_t crop = (size_t)r->crop;
    memset(labels, TL_IGNORED, crop * crop);
    for (int i = 0; i < y->out; i++) {
        const uint8_t *from = reader->mask + (size_t)rows[i] * (size_t)reader->width;
        uint8_t *to = labels + (size_t)(y->pad + i) * crop + (size_t)x->pad;
        for (int k = 0; k < x->out; k++)
            to[k] = from[columns[k]];
    }
    tl__free(reader->context, columns);
    return TL_OK;
}

/* ---- whole ---- */

tl_status tl__whole_image_load(tl__reader *reader, const char *image, const char *mask, const tl__mask_rule *rule,
                               tl__whole_image *out) {
    tl__whole_image made = {.picture.size = sizeof made.picture};
    reader->resampler.crop = 0;
    TL__TRY(tl__reader_mask(reader, mask, rule));
    TL__TRY(tl__reader_look(reader, image)); /* before it is decoded */
    TL__TRY(check_sizes(reader, image, mask));
    TL__TRY(tl__reader_picture(reader, image, &made.picture));
    made.labels = reader->mask;
    reader->mask = NULL;
    reader->mask_capacity = 0;
    *out = made;
    return TL_OK;
}

void tl__whole_image_free(tl_context *context, tl__whole_image *image) {
    tl_picture_release(context, &image->picture);
    tl__free(context, image->labels);
    image->labels = NULL;
}

/* ---- for callers outside ---- */

/* As much of it as the caller's version of the structure has. */
static void give(tl_mask *out, const tl_mask *made) {
    const size_t size = out->size;
    memcpy(out, made, size < sizeof *made ? size : sizeof *made);
    out->size = size;
}

static tl_status check(tl_context *context, const tl_dataset *dataset, size_t index) {
    if (!dataset || !dataset->names->masks)
        return tl__fail(context, TL_ERROR_ARGUMENT, "the data set has no masks");
    if (index >= dataset->count)
        return tl__fail(context, TL_ERROR_ARGUMENT, "image %zu of a data set of %zu", index, dataset->count);
    return TL_OK;
}

static tl_status plain_reader(tl_context *context, tl__reader **out) {
    tl_preprocess preprocess;
    tl_preprocess_init(&preprocess, sizeof preprocess);
    return tl__reader_create(context, &preprocess, out);
}

tl_status tl_mask_load(tl_context *context, const tl_dataset *dataset, size_t index, tl_mask *mask) {
    if (!mask || !mask->size)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_mask_load needs a mask whose size is set");
    TL__TRY(check(context, dataset, index));
    tl__reader *reader;
    TL__TRY(plain_reader(context, &reader));
    tl_status status = tl__reader_mask(reader, dataset->images[index].mask, dataset->names->masks);
    if (status == TL_OK) {
        give(mask, &(tl_mask){sizeof *mask, reader->mask_width, reader->mask_height, reader->mask});
        reader->mask = NULL;
    }
    tl__reader_destroy(reader);
    return status;
}

void tl_mask_release(tl_context *context, tl_mask *mask) {
    tl__free(context, mask->labels);
    mask->labels = NULL;
}

tl_status tl_masked_load(tl_context *context, const tl_dataset *dataset, size_t index, const tl_preprocess *preprocess,
                         uint8_t *rgb, uint8_t *labels) {
    if (!rgb || !labels)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_masked_load needs room for pixels and labels");
    TL__TRY(check(context, dataset, index));
    tl__reader *reader;
    TL__TRY(tl__reader_create(context, preprocess, &reader));
    const tl__image_entry *entry = &dataset->images[index];
    tl_status status = tl__reader_mask(reader, entry->mask, dataset->names->masks);
    if (status == TL_OK)
        status = tl__reader_load(reader, entry->path, NULL);
    if (status == TL_OK)
        status = tl__mask_show(reader, entry->path, entry->mask, labels);
    if (status == TL_OK)
        tl__resampler_finish(&reader->resampler, rgb);
    if (status == TL_OK && reader->notice[0])
        tl__log(context, TL_LOG_WARNING, "%s", reader->notice);
    tl__reader_destroy(reader);
    return status;
}
