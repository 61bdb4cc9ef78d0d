/* models/save.h: what the file of a model holds. */
#ifndef TL__SAVE_H
#define TL__SAVE_H

#include <jansson.h>

#include "models/models.h"

typedef struct tl__model_file {
    tl_model *model;
    tl__parameter **order; /* of the file */
    tl__output *outputs;
    size_t count; /* of both */
    tl__metadata metadata[16];
    size_t metadata_count;
} tl__model_file;

/* Of the parameters that `among` names by their numbers, NULL: of all. Released on failure too. TL_ERROR_MEMORY,
 * TL_ERROR_ARGUMENT (names that are not UTF-8). */
tl_status tl__model_file_create(tl_model *model, const bool *among, tl__model_file *file);
/* Adds to the metadata. Takes the reference. */
tl_status tl__model_file_describe(tl__model_file *file, const char *key, json_t *value);
tl_status tl__model_file_write(tl__model_file *file, const char *path);
void tl__model_file_release(tl__model_file *file);
/* For tl__safetensors_write: the tensor at `index` of the order; `user` is the file. */
tl_status tl__model_file_read(void *user, size_t index, void *out);

/* ---- in ---- */

/* The network that the metadata tell of, without its weights. TL_ERROR_FORMAT: they do not. TL_ERROR_MEMORY. */
tl_status tl__model_described(tl_context *context, const tl__archive *archive, tl_model **out);
/* A key's value as JSON, NULL where the file has no such key. */
tl_status tl__metadata_json(const tl__archive *archive, const char *key, json_t **out);
tl_status tl__metadata_bad(const tl__archive *archive, const char *key); /* fails: it is not what libtl writes */

#endif
