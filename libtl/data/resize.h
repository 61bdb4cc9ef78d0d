/* data/resize.h: Pillow's bilinear resize and torchvision's centre crop in one pass over the rows of an image. Only
 * the rows and columns that the crop shows are computed; every byte is what resizing the whole would give. */
#ifndef TL__RESIZE_H
#define TL__RESIZE_H

#include "core/core.h"

#define TL__ROW_SLACK 16 /* bytes that must be readable behind the pixels given to tl__resampler_row */

/* One direction: which input pixels make each output pixel, and how much each counts (22-bit fixed point). */
typedef struct tl__axis {
    int in;           /* 0: nothing planned yet */
    int64_t size_out; /* of the whole, of which a part is shown */
    int pad;          /* zeros before the first output */
    int out;          /* outputs: what the crop shows of the image */
    int first, count; /* inputs that any of them needs */
    int taps;         /* coefficients an output has room for; 0: the output is the input */
    int32_t *start;   /* [out], the first input of each, counted from `first` */
    int32_t *size;    /* [out], how many inputs */
    int32_t *weights; /* [out * taps] */
    size_t room;      /* elements that the one block behind the three has */
} tl__axis;

typedef void tl__resize_row(const tl__axis *axis, const uint8_t *in, uint8_t *out);
typedef void tl__resize_column(const uint8_t *rows, size_t stride, const int32_t *weights, int size, int bytes,
                               uint8_t *out);

/* Its buffers are kept from image to image. */
typedef struct tl__resampler {
    tl_context *context;
    int resize, crop;
    tl__axis x, y;
    bool columns_first; /* the vertical pass comes first */
    uint8_t *rows;      /* y.count rows: of x.out pixels, or of x.count where columns come first; then work space */
    size_t capacity;
    tl__resize_row *row;
    tl__resize_column *column;
} tl__resampler;

void tl__resampler_init(tl__resampler *resampler, tl_context *context, int resize, int crop);
void tl__resampler_free(tl__resampler *resampler);

/* Begins an image of width * height <= 2^28 pixels. From here on x.first, x.count, y.first and y.count say which of its
 * pixels are needed. TL_ERROR_MEMORY. */
tl_status tl__resampler_begin(tl__resampler *resampler, int width, int height);

/* Takes pixels x.first .. of row y as RGB. Rows must come in order; those that are not needed may be left out. */
void tl__resampler_row(tl__resampler *resampler, int y, const uint8_t *rgb);

/* After the last row: writes crop * crop * 3 bytes. */
void tl__resampler_finish(tl__resampler *resampler, uint8_t *out);

#endif
