/* data/augment.h: what becomes of one image in one epoch. */
#ifndef TL__DATA_AUGMENT_H
#define TL__DATA_AUGMENT_H

#include <tl/augment.h>

#include "core/core.h"

typedef struct tl__change {
    double random_crop, ratio; /* 0: no box */
    tl__random boxes;          /* from here the box is drawn, once the image's size is known */
    bool mirrored, upside_down;
    double degrees;            /* counterclockwise */
    double factor[3];          /* brightness, contrast, saturation; 1: as it is */
    int order[3];              /* in which they come */
} tl__change;

/* The augment as this version knows it, checked. TL_ERROR_ARGUMENT. */
tl_status tl__augment_take(tl_context *context, const tl_augment *augment, tl_augment *out);

/* Decides for image number `image` of the data set. */
void tl__change_draw(const tl_augment *augment, uint64_t epoch, uint32_t image, tl__change *change);

/* Left, top, width and height of the part of the image that is shown; width 0 where it is not for the change to say. */
void tl__change_box(const tl__change *change, int width, int height, int box[4]);

/* All that follows the crop: side * side pixels, and their labels unless NULL. `work` has room for side * side * 4
 * bytes. */
void tl__change_apply(const tl__change *change, int side, uint8_t *rgb, uint8_t *labels, uint8_t *work);

#endif
