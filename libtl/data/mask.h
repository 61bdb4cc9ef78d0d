/* data/mask.h: what the pixels of a mask's file say. */
#ifndef TL__MASK_H
#define TL__MASK_H

#include <tl/dataset.h>

#include "core/core.h"

/* The labels of one data set's masks. */
typedef struct tl__mask_rule {
    tl_masks kind;
    int ignore; /* -1: none */
    size_t classes;
    uint8_t (*colours)[3]; /* [classes] */
    bool has_ignore_colour;
    uint8_t ignore_colour[3];
} tl__mask_rule;

struct tl__reader;

/* Pixels of every label over all masks. Errors as tl_dataset_count_pixels. */
tl_status tl__masks_count(tl_context *context, const tl_dataset *dataset, int64_t counts[256]);

/* `count` pixels of `channels` bytes (INDEX: 1; COLOUR: 3 or 4; ALPHA: the last of them is the alpha) of row y become
 * labels. `name` is the file's, for messages. TL_ERROR_DATA. */
tl_status tl__mask_row(tl_context *context, const tl__mask_rule *rule, const char *name, int y, const uint8_t *pixels,
                       int channels, int count, uint8_t *labels);

/* Of the reader's mask and the image that it read before: the labels of the crop * crop pixels that it made of the image.
 * TL_ERROR_DATA: the two are of different sizes. TL_ERROR_MEMORY. */
tl_status tl__mask_show(struct tl__reader *reader, const char *image, const char *mask, uint8_t *labels);

#endif
