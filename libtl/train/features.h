/* train/features.h: what the frozen, deterministic part of a network makes of each image, computed once. */
#ifndef TL__FEATURES_H
#define TL__FEATURES_H

#include "data/loader.h"
#include "train/runner.h"

typedef struct tl__features {
    tl_context *context;
    float *values; /* [images][count] */
    size_t images, count;
    int cut;       /* of which value */
} tl__features;

typedef void (*tl__feature_progress)(void *user, int64_t done, int64_t total);

/* Runs `runner` (images to features) over a whole data set that `loader` reads. */
tl_status tl__features_create(tl__runner *runner, tl__loader *loader, size_t images, tl__feature_progress progress, void *user, tl__features **out);
void tl__features_destroy(tl__features *features);
/* Copies the rows of the images that `order` names. */
void tl__features_gather(const tl__features *features, const uint32_t *order, int count, float *out);

#endif
