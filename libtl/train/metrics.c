#include <tl/metrics.h>

#include <math.h>
#include <string.h>

static double ratio(double part, int64_t whole) {
    return whole ? part / (double)whole : NAN;
}

static tl_class_score class_score(const int64_t *confusion, size_t classes, size_t index) {
    tl_class_score s = {.size = sizeof s, .right = confusion[index * classes + index]};
    for (size_t i = 0; i < classes; i++) {
        s.truth += confusion[index * classes + i];
        s.predicted += confusion[i * classes + index];
    }
    s.precision = ratio((double)s.right, s.predicted);
    s.recall = ratio((double)s.right, s.truth);
    s.dice = ratio(2 * (double)s.right, s.truth + s.predicted);
    s.iou = ratio((double)s.right, s.truth + s.predicted - s.right);
    return s;
}

void tl_confusion_class(const int64_t *confusion, size_t classes, size_t index, tl_class_score *score) {
    const size_t size = score->size;
    tl_class_score full = class_score(confusion, classes, index);
    memcpy(score, &full, size < sizeof full ? size : sizeof full);
    score->size = size;
}

void tl_confusion_mean(const int64_t *confusion, size_t classes, tl_confusion_score *score) {
    const size_t size = score->size;
    tl_confusion_score full = {.size = sizeof full};
    double iou = 0, dice = 0;
    for (size_t i = 0; i < classes; i++) {
        tl_class_score s = class_score(confusion, classes, i);
        full.count += s.truth;
        full.right += s.right;
        if (s.truth + s.predicted == 0)
            continue;
        iou += s.iou;
        dice += s.dice;
        full.classes++;
    }
    full.accuracy = ratio((double)full.right, full.count);
    full.mean_iou = ratio(iou, (int64_t)full.classes);
    full.mean_dice = ratio(dice, (int64_t)full.classes);
    memcpy(score, &full, size < sizeof full ? size : sizeof full);
    score->size = size;
}
