/* train/evaluate.h: judging a model on images or features. */
#ifndef TL__EVALUATE_H
#define TL__EVALUATE_H

#include <tl/train.h>

#include "train/features.h"

/* Sums of what a score is made of, in double, sample by sample. */
typedef struct tl__tally {
    double loss;
    int64_t right, images;
    int64_t *confusion; /* [classes][classes] or NULL */
    int classes;
} tl__tally;
void tl__tally_add(tl__tally *tally, const float *logits, const int32_t *labels, int count);
tl_score tl__tally_score(const tl__tally *tally);

/* Over all images that `loader` reads with the runner's whole network, or over one set of features with the
 * runner's rest and the data set's labels. `batch` is the loader's. */
tl_status tl__evaluate_images(tl__runner *runner, tl__loader *loader, size_t images, int batch, tl__feature_progress progress, void *user, tl__tally *tally);
tl_status tl__evaluate_features(tl__runner *runner, const tl__features *features, int set, const tl_dataset *dataset, tl__tally *tally);

#endif
