/* train/features.h: what the frozen, deterministic part of a network makes of each image, computed once: in memory, or
 * in a file that other runs read too (data/cache.h). */
#ifndef TL__FEATURES_H
#define TL__FEATURES_H

#include "data/cache.h"
#include "data/loader.h"
#include "train/feature_key.h"
#include "train/runner.h"

#define TL__FEATURE_SETS 2

typedef void (*tl__feature_progress)(void *user, int64_t done, int64_t total);

typedef struct tl__feature_request {
    tl__engine *engine;
    tl__draw_options draw;                 /* batch: images at once */
    tl__cut cut;                           /* of which values */
    const tl_dataset *sets[TL__FEATURE_SETS]; /* the last may be NULL */
    tl__loader *loaders[TL__FEATURE_SETS]; /* of the sets, with batches of `batch` */
    const tl_augment *augment;             /* of the first set, with views, as its loader has it; NULL: nothing random */
    int batch;
    const char *folder;                    /* of the files; NULL: in memory only */
    uint64_t limit;                        /* bytes for all files in it; 0: chosen */
    uint64_t memory;                       /* bytes for what has no place in a file */
    double patience;                       /* seconds to wait for another process that adds nothing of use; 0: chosen */
    void *user;
    tl_status (*certain)(void *user); /* before any is computed: are the weights what they are taken for? or NULL */
    tl_status (*planned)(void *user, const tl__plan *plan); /* what computes features, if any have to be; or NULL */
    void (*begin)(void *user);             /* before the images of each set, those that are not there yet */
    tl__feature_progress progress;
} tl__feature_request;

typedef struct tl__features {
    tl_context *context;
    tl__cut cut;
    size_t count;                      /* floats of an image's features */
    size_t images[TL__FEATURE_SETS];
    size_t views;                      /* of each image of the first set: rows view * images + image */
    int64_t total, found;              /* rows of all sets; those that a file had already */
    tl__feature_key key;
    tl__cache *cache;                  /* NULL: all in memory */
    bool writing, full, damage_said;
    struct tl__feature_row *rows[TL__FEATURE_SETS];
    struct tl__feature_block *blocks;  /* memory of rows that are in no file */
    uint64_t memory;                   /* bytes of it */
} tl__features;

/* *out stays NULL, and *reason says why, where there is no room for the features; the limits are no failure. What is
 * wrong with the folder or a file in it is logged as a warning and done without. Errors as tl_train. */
tl_status tl__features_create(const tl__feature_request *request, tl__features **out, char reason[128]);
/* That reason: the value's name, or, where `fits` is false, what its features would take. */
void tl__feature_reason(char reason[128], const char *name, uint64_t bytes, bool fits);
void tl__features_destroy(tl__features *features);
/* Copies `count` rows from number `first` on; where `order` is not NULL, the rows first + order[0], first + order[1], ... */
void tl__features_gather(const tl__features *features, int set, const uint32_t *order, size_t first, int count,
                         float *out);
const float *tl__features_row(const tl__features *features, int set, size_t row);
/* Bytes of memory for features where nobody set a limit: a quarter of the machine's; otherwise `limit`. */
uint64_t tl__feature_memory(uint64_t limit);
/* The file, or NULL. */
const char *tl__features_file(const tl__features *features);

#endif
