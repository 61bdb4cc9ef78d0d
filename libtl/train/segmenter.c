#include <string.h>

#include <tl/segment.h>

#include "train/whole.h"

struct tl_segmenter {
    tl_context *context;
    tl__engine *engine;
    tl__whole *whole;
    int batch;
};

tl_status tl_segmenter_create(tl_model *model, tl_device *device, const tl_segmenter_options *options,
                              tl_segmenter **out) {
    tl_context *context = model->context;
    tl_segmenter_options o = {0};
    if (options)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    if (!tl__model_segments(model))
        return tl__fail(context, TL_ERROR_ARGUMENT, "the network's head tells images apart, not pixels");
    if (o.batch < 0 || o.batch > 65536)
        return tl__fail(context, TL_ERROR_ARGUMENT, "batch = %d is not 1 to 65536", o.batch);
    tl_segmenter *s = tl__calloc(context, 1, sizeof *s);
    if (!s)
        return TL_ERROR_MEMORY;
    s->context = context;
    s->batch = o.batch ? o.batch : 8;
    tl_status status = tl__engine_create(model, device, &s->engine);
    if (status == TL_OK) {
        tl__whole_options whole = {
            .engine = s->engine, .batch = tl__engine_chunk(s->engine, s->batch), .tile = o.tile, .overlap = o.overlap};
        status = tl__whole_create(&whole, &s->whole);
    }
    if (status != TL_OK) {
        tl_segmenter_destroy(s);
        return status;
    }
    *out = s;
    return TL_OK;
}

void tl_segmenter_destroy(tl_segmenter *segmenter) {
    if (!segmenter)
        return;
    tl__whole_destroy(segmenter->whole);
    tl__engine_destroy(segmenter->engine);
    tl__free(segmenter->context, segmenter);
}

typedef struct results {
    const tl_picture *const *pictures;
    uint8_t *const *labels;
    float *const *probabilities;
} results;

static void take(void *user, int image, const tl__patch *patch) {
    const results *r = user;
    tl__patch p = *patch;
    p.out_height = r->pictures[image]->file_height;
    p.out_width = r->pictures[image]->file_width;
    if (r->labels && r->labels[image])
        tl__patch_label(&p, r->labels[image]);
    if (r->probabilities && r->probabilities[image])
        tl__patch_probabilities(&p, r->probabilities[image]);
}

static tl_status run(tl_segmenter *s, const uint8_t **rgb, int count, const results *r) {
    for (int i = 0; i < count; i++)
        rgb[i] = r->pictures[i]->rgb;
    TL__TRY(tl__whole_begin(s->whole, count, r->pictures[0]->height, r->pictures[0]->width));
    return tl__whole_run(s->whole, rgb, take, (void *)r);
}

tl_status tl_segmenter_run(tl_segmenter *segmenter, const tl_picture *const *pictures, int count,
                           uint8_t *const *labels, float *const *probabilities) {
    tl_context *context = segmenter->context;
    if (count < 1 || count > segmenter->batch)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%d images where the segmenter takes 1 to %d", count,
                        segmenter->batch);
    for (int i = 0; i < count; i++)
        if (!pictures[i]->rgb || pictures[i]->height < 1 || pictures[i]->height != pictures[0]->height ||
            pictures[i]->width < 1 || pictures[i]->width != pictures[0]->width || pictures[i]->file_height < 1 ||
            pictures[i]->file_width < 1)
            return tl__fail(context, TL_ERROR_ARGUMENT, "image %d of %d is empty, or of another size than the first",
                            i + 1, count);
    const results r = {pictures, labels, probabilities};
    const uint8_t **rgb = tl__alloc(context, (size_t)count * sizeof *rgb);
    tl_status status = rgb ? run(segmenter, rgb, count, &r) : TL_ERROR_MEMORY;
    tl__free(context, rgb);
    return status;
}
