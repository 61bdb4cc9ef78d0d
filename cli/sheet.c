#include "cli/sheet.h"

#include <stdlib.h>
#include <string.h>

#include "cli/session.h"

#define STRIPS 6
#define ACROSS 2
#define CELL 160 /* the longer side of what is shown of an image, at most */
#define GAP 4    /* within a strip, and between rows */
#define APART 20 /* strips of a row */

typedef struct area {
    int width, height;
    uint8_t *rgb;
} area;

/* White, which is no class's colour. */
static area area_of(int width, int height)
{
    size_t bytes = 3 * (size_t)width * (size_t)height;
    area a = {width, height, cli_alloc(bytes)};
    memset(a.rgb, 255, bytes);
    return a;
}

static uint8_t *pixel(const area *a, int x, int y)
{
    return a->rgb + 3 * ((size_t)y * (size_t)a->width + (size_t)x);
}

static size_t scaled(int at, int to, int from)
{
    return (size_t)at * (size_t)from / (size_t)to;
}

/* ---- a strip ---- */

/* Each pixel is the mean of those that fall into it. */
static void draw_picture(const area *strip, int width, const tl_picture *p)
{
    for (int y = 0; y < strip->height; y++)
        for (int x = 0; x < width; x++) {
            size_t top = scaled(y, strip->height, p->height), bottom = scaled(y + 1, strip->height, p->height);
            size_t left = scaled(x, width, p->width), right = scaled(x + 1, width, p->width), sum[3] = {0};
            bottom += bottom == top;
            right += right == left;
            for (size_t v = top; v < bottom; v++)
                for (size_t u = left; u < right; u++)
                    for (size_t c = 0; c < 3; c++)
                        sum[c] += p->rgb[3 * (v * (size_t)p->width + u) + c];
            for (size_t c = 0; c < 3; c++)
                pixel(strip, x, y)[c] = (uint8_t)(sum[c] / ((bottom - top) * (right - left)));
        }
}

static void draw_labels(const area *strip, int left, int width, const uint8_t *labels, const tl_picture *p)
{
    for (int y = 0; y < strip->height; y++)
        for (int x = 0; x < width; x++) {
            size_t row = scaled(2 * y + 1, 2 * strip->height, p->file_height);
            size_t column = scaled(2 * x + 1, 2 * width, p->file_width);
            tl_class_colour(labels[row * (size_t)p->file_width + column], pixel(strip, left + x, y));
        }
}

static area draw_strip(const tl_picture *p, const uint8_t *truth, const uint8_t *said)
{
    int longer = p->file_width > p->file_height ? p->file_width : p->file_height;
    int width = longer > CELL ? (int)scaled(p->file_width, longer, CELL) : p->file_width;
    int height = longer > CELL ? (int)scaled(p->file_height, longer, CELL) : p->file_height;
    width += width == 0;
    height += height == 0;
    area strip = area_of(3 * width + 2 * GAP, height);
    draw_picture(&strip, width, p);
    draw_labels(&strip, width + GAP, width, truth, p);
    draw_labels(&strip, 2 * (width + GAP), width, said, p);
    return strip;
}

/* Nothing is drawn where it says why. */
static area strip_of(const cli_sheet *sheet, tl_segmenter *segmenter, size_t index)
{
    tl_picture picture = {.size = sizeof(picture)};
    tl_mask mask = {.size = sizeof(mask)};
    const tl_picture *list = &picture;
    const char *path = tl_dataset_path(sheet->data, index);
    area strip = {0};
    uint8_t *said = NULL;
    tl_status status = tl_picture_load(sheet->context, path, tl_model_preprocess(sheet->model), &picture);
    if (status == TL_OK)
        status = tl_mask_load(sheet->context, sheet->data, index, &mask);
    if (status == TL_OK) {
        said = cli_alloc((size_t)picture.file_width * (size_t)picture.file_height);
        status = tl_segmenter_run(segmenter, &list, 1, &said, NULL);
    }
    if (status != TL_OK)
        cli_warning("%s is not shown: %s", path, tl_context_message(sheet->context));
    else if (mask.width != picture.file_width || mask.height != picture.file_height)
        cli_warning("%s is not shown: its mask is of another size", path);
    else
        strip = draw_strip(&picture, mask.labels, said);
    free(said);
    tl_mask_release(sheet->context, &mask);
    tl_picture_release(sheet->context, &picture);
    return strip;
}

/* ---- the sheet ---- */

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static void paste(const area *onto, int left, int top, const area *strip)
{
    for (int y = 0; y < strip->height; y++)
        memcpy(pixel(onto, left, top + y), pixel(strip, 0, y), 3 * (size_t)strip->width);
}

static area arrange(const area *strips, int count)
{
    int columns[ACROSS] = {0}, rows[STRIPS] = {0}, width = 0, height = 0;
    for (int i = 0; i < count; i++) {
        columns[i % ACROSS] = larger(columns[i % ACROSS], strips[i].width);
        rows[i / ACROSS] = larger(rows[i / ACROSS], strips[i].height);
    }
    for (int i = 0; i < ACROSS && i < count; i++)
        width += columns[i] + (i ? APART : 0);
    for (int i = 0; i * ACROSS < count; i++)
        height += rows[i] + (i ? GAP : 0);
    area all = area_of(width, height);
    for (int i = 0, left = 0, top = 0; i < count; i++) {
        paste(&all, left, top, &strips[i]);
        left += columns[i % ACROSS] + APART;
        if (i % ACROSS == ACROSS - 1) {
            left = 0;
            top += rows[i / ACROSS] + GAP;
        }
    }
    return all;
}

bool cli_sheet_write(const cli_sheet *sheet, const char *path)
{
    const size_t images = tl_dataset_size(sheet->data), wanted = images < STRIPS ? images : STRIPS;
    tl_segmenter_options options = {.size = sizeof(options), .batch = 1, .tile = sheet->tiling.tile,
                                    .overlap = sheet->tiling.overlap};
    tl_segmenter *segmenter = NULL;
    area strips[STRIPS];
    int count = 0;
    tl_status status = tl_segmenter_create(sheet->model, sheet->device, &options, &segmenter);
    for (size_t i = 0; i < wanted && status == TL_OK; i++) {
        strips[count] = strip_of(sheet, segmenter, i * images / wanted);
        count += strips[count].rgb != NULL;
    }
    tl_segmenter_destroy(segmenter);
    if (count > 0) {
        area all = arrange(strips, count);
        status = tl_image_save(sheet->context, path, all.width, all.height, all.rgb, NULL, 0);
        free(all.rgb);
    }
    for (int i = 0; i < count; i++)
        free(strips[i].rgb);
    if (status != TL_OK)
        cli_warning("no pictures of predictions: %s", tl_context_message(sheet->context));
    return status == TL_OK && count > 0;
}
