/* tl/image.h: from a PNG or JPEG file to the pixels a network sees, equal byte for byte to what Pillow and
 * torchvision make of the same file (Pillow 13, where versions differ). */
#ifndef TL_IMAGE_H
#define TL_IMAGE_H

#include <tl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tl_alpha {
    TL_ALPHA_DROP = 0,  /* as Image.convert("RGB") does: the colour under the alpha stays */
    TL_ALPHA_WHITE = 1, /* composited onto white */
    TL_ALPHA_BLACK = 2,
} tl_alpha;

/* How a JPEG is decoded whose shorter side is more than `resize` wants. Fast leaves out the frequencies that do not show
 * at a half, a quarter or an eighth of the size, the smallest of them that is not below `resize`, and resizes from there,
 * with the same crop to a fraction of a pixel: a little sharper than exact, over 16 photographs of 0.6 to 1 megapixels
 * and 12 made ones of up to 12 by 1 of 255 in the mean (at most 1.4 an image, 25 a byte, at edges). Images less than twice
 * too large, and PNGs, have the bytes of exact. A model does not keep it: it belongs to a run. */
typedef enum tl_decode {
    TL_DECODE_EXACT = 0, /* Pillow's bytes */
    TL_DECODE_FAST = 1,
} tl_decode;

/* torchvision's Compose([Resize(resize), CenterCrop(crop), ToTensor(), Normalize(mean, std)]). */
typedef struct tl_preprocess {
    size_t size;
    int resize;    /* the shorter side becomes this, bilinear with antialiasing; 0: not resized. <= 16384 */
    int crop;      /* side of the centred square; where the image is smaller, zeros around it. 1 .. 16384 */
    tl_alpha alpha;
    float mean[3], std[3]; /* RGB, of values in 0 .. 1; std > 0 */
    tl_decode decode;
} tl_preprocess;

/* ImageNet's: 256, 224, TL_ALPHA_DROP, mean 0.485 0.456 0.406, std 0.229 0.224 0.225. */
TL_API void tl_preprocess_init(tl_preprocess *preprocess, size_t size);

/* Reads `path`, makes RGB of it, resizes and crops: crop * crop * 3 bytes, row by row, into `rgb`.
 * Grey, palette (with or without transparency), alpha, 1 to 16 bits, interlaced; baseline and progressive JPEG in
 * grey, YCbCr, RGB, CMYK, YCCK. EXIF orientation is ignored, as Pillow does by default. Read, but logged as a
 * warning: 16-bit grey, of which the high byte is kept (Pillow would cut it off at 255), and a JPEG with damage that
 * every reader mends, down to the last row that is needed: what is below is not looked at, but must be there.
 * TL_ERROR_IO: cannot be read. TL_ERROR_FORMAT: not a PNG or JPEG, damaged, or truncated. TL_ERROR_LIMIT: more than
 * 2^28 pixels, or a JPEG that takes 2 GiB to decode. TL_ERROR_ARGUMENT: a bad preprocess. TL_ERROR_MEMORY. The
 * message names the file; `rgb` is untouched on failure. */
TL_API tl_status tl_image_load(tl_context *context, const char *path, const tl_preprocess *preprocess, uint8_t *rgb);

/* An image as a whole, as segmentation sees it. */
typedef struct tl_picture {
    size_t size;
    int width, height;           /* of rgb */
    int file_width, file_height; /* of the image in its file */
    uint8_t *rgb;                /* width * height * 3 bytes, row by row */
} tl_picture;

/* As tl_image_load, without the crop: resize 0 gives the image at its own size. picture->size is the caller's; what is
 * in it is the caller's to release. Errors as tl_image_load; TL_ERROR_LIMIT also for more than 2^28 pixels after resizing. */
TL_API tl_status tl_picture_load(tl_context *context, const char *path, const tl_preprocess *preprocess, tl_picture *picture);
TL_API void tl_picture_release(tl_context *context, tl_picture *picture);

/* Writes a PNG, whole or not at all: of `colours` entries of a palette (3 bytes each, 1 to 256), an index a pixel; or,
 * with colours 0, of RGB, 3 bytes a pixel. TL_ERROR_ARGUMENT: an index beyond the palette; a size that is not 1 to 2^28
 * pixels. TL_ERROR_IO, TL_ERROR_MEMORY. */
TL_API tl_status tl_image_save(tl_context *context, const char *path, int width, int height, const uint8_t *pixels,
                               const uint8_t *palette, int colours);

/* As torchvision's Normalize(ToTensor(.)): y = (byte / 255 - mean[c]) / std[c], every step rounded to float.
 * `rgb` and `out` have `pixels` * 3 elements, channels innermost. */
TL_API void tl_image_normalize(const tl_preprocess *preprocess, const uint8_t *rgb, size_t pixels, float *out);

#ifdef __cplusplus
}
#endif
#endif
