/* train/evaluate.h: judging a model on images or features. */
#ifndef TL__EVALUATE_H
#define TL__EVALUATE_H

#include <tl/train.h>

#include "train/features.h"
#include "train/score.h"

/* Over all images that `loader` reads with the runner's whole network, or over one set of features with the
 * runner's rest and the data set's labels. */
tl_status tl__evaluate_images(tl__runner *runner, tl__loader *loader, size_t images, tl__feature_progress progress, void *user, tl__tally *tally);
tl_status tl__evaluate_features(tl__runner *runner, const tl__features *features, int set, const tl_dataset *dataset, tl__tally *tally);

#endif
