/* train/whole_cache.h: what the frozen part makes of whole images, in a file that other runs read too (data/cache.h).
 *
 * Images and their pieces are of many sizes, and the rows of such a file of one: the features of a piece are cut into
 * as many rows as they take. What depends on the size is in the rows' keys, all else in the file's. */
#ifndef TL__WHOLE_CACHE_H
#define TL__WHOLE_CACHE_H

#include "data/cache.h"
#include "train/feature_key.h"

typedef struct tl__whole_cache_options {
    tl__engine *engine;
    tl__cut cut;
    const char *folder;    /* of the file */
    uint64_t limit;        /* bytes for all files in it; 0: chosen */
    const char *beside;    /* a file of the same run that must not go to make room; or NULL; both names outlive it */
    void *user;
    tl_status (*certain)(void *user); /* features will be kept: what the key says of the weights must not be hearsay */
} tl__whole_cache_options;

typedef struct tl__whole_cache {
    tl_context *context;
    tl__whole_cache_options options;
    tl__feature_key key;
    char *about;
    tl__cache *cache; /* NULL: it does not work, which was said */
    bool writing;
    int height, width; /* of the pieces at hand */
    tl__hash size;     /* all that depends on it */
    float *row;
    int64_t found, missed; /* pieces since begin */
} tl__whole_cache;

/* What is wrong with the folder or the file is logged as a warning and done without. TL_ERROR_MEMORY and what drawing
 * gives. */
tl_status tl__whole_cache_create(const tl__whole_cache_options *options, tl__whole_cache **out);
void tl__whole_cache_destroy(tl__whole_cache *cache); /* NULL is fine */

/* Finds what was added meanwhile; says how much was found, and lets others add. */
tl_status tl__whole_cache_begin(tl__whole_cache *cache);
void tl__whole_cache_end(tl__whole_cache *cache);

/* A piece by the contents of its image's file and its place, which `place` says in a few numbers; its features: `count`
 * floats. */
tl_status tl__whole_cache_key(tl__whole_cache *cache, int height, int width, tl__hash contents, const double place[4],
                              tl__hash *key);
bool tl__whole_cache_get(tl__whole_cache *cache, tl__hash key, float *features, size_t count);
tl_status tl__whole_cache_put(tl__whole_cache *cache, tl__hash key, const float *features, size_t count);

#endif
