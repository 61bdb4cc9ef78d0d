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

static void count(tl__tally *tally, int label, int best) {
    tally->sums.weight++;
    tally->sums.right += best == label;
    tally->sums.counted++;
    if (tally->confusion)
        tally->confusion[label * tally->classes + best]++;
}

static void add_one(tl__tally *tally, const float *logits, int label) {
    int best = 0;
    double sum = 0;
    for (int c = 1; c < tally->classes; c++)
        if (logits[c] > logits[best])
            best = c;
    for (int c = 0; c < tally->classes; c++)
        sum += exp((double)logits[c] - logits[best]);
    tally->sums.loss += log(sum) + logits[best] - logits[label];
    count(tally, label, best);
}

void tl__tally_add(tl__tally *tally, const float *logits, const int32_t *labels, size_t rows) {
    for (size_t i = 0; i < rows; i++, logits += tally->classes)
        if (!tally->pixels || labels[i] != TL_IGNORED)
            add_one(tally, logits, labels[i]);
}

/* ---- many pixels ---- */

#define VECTORS (TL__TALLY_LANES / 4)

typedef float floats4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t ints4 __attribute__((vector_size(16)));

static inline __attribute__((always_inline)) floats4 choose(ints4 first, floats4 a, floats4 b) {
    return (floats4)((first & (ints4)a) | (~first & (ints4)b));
}

/* Of x <= 0: 2^n e^r with |r| <= log(2) / 2, where Taylor's series up to the seventh power is 5e-9 off. */
static inline __attribute__((always_inline)) floats4 exponential(floats4 x) {
    const floats4 least = {-87, -87, -87, -87}, magic = {12582912, 12582912, 12582912, 12582912};
    x = choose(x > least, x, least);
    const floats4 shifted = x * 1.44269504f + magic, n = shifted - magic; /* rounds to a whole number */
    const floats4 r = x - n * 0.693145752f - n * 1.42860677e-6f;
    floats4 p = r * (1 / 5040.0f) + 1 / 720.0f;
    p = p * r + 1 / 120.0f;
    p = p * r + 1 / 24.0f;
    p = p * r + 1 / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1;
    p = p * r + 1;
    return (floats4)((ints4)p + (((ints4)shifted - (ints4)magic) << 23));
}

void tl__tally_lanes(tl__tally *tally, const float *logits, const uint8_t *labels, int lanes) {
    const floats4 *at = (const floats4 *)logits;
    floats4 largest[VECTORS], sums[VECTORS];
    ints4 best[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        largest[v] = at[v];
        best[v] = (ints4){0, 0, 0, 0};
        sums[v] = (floats4){0, 0, 0, 0};
    }
    for (int c = 1; c < tally->classes; c++)
        for (int v = 0; v < VECTORS; v++) {
            const ints4 more = at[c * VECTORS + v] > largest[v];
            largest[v] = choose(more, at[c * VECTORS + v], largest[v]);
            best[v] = (more & c) | (~more & best[v]);
        }
    for (int c = 0; c < tally->classes; c++)
        for (int v = 0; v < VECTORS; v++)
            sums[v] += exponential(at[c * VECTORS + v] - largest[v]);
    double product = 1; /* of up to 16 numbers up to 255: one logarithm for all */
    for (int i = 0; i < lanes; i++) {
        product *= (double)sums[i / 4][i % 4];
        tally->sums.loss += (double)largest[i / 4][i % 4] - logits[labels[i] * TL__TALLY_LANES + i];
        count(tally, labels[i], best[i / 4][i % 4]);
    }
    tally->sums.loss += log(product);
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
