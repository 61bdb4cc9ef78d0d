/* train/whole.h: a segmenter's network over images of any size, each in one piece or in tiles. */
#ifndef TL__WHOLE_H
#define TL__WHOLE_H

#include "train/patch.h"
#include "train/runner.h"
#include "train/tiles.h"

typedef struct tl__whole_options {
    tl__engine *engine;
    int batch;       /* images of one size at once, at most */
    int tile;        /* the side; 0: tiles only where an image has no room as a whole, as large as have it */
    double overlap;  /* of it; 0: TL__TILE_OVERLAP */
    uint64_t memory; /* bytes that a piece may take, 0: a quarter of the machine's: of activations and logits on a
                      * device that is the CPU, otherwise of logits, for activations have the device's */
} tl__whole_options;

typedef struct tl__whole {
    tl_context *context;
    tl__whole_options options;
    tl__cut cut;              /* as a runner's; none until it is set */
    bool split;               /* tl__whole_features and tl__whole_rest run, in the place of tl__whole_run */
    int height, width, count; /* of the images at hand */
    tl__tiles rows, columns;
    int patches; /* of each: rows.count * columns.count */
    struct tl__whole_runner {
        tl__runner *runner; /* NULL: none */
        tl__part part;
        int height, width, batch; /* batch: what it was asked for */
        uint64_t used;
    } runners[6]; /* the last ones used: images of a few sizes come by turns */
    uint64_t clock;
    int64_t too_large; /* pixels at once that had no room, 0: none yet */
    bool said;
    float *logits;
    uint8_t *tile;
    size_t logits_room, tile_room;
} tl__whole;

/* TL_ERROR_ARGUMENT: a tile or an overlap out of range. */
tl_status tl__whole_create(const tl__whole_options *options, tl__whole **out);
void tl__whole_destroy(tl__whole *whole);
/* Forgets all plans: the engine's store goes, or has changed. */
void tl__whole_drop_plans(tl__whole *whole);

/* Gets ready for `count` images of this size, which must be the network's to admit: how many patches they are in, and
 * their plans. TL_ERROR_MEMORY, TL_ERROR_LIMIT: not even a small tile has room. */
tl_status tl__whole_begin(tl__whole *whole, int count, int height, int width);

/* A piece of image `image` of those at hand. */
typedef void tl__whole_visit(void *user, int image, const tl__patch *patch);

/* All plans at hand. */
tl_status tl__whole_each_plan(const tl__whole *whole, void *user, tl_status (*each)(void *user, const tl__plan *plan));

/* All patches of all images at hand; rgb[count] are their pixels. A patch's out_height and out_width are the visitor's
 * to set. */
tl_status tl__whole_run(tl__whole *whole, const uint8_t *const *rgb, tl__whole_visit *visit, void *user);

/* The same of one image in two halves, at the cut: features of a patch, tl__whole_feature_count numbers, and from there
 * on. */
size_t tl__whole_feature_count(const tl__whole *whole);
tl_status tl__whole_features(tl__whole *whole, const uint8_t *rgb, int patch, float *features);
tl_status tl__whole_rest(tl__whole *whole, const float *features, int patch, tl__whole_visit *visit, void *user);

#endif
