#include "train/score.h"

#include <math.h>

#include <tl/metrics.h>

#include "train/trainer.h"

void tl__sums_add(tl__sums *to, const tl__sums *from) {
    to->loss += from->loss;
    to->weight += from->weight;
    to->right += from->right;
    to->counted += from->counted;
    to->images += from->images;
}

tl_score tl__sums_score(const tl__sums *sums, bool pixels) {
    return (tl_score){
        .loss = sums->weight > 0 ? sums->loss / sums->weight : 0,
        .accuracy = sums->counted > 0 ? sums->right / sums->counted : 0,
        .images = sums->images,
        .pixels = pixels ? (int64_t)sums->counted : 0,
        .mean_iou = NAN,
    };
}

void tl__tally_add(tl__tally *tally, const float *logits, const int32_t *labels, size_t rows) {
    for (size_t i = 0; i < rows; i++, logits += tally->classes) {
        int best = 0;
        double sum = 0;
        if (tally->pixels && labels[i] == TL_IGNORED)
            continue;
        for (int c = 1; c < tally->classes; c++)
            if (logits[c] > logits[best])
                best = c;
        for (int c = 0; c < tally->classes; c++)
            sum += exp((double)logits[c] - logits[best]);
        tally->sums.loss += log(sum) + logits[best] - logits[labels[i]];
        tally->sums.weight++;
        tally->sums.right += best == labels[i];
        tally->sums.counted++;
        if (tally->confusion)
            tally->confusion[labels[i] * tally->classes + best]++;
    }
}

tl_score tl__tally_score(const tl__tally *tally) {
    tl_score score = tl__sums_score(&tally->sums, tally->pixels);
    if (!tally->pixels || !tally->confusion)
        return score;
    tl_confusion_score all = {.size = sizeof all};
    tl_confusion_mean(tally->confusion, (size_t)tally->classes, &all);
    score.mean_iou = all.mean_iou;
    return score;
}
