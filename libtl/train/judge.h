/* train/judge.h: scores of a segmenter on whole images: every pixel of every mask that is not ignored counts once. */
#ifndef TL__JUDGE_H
#define TL__JUDGE_H

#include <tl/train.h>

#include "data/loader.h"
#include "train/features.h"
#include "train/whole.h"
#include "train/whole_cache.h"

typedef struct tl__judge_options {
    tl__whole_options whole;
    const tl_dataset *dataset; /* with masks; outlives the judge */
    int workers;               /* decoding threads; 0: chosen */
} tl__judge_options;

typedef struct tl__judge tl__judge;
tl_status tl__judge_create(const tl__judge_options *options, tl__judge **out);
void tl__judge_destroy(tl__judge *judge);

/* Between stages. Forgets the plans, before the trainer's store goes; then says where the frozen part ends. What it
 * makes of each image stays in so many bytes of memory, masks too, as long as the cut is the same; 0: nothing does. With
 * a folder (cache->folder) other runs find it there; engine and cut in *cache are the judge's own. */
void tl__judge_rest(tl__judge *judge);
tl_status tl__judge_stage(tl__judge *judge, const tl__cut *cut, uint64_t memory, const tl__whole_cache_options *cache);

/* Makes plans for the largest image now, by the headers of the files, and shows them. */
tl_status tl__judge_prepare(tl__judge *judge, void *user, tl_status (*planned)(void *user, const tl__plan *plan));

/* Over all images. TL_ERROR_IO, TL_ERROR_FORMAT, TL_ERROR_DATA with the file's name: an image or a mask that cannot be
 * read, of another size than its image, with a number beyond the classes. */
tl_status tl__judge_run(tl__judge *judge, tl__feature_progress progress, void *user, tl__tally *tally);

#endif
