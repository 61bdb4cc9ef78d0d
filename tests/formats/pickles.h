/* pickles.h: PyTorch's pickles, written by hand. */
#ifndef TL_TEST_FORMATS_PICKLES_H
#define TL_TEST_FORMATS_PICKLES_H

#include "support.h"

/* The arguments of a _rebuild_tensor function. */
struct tensor {
    const char *type, *key; /* the storage's: "torch\nFloatStorage" */
    int32_t elements, offset;
    int rank;
    int32_t shape[10], strides[10];
    const int32_t *view; /* NULL, or offset and elements */
};

void begin(struct bytes *b); /* protocol 2 */
void text(struct bytes *b, const char *value);
void integer(struct bytes *b, int32_t value);
void arguments(struct bytes *b, const struct tensor *t); /* without the mark and tuple around them */
void rebuild(struct bytes *b, const struct tensor *t);
void named(struct bytes *b, const char *name); /* and the tensor `four` */

/* Elements 2 .. 5 of storage "7". */
extern const struct tensor four;
extern const float four_values[4];

/* An older file around an object: storage "7", where the object has one, is the floats 1 .. 6. */
void legacy(struct bytes *file, struct bytes *object);

/* The object as such a file. open_good fails the test where it cannot be opened. refuse fails where it can, or where
 * the message lacks `says`. */
tl__archive *open_object(tl_context *context, struct bytes *object, tl_status *status);
tl__archive *open_good(tl_context *context, struct bytes *object);
void refuse(tl_context *context, struct bytes *object, const char *says);

#endif
