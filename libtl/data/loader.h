/* data/loader.h: batches of preprocessed images, decoded by threads ahead of the computation.
 *
 * A loader serves one epoch after another: start, next until it gives 0 images, start again. Its threads live as
 * long as it does. What it gives does not depend on how many there are. All functions are called from one thread, the
 * one that uses the context. */
#ifndef TL__LOADER_H
#define TL__LOADER_H

#include <tl/augment.h>
#include <tl/dataset.h>
#include <tl/image.h>

#include "core/core.h"
#include "data/mask.h"

typedef struct tl__loader tl__loader;

typedef struct tl__loader_options {
    int batch;            /* images in a batch, >= 1 */
    int workers;          /* decoding threads; 0: one for each processor this process may use, at most 8 */
    int ahead;            /* batches that may be ready before they are asked for; 0: 2 */
    uint64_t cache_bytes; /* pixels kept for the next epochs: as many images as fit, crop * crop * 3 bytes each, with a mask
                           * 4; none where images change from epoch to epoch */
    bool labels_only;     /* of a data set with masks: no pixels, and of images only the header is read, for their size */
    bool whole;           /* of a data set with masks: images of any size, for tl__loader_next_whole; batch is 1 */
    const tl_augment *augment; /* NULL, or random changes; copied */
} tl__loader_options;

/* The data set must outlive the loader. TL_ERROR_ARGUMENT, TL_ERROR_MEMORY (also where threads cannot be had). */
tl_status tl__loader_create(tl_context *context, const tl_dataset *dataset, const tl_preprocess *preprocess,
                            const tl__loader_options *options, tl__loader **out);

/* Ends the threads, whatever they are doing; NULL is fine. */
void tl__loader_destroy(tl__loader *loader);

/* Begins an epoch, ending the one in progress: images order[0], order[1], ... of the data set. The order is copied;
 * NULL is 0, 1, 2, ... TL_ERROR_ARGUMENT: an index beyond the data set. TL_ERROR_MEMORY. */
tl_status tl__loader_start(tl__loader *loader, const uint32_t *order, size_t count);

/* The epoch, or another number, that decides with the seed what random changes are made from the next start on; 0 before
 * it is set. */
void tl__loader_set_epoch(tl__loader *loader, uint64_t epoch);

/* The next batch, valid until the next call of any function here: pixels (count * crop * crop * 3 bytes), labels
 * (count, of a data set with masks count * crop * crop) and indices. Any of the three may be NULL. The last batch is smaller where batch does not divide; after it, count is 0.
 * Fails where the image at fault has its place in the order, whatever was read before it: TL_ERROR_IO,
 * TL_ERROR_FORMAT, TL_ERROR_LIMIT, TL_ERROR_DATA (a mask), TL_ERROR_MEMORY with the file's name; TL_CANCELLED. Then only start and destroy
 * make sense. What is odd about images that can be read is logged once per loader. */
tl_status tl__loader_next(tl__loader *loader, const uint8_t **rgb, const int32_t **labels, const uint32_t **indices,
                          int *count);

/* The next image of a loader of whole ones, and its number; it becomes the caller's to free. After the last, *image is
 * empty. Errors as tl__loader_next. */
tl_status tl__loader_next_whole(tl__loader *loader, tl__whole_image *image, uint32_t *index);

/* How many threads decode. */
int tl__loader_workers(const tl__loader *loader);

#endif
