/* sheet SHEET.png [IMAGE.png MASK.png PREDICTION.png]...: whether the sheet has just these, of no more than two images
 * none of which is too large to be shown as it is: strips side by side, pixel for pixel. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum { GAP = 4, APART = 20 };

typedef struct pixels {
    int width, height;
    uint8_t *rgb;
} pixels;

/* Of a palette the colours. */
static pixels load(const char *path)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    pixels p = {0};
    if (png_image_begin_read_from_file(&image, path)) {
        image.format = PNG_FORMAT_RGB;
        p.rgb = malloc(PNG_IMAGE_SIZE(image));
        if (p.rgb && png_image_finish_read(&image, NULL, p.rgb, 0, NULL)) {
            p.width = (int)image.width;
            p.height = (int)image.height;
            return p;
        }
    }
    fprintf(stderr, "%s: %s\n", path, image.message);
    exit(1);
}

static int holds(const pixels *sheet, int left, const pixels *part)
{
    const size_t line = 3 * (size_t)part->width;
    if (left + part->width > sheet->width || part->height > sheet->height)
        return 0;
    for (int y = 0; y < part->height; y++)
        if (memcmp(sheet->rgb + 3 * (y * sheet->width + left), part->rgb + (size_t)y * line, line) != 0)
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc % 3 != 2)
        return 2;
    const pixels sheet = load(argv[1]);
    int left = 0, highest = 0;
    for (int i = 2; i < argc; i++) {
        pixels part = load(argv[i]);
        if (!holds(&sheet, left, &part)) {
            fprintf(stderr, "%s has no %s at %d, 0\n", argv[1], argv[i], left);
            return 1;
        }
        left += part.width + (i % 3 != 1 ? GAP : i + 1 < argc ? APART : 0);
        highest = part.height > highest ? part.height : highest;
        free(part.rgb);
    }
    if (sheet.width != left || sheet.height != highest) {
        fprintf(stderr, "%s is %d x %d, not %d x %d\n", argv[1], sheet.width, sheet.height, left, highest);
        return 1;
    }
    free(sheet.rgb);
    return 0;
}
