/* tl/segment.h: from a segmenter's logits to what they say of each pixel, at any size. */
#ifndef TL_SEGMENT_H
#define TL_SEGMENT_H

#include <tl/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One image's logits, height * width * classes numbers as tl_predictor_run gives them, brought to another size by bilinear
 * interpolation with the corners of the outer pixels in place (PyTorch's align_corners = False); where the size is the same,
 * they stay as they are. labels[out_height * out_width] receives the class of the largest, the first of equals. */
TL_API void tl_logits_label(const float *logits, int height, int width, int classes, int out_height, int out_width,
                            uint8_t *labels);

/* The same, as the softmax over the classes: out[classes * out_height * out_width], a map for each class. */
TL_API void tl_logits_probabilities(const float *logits, int height, int width, int classes, int out_height, int out_width,
                                    float *out);

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
