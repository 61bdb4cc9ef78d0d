/* What tests of masks share: putting them and their images into the fixture's folder. */
#ifndef TEST_MASKS_H
#define TEST_MASKS_H

#include <string.h>

#include <png.h>

#include "draw.h"
#include "support.h"

typedef data_fixture fixture;

static inline void put(const fixture *f, const char *name, int width, int height, png_kind kind, const unsigned *values) {
    drawing d = draw_values(width, height, kind, values);
    file_write(f->folder, name, d.file, d.size);
    drawing_free(&d);
}

/* A grey PNG of 8 bits. */
static inline void put_grey(const fixture *f, const char *name, int width, int height, const unsigned *values) {
    put(f, name, width, height, (png_kind){PNG_COLOR_TYPE_GRAY, 8, false, false}, values);
}

static inline void put_image(const fixture *f, const char *name, int width, int height) {
    dice d = {17};
    drawing image = draw_png(&d, width, height, (png_kind){PNG_COLOR_TYPE_RGB, 8, false, false});
    file_write(f->folder, name, image.file, image.size);
    drawing_free(&image);
}

static inline void fill(unsigned *values, size_t count, unsigned below) {
    dice d = {count};
    for (size_t i = 0; i < count; i++)
        values[i] = roll(&d, below);
}

static inline tl_dataset *open_ok(fixture *f, const char *path) {
    tl_dataset *d = NULL;
    tl_status status = tl_dataset_open_masks(f->context, path, &f->options, &d);
    if (status != TL_OK)
        print_error("%s\n", tl_context_message(f->context));
    assert_int_equal(status, TL_OK);
    return d;
}

static inline void assert_says(const fixture *f, const char *words) {
    if (!strstr(tl_context_message(f->context), words))
        fail_msg("\"%s\" does not say \"%s\"", tl_context_message(f->context), words);
}

#endif
