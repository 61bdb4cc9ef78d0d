#include "data/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUFFER ((size_t)1 << 16)

tl_status tl__reader_create(tl_context *context, const tl_preprocess *preprocess, tl__reader **out) {
    tl_preprocess p;
    TL__TRY(tl__preprocess_take(context, preprocess, &p));
    tl__reader *reader = tl__calloc(context, 1, sizeof *reader);
    if (!reader)
        return TL_ERROR_MEMORY;
    reader->context = context;
    reader->preprocess = p;
    tl__resampler_init(&reader->resampler, context, p.resize, p.crop);
    reader->buffer = tl__alloc(context, BUFFER);
    if (!reader->buffer) {
        tl__reader_destroy(reader);
        return TL_ERROR_MEMORY;
    }
    *out = reader;
    return TL_OK;
}

void tl__reader_destroy(tl__reader *reader) {
    if (!reader)
        return;
    tl__jpeg_destroy(reader);
    tl__resampler_free(&reader->resampler);
    tl__free(reader->context, reader->pixels);
    tl__free(reader->context, reader->mask);
    tl__free(reader->context, reader->buffer);
    tl__free(reader->context, reader);
}

/* ---- the source ---- */

/* As much as fits behind the `kept` bytes at the start of the buffer; 0 at the end and on failure. */
static size_t fill(tl__reader *reader, size_t kept) {
    ssize_t got;
    do
        got = read(reader->source.fd, reader->buffer + kept, BUFFER - kept);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        reader->source.error = errno;
    return got > 0 ? (size_t)got : 0;
}

bool tl__source_next(tl__reader *reader) {
    tl__source *source = &reader->source;
    source->size = source->fd >= 0 ? fill(reader, 0) : 0;
    source->data = reader->buffer;
    return source->size > 0;
}

tl_status tl__source_fail(tl__reader *reader) {
    const tl__source *source = &reader->source;
    if (source->error)
        return tl__fail(reader->context, TL_ERROR_IO, "%s: cannot be read: %s", source->name, strerror(source->error));
    return tl__fail(reader->context, TL_ERROR_FORMAT, "%s: the file is truncated", source->name);
}

/* ---- reading ---- */

tl_status tl__reader_pixels(tl__reader *reader, size_t bytes) {
    if (bytes <= reader->pixels_capacity)
        return TL_OK;
    tl__free(reader->context, reader->pixels);
    reader->pixels_capacity = 0;
    reader->pixels = tl__alloc(reader->context, bytes);
    if (!reader->pixels)
        return tl__fail_at(reader->context, TL_ERROR_MEMORY, "%s", reader->source.name);
    memset(reader->pixels, 0, bytes); /* the resampler reads bytes beside the pixels, with weight 0 */
    reader->pixels_capacity = bytes;
    return TL_OK;
}

static tl_status check_size(tl__reader *reader, uint32_t width, uint32_t height) {
    const char *name = reader->source.name;
    if (!width || !height)
        return tl__fail(reader->context, TL_ERROR_FORMAT, "%s: the image is empty", name);
    if ((uint64_t)width * height > (uint64_t)TL__MAX_PIXELS)
        return tl__fail(reader->context, TL_ERROR_LIMIT, "%s: %u x %u pixels are more than 2^28", name, width, height);
    return TL_OK;
}

tl_status tl__reader_mask_begin(tl__reader *reader, uint32_t width, uint32_t height) {
    TL__TRY(check_size(reader, width, height));
    size_t bytes = (size_t)width * height;
    if (bytes > reader->mask_capacity || !reader->mask) {
        tl__free(reader->context, reader->mask);
        reader->mask_capacity = 0;
        reader->mask = tl__alloc(reader->context, bytes);
        if (!reader->mask)
            return tl__fail_at(reader->context, TL_ERROR_MEMORY, "%s", reader->source.name);
        reader->mask_capacity = bytes;
    }
    reader->mask_width = (int)width;
    reader->mask_height = (int)height;
    return TL_OK;
}

tl_status tl__reader_begin(tl__reader *reader, uint32_t width, uint32_t height, int *eighths) {
    const char *name = reader->source.name;
    int part = 8;
    TL__TRY(check_size(reader, width, height));
    reader->resampler.box[2] = 0;
    if (reader->change)
        tl__change_box(reader->change, (int)width, (int)height, reader->resampler.box);
    if (eighths && !reader->resampler.box[2] && reader->preprocess.decode == TL_DECODE_FAST)
        part = tl__resampler_eighths(&reader->resampler, (int)width, (int)height);
    if (eighths)
        *eighths = part;
    reader->width = (int)width;
    reader->height = (int)height;
    tl_status status = tl__resampler_begin(&reader->resampler, (int)width, (int)height, part);
    return status == TL_OK ? status : tl__fail_at(reader->context, status, "%s", name);
}

void tl__reader_note(tl__reader *reader, const char *text) {
    if (!reader->notice[0])
        snprintf(reader->notice, sizeof reader->notice, "%s: %s", reader->source.name, text);
}

static bool is_png(const tl__source *source) {
    static const uint8_t png[] = "\x89PNG\r\n\x1a\n";
    return source->size >= 8 && memcmp(source->data, png, 8) == 0;
}

/* The contents decide what a file is, whatever its name ends with. */
static tl_status read_any(tl__reader *reader, uint8_t *rgb) {
    static const uint8_t jpeg[] = "\xff\xd8\xff";
    const tl__source *source = &reader->source;
    reader->notice[0] = 0;
    tl_status status;
    if (source->error)
        status = tl__source_fail(reader);
    else if (is_png(source))
        status = tl__png_read(reader);
    else if (source->size >= 3 && memcmp(source->data, jpeg, 3) == 0)
        status = tl__jpeg_read(reader);
    else if (!source->size)
        status = tl__fail(reader->context, TL_ERROR_FORMAT, "%s: the file is empty", source->name);
    else
        status = tl__fail(reader->context, TL_ERROR_FORMAT, "%s: neither a PNG nor a JPEG", source->name);
    if (status == TL_OK && rgb)
        tl__resampler_finish(&reader->resampler, rgb);
    return status;
}

/* The file, and its first bytes. */
static tl_status begin_file(tl__reader *reader, const char *path) {
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return tl__fail(reader->context, TL_ERROR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    reader->source = (tl__source){.name = path, .fd = fd, .data = reader->buffer};
    /* A pipe may give a few bytes at a time; the kind of file must be told from the first eight. */
    size_t got;
    while (reader->source.size < 8 && (got = fill(reader, reader->source.size)) > 0)
        reader->source.size += got;
    return TL_OK;
}

static void end_file(tl__reader *reader) {
    close(reader->source.fd);
    reader->source = (tl__source){.fd = -1};
}

tl_status tl__reader_load(tl__reader *reader, const char *path, uint8_t *rgb) {
    TL__TRY(begin_file(reader, path));
    tl_status status = read_any(reader, rgb);
    end_file(reader);
    return status;
}

tl_status tl__reader_mask(tl__reader *reader, const char *path, const tl__mask_rule *rule) {
    TL__TRY(begin_file(reader, path));
    tl_status status;
    if (reader->source.error)
        status = tl__source_fail(reader);
    else if (is_png(&reader->source))
        status = tl__png_read_mask(reader, rule);
    else
        status = tl__fail(reader->context, TL_ERROR_FORMAT, "%s: %s", path,
                          reader->source.size ? "not a PNG, which alone can be a mask" : "the file is empty");
    end_file(reader);
    return status;
}

tl_status tl__reader_look(tl__reader *reader, const char *path) {
    reader->look = true;
    tl_status status = tl__reader_load(reader, path, NULL);
    reader->look = false;
    return status;
}

tl_status tl__reader_decode(tl__reader *reader, const char *name, const void *data, size_t size, uint8_t *rgb) {
    reader->source = (tl__source){.name = name, .fd = -1, .data = data, .size = size};
    tl_status status = read_any(reader, rgb);
    reader->source = (tl__source){.fd = -1};
    return status;
}
