/* tl/segment.h: what a segmenter says of each pixel of an image, at the image's own size. */
#ifndef TL_SEGMENT_H
#define TL_SEGMENT_H

#include <tl/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- images of any size ---- */

typedef struct tl_segmenter tl_segmenter;

/* An image goes through the network whole, so that every pixel has all its surroundings. One that the device has no
 * room for goes in overlapping tiles: on a device with memory of its own where activations do not fit it or logits
 * would take more than a quarter of the machine's memory, on the CPU where both together would. Where two tiles
 * overlap, pixels up to the middle of the overlap are taken from the one, those behind it from the other: nothing is
 * averaged. What is taken of a tile so lies half the overlap or more from its edges, which the network sees as the ends
 * of an image; where nothing farther away plays a part, tiles give what the whole gives. A network with a pooled branch
 * (deeplabv3) pools over each tile. */
typedef struct tl_segmenter_options {
    size_t size;
    int batch; /* pictures of one size at once; 0: 8 */
    int tile;  /* the side of tiles, 64 to 16384, rounded up to a multiple of 32, for all images that are larger; 0:
                * tiles only where there must be, as large as have room */
    double overlap; /* the least overlap of two, as a part of the side, above 0, up to 0.75; 0: 0.25 */
} tl_segmenter_options;

/* The model must outlive it and must not train meanwhile. `options` may be NULL. TL_ERROR_ARGUMENT: an option out of
 * range, a model whose head does not label pixels. TL_ERROR_MEMORY, TL_ERROR_DEVICE. */
TL_API tl_status tl_segmenter_create(tl_model *model, tl_device *device, const tl_segmenter_options *options,
                                     tl_segmenter **out);
TL_API void tl_segmenter_destroy(tl_segmenter *segmenter); /* NULL is fine */

/* What it says of `count` (1 .. batch) pictures of one size, which tl_picture_load made with the model's preprocessing:
 * of picture i, where the array and its entry are not NULL, labels[i][file_height * file_width], and
 * probabilities[i][classes * file_height * file_width], a map for each class. Logits are brought to the file's size as
 * tl_logits_label has it; those of a large image are never all there at once. Any size may follow any other; a
 * picture's result does not depend on the others. TL_ERROR_ARGUMENT. TL_ERROR_SHAPE: too small for the network.
 * TL_ERROR_MEMORY: not even tiles of 64 pixels, or of the side that was asked for, have room. TL_ERROR_LIMIT,
 * TL_ERROR_DEVICE, TL_UNSUPPORTED, TL_CANCELLED. */
TL_API tl_status tl_segmenter_run(tl_segmenter *segmenter, const tl_picture *const *pictures, int count,
                                  uint8_t *const *labels, float *const *probabilities);

/* ---- logits ---- */

/* One image's logits, height * width * classes numbers as tl_predictor_run gives them, brought to another size by bilinear
 * interpolation with the corners of the outer pixels in place (PyTorch's align_corners = False); where the size is the same,
 * they stay as they are. labels[out_height * out_width] receives the class of the largest, the first of equals. */
TL_API void tl_logits_label(const float *logits, int height, int width, int classes, int out_height, int out_width,
                            uint8_t *labels);

/* The same, as the softmax over the classes: out[classes * out_height * out_width], a map for each class. */
TL_API void tl_logits_probabilities(const float *logits, int height, int width, int classes, int out_height, int out_width,
                                    float *out);

/* ---- files and colours ---- */

/* Writes numbers to a file that NumPy's load reads, whole or not at all: f32, row by row, of `rank` (1 .. 4) dimensions.
 * TL_ERROR_ARGUMENT, TL_ERROR_IO, TL_ERROR_MEMORY. */
TL_API tl_status tl_array_save(tl_context *context, const char *path, int rank, const int64_t *shape, const float *values);

/* The colour of a class in masks, red, green, blue: bits of the index, lowest first, give the colours' highest bits in
 * turn, as in the masks of Pascal VOC. Class 0 is black. */
TL_API void tl_class_colour(int index, uint8_t rgb[3]);

#ifdef __cplusplus
}
#endif
#endif
