/* train/patch.h: the logits of a part of an image, brought to the size of its file, where they are labels,
 * probabilities, or sums of an evaluation. */
#ifndef TL__PATCH_H
#define TL__PATCH_H

#include <tl/segment.h>

#include "train/score.h"

/* A whole image is a patch that covers it. All but the last line counts pixels as the network sees them. */
typedef struct tl__patch {
    const float *logits;          /* [height][width][classes] */
    int top, left, height, width; /* where in the image */
    int core[4];                  /* top, left, bottom, right (exclusive) of what is to be taken of it */
    int whole_height, whole_width;
    int classes;               /* 1 .. 255 */
    int out_height, out_width; /* of the image in its file */
} tl__patch;

/* Each fills in, of arrays for the whole image at out_height * out_width, what the patch's core shows: cores that cover
 * an image without overlapping give every pixel of it once. Logits are interpolated within the patch: it must reach a
 * pixel beyond its core, or there its outermost pixel counts for what is beyond. */
void tl__patch_label(const tl__patch *patch, uint8_t *labels);
void tl__patch_probabilities(const tl__patch *patch, float *out);
/* `labels`: the truth, TL_IGNORED where it does not count. Adds no images. Up to so many threads, on which the sums do
 * not depend. */
void tl__patch_tally(tl_context *context, int threads, const tl__patch *patch, const uint8_t *labels, tl__tally *tally);

#endif
