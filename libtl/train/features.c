#include "train/features.h"

#include <string.h>

static tl_status compute(tl__features *features, tl__runner *runner, tl__loader *loader, tl__feature_progress progress, void *user) {
    TL__TRY(tl__loader_start(loader, NULL, features->images));
    for (size_t done = 0; done < features->images;) {
        const uint8_t *rgb;
        int count;
        TL__TRY(tl__loader_next(loader, &rgb, NULL, NULL, &count));
        TL__TRY(tl__runner_run(runner, rgb, count, features->values + done * features->count));
        done += (size_t)count;
        progress(user, (int64_t)done, (int64_t)features->images);
        if (tl__cancelled(features->context))
            return tl__fail(features->context, TL_CANCELLED, "cancelled while computing features: %zu of %zu images", done, features->images);
    }
    return TL_OK;
}

tl_status tl__features_create(tl__runner *runner, tl__loader *loader, size_t images, tl__feature_progress progress, void *user, tl__features **out) {
    tl_context *context = runner->engine->model->context;
    tl__features *features = tl__calloc(context, 1, sizeof *features);
    if (!features)
        return TL_ERROR_MEMORY;
    *features = (tl__features){.context = context, .images = images, .count = runner->output_count, .cut = runner->cut};
    features->values = tl__alloc(context, images * features->count * sizeof(float));
    tl_status status = features->values ? compute(features, runner, loader, progress, user) : TL_ERROR_MEMORY;
    if (status != TL_OK) {
        tl__features_destroy(features);
        return status;
    }
    *out = features;
    return TL_OK;
}

void tl__features_destroy(tl__features *features) {
    if (!features)
        return;
    tl__free(features->context, features->values);
    tl__free(features->context, features);
}

void tl__features_gather(const tl__features *features, const uint32_t *order, int count, float *out) {
    for (int i = 0; i < count; i++)
        memcpy(out + (size_t)i * features->count, features->values + order[i] * features->count, features->count * sizeof *out);
}
