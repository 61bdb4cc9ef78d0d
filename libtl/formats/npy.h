/* formats/npy.h: NumPy's array files: a magic, a version, the length of a Python dictionary padded to 64 bytes, the numbers,
 * little endian. */
#ifndef TL__NPY_H
#define TL__NPY_H

#include "core/core.h"

/* `type`: "<f4", "<i8"; the numbers follow, row by row. */
tl_status tl__npy_begin(tl__writer *writer, const char *type, int rank, const int64_t *shape);
/* In the file's order of bytes; in place. */
void tl__npy_order(float *values, int64_t count);

#endif
