/* train/rows.h: the values of a cut as rows, one for each image: the values' numbers one behind the other. */
#ifndef TL__ROWS_H
#define TL__ROWS_H

#include "graph/plan.h"

/* Room for one value of all images, where there are several. */
typedef struct tl__rows {
    tl_context *context;
    void *room;
    size_t bytes;
} tl__rows;
tl_status tl__rows_ready(tl__rows *rows, const tl__plan *plan, const tl__cut *values); /* TL_ERROR_MEMORY */
void tl__rows_free(tl__rows *rows);

/* Of `count` images, as many as the plan is for. */
tl_status tl__rows_write(const tl__rows *rows, tl__plan *plan, const tl__cut *values, int count, const void *from);
tl_status tl__rows_read(const tl__rows *rows, tl__plan *plan, const tl__cut *values, int count, void *to);
/* Bytes of one row. */
size_t tl__rows_bytes(const tl__plan *plan, const tl__cut *values, int count);

#endif
