/* data/dataset.h: what a data set is inside. */
#ifndef TL__DATASET_H
#define TL__DATASET_H

#include <tl/dataset.h>

#include "core/core.h"
#include "data/mask.h"

typedef struct tl__image_entry {
    union {
        size_t at;        /* in the text, while that still moves */
        const char *path; /* once the scan is over */
    };
    union {
        size_t mask_at;
        const char *mask; /* NULL: none */
    };
    const uint32_t *pixels; /* [256] of its mask by label; NULL: not counted yet */
    uint32_t folder; /* bytes of the path before the file's name, without the '/' */
    int32_t label;
} tl__image_entry;

/* The names, shared by a data set and its splits: the last to be destroyed frees them. */
typedef struct tl__names {
    size_t users;
    char *text; /* class names and paths, each ended by 0 */
    size_t text_size, text_room;
    const char **classes;
    size_t class_count;
    char *class_text;     /* of masks: the classes' names */
    tl__mask_rule *masks; /* NULL: the classes are of images */
    uint32_t (*pixels)[256]; /* that entries point to; NULL: none do */
} tl__names;

struct tl_dataset {
    tl_context *context;
    tl__names *names;
    tl__image_entry *images;
    size_t count, room;
    size_t *class_sizes; /* [class_count] */
};

/* A data set without images and names. */
tl_status tl__dataset_create(tl_context *context, tl_dataset **out);

/* Adds the images in `folder`, at any depth below, under a label of which class_sizes has an entry. Their paths are not
 * known before tl__dataset_settle. TL_ERROR_IO, TL_ERROR_LIMIT, TL_ERROR_MEMORY. */
tl_status tl__dataset_walk(tl_dataset *dataset, const char *folder, int32_t label);
tl_status tl__dataset_add_text(tl_context *context, tl__names *names, const char *folder, const char *name, size_t *at);
/* No text comes any more: entries get their paths, and are sorted by label, then as ImageFolder does. */
void tl__dataset_settle(tl_dataset *dataset);

/* Fills an empty data set with what the folder holds. Errors as tl_dataset_open; what was begun stays in the data set.
 */
tl_status tl__dataset_scan(tl_dataset *dataset, const char *folder);

/* The image with most pixels once it is resized but not cropped, by the files' headers; the first of equals. Errors as
 * tl_image_load. */
tl_status tl__dataset_largest(tl_context *context, const tl_dataset *dataset, const tl_preprocess *preprocess,
                              size_t *index, int *height, int *width);

/* The same with masks, whose rule is in place. Errors as
 * tl_dataset_open_masks. */
tl_status tl__dataset_scan_masks(tl_dataset *dataset, const char *path, const tl_masks_options *options);

#endif
