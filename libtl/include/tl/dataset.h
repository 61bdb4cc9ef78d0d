/* tl/dataset.h: labelled images in class folders. */
#ifndef TL_DATASET_H
#define TL_DATASET_H

#include <tl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tl_dataset tl_dataset;

/* Reads the names in `folder`: one folder a class, classes sorted by code point ("1", "10", "2"), images found
 * at any depth below, sorted by path (torchvision's ImageFolder). Files that are not .png, .jpg or .jpeg (any
 * case) are passed over; hidden files and folders too. No image is opened.
 * TL_ERROR_NOT_FOUND: no such folder. TL_ERROR_IO. TL_ERROR_DATA: no class folders, a class without images (the
 * message names it), or images beside the class folders and no class folder. TL_ERROR_MEMORY. */
TL_API tl_status tl_dataset_open(tl_context *context, const char *folder, tl_dataset **out);

/* NULL is fine. Splits stay valid when what they came from is destroyed. */
TL_API void tl_dataset_destroy(tl_dataset *dataset);

/* Holds out a part of each class: of a class with n images, floor(n * fraction + 0.5) but at least one and at most
 * n - 1 go to `held_out`, the others to `rest`, drawn by `seed` (the same on every machine). Both keep the order of
 * `dataset`. The draw of a class depends on its name, its number of images and the seed alone: its image numbers
 * 0 .. n - 1 are shuffled (Fisher-Yates from the end, Philox4x32-10 started with the seed and the name), the first
 * are held out.
 * TL_ERROR_ARGUMENT: fraction not in (0, 1). TL_ERROR_DATA: a class with one image. TL_ERROR_MEMORY. */
TL_API tl_status tl_dataset_split(tl_context *context, const tl_dataset *dataset, double fraction, uint64_t seed,
                                  tl_dataset **rest, tl_dataset **held_out);

/* Checks that both name the same classes in the same order. TL_ERROR_DATA with the first difference in words. */
TL_API tl_status tl_dataset_match(tl_context *context, const tl_dataset *dataset, const char *const *classes,
                                  size_t class_count);

TL_API size_t tl_dataset_size(const tl_dataset *dataset);                     /* images */
TL_API size_t tl_dataset_class_count(const tl_dataset *dataset);
TL_API const char *tl_dataset_class(const tl_dataset *dataset, size_t index); /* its name; NULL beyond the last */
TL_API const char *const *tl_dataset_classes(const tl_dataset *dataset);      /* all the names */
TL_API size_t tl_dataset_class_size(const tl_dataset *dataset, size_t index); /* images of that class */
TL_API const char *tl_dataset_path(const tl_dataset *dataset, size_t index);  /* the folder, '/', the path in it */
TL_API int tl_dataset_label(const tl_dataset *dataset, size_t index);         /* 0 .. class_count - 1; -1 beyond */

#ifdef __cplusplus
}
#endif
#endif
