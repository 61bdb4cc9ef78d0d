/* train/feature_key.h: all that a network's values at a cut depend on beside the image, in words. */
#ifndef TL__FEATURE_KEY_H
#define TL__FEATURE_KEY_H

#include "train/runner.h"

typedef struct tl__feature_key {
    char *name;   /* the values': "avgpool" */
    char *about;  /* several lines, each named: build, device, network, weights, preprocessing, precision, the value */
    char *stem;   /* "resnet50-avgpool" */
    size_t count; /* floats of the values, for one image */
} tl__feature_key;

/* With `words` false, about and stem stay NULL, and no weight is read. `draw` and `cut` as for tl__runner_create.
 * To be released. TL_ERROR_MEMORY, TL_ERROR_IO and what drawing gives. */
tl_status tl__feature_key_create(tl__engine *engine, const tl__draw_options *draw, const tl__cut *cut, bool words,
                                 tl__feature_key *key);
void tl__feature_key_release(tl_context *context, tl__feature_key *key);

/* The key of an image's features: of its file's contents and, where several are made of one image, which of them (0: the
 * one that nothing is changed in). */
tl__hash tl__feature_image_key(tl__hash contents, uint64_t view);
/* Which that is: what `augment` makes of image number `image` of its data set in epoch `epoch`. How many views there are
 * does not matter: with more of them the first ones stay. */
uint64_t tl__feature_view(const tl_augment *augment, uint32_t image, uint64_t epoch);

#endif
