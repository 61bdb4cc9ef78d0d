/* tl/features.h: what a network makes of images before its head, for other uses: retrieval, clustering, other classifiers. */
#ifndef TL_FEATURES_H
#define TL_FEATURES_H

#include <tl/train.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tl_features tl_features;

typedef struct tl_features_options {
    size_t size;
    const char *at;         /* the node whose value is taken, as tl_train names it: "avgpool", "layer3.5.relu"; NULL: what
                             * the last layer reads */
    int batch;              /* 0: 32 */
    int workers;            /* decoding threads; 0: chosen */
    tl_precision precision; /* of everything before that value */
    const char *cache_folder; /* as in tl_train_options: features that are there are not computed, and those that are not */
    uint64_t cache_limit;     /* are added */
    void *user;
    void (*on_progress)(void *user, const tl_progress *progress); /* TL_PHASE_FEATURES, of those not found */
} tl_features_options;
TL_API void tl_features_options_init(tl_features_options *options, size_t size);

/* Computes the features of every image of the data set, in its order, with the network as in inference: stored statistics,
 * no dropout. TL_ERROR_NOT_FOUND: no such node (the message names some). TL_ERROR_LIMIT: no room for them.
 * TL_ERROR_ARGUMENT; errors of tl_train. */
TL_API tl_status tl_features_create(tl_model *model, tl_device *device, const tl_dataset *dataset, const tl_features_options *options,
                                    tl_features **out);
TL_API void tl_features_destroy(tl_features *features); /* before the data set; NULL is fine */

typedef struct tl_features_info {
    size_t size;
    const char *at;
    int64_t images, count; /* count: numbers for each image */
    int64_t shape[3];      /* channels, height, width: their product is count */
    int64_t images_found;  /* that were in the cache */
    const char *cache_file; /* NULL: none */
} tl_features_info;
TL_API void tl_features_describe(const tl_features *features, tl_features_info *info); /* size set by the caller */

/* One image's features, `count` numbers in PyTorch's order: channels, rows, columns. */
TL_API void tl_features_read(const tl_features *features, size_t image, float *out);

typedef enum tl_features_format {
    TL_FEATURES_SAFETENSORS = 0, /* one file: "features" f32 [images, count] and "labels" i64 [images]; metadata "libtl.files" and
                                  * "libtl.classes" (JSON lists), "libtl.arch", "libtl.node", "libtl.version" */
    TL_FEATURES_NPY = 1,         /* three files: PATH, f32 [images, count]; PATH without ".npy" and with ".labels.npy", i64
                                  * [images]; the same with ".files.txt", a path a line */
} tl_features_format;
/* Each file is whole or not written. TL_ERROR_IO; TL_ERROR_ARGUMENT: a path that the format cannot hold (not UTF-8, or
 * with a line break); TL_ERROR_MEMORY. */
TL_API tl_status tl_features_save(const tl_features *features, const char *path, tl_features_format format);

#ifdef __cplusplus
}
#endif
#endif
