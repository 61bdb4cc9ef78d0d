/* tl/dataset.h: labelled images: in class folders, or each with a mask that has a class for every pixel. */
#ifndef TL_DATASET_H
#define TL_DATASET_H

#include <tl/image.h>

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

/* ---- masks: a class for every pixel ---- */

#define TL_IGNORED 255 /* the label of a pixel that does not count */

typedef enum tl_masks {
    TL_MASKS_INDEX = 0,  /* a palette or grey PNG of 1 to 8 bits, of which the number of each pixel is its class: the
                          * entry of the palette, whatever its colour, or the grey value as the file has it */
    TL_MASKS_COLOUR = 1, /* a PNG of which the colour of each pixel is that of its class */
    TL_MASKS_ALPHA = 2,  /* none of its own: where the image's alpha is 128 or more is class 1, elsewhere class 0 */
} tl_masks;

typedef struct tl_masks_options {
    size_t size;
    tl_masks kind;
    int ignore;                  /* the number, in files, of pixels that do not count: 0 .. 255; -1: all count; default 255 */
    size_t class_count;          /* 1 .. 255; ALPHA always has 2; 0 with INDEX: one more than the largest number in the
                                  * masks, all of which tl_dataset_open_masks reads then */
    const char *const *classes;  /* [class_count]; NULL: "0", "1", ...; of ALPHA "background", "object" */
    const uint8_t (*colours)[3]; /* [class_count], with COLOUR: red, green, blue, all different */
    const uint8_t *ignore_colour; /* [3]: of pixels that do not count; NULL: there are none such */
} tl_masks_options;
TL_API void tl_masks_options_init(tl_masks_options *options, size_t size);

/* Reads the names of images and masks. `path` is one of:
 * - a folder with `images/` and `masks/`, in which an image and its mask have the same name but for the ending, at any
 *   depth (images/a/7.jpg, masks/a/7.png); with ALPHA a folder of images;
 * - a file whose name ends with .csv: a line `image,mask` for each (with ALPHA `image`), relative to the file's folder;
 *   fields may stand in double quotes, empty lines do not count, nor does a first line `image,mask`.
 * Images are sorted as tl_dataset_open sorts them, those of a list are in its order. A mask without an image is logged as
 * a warning. No image is opened, and no mask but where class_count is 0.
 * TL_ERROR_NOT_FOUND: no such folder or file. TL_ERROR_IO. TL_ERROR_ARGUMENT: an option out of range.
 * TL_ERROR_DATA: no images; an image without a mask, two images for one mask or two masks for one image, a line of another
 * form (the message names it); with class_count 0 all that tl_mask_load says of masks. TL_ERROR_MEMORY. */
TL_API tl_status tl_dataset_open_masks(tl_context *context, const char *path, const tl_masks_options *options,
                                       tl_dataset **out);

/* Whether it has masks. Of such a data set tl_dataset_label is -1, tl_dataset_class_size 0, and tl_dataset_split holds out
 * a part of all images, whatever their classes. */
TL_API bool tl_dataset_has_masks(const tl_dataset *dataset);
TL_API const char *tl_dataset_mask(const tl_dataset *dataset, size_t index); /* its file; NULL without, and beyond the last */

/* A mask at the size of its image. */
typedef struct tl_mask {
    size_t size;
    int width, height;
    uint8_t *labels; /* width * height: 0 .. class_count - 1, or TL_IGNORED */
} tl_mask;

/* Reads the mask of an image. mask->size is the caller's; what is in it is the caller's to release. 16-bit and
 * interlaced PNGs: the second are read, the first are an error but for ALPHA, where the high byte counts.
 * TL_ERROR_DATA, with the file's name and the pixel: a number or a colour that is no class's, a partly transparent colour,
 * an image without alpha for ALPHA, a colour PNG where numbers are wanted, 16 bits. TL_ERROR_FORMAT: not a PNG, damaged.
 * TL_ERROR_IO, TL_ERROR_LIMIT, TL_ERROR_MEMORY. Whether its image is of the same size is not known here. */
TL_API tl_status tl_mask_load(tl_context *context, const tl_dataset *dataset, size_t index, tl_mask *mask);
TL_API void tl_mask_release(tl_context *context, tl_mask *mask);

/* What a network is to see of an image, and its mask: rgb as tl_image_load, labels[crop * crop] brought to the same
 * place by Pillow's nearest, TL_IGNORED where the image has its zeros. Errors as tl_image_load and tl_mask_load;
 * TL_ERROR_DATA: image and mask differ in size (both are named). */
TL_API tl_status tl_masked_load(tl_context *context, const tl_dataset *dataset, size_t index, const tl_preprocess *preprocess,
                                uint8_t *rgb, uint8_t *labels);

/* Reads every mask and counts the pixels of each class, at the masks' own size, into counts[class_count]; ignored ones
 * into *ignored, which may be NULL. A class that no pixel has is logged as a warning, by its name. Errors as
 * tl_mask_load, TL_CANCELLED. TL_ERROR_ARGUMENT: a data set without masks. */
TL_API tl_status tl_dataset_count_pixels(tl_context *context, const tl_dataset *dataset, int64_t *counts, int64_t *ignored);

/* Weights of the classes in the loss by inverse frequency: count of all / (classes that are there * count of the class), 1
 * for a class that is not. (scikit-learn's "balanced", over the classes that occur: the weighted pixels of each are
 * as many.) The counts may be of images or of pixels. */
TL_API void tl_class_weights(const int64_t *counts, size_t classes, float *weights);

/* ---- all data sets ---- */

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
