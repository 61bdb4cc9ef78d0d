#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "data/reader.h"

#define MAX_SCANS 100 /* a small file can ask for any number of passes over a large image */
#define MAX_ROWS  4   /* read at a time */

/* jpeg_crop_scanline and jpeg_skip_scanlines */
#if defined(LIBJPEG_TURBO_VERSION_NUMBER) && LIBJPEG_TURBO_VERSION_NUMBER >= 2001000
#define CAN_SKIP 1
#else
#define CAN_SKIP 0
#endif

struct tl__jpeg {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    tl__reader *reader;
    bool past;        /* the pixels that are needed are there: the rest of the data is not decoded */
    tl_status status; /* of the failure on its way out */
};

/* ---- libjpeg's callbacks ---- */

static void leave(struct tl__jpeg *j, tl_status status) {
    j->status = status;
    longjmp(j->out, 1);
}

static void on_error(j_common_ptr info) {
    struct tl__jpeg *j = info->client_data;
    const char *name = j->reader->source.name;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    switch (info->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        leave(j, tl__fail(j->reader->context, TL_ERROR_MEMORY, "%s: out of memory in libjpeg", name));
        break;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
    case JERR_NO_BACKING_STORE:
        leave(j, tl__fail(j->reader->context, TL_ERROR_LIMIT, "%s: too large a JPEG: %s", name, text));
        break;
    default:
        leave(j, tl__fail(j->reader->context, TL_ERROR_FORMAT, "%s: damaged JPEG: %s", name, text));
    }
}

/* Level -1 is damage that libjpeg mends as well as it can, which Pillow lets pass as well. */
static void on_message(j_common_ptr info, int level) {
    struct tl__jpeg *j = info->client_data;
    int code = info->err->msg_code;
    if (level >= 0 || (j->past && (code == JWRN_HIT_MARKER || code == JWRN_MUST_RESYNC)))
        return;
    info->err->num_warnings++;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    tl__reader_note(j->reader, text);
}

static void on_output(j_common_ptr info) {
    (void)info;
}

static void on_progress(j_common_ptr info) {
    struct tl__jpeg *j = info->client_data;
    if (j->info.input_scan_number > MAX_SCANS)
        leave(j, tl__fail(j->reader->context, TL_ERROR_FORMAT, "%s: damaged JPEG: more than %d scans",
                          j->reader->source.name, MAX_SCANS));
}

static void on_begin(j_decompress_ptr info) {
    (void)info;
}

static boolean on_fill(j_decompress_ptr info) {
    struct tl__jpeg *j = info->client_data;
    if (!tl__source_next(j->reader))
        leave(j, tl__source_fail(j->reader));
    j->source.next_input_byte = j->reader->source.data;
    j->source.bytes_in_buffer = j->reader->source.size;
    return TRUE;
}

static void on_skip(j_decompress_ptr info, long count) {
    struct tl__jpeg *j = info->client_data;
    size_t left = count > 0 ? (size_t)count : 0;
    while (left > j->source.bytes_in_buffer) {
        left -= j->source.bytes_in_buffer;
        on_fill(info);
    }
    j->source.next_input_byte += left;
    j->source.bytes_in_buffer -= left;
}

/* ---- reading ---- */

/* Pillow's way from CMYK, which it takes to be inverted as Adobe writes it, to RGB. */
static void cmyk_to_rgb(const uint8_t *in, size_t pixels, uint8_t *out) {
    for (; pixels; pixels--, in += 4, out += 3)
        for (int c = 0; c < 3; c++) {
            int light = in[3], product = (255 - in[c]) * light + 128;
            out[c] = (uint8_t)(light - ((product + (product >> 8)) >> 8));
        }
}

static void read_header(struct tl__jpeg *j) {
    j->info.mem->max_memory_to_use = INT_MAX;
    j->source.next_input_byte = j->reader->source.data;
    j->source.bytes_in_buffer = j->reader->source.size;
    jpeg_read_header(&j->info, TRUE);
    j->info.out_color_space = j->info.num_components == 4 ? JCS_CMYK : JCS_RGB;
    j->info.dct_method = JDCT_ISLOW;
    j->info.do_fancy_upsampling = TRUE;
}

/* In pixels of the image as it is decoded, 8 unless that is smaller than what the file holds. */
static int side_of_block(const struct jpeg_decompress_struct *info) {
#if JPEG_LIB_VERSION >= 70
    return info->min_DCT_v_scaled_size;
#else
    return info->min_DCT_scaled_size;
#endif
}

/* Leaves out what the crop does not show, whole blocks of it and a block less on every side, because chroma is
 * interpolated across blocks. Returns the first column that the rows will hold. */
static int skip_before(struct tl__jpeg *j) {
#if CAN_SKIP
    const tl__resampler *r = &j->reader->resampler;
    JDIMENSION block = (JDIMENSION)(j->info.max_h_samp_factor * side_of_block(&j->info)),
               lines = (JDIMENSION)(j->info.max_v_samp_factor * side_of_block(&j->info));
    JDIMENSION begin = (JDIMENSION)r->x.first, end = begin + (JDIMENSION)r->x.count + block;
    begin = begin > block ? begin - block : 0;
    end = end < j->info.output_width ? end : j->info.output_width;
    JDIMENSION width = end - begin;
    if (width < j->info.output_width)
        jpeg_crop_scanline(&j->info, &begin, &width);
    JDIMENSION above = (JDIMENSION)r->y.first / lines;
    if (above > 1)
        jpeg_skip_scanlines(&j->info, (above - 1) * lines);
    return (int)begin;
#else
    (void)j;
    return 0;
#endif
}

static int next_byte(struct tl__jpeg *j) {
    if (!j->source.bytes_in_buffer)
        on_fill(&j->info);
    j->source.bytes_in_buffer--;
    return *j->source.next_input_byte++;
}

/* Goes to the marker that ends the scan's data, of which nothing is needed any more, and tells libjpeg that it is there
 * already: then what is left is zeros, which cost nothing. */
static void pass_over_data(struct tl__jpeg *j) {
    j->past = true;
    while (j->info.unread_marker == 0 || (j->info.unread_marker >= JPEG_RST0 && j->info.unread_marker <= JPEG_RST0 + 7)) {
        const uint8_t *at = memchr(j->source.next_input_byte, 0xff, j->source.bytes_in_buffer);
        size_t passed = at ? (size_t)(at - j->source.next_input_byte) : j->source.bytes_in_buffer;
        j->source.next_input_byte += passed;
        j->source.bytes_in_buffer -= passed;
        int code = next_byte(j);
        if (code != 0xff)
            continue;
        while (code == 0xff)
            code = next_byte(j);
        j->info.unread_marker = code;
    }
}

/* The rest of the file must be there all the same: all but its last row are skipped, not read less. */
static void skip_after(struct tl__jpeg *j, JSAMPARRAY rows) {
#if CAN_SKIP
    const tl__resampler *r = &j->reader->resampler;
    JDIMENSION done = j->info.output_scanline, height = j->info.output_height;
    JDIMENSION lines = (JDIMENSION)(j->info.max_v_samp_factor * side_of_block(&j->info));
    if (done >= (JDIMENSION)(r->y.first + r->y.count) && done + 2 * lines < height) {
        if (!jpeg_has_multiple_scans(&j->info)) /* otherwise they were all read before the first row */
            pass_over_data(j);
        jpeg_skip_scanlines(&j->info, height - done - 1);
    }
#endif
    while (j->info.output_scanline < j->info.output_height)
        jpeg_read_scanlines(&j->info, rows, MAX_ROWS);
}

static tl_status read_image(struct tl__jpeg *j) {
    tl__reader *reader = j->reader;
    tl__resampler *r = &reader->resampler;
    j->past = false;
    read_header(j);
    const char *name = reader->source.name;
    int components = j->info.num_components;
    if (components != 1 && components != 3 && components != 4)
        return tl__fail(reader->context, TL_ERROR_FORMAT, "%s: a JPEG of %d components", name, components);
    if (j->info.data_precision != 8)
        return tl__fail(reader->context, TL_ERROR_FORMAT, "%s: a JPEG of %d bits", name, j->info.data_precision);
    int eighths;
    TL__TRY(tl__reader_begin(reader, j->info.image_width, j->info.image_height, &eighths));
    if (reader->look)
        return TL_OK;
    j->info.scale_num = (unsigned)eighths;
    j->info.scale_denom = 8;
    jpeg_start_decompress(&j->info);
    int left = skip_before(j);
    size_t pixel = (size_t)j->info.output_components, stride = pixel * j->info.output_width;
    size_t first = (size_t)(r->x.first - left), count = (size_t)r->x.count, converted = 3 * count + TL__ROW_SLACK;
    TL__TRY(tl__reader_pixels(reader, converted + MAX_ROWS * stride + TL__ROW_SLACK));
    JSAMPROW rows[MAX_ROWS];
    for (int i = 0; i < MAX_ROWS; i++)
        rows[i] = reader->pixels + converted + (size_t)i * stride;
    while (j->info.output_scanline < (JDIMENSION)(r->y.first + r->y.count)) {
        int y = (int)j->info.output_scanline, got = (int)jpeg_read_scanlines(&j->info, rows, MAX_ROWS);
        for (int i = 0; i < got; i++) {
            const uint8_t *rgb = rows[i] + pixel * first;
            if (pixel == 4) {
                cmyk_to_rgb(rgb, count, reader->pixels);
                rgb = reader->pixels;
            }
            tl__resampler_row(r, y + i, rgb);
        }
    }
    skip_after(j, rows);
    jpeg_finish_decompress(&j->info);
    return TL_OK;
}

static tl_status read_guarded(struct tl__jpeg *j) {
    if (setjmp(j->out))
        return j->status;
    return read_image(j);
}

static tl_status create_guarded(struct tl__jpeg *j) {
    if (setjmp(j->out))
        return j->status;
    jpeg_create_decompress(&j->info);
    return TL_OK;
}

static tl_status create(tl__reader *reader) {
    struct tl__jpeg *j = tl__calloc(reader->context, 1, sizeof *j);
    if (!j)
        return tl__fail_at(reader->context, TL_ERROR_MEMORY, "%s", reader->source.name);
    j->reader = reader;
    j->info.err = jpeg_std_error(&j->errors);
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->errors.output_message = on_output;
    j->info.client_data = j;
    tl_status status = create_guarded(j);
    if (status != TL_OK) {
        jpeg_destroy_decompress(&j->info);
        tl__free(reader->context, j);
        return status;
    }
    j->source = (struct jpeg_source_mgr){
        .init_source = on_begin,
        .fill_input_buffer = on_fill,
        .skip_input_data = on_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = on_begin,
    };
    j->progress.progress_monitor = on_progress;
    j->info.src = &j->source;
    j->info.progress = &j->progress;
    reader->jpeg = j;
    return TL_OK;
}

tl_status tl__jpeg_read(tl__reader *reader) {
    if (!reader->jpeg)
        TL__TRY(create(reader));
    tl_status status = read_guarded(reader->jpeg);
    jpeg_abort_decompress(&reader->jpeg->info); /* keeps what serves the next image */
    return status;
}

void tl__jpeg_destroy(tl__reader *reader) {
    if (!reader->jpeg)
        return;
    jpeg_destroy_decompress(&reader->jpeg->info);
    tl__free(reader->context, reader->jpeg);
    reader->jpeg = NULL;
}
