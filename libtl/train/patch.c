#include "train/patch.h"

#include <stdatomic.h>

#include "core/core.h"

#define COLUMNS 256 /* of a stripe, whose places are worked out once */

/* Between which two of the patch's pixels something lies, and how far from the first. */
typedef struct place {
    int low, high;
    float part;
} place;

/* Pixel `index` of `out` ones, which show `in`, of which the patch has `count` from `first` on. */
static place place_of(int in, int out, int index, int first, int count) {
    double at = ((double)index + 0.5) * in / out - 0.5;
    at = at > 0 ? at : 0;
    int low = (int)at < in - 1 ? (int)at : in - 1, high = low < in - 1 ? low + 1 : low;
    place p = {low - first, high - first, (float)(at - low)};
    p.low = p.low < 0 ? 0 : p.low < count ? p.low : count - 1;
    p.high = p.high < 0 ? 0 : p.high < count ? p.high : count - 1;
    return p;
}

/* Where in the file's pixels something begins that begins at `at` of those that the network sees. */
static int edge(int at, int in, int out) {
    return (int)(((int64_t)at * out + in / 2) / in);
}

/* The logits of a pixel, in `room` where they lie between others. */
static const float *logits_at(const tl__patch *p, const place *y, const place *x, float *room) {
    const size_t step = (size_t)p->classes, line = (size_t)p->width * step;
    const float *a = p->logits + (size_t)y->low * line, *b = p->logits + (size_t)y->high * line;
    const float down = y->part, across = x->part;
    if (down == 0 && across == 0)
        return a + (size_t)x->low * step;
    const float *a1 = a + (size_t)x->low * step, *a2 = a + (size_t)x->high * step;
    const float *b1 = b + (size_t)x->low * step, *b2 = b + (size_t)x->high * step;
    for (int c = 0; c < p->classes; c++) {
        float upper = a1[c] * (1 - across) + a2[c] * across;
        float lower = b1[c] * (1 - across) + b2[c] * across;
        room[c] = upper * (1 - down) + lower * down;
    }
    return room;
}

/* What becomes of a pixel's logits; `at` is its number in the image. */
typedef void take_pixel(void *user, const tl__patch *patch, size_t at, const float *logits);

static int core_top(const tl__patch *p) {
    return edge(p->core[0], p->whole_height, p->out_height);
}

static int core_bottom(const tl__patch *p) {
    return edge(p->core[2], p->whole_height, p->out_height);
}

static inline __attribute__((always_inline)) void each_pixel(const tl__patch *p, int top, int bottom, void *user,
                                                             take_pixel *take, const uint8_t *skip) {
    const int left = edge(p->core[1], p->whole_width, p->out_width),
              right = edge(p->core[3], p->whole_width, p->out_width);
    float room[256];
    place columns[COLUMNS];
    for (int begin = left; begin < right; begin += COLUMNS) {
        const int count = right - begin < COLUMNS ? right - begin : COLUMNS;
        for (int i = 0; i < count; i++)
            columns[i] = place_of(p->whole_width, p->out_width, begin + i, p->left, p->width);
        for (int y = top; y < bottom; y++) {
            const place row = place_of(p->whole_height, p->out_height, y, p->top, p->height);
            const size_t at = (size_t)y * (size_t)p->out_width + (size_t)begin;
            for (int i = 0; i < count; i++)
                if (!skip || skip[at + (size_t)i] != TL_IGNORED)
                    take(user, p, at + (size_t)i, logits_at(p, &row, &columns[i], room));
        }
    }
}

static inline __attribute__((always_inline)) void take_label(void *user, const tl__patch *p, size_t at,
                                                             const float *logits) {
    int best = 0;
    for (int c = 1; c < p->classes; c++)
        if (logits[c] > logits[best])
            best = c;
    ((uint8_t *)user)[at] = (uint8_t)best;
}

void tl__patch_label(const tl__patch *patch, uint8_t *labels) {
    each_pixel(patch, core_top(patch), core_bottom(patch), labels, take_label, NULL);
}

static inline __attribute__((always_inline)) void take_probabilities(void *user, const tl__patch *p, size_t at,
                                                                     const float *logits) {
    const size_t pixels = (size_t)p->out_height * (size_t)p->out_width;
    float *out = user, values[256];
    for (int c = 0; c < p->classes; c++)
        values[c] = logits[c];
    tl_softmax(values, 1, (size_t)p->classes);
    for (int c = 0; c < p->classes; c++)
        out[(size_t)c * pixels + at] = values[c];
}

void tl__patch_probabilities(const tl__patch *patch, float *out) {
    each_pixel(patch, core_top(patch), core_bottom(patch), out, take_probabilities, NULL);
}

typedef struct judged {
    const uint8_t *labels;
    tl__tally *tally;
    int waiting; /* for others to be added with */
    uint8_t truth[TL__TALLY_LANES];
    float logits[256 * TL__TALLY_LANES];
} judged;

static void add_waiting(judged *j) {
    if (j->waiting)
        tl__tally_lanes(j->tally, j->logits, j->truth, j->waiting);
    j->waiting = 0;
}

static inline __attribute__((always_inline)) void take_score(void *user, const tl__patch *p, size_t at,
                                                             const float *logits) {
    judged *j = user;
    for (int c = 0; c < p->classes; c++)
        j->logits[c * TL__TALLY_LANES + j->waiting] = logits[c];
    j->truth[j->waiting++] = j->labels[at];
    if (j->waiting == TL__TALLY_LANES)
        add_waiting(j);
}

/* ---- by threads ----
 * Counts are whole numbers, whose sum no order changes; losses are summed up by bands, of which there are as many
 * whatever the number of threads. */

#define BANDS        16
#define MOST_THREADS 8
#define WORTH        65536 /* pixels that a thread is worth */

typedef struct bands {
    const tl__patch *patch;
    const uint8_t *labels;
    atomic_int next;
    double losses[BANDS];
} bands;

typedef struct band_worker {
    bands *all;
    tl__tally tally;
    pthread_t thread;
} band_worker;

static void *work(void *argument) {
    band_worker *w = argument;
    bands *b = w->all;
    const int top = core_top(b->patch), rows = core_bottom(b->patch) - top;
    for (int i; (i = atomic_fetch_add(&b->next, 1)) < BANDS;) {
        judged j = {.labels = b->labels, .tally = &w->tally};
        w->tally.sums.loss = 0;
        each_pixel(b->patch, top + (int)((int64_t)rows * i / BANDS), top + (int)((int64_t)rows * (i + 1) / BANDS), &j,
                   take_score, b->labels);
        add_waiting(&j);
        b->losses[i] = w->tally.sums.loss;
    }
    return NULL;
}

static void add_tally(tl__tally *to, const tl__tally *from) {
    tl__sums sums = from->sums;
    sums.loss = 0;
    tl__sums_add(&to->sums, &sums);
    for (size_t i = 0; to->confusion && i < (size_t)to->classes * (size_t)to->classes; i++)
        to->confusion[i] += from->confusion[i];
}

/* What cannot be had, a matrix or a thread, is done without. */
static bool begin_worker(tl_context *context, band_worker *w, bands *b, const tl__tally *tally) {
    const size_t count = (size_t)tally->classes * (size_t)tally->classes;
    *w = (band_worker){.all = b, .tally = {.classes = tally->classes, .pixels = tally->pixels}};
    w->tally.confusion = tl__calloc(context, count, sizeof *w->tally.confusion);
    return w->tally.confusion && tl__thread_start(&w->thread, work, w) == 0;
}

void tl__patch_tally(tl_context *context, int threads, const tl__patch *patch, const uint8_t *labels,
                     tl__tally *tally) {
    const int64_t pixels = (int64_t)(core_bottom(patch) - core_top(patch)) * patch->out_width;
    bands b = {.patch = patch, .labels = labels};
    band_worker own = {.all = &b,
                       .tally = {.confusion = tally->confusion, .classes = tally->classes, .pixels = tally->pixels}},
                others[MOST_THREADS - 1];
    int count = 0;
    atomic_init(&b.next, 0);
    while (count < threads - 1 && count < MOST_THREADS - 1 && pixels >= (int64_t)(count + 2) * WORTH)
        if (begin_worker(context, &others[count], &b, tally)) {
            count++;
        } else {
            tl__free(context, others[count].tally.confusion);
            break;
        }
    work(&own);
    for (int i = 0; i < count; i++) {
        pthread_join(others[i].thread, NULL);
        add_tally(tally, &others[i].tally);
        tl__free(context, others[i].tally.confusion);
    }
    for (int i = 0; i < BANDS; i++)
        tally->sums.loss += b.losses[i];
    own.tally.sums.loss = 0;
    tl__sums_add(&tally->sums, &own.tally.sums);
}
