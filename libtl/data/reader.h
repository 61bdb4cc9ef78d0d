/* data/reader.h: one image after another, from a file or from memory to the pixels that a network sees. */
#ifndef TL__DATA_READER_H
#define TL__DATA_READER_H

#include <tl/image.h>

#include "core/core.h"
#include "data/augment.h"
#include "data/mask.h"
#include "data/resize.h"

#define TL__MAX_PIXELS ((int64_t)1 << 28)

/* Where the bytes of an image come from, a piece at a time, so that a file's size costs no memory. */
typedef struct tl__source {
    const char *name; /* for messages */
    int fd;           /* -1: everything is in data already */
    const uint8_t *data;
    size_t size;
    int error; /* errno of a read that failed */
} tl__source;

/* Used by one thread at a time; buffers, and libjpeg's state, are kept from image to image. */
typedef struct tl__reader {
    tl_context *context; /* receives the messages */
    tl_preprocess preprocess;
    tl__resampler resampler;
    tl__source source;
    uint8_t *buffer; /* the source's */
    uint8_t *pixels; /* the decoders': rows */
    size_t pixels_capacity;
    int width, height; /* of the image that was begun last, in its file */
    bool look;         /* only the header is read: the decoders end once the resampling has begun */
    const tl__change *change; /* NULL: images are resized and cropped; otherwise its box is taken where it has one */
    uint8_t *mask;            /* the one that was read last, mask_width * mask_height labels */
    size_t mask_capacity;
    int mask_width, mask_height;
    struct tl__jpeg *jpeg; /* made for the first JPEG */
    /* What is odd about the image that was read last though it could be read, "" if nothing: "NAME: 16-bit grey ..." */
    char notice[512];
} tl__reader;

/* The preprocess as this version knows it, checked. TL_ERROR_ARGUMENT. */
tl_status tl__preprocess_take(tl_context *context, const tl_preprocess *preprocess, tl_preprocess *out);

/* TL_ERROR_ARGUMENT (a bad preprocess), TL_ERROR_MEMORY. */
tl_status tl__reader_create(tl_context *context, const tl_preprocess *preprocess, tl__reader **out);
void tl__reader_destroy(tl__reader *reader);

/* crop * crop * 3 bytes into rgb, untouched on failure. As tl_image_load, but odd images are only noted. With rgb NULL
 * everything is done but tl__resampler_finish, which remains the caller's. */
tl_status tl__reader_load(tl__reader *reader, const char *path, uint8_t *rgb);
tl_status tl__reader_decode(tl__reader *reader, const char *name, const void *data, size_t size, uint8_t *rgb);

/* As tl_picture_load; the pixels are the reader's context's. A reader of pictures has no crop from then on. */
tl_status tl__reader_picture(tl__reader *reader, const char *path, tl_picture *out);

/* Reads a mask whole, into reader->mask. Errors as tl_mask_load. */
tl_status tl__reader_mask(tl__reader *reader, const char *path, const tl__mask_rule *rule);

/* Reads the header alone: width and height are known then, and labels can be shown as if the image had been read.
 * Errors as tl_image_load, of what the header tells. */
tl_status tl__reader_look(tl__reader *reader, const char *path);

/* ---- between reader.c and the decoders ---- */

/* Makes data and size the next piece. False at the end, or where reading failed (error is set). */
bool tl__source_next(tl__reader *reader);

/* What became of the source, for a decoder that wants more and gets none: read error, or truncated. */
tl_status tl__source_fail(tl__reader *reader);

/* At least `bytes` bytes in reader->pixels. TL_ERROR_MEMORY. */
tl_status tl__reader_pixels(tl__reader *reader, size_t bytes);

/* Checks the size against the limits and begins the resampling. `eighths`: NULL, or receives the part of the size (of 8)
 * at which the decoder is to give the image, less than 8 only for decode = fast. TL_ERROR_LIMIT, TL_ERROR_MEMORY. */
tl_status tl__reader_begin(tl__reader *reader, uint32_t width, uint32_t height, int *eighths);

void tl__reader_note(tl__reader *reader, const char *text);

/* Take the whole image from the source and give its rows to the resampler. */
tl_status tl__png_read(tl__reader *reader);
/* The labels of a mask, into reader->mask, for which tl__reader_mask_begin makes room. */
tl_status tl__png_read_mask(tl__reader *reader, const tl__mask_rule *rule);
tl_status tl__reader_mask_begin(tl__reader *reader, uint32_t width, uint32_t height);
tl_status tl__jpeg_read(tl__reader *reader);
void tl__jpeg_destroy(tl__reader *reader);

#endif
