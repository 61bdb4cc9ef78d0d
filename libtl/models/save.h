/* models/save.h: what the file of a model holds. */
#ifndef TL__SAVE_H
#define TL__SAVE_H

#include "models/models.h"

typedef struct tl__model_file {
    tl_model *model;
    tl__parameter **order; /* of the file */
    tl__output *outputs;
    tl__metadata metadata[16];
    size_t metadata_count;
} tl__model_file;

/* Released on failure too. TL_ERROR_MEMORY, TL_ERROR_ARGUMENT (names that are not UTF-8). */
tl_status tl__model_file_create(tl_model *model, tl__model_file *file);
void tl__model_file_release(tl__model_file *file);
/* For tl__safetensors_write: the tensor at `index` of the order; `user` is the file. */
tl_status tl__model_file_read(void *user, size_t index, void *out);

#endif
