/* data/resize.h: Pillow's bilinear resize and torchvision's centre crop in one pass over the rows of an image. Only
 * the rows and columns that the crop shows are computed; every byte is what resizing the whole would give. */
#ifndef TL__RESIZE_H
#define TL__RESIZE_H

#include "core/core.h"

#define TL__ROW_SLACK   16 /* bytes that must be readable behind the pixels given to tl__resampler_row */
#define TL__RESIZE_BITS 22 /* of a weight, Pillow's: 32 bits less 8 of the pixel less 2 of headroom */

#if defined(__x86_64__) || defined(__i386__)
#define TL__RESIZE_AVX2 1
#else
#define TL__RESIZE_AVX2 0
#endif

/* One direction: which input pixels make each output pixel, and how much each counts (22-bit fixed point). */
typedef struct tl__axis {
    int in;           /* 0: nothing planned yet */
    int origin;       /* where the first of them is in the image */
    double extent;    /* what `in` pixels hold of the image: less than all of the last where they are of a smaller one */
    int64_t size_out; /* of the whole, of which a part is shown */
    int64_t shown;    /* the first of these */
    int pad;          /* zeros before the first output */
    int out;          /* outputs: what the crop shows of the image */
    int first, count; /* inputs that any of them needs; `first` counts from the image's edge */
    int taps;         /* coefficients an output has room for; 0: the output is the input */
    int32_t *start;   /* [out], the first input of each, counted from `first` */
    int32_t *size;    /* [out], how many inputs */
    int32_t *weights; /* [out * taps] */
    /* [out * tl__axis_halves()] with AVX2: of every four weights, zeros behind the last, the upper halves, then the lower
     * ones. */
    int16_t *halves;
    size_t room; /* elements that the one block behind the four has */
} tl__axis;

static inline size_t tl__axis_halves(const tl__axis *axis) {
    return ((size_t)axis->taps + 3) / 4 * 8;
}

/* A row of the result from one of the image, of which TL__ROW_SLACK bytes more may be read; up to 4 bytes more are written.
 */
typedef void tl__resize_row(const tl__axis *axis, const uint8_t *in, uint8_t *out);
/* Row `index` of the result, `bytes` wide, from the rows that it needs, `stride` bytes apart. */
typedef void tl__resize_column(const tl__axis *axis, int index, const uint8_t *rows, size_t stride, int bytes, uint8_t *out);

tl__resize_column tl__resize_column_plain;
#if TL__RESIZE_AVX2
tl__resize_row tl__resize_row_avx2;
tl__resize_column tl__resize_column_avx2;
#endif

/* Its buffers are kept from image to image. */
typedef struct tl__resampler {
    tl_context *context;
    int resize, crop;   /* crop 0: the whole image is shown */
    int box[4];         /* left, top, width, height of the part that becomes crop * crop; width 0: resize and crop */
    tl__axis x, y;
    bool columns_first; /* the vertical pass comes first */
    uint8_t *rows;      /* y.count rows: of x.out pixels, or of x.count where columns come first; then work space */
    size_t capacity;
    tl__resize_row *row;
    tl__resize_column *column;
} tl__resampler;

void tl__resampler_init(tl__resampler *resampler, tl_context *context, int resize, int crop);
void tl__resampler_free(tl__resampler *resampler);

/* How many eighths of its size an image may be decoded at without its shorter side falling below what it becomes: 1, 2,
 * 4 or 8. */
int tl__resampler_eighths(const tl__resampler *resampler, int width, int height);

/* Begins an image, or the box in it, of width * height <= 2^28 pixels, which come at eighths / 8 of that size (rounded up). From here on
 * x.first, x.count, y.first and y.count say which of those pixels are needed. TL_ERROR_MEMORY; TL_ERROR_LIMIT: without
 * a crop, more than 2^28 pixels. */
tl_status tl__resampler_begin(tl__resampler *resampler, int width, int height, int eighths);

/* Takes pixels x.first .. of row y as RGB. Rows must come in order; those that are not needed may be left out. */
void tl__resampler_row(tl__resampler *resampler, int y, const uint8_t *rgb);

/* After the last row: writes crop * crop * 3 bytes, without a crop x.out * y.out * 3. */
void tl__resampler_finish(tl__resampler *resampler, uint8_t *out);

#endif
