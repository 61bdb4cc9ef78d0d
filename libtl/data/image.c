#include <string.h>

#include "data/dataset.h"
#include "data/reader.h"

static const tl_preprocess imagenet = {
    .size = sizeof(tl_preprocess),
    .resize = 256,
    .crop = 224,
    .alpha = TL_ALPHA_DROP,
    .mean = {0.485f, 0.456f, 0.406f},
    .std = {0.229f, 0.224f, 0.225f},
    .decode = TL_DECODE_EXACT,
};

void tl_preprocess_init(tl_preprocess *preprocess, size_t size) {
    memset(preprocess, 0, size);
    memcpy(preprocess, &imagenet, size < sizeof imagenet ? size : sizeof imagenet);
    preprocess->size = size;
}

tl_status tl__preprocess_take(tl_context *context, const tl_preprocess *preprocess, tl_preprocess *out) {
    if (!preprocess || !preprocess->size)
        return tl__fail(context, TL_ERROR_ARGUMENT, "the preprocessing is not initialised");
    tl_preprocess p = imagenet;
    memcpy(&p, preprocess, preprocess->size < sizeof p ? preprocess->size : sizeof p);
    p.size = sizeof p;
    if (p.resize < 0 || p.resize > 16384)
        return tl__fail(context, TL_ERROR_ARGUMENT, "resize is %d and must be 0 to 16384", p.resize);
    if (p.crop < 1 || p.crop > 16384)
        return tl__fail(context, TL_ERROR_ARGUMENT, "crop is %d and must be 1 to 16384", p.crop);
    if (p.alpha != TL_ALPHA_DROP && p.alpha != TL_ALPHA_WHITE && p.alpha != TL_ALPHA_BLACK)
        return tl__fail(context, TL_ERROR_ARGUMENT, "alpha is %d, which is none of drop, white and black",
                        (int)p.alpha);
    if (p.decode != TL_DECODE_EXACT && p.decode != TL_DECODE_FAST)
        return tl__fail(context, TL_ERROR_ARGUMENT, "decode is %d, which is neither exact nor fast", (int)p.decode);
    for (int c = 0; c < 3; c++)
        if (!(p.std[c] > 0.0f) || p.std[c] > 3e38f || !(p.mean[c] > -3e38f && p.mean[c] < 3e38f))
            return tl__fail(context, TL_ERROR_ARGUMENT,
                            "mean %g and std %g of channel %d: both must be finite and std positive", (double)p.mean[c],
                            (double)p.std[c], c);
    *out = p;
    return TL_OK;
}

tl_status tl_image_load(tl_context *context, const char *path, const tl_preprocess *preprocess, uint8_t *rgb) {
    if (!path || !rgb)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_image_load needs a path and room for the pixels");
    tl__reader *reader;
    TL__TRY(tl__reader_create(context, preprocess, &reader));
    tl_status status = tl__reader_load(reader, path, rgb);
    if (status == TL_OK && reader->notice[0])
        tl__log(context, TL_LOG_WARNING, "%s", reader->notice);
    tl__reader_destroy(reader);
    return status;
}

tl_status tl__reader_picture(tl__reader *reader, const char *path, tl_picture *out) {
    tl__resampler *resampler = &reader->resampler;
    resampler->crop = 0;
    TL__TRY(tl__reader_load(reader, path, NULL));
    tl_picture made = {.size = sizeof made, .width = resampler->x.out, .height = resampler->y.out,
                       .file_width = reader->width, .file_height = reader->height};
    made.rgb = tl__alloc(reader->context, (size_t)made.width * (size_t)made.height * 3);
    if (!made.rgb)
        return tl__fail_at(reader->context, TL_ERROR_MEMORY, "%s", path);
    tl__resampler_finish(resampler, made.rgb);
    const size_t size = out->size;
    memcpy(out, &made, size < sizeof made ? size : sizeof made);
    out->size = size;
    return TL_OK;
}

tl_status tl_picture_load(tl_context *context, const char *path, const tl_preprocess *preprocess, tl_picture *picture) {
    if (!path || !picture || !picture->size)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_picture_load needs a path and a picture whose size is set");
    tl__reader *reader;
    TL__TRY(tl__reader_create(context, preprocess, &reader));
    tl_status status = tl__reader_picture(reader, path, picture);
    if (status == TL_OK && reader->notice[0])
        tl__log(context, TL_LOG_WARNING, "%s", reader->notice);
    tl__reader_destroy(reader);
    return status;
}

void tl_picture_release(tl_context *context, tl_picture *picture) {
    tl__free(context, picture->rgb);
    picture->rgb = NULL;
}

static tl_status find_largest(tl__reader *reader, const tl_dataset *dataset, size_t *index, int *height, int *width) {
    int64_t most = 0;
    for (size_t i = 0; i < dataset->count; i++) {
        TL__TRY(tl__reader_look(reader, dataset->images[i].path));
        if (i % 64 == 0 && tl__cancelled(reader->context))
            return tl__fail(reader->context, TL_CANCELLED, "cancelled while reading the headers of images");
        const int64_t rows = reader->resampler.y.size_out, columns = reader->resampler.x.size_out;
        if (rows * columns > most) {
            most = rows * columns;
            *index = i;
            *height = (int)rows;
            *width = (int)columns;
        }
    }
    return TL_OK;
}

tl_status tl__dataset_largest(tl_context *context, const tl_dataset *dataset, const tl_preprocess *preprocess,
                              size_t *index, int *height, int *width) {
    tl__reader *reader;
    *index = 0;
    *height = *width = 1;
    TL__TRY(tl__reader_create(context, preprocess, &reader));
    tl_status status = find_largest(reader, dataset, index, height, width);
    tl__reader_destroy(reader);
    return status;
}

void tl_image_normalize(const tl_preprocess *preprocess, const uint8_t *rgb, size_t pixels, float *out) {
    float table[256][3];
    for (int i = 0; i < 256; i++)
        for (int c = 0; c < 3; c++) {
            float scaled = (float)i / 255.0f, centred = scaled - preprocess->mean[c];
            table[i][c] = centred / preprocess->std[c];
        }
    for (size_t i = 0; i < pixels; i++, rgb += 3, out += 3) {
        out[0] = table[rgb[0]][0];
        out[1] = table[rgb[1]][1];
        out[2] = table[rgb[2]][2];
    }
}
