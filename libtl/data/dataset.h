/* data/dataset.h: what a data set is inside. */
#ifndef TL__DATASET_H
#define TL__DATASET_H

#include <tl/dataset.h>

#include "core/core.h"

typedef struct tl__image_entry {
    union {
        size_t at;        /* in the text, while that still moves */
        const char *path; /* once the scan is over */
    };
    uint32_t folder; /* bytes of the path before the file's name, without the '/' */
    int32_t label;
} tl__image_entry;

/* The names, shared by a data set and its splits: the last to be destroyed frees them. */
typedef struct tl__names {
    size_t users;
    char *text; /* class names and paths, each ended by 0 */
    size_t text_size, text_room;
    const char **classes;
    size_t class_count, class_room;
} tl__names;

struct tl_dataset {
    tl_context *context;
    tl__names *names;
    tl__image_entry *images;
    size_t count, room;
    size_t *class_sizes; /* [class_count] */
};

/* Fills an empty data set with what the folder holds. Errors as tl_dataset_open; what was begun stays in the data set.
 */
tl_status tl__dataset_scan(tl_dataset *dataset, const char *folder);

#endif
