/* Images that the tests draw for themselves, and what the slow and obvious way makes of them. */
#ifndef TEST_DRAW_H
#define TEST_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tl/image.h>

/* Numbers that are the same in every run. */
typedef struct dice {
    uint64_t state;
} dice;
uint32_t roll(dice *d, uint32_t bound); /* 0 .. bound - 1 */

typedef struct drawing {
    uint8_t *file; /* the PNG or JPEG */
    size_t size;
    int width, height;
    int components;       /* of a JPEG */
    double columns, rows; /* what width and height hold of the image, where it was read smaller */
    uint8_t *rgba;        /* what is in it, 4 bytes a pixel; JPEG: as plain libjpeg reads it, alpha 255 */
} drawing;
void drawing_free(drawing *d);

typedef struct png_kind {
    int type, depth;              /* PNG_COLOR_TYPE_... */
    bool interlaced, transparent; /* transparent: with tRNS, where the type allows it */
} png_kind;
drawing draw_png(dice *d, int width, int height, png_kind kind);
/* The same of values that are given, channels innermost; entry i of a palette is i, 255 - i, 7 i, its alpha 255 - 3 i. */
drawing draw_values(int width, int height, png_kind kind, const unsigned *values);

typedef struct jpeg_kind {
    int components;              /* 1, 3, 4 */
    int h[4], v[4];              /* sampling factors */
    bool progressive, ycck, rgb; /* how colour is stored */
    int restart, quality;
} jpeg_kind;
drawing draw_jpeg(dice *d, int width, int height, jpeg_kind kind);

/* A JPEG, as plain libjpeg reads it at eighths / 8 of its size. */
drawing draw_scaled(const drawing *jpeg, int eighths);

/* The whole image to RGB, the whole of it resized, then the crop: crop * crop * 3 bytes to be freed. */
uint8_t *reference_preprocess(const drawing *d, const tl_preprocess *preprocess);

/* Left, top, width and height of it resized to a square: side * side * 3 bytes to be freed. */
uint8_t *reference_stretch(const drawing *d, const int box[4], int side);

#endif
