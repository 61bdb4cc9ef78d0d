/* train/score.h: sums over images or pixels, and the scores that they make. */
#ifndef TL__SCORE_H
#define TL__SCORE_H

#include <tl/train.h>

/* Of what counts: images, or pixels that are not ignored. A score is their mean, so that a batch with fewer counts for
 * what it is. */
typedef struct tl__sums {
    double loss, weight;    /* the mean loss is their ratio; a weight is 1 unless classes have some */
    double right, counted;
    int64_t images;
} tl__sums;
void tl__sums_add(tl__sums *to, const tl__sums *from);
/* With nothing that counts, loss and accuracy are 0. mean_iou is NaN. */
tl_score tl__sums_score(const tl__sums *sums, bool pixels);

/* What an evaluation adds up. */
typedef struct tl__tally {
    tl__sums sums;
    int64_t *confusion; /* [classes][classes] or NULL */
    int classes;
    bool pixels;        /* rows of logits are pixels; those labelled TL_IGNORED do not count */
} tl__tally;
/* 1 to TL__TALLY_LANES that count, side by side: logits[classes][TL__TALLY_LANES]. Exponentials are of 7 digits, for
 * speed: pixels are many. */
#define TL__TALLY_LANES 16
void tl__tally_lanes(tl__tally *tally, const float *logits, const uint8_t *labels, int count);
/* `rows` logits of `classes` numbers, and their labels. */
void tl__tally_add(tl__tally *tally, const float *logits, const int32_t *labels, size_t rows);
/* mean_iou, too, where it counts pixels and has a confusion matrix. */
tl_score tl__tally_score(const tl__tally *tally);

#endif
