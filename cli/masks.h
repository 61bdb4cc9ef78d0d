/* cli/masks.h: what a segmenter says of images, as files. */
#ifndef CLI_MASKS_H
#define CLI_MASKS_H

#include <tl/tl.h>

#include "cli/json.h"
#include "cli/options.h"

typedef struct cli_image {
    char *path;
    char *name; /* of what is written for it: its path in the folder that was named, without its ending */
} cli_image;

typedef struct cli_masks {
    tl_context *context;
    tl_model *model;
    tl_device *device;
    const char *folder;
    bool overlay, probabilities;
    int batch; /* images of one size that go through the network together */
    cli_tiling tiling;
    const cli_image *images;
    size_t count;
    json_t *list; /* receives an object for each image; NULL: a line each is printed */
    size_t failed;
} cli_masks;

/* FOLDER/NAME.png for each image, a palette of the classes' colours, as large as the image; with `overlay` also
 * NAME.overlay.png, with `probabilities` NAME.npy. An image that cannot be read is reported, the others go on. An exit
 * code. */
int cli_masks_write(cli_masks *masks);

#endif
