#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "data/reader.h"

typedef enum conversion {
    CONVERT_TABLE, /* a byte is an index: palettes, and grey of up to 8 bits */
    CONVERT_RGB,   /* already what is wanted */
    CONVERT_RGBA,
    CONVERT_GREY_ALPHA,
} conversion;

/* Everything lives here and not in locals, which a longjmp may lose. */
typedef struct decoder {
    tl__reader *reader;
    const tl__mask_rule *rule; /* NULL: it is an image */
    png_structp png;
    png_infop info;
    tl_status status; /* of the failure on its way out */
    size_t at;        /* in the source's current piece */
    bool told;        /* the message is recorded already */
    conversion conversion;
    uint32_t height;
    size_t row_bytes;
    uint8_t *row, *converted;
    uint8_t table[256][4];
} decoder;

/* ---- libpng's callbacks ---- */

static PNG_NORETURN void on_error(png_structp png, png_const_charp text) {
    decoder *d = png_get_error_ptr(png);
    if (!d->told)
        d->status = tl__fail(d->reader->context, TL_ERROR_FORMAT, "%s: damaged PNG: %s", d->reader->source.name, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    decoder *d = png_get_error_ptr(png);
    /* zlib's words for a wrong checksum, which libpng would let pass at the end of the data */
    if (strstr(text, "incorrect data check"))
        on_error(png, text);
    tl__reader_note(d->reader, text);
}

static png_voidp on_allocate(png_structp png, png_alloc_size_t bytes) {
    decoder *d = png_get_mem_ptr(png);
    void *memory = tl__alloc(d->reader->context, bytes);
    if (!memory) {
        d->status = tl__fail_at(d->reader->context, TL_ERROR_MEMORY, "%s", d->reader->source.name);
        d->told = true;
    }
    return memory;
}

static void on_release(png_structp png, png_voidp memory) {
    decoder *d = png_get_mem_ptr(png);
    tl__free(d->reader->context, memory);
}

static void on_read(png_structp png, png_bytep out, size_t bytes) {
    decoder *d = png_get_io_ptr(png);
    tl__source *source = &d->reader->source;
    while (bytes) {
        if (d->at == source->size) {
            d->at = 0;
            if (!tl__source_next(d->reader)) {
                d->status = tl__source_fail(d->reader);
                d->told = true;
                png_error(png, "no more data");
            }
        }
        size_t n = source->size - d->at < bytes ? source->size - d->at : bytes;
        memcpy(out, source->data + d->at, n);
        d->at += n;
        out += n;
        bytes -= n;
    }
}

/* ---- from the file's colours to RGB ---- */

static uint8_t blend(unsigned colour, unsigned alpha, unsigned back) {
    unsigned sum = colour * alpha + back * (255 - alpha) + 128;
    return (uint8_t)((sum + (sum >> 8)) >> 8);
}

static void table_entry(decoder *d, int index, unsigned r, unsigned g, unsigned b, unsigned alpha) {
    tl_alpha mode = d->reader->preprocess.alpha;
    unsigned back = mode == TL_ALPHA_WHITE ? 255 : 0;
    if (mode == TL_ALPHA_DROP)
        alpha = 255;
    d->table[index][0] = blend(r, alpha, back);
    d->table[index][1] = blend(g, alpha, back);
    d->table[index][2] = blend(b, alpha, back);
}

static void make_table(decoder *d, int type, int depth) {
    png_bytep alphas = NULL;
    png_color_16p key = NULL;
    int alpha_count = 0;
    if (png_get_valid(d->png, d->info, PNG_INFO_tRNS))
        png_get_tRNS(d->png, d->info, &alphas, &alpha_count, &key);
    memset(d->table, 0, sizeof d->table); /* an index beyond the palette is black */
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_colorp palette = NULL;
        int count = 0;
        png_get_PLTE(d->png, d->info, &palette, &count);
        for (int i = 0; i < count && i < 256; i++)
            table_entry(d, i, palette[i].red, palette[i].green, palette[i].blue, i < alpha_count ? alphas[i] : 255);
        return;
    }
    unsigned levels = 1u << depth, step = 255 / (levels - 1);
    for (unsigned i = 0; i < levels; i++)
        table_entry(d, (int)i, i * step, i * step, i * step, key && key->gray == i ? 0 : 255);
}

/* `in` is the first pixel that is wanted. What is given back has TL__ROW_SLACK bytes behind it. */
static const uint8_t *convert(const decoder *d, const uint8_t *row) {
    tl_alpha mode = d->reader->preprocess.alpha;
    unsigned back = mode == TL_ALPHA_WHITE ? 255 : 0;
    size_t first = (size_t)d->reader->resampler.x.first, count = (size_t)d->reader->resampler.x.count;
    uint8_t *out = d->converted;
    switch (d->conversion) {
    case CONVERT_RGB:
        return row + 3 * first;
    case CONVERT_TABLE:
        row += first;
        for (size_t i = 0; i < count; i++, out += 3)
            memcpy(out, d->table[row[i]], 4); /* the fourth byte is overwritten by the next */
        break;
    case CONVERT_RGBA:
        row += 4 * first;
        for (size_t i = 0; i < count; i++, row += 4, out += 3)
            for (int c = 0; c < 3; c++)
                out[c] = mode == TL_ALPHA_DROP ? row[c] : blend(row[c], row[3], back);
        break;
    case CONVERT_GREY_ALPHA:
        row += 2 * first;
        for (size_t i = 0; i < count; i++, row += 2, out += 3)
            out[0] = out[1] = out[2] = mode == TL_ALPHA_DROP ? row[0] : blend(row[0], row[1], back);
        break;
    }
    return d->converted;
}

/* ---- reading ---- */

static void set_up(decoder *d) {
    png_set_crc_action(d->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* colour profiles and texts are not used */
    png_set_user_limits(d->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);         /* ours is on pixels */
    /* Some writers declare a smaller window than they use, which every other reader takes. */
    png_set_option(d->png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);
    png_set_read_fn(d->png, d, on_read);
}

static void set_conversion(decoder *d) {
    int type = png_get_color_type(d->png, d->info), depth = png_get_bit_depth(d->png, d->info);
    bool see_through = d->reader->preprocess.alpha != TL_ALPHA_DROP && png_get_valid(d->png, d->info, PNG_INFO_tRNS);
    if (depth == 16) {
        png_set_strip_16(d->png); /* the high byte, as Pillow */
        if (type == PNG_COLOR_TYPE_GRAY)
            tl__reader_note(d->reader, "16-bit grey is scaled to 8 bits");
    }
    if (type == PNG_COLOR_TYPE_PALETTE || (type == PNG_COLOR_TYPE_GRAY && depth <= 8)) {
        png_set_packing(d->png);
        make_table(d, type, depth);
        d->conversion = CONVERT_TABLE;
        return;
    }
    if (see_through && !(type & PNG_COLOR_MASK_ALPHA)) {
        png_set_tRNS_to_alpha(d->png);
        type |= PNG_COLOR_MASK_ALPHA;
    }
    if (type == PNG_COLOR_TYPE_GRAY) { /* 16 bits, now 8 */
        for (int i = 0; i < 256; i++)
            table_entry(d, i, (unsigned)i, (unsigned)i, (unsigned)i, 255);
        d->conversion = CONVERT_TABLE;
    } else if (type == PNG_COLOR_TYPE_GRAY_ALPHA) {
        d->conversion = CONVERT_GREY_ALPHA;
    } else {
        d->conversion = type & PNG_COLOR_MASK_ALPHA ? CONVERT_RGBA : CONVERT_RGB;
    }
}

static bool needed(const decoder *d, uint32_t y) {
    const tl__axis *rows = &d->reader->resampler.y;
    return y >= (uint32_t)rows->first && y - (uint32_t)rows->first < (uint32_t)rows->count;
}

static void read_rows(decoder *d) {
    for (uint32_t y = 0; y < d->height; y++) {
        png_read_row(d->png, d->row, NULL);
        if (needed(d, y))
            tl__resampler_row(&d->reader->resampler, (int)y, convert(d, d->row));
    }
}

/* Interlaced: the needed rows are kept in d->row until all seven passes are over, behind one for the others. */
static void read_interlaced(decoder *d, int passes) {
    const tl__axis *rows = &d->reader->resampler.y;
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < d->height; y++) {
            size_t place = needed(d, y) ? 1 + (size_t)(y - (uint32_t)rows->first) : 0;
            png_read_row(d->png, d->row + place * d->row_bytes, NULL);
        }
    for (int i = 0; i < rows->count; i++)
        tl__resampler_row(&d->reader->resampler, rows->first + i, convert(d, d->row + (size_t)(1 + i) * d->row_bytes));
}

static tl_status read_image(decoder *d) {
    set_up(d);
    png_read_info(d->png, d->info);
    d->height = png_get_image_height(d->png, d->info);
    TL__TRY(tl__reader_begin(d->reader, png_get_image_width(d->png, d->info), d->height, NULL));
    if (d->reader->look)
        return TL_OK;
    set_conversion(d);
    int passes = png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    d->row_bytes = png_get_rowbytes(d->png, d->info);
    size_t kept = passes > 1 ? 1 + (size_t)d->reader->resampler.y.count : 1;
    size_t converted = 3 * (size_t)d->reader->resampler.x.count + TL__ROW_SLACK;
    TL__TRY(tl__reader_pixels(d->reader, converted + kept * d->row_bytes + TL__ROW_SLACK));
    d->converted = d->reader->pixels;
    d->row = d->converted + converted;
    if (passes > 1)
        read_interlaced(d, passes);
    else
        read_rows(d);
    png_read_end(d->png, NULL);
    return TL_OK;
}

/* ---- masks ---- */

static tl_status refuse_mask(const decoder *d, const char *why) {
    return tl__fail(d->reader->context, TL_ERROR_DATA, "%s: %s", d->reader->source.name, why);
}

/* Bytes: an index, a colour with or without alpha, or whatever ends in an alpha. */
static tl_status set_mask_conversion(decoder *d) {
    int type = png_get_color_type(d->png, d->info), depth = png_get_bit_depth(d->png, d->info);
    const tl_masks kind = d->rule->kind;
    bool see_through = (type & PNG_COLOR_MASK_ALPHA) || png_get_valid(d->png, d->info, PNG_INFO_tRNS);
    if (depth == 16 && kind != TL_MASKS_ALPHA)
        return refuse_mask(d, "a mask of 16 bits, where 8 are the most");
    if (kind == TL_MASKS_INDEX) {
        if (type != PNG_COLOR_TYPE_PALETTE && type != PNG_COLOR_TYPE_GRAY)
            return refuse_mask(d, "neither a palette nor plain grey, and the masks are of numbers: masks of colours need the "
                                  "classes' colours");
        png_set_packing(d->png);
        return TL_OK;
    }
    if (kind == TL_MASKS_ALPHA && !see_through)
        return refuse_mask(d, "has no alpha channel to be its mask");
    if (depth == 16)
        png_set_strip_16(d->png);
    png_set_expand(d->png); /* palettes to colours, fewer bits to 8, tRNS to alpha */
    png_set_gray_to_rgb(d->png);
    return TL_OK;
}

static tl_status read_mask(decoder *d) {
    set_up(d);
    png_read_info(d->png, d->info);
    uint32_t width = png_get_image_width(d->png, d->info);
    d->height = png_get_image_height(d->png, d->info);
    TL__TRY(tl__reader_mask_begin(d->reader, width, d->height));
    TL__TRY(set_mask_conversion(d));
    int passes = png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    d->row_bytes = png_get_rowbytes(d->png, d->info);
    int channels = png_get_channels(d->png, d->info);
    size_t rows = passes > 1 ? d->height : 1;
    TL__TRY(tl__reader_pixels(d->reader, rows * d->row_bytes));
    for (int pass = 0; pass < passes - 1; pass++)
        for (size_t y = 0; y < d->height; y++)
            png_read_row(d->png, d->reader->pixels + y * d->row_bytes, NULL);
    for (uint32_t y = 0; y < d->height; y++) {
        uint8_t *row = d->reader->pixels + (passes > 1 ? y * d->row_bytes : 0);
        png_read_row(d->png, row, NULL);
        TL__TRY(tl__mask_row(d->reader->context, d->rule, d->reader->source.name, (int)y, row, channels, (int)width,
                             d->reader->mask + (size_t)y * width));
    }
    png_read_end(d->png, NULL);
    return TL_OK;
}

static tl_status read_guarded(decoder *d) {
    if (setjmp(png_jmpbuf(d->png)))
        return d->status;
    tl_status status = d->rule ? read_mask(d) : read_image(d);
    return status == TL_OK ? d->status : status; /* libpng goes on without what is not critical */
}

static tl_status read_png(tl__reader *reader, const tl__mask_rule *rule) {
    decoder d = {.reader = reader, .rule = rule};
    tl_context *context = reader->context;
    d.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning, &d, on_allocate, on_release);
    if (!d.png)
        return d.status != TL_OK ? d.status
                                 : tl__fail(context, TL_ERROR_INTERNAL, "libpng is not the one libtl was built for");
    d.info = png_create_info_struct(d.png);
    tl_status status = d.info ? read_guarded(&d) : d.status;
    png_destroy_read_struct(&d.png, &d.info, NULL);
    return status;
}

tl_status tl__png_read(tl__reader *reader) {
    return read_png(reader, NULL);
}

tl_status tl__png_read_mask(tl__reader *reader, const tl__mask_rule *rule) {
    return read_png(reader, rule);
}
