/* cli/sheet.h: images beside their masks and what a segmenter says of them, on one sheet. */
#ifndef CLI_SHEET_H
#define CLI_SHEET_H

#include <tl/tl.h>

#include "cli/options.h"

typedef struct cli_sheet {
    tl_context *context;
    tl_model *model;
    tl_device *device;
    const tl_dataset *data; /* with masks, of the model's classes */
    cli_tiling tiling;
} cli_sheet;

/* Writes a PNG of six whole images at even distances over the data set, or of all where there are fewer: each a strip
 * of image, truth and prediction in the colours of tl_class_colour, what is ignored in that of 255; two strips a row, as
 * large as the files, but none of the three wider or higher than 160. An image that cannot be read is left out with a
 * warning. False after saying why, as a warning. */
bool cli_sheet_write(const cli_sheet *sheet, const char *path);

#endif
