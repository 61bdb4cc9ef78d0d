/* data/mask.h: what the pixels of a mask's file say. */
#ifndef TL__MASK_H
#define TL__MASK_H

#include <tl/dataset.h>

#include <tl/image.h>

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

/* Pixels of every label over all masks, of which those are read that were not counted before; and of each of these,
 * where `each` is not NULL, into each[image]. Errors as tl_dataset_count_pixels. */
tl_status tl__masks_count(tl_context *context, const tl_dataset *dataset, int64_t counts[256], uint32_t (*each)[256]);

/* `count` pixels of `channels` bytes (INDEX: 1; COLOUR: 3 or 4; ALPHA: the last of them is the alpha) of row y become
 * labels. `name` is the file's, for messages. TL_ERROR_DATA. */
tl_status tl__mask_row(tl_context *context, const tl__mask_rule *rule, const char *name, int y, const uint8_t *pixels,
                       int channels, int count, uint8_t *labels);

/* An image as a whole, and its mask, which has the size of the file. */
typedef struct tl__whole_image {
    tl_picture picture;
    uint8_t *labels; /* file_width * file_height */
} tl__whole_image;
/* Errors as tl_masked_load. `out` is empty before. */
tl_status tl__whole_image_load(struct tl__reader *reader, const char *image, const char *mask,
                               const tl__mask_rule *rule, tl__whole_image *out);
void tl__whole_image_free(tl_context *context, tl__whole_image *image);

/* Of the reader's mask and the image that it read before: the labels of the crop * crop pixels that it made of the image.
 * TL_ERROR_DATA: the two are of different sizes. TL_ERROR_MEMORY. */
tl_status tl__mask_show(struct tl__reader *reader, const char *image, const char *mask, uint8_t *labels);

#endif
