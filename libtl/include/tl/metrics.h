/* tl/metrics.h: what a confusion matrix says: confusion[truth * classes + predicted] images, or pixels of a segmenter.
 * One matrix over a whole data set, so that every pixel counts the same wherever it lies. What is ignored is in none. */
#ifndef TL_METRICS_H
#define TL_METRICS_H

#include <tl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of one class; NaN where there is nothing to divide by. */
typedef struct tl_class_score {
    size_t size;
    int64_t truth, predicted, right; /* that are of it, that were said to be, both */
    double precision;                /* right / predicted */
    double recall;                   /* right / truth */
    double dice;                     /* 2 right / (truth + predicted), also called F1 */
    double iou;                      /* right / (truth + predicted - right): intersection over union */
} tl_class_score;
/* index: 0 .. classes - 1; score->size is the caller's. */
TL_API void tl_confusion_class(const int64_t *confusion, size_t classes, size_t index, tl_class_score *score);

/* Of all classes; NaN where nothing counts. */
typedef struct tl_confusion_score {
    size_t size;
    int64_t count, right;       /* all that counts, and what of it was predicted as it is */
    double accuracy;            /* right / count */
    double mean_iou, mean_dice; /* over the classes that are in the truth or in the prediction, each counting the same:
                                 * one that is in neither leaves the mean, one that is only predicted is 0 in it */
    size_t classes;             /* how many those are */
} tl_confusion_score;
TL_API void tl_confusion_mean(const int64_t *confusion, size_t classes, tl_confusion_score *score);

#ifdef __cplusplus
}
#endif
#endif
