/* train/evaluate.h: judging a model on images or features. */
#ifndef TL__EVALUATE_H
#define TL__EVALUATE_H

#include <tl/train.h>

#include "train/features.h"
#include "train/score.h"

/* Masks are for segmenters, and segmenters for masks. TL_ERROR_DATA. */
tl_status tl__data_fits(const tl_model *model, const tl_dataset *dataset);

tl_status tl__extent_check(tl_context *context, tl_extent extent);

/* The labels beside tl__features_gather: of images order[0 .. count - 1], or `first` and those after it. The data set's, one an
 * image, or where there are `targets` their `each` bytes an image. */
void tl__labels_gather(const tl_dataset *dataset, const uint8_t *targets, size_t each, const uint32_t *order, size_t first, int count,
                       int32_t *labels);

/* Over all images that `loader` reads with the runner's whole network, or over one set of features with the
 * runner's rest and the data set's labels, or `targets`, a byte for each pixel. */
tl_status tl__evaluate_images(tl__runner *runner, tl__loader *loader, size_t images, tl__feature_progress progress, void *user, tl__tally *tally);
tl_status tl__evaluate_features(tl__runner *runner, const tl__features *features, int set, const tl_dataset *dataset, const uint8_t *targets, tl__tally *tally);

#endif
