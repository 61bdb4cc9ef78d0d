/* Writing PNGs: masks with their palette, and pictures. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

#include <tl/image.h>

#include "core/core.h"

typedef struct writing {
    tl_context *context;
    tl__writer *file;
    tl_status status; /* of the file, of which libpng knows only that it failed */
    char text[128];   /* what libpng says */
} writing;

static PNG_NORETURN void on_error(png_structp png, png_const_charp text) {
    writing *w = png_get_error_ptr(png);
    snprintf(w->text, sizeof w->text, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png, (void)text;
}

static void on_write(png_structp png, png_bytep data, size_t size) {
    writing *w = png_get_io_ptr(png);
    w->status = tl__writer_write(w->file, data, size);
    if (w->status != TL_OK)
        png_error(png, "the file");
}

static void on_flush(png_structp png) {
    (void)png;
}

typedef struct content {
    int width, height;
    const uint8_t *pixels, *palette;
    int colours;
} content;

/* An index takes a byte, however few colours there are, which every reader understands. */
static bool encode(writing *w, png_structp png, png_infop info, const content *c) {
    png_color palette[256];
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, w, on_write, on_flush);
    png_set_IHDR(png, info, (png_uint_32)c->width, (png_uint_32)c->height, 8, c->colours ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    for (int i = 0; i < c->colours; i++)
        palette[i] = (png_color){c->palette[3 * i], c->palette[3 * i + 1], c->palette[3 * i + 2]};
    if (c->colours)
        png_set_PLTE(png, info, palette, c->colours);
    png_set_compression_level(png, 6);
    png_write_info(png, info);
    size_t stride = (size_t)c->width * (c->colours ? 1 : 3);
    for (int y = 0; y < c->height; y++)
        png_write_row(png, c->pixels + (size_t)y * stride);
    png_write_end(png, info);
    return true;
}

static tl_status write_png(writing *w, const char *path, const content *c) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool done = info && encode(w, png, info, c);
    png_destroy_write_struct(&png, &info);
    if (done)
        return TL_OK;
    if (w->status != TL_OK)
        return w->status;
    return tl__fail(w->context, TL_ERROR_MEMORY, "%s: no PNG could be made: %s", path, w->text[0] ? w->text : "no memory");
}

tl_status tl_image_save(tl_context *context, const char *path, int width, int height, const uint8_t *pixels,
                        const uint8_t *palette, int colours) {
    if (!path || !pixels || width < 1 || height < 1 || (int64_t)width * height > (int64_t)1 << 28)
        return tl__fail(context, TL_ERROR_ARGUMENT, "an image of %d x %d pixels cannot be written", width, height);
    if (colours < 0 || colours > 256 || (colours && !palette))
        return tl__fail(context, TL_ERROR_ARGUMENT, "a palette of %d colours", colours);
    for (size_t i = 0; colours && i < (size_t)width * (size_t)height; i++)
        if (pixels[i] >= colours)
            return tl__fail(context, TL_ERROR_ARGUMENT, "%s: index %d where the palette has %d colours", path, pixels[i], colours);
    tl__writer file;
    TL__TRY(tl__writer_open(context, path, &file));
    writing w = {.context = context, .file = &file, .status = TL_OK};
    tl_status status = write_png(&w, path, &(content){width, height, pixels, palette, colours});
    if (status == TL_OK)
        return tl__writer_commit(&file);
    tl__writer_abandon(&file);
    return status;
}
