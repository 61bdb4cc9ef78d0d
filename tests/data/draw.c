#include "draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

uint32_t roll(dice *d, uint32_t bound) {
    d->state = d->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((d->state >> 32) * bound >> 32);
}

void drawing_free(drawing *d) {
    free(d->file);
    free(d->rgba);
    *d = (drawing){0};
}

/* Smooth in places and noisy in others, over all values of `depth` bits. */
static unsigned *samples(dice *d, int width, int height, int channels, int depth) {
    unsigned *out = malloc((size_t)width * (size_t)height * (size_t)channels * sizeof *out), top = (1u << depth) - 1;
    if (!out)
        abort();
    double wave[16];
    for (int i = 0; i < 16; i++)
        wave[i] = roll(d, 1000) / 1000.0;
    unsigned *p = out;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                double v = 0.5 + 0.4 * sin(wave[c] * x + wave[4 + c] * y + 6 * wave[8 + c]);
                if ((x ^ y) & 32)
                    v += (roll(d, 1000) / 1000.0 - 0.5) * wave[12 + c];
                v = v < 0 ? 0 : v > 1 ? 1 : v;
                *p++ = (unsigned)(v * top + 0.5);
            }
    return out;
}

/* ---- PNG ---- */

static const int channels_of[] = {1, 0, 3, 1, 2, 0, 4};

typedef struct png_extra {
    png_color palette[256];
    png_byte alphas[256];
    png_color_16 key;
    int colours, alpha_count;
} png_extra;

static void write_png(drawing *d, png_kind kind, png_extra *e, const unsigned *values) {
    FILE *stream = open_memstream((char **)&d->file, &d->size);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)d->width, (png_uint_32)d->height, kind.depth, kind.type,
                 kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (kind.type == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, e->palette, e->colours);
        if (kind.transparent)
            png_set_tRNS(png, info, e->alphas, e->alpha_count, NULL);
    } else if (kind.transparent) {
        png_set_tRNS(png, info, NULL, 0, &e->key);
    }
    png_write_info(png, info);
    png_set_packing(png);
    size_t channels = (size_t)channels_of[kind.type], bytes = kind.depth == 16 ? 2 : 1,
           line = (size_t)d->width * channels;
    png_bytep row = malloc(line * bytes);
    int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < d->height; y++) {
            for (size_t i = 0; i < line; i++) {
                unsigned v = values[(size_t)y * line + i];
                if (bytes == 2) {
                    row[2 * i] = (png_byte)(v >> 8);
                    row[2 * i + 1] = (png_byte)v;
                } else {
                    row[i] = (png_byte)v;
                }
            }
            png_write_row(png, row);
        }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(stream);
    free(row);
}

/* One pixel as 8-bit RGBA: more bits are cut to the high byte, fewer are spread. */
static void png_pixel(png_kind kind, const png_extra *e, const unsigned *v, uint8_t out[4]) {
    unsigned scale = kind.depth < 8 ? 255 / ((1u << kind.depth) - 1) : 1, shift = kind.depth == 16 ? 8 : 0;
    out[3] = 255;
    if (kind.type == PNG_COLOR_TYPE_PALETTE) {
        out[0] = e->palette[v[0]].red;
        out[1] = e->palette[v[0]].green;
        out[2] = e->palette[v[0]].blue;
        if (kind.transparent && (int)v[0] < e->alpha_count)
            out[3] = e->alphas[v[0]];
        return;
    }
    bool colour = kind.type & PNG_COLOR_MASK_COLOR;
    for (int c = 0; c < 3; c++)
        out[c] = (uint8_t)((v[colour ? c : 0] * scale) >> shift);
    if (kind.type & PNG_COLOR_MASK_ALPHA)
        out[3] = (uint8_t)(v[colour ? 3 : 1] >> shift);
    else if (kind.transparent &&
             (colour ? v[0] == e->key.red && v[1] == e->key.green && v[2] == e->key.blue : v[0] == e->key.gray))
        out[3] = 0;
}

drawing draw_png(dice *dice_, int width, int height, png_kind kind) {
    drawing d = {.width = width, .height = height};
    png_extra e = {0};
    size_t channels = (size_t)channels_of[kind.type], pixels = (size_t)width * (size_t)height;
    unsigned *values = samples(dice_, width, height, (int)channels, kind.depth);
    if (kind.type & PNG_COLOR_MASK_ALPHA)
        kind.transparent = false;
    if (kind.type == PNG_COLOR_TYPE_PALETTE) {
        e.colours = 1 + (int)roll(dice_, 1u << kind.depth);
        e.alpha_count = 1 + (int)roll(dice_, (uint32_t)e.colours);
        for (int i = 0; i < e.colours; i++) {
            e.palette[i] =
                (png_color){(png_byte)roll(dice_, 256), (png_byte)roll(dice_, 256), (png_byte)roll(dice_, 256)};
            e.alphas[i] = (png_byte)roll(dice_, 256);
        }
        for (size_t i = 0; i < pixels; i++)
            values[i] %= (unsigned)e.colours;
    } else if (kind.transparent) { /* the colour of some pixel, so that it occurs */
        const unsigned *v = values + roll(dice_, (uint32_t)pixels) * channels;
        e.key = (png_color_16){.gray = (png_uint_16)v[0], .red = (png_uint_16)v[0]};
        if (channels == 3) {
            e.key.green = (png_uint_16)v[1];
            e.key.blue = (png_uint_16)v[2];
        }
    }
    write_png(&d, kind, &e, values);
    d.rgba = malloc(pixels * 4);
    for (size_t i = 0; i < pixels; i++)
        png_pixel(kind, &e, values + i * channels, d.rgba + 4 * i);
    free(values);
    return d;
}

drawing draw_values(int width, int height, png_kind kind, const unsigned *values) {
    drawing d = {.width = width, .height = height};
    png_extra e = {.colours = 1 << (kind.depth < 8 ? kind.depth : 8), .alpha_count = 1 << (kind.depth < 8 ? kind.depth : 8)};
    size_t channels = (size_t)channels_of[kind.type], pixels = (size_t)width * (size_t)height;
    for (int i = 0; i < 256; i++) {
        e.palette[i] = (png_color){(png_byte)i, (png_byte)(255 - i), (png_byte)(7 * i)};
        e.alphas[i] = (png_byte)(255 - 3 * i);
    }
    write_png(&d, kind, &e, values);
    d.rgba = malloc(pixels * 4);
    for (size_t i = 0; i < pixels; i++)
        png_pixel(kind, &e, values + i * channels, d.rgba + 4 * i);
    return d;
}

/* ---- JPEG ---- */

static void write_jpeg(drawing *d, jpeg_kind kind, const unsigned *values) {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    FILE *stream = open_memstream((char **)&d->file, &d->size);
    jpeg_stdio_dest(&info, stream);
    info.image_width = (JDIMENSION)d->width;
    info.image_height = (JDIMENSION)d->height;
    info.input_components = kind.components;
    info.in_color_space = kind.components == 1 ? JCS_GRAYSCALE : kind.components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&info);
    if (kind.ycck)
        jpeg_set_colorspace(&info, JCS_YCCK);
    if (kind.rgb)
        jpeg_set_colorspace(&info, JCS_RGB);
    jpeg_set_quality(&info, kind.quality, TRUE);
    for (int c = 0; c < kind.components; c++) {
        info.comp_info[c].h_samp_factor = kind.h[c];
        info.comp_info[c].v_samp_factor = kind.v[c];
    }
    info.restart_interval = (unsigned)kind.restart;
    if (kind.progressive)
        jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    size_t line = (size_t)d->width * (size_t)kind.components;
    JSAMPROW row = malloc(line);
    for (int y = 0; y < d->height; y++) {
        for (size_t i = 0; i < line; i++)
            row[i] = (JSAMPLE)values[(size_t)y * line + i];
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    fclose(stream);
    free(row);
}

static uint8_t by_255(unsigned a, unsigned b) {
    unsigned product = a * b + 128;
    return (uint8_t)((product + (product >> 8)) >> 8);
}

/* All of it, line by line, nothing skipped. */
static void read_jpeg(drawing *d, const drawing *file, int eighths) {
    int components = file->components;
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, file->file, file->size);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
    info.scale_num = (unsigned)eighths;
    info.scale_denom = 8;
    jpeg_start_decompress(&info);
    d->width = (int)info.output_width;
    d->height = (int)info.output_height;
    d->rgba = malloc((size_t)d->width * (size_t)d->height * 4);
    size_t n = components == 4 ? 4 : 3;
    JSAMPROW row = malloc((size_t)d->width * n);
    uint8_t *out = d->rgba;
    for (int y = 0; y < d->height; y++) {
        jpeg_read_scanlines(&info, &row, 1);
        for (int x = 0; x < d->width; x++, out += 4) {
            const uint8_t *p = row + (size_t)x * n;
            for (int c = 0; c < 3; c++)
                out[c] = n == 3 ? p[c] : (uint8_t)(p[3] - by_255(255u - p[c], p[3]));
            out[3] = 255;
        }
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    free(row);
}

drawing draw_jpeg(dice *dice_, int width, int height, jpeg_kind kind) {
    drawing d = {.width = width, .height = height, .components = kind.components};
    unsigned *values = samples(dice_, width, height, kind.components, 8);
    write_jpeg(&d, kind, values);
    free(values);
    read_jpeg(&d, &d, 8);
    return d;
}

drawing draw_scaled(const drawing *jpeg, int eighths) {
    drawing d = {.columns = jpeg->width * eighths / 8.0, .rows = jpeg->height * eighths / 8.0};
    read_jpeg(&d, jpeg, eighths);
    return d;
}

/* ---- the slow way ---- */

/* Resizes along one direction: `lines` lines of `in` pixels, which hold `extent` of the image, become `out`. */
static uint8_t *resize_lines(const uint8_t *image, int lines, int in, double extent, int out, bool vertical) {
    uint8_t *result = malloc((size_t)lines * (size_t)out * 3);
    double scale = extent / out, support = scale < 1 ? 1 : scale;
    double *w = malloc(((size_t)support * 2 + 4) * sizeof *w);
    for (int o = 0; o < out; o++) {
        double centre = (o + 0.5) * scale, sum = 0;
        int first = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        first = first < 0 ? 0 : first;
        end = end > in ? in : end;
        for (int i = first; i < end; i++) {
            double x = fabs((i - centre + 0.5) * (1.0 / support));
            sum += w[i - first] = x < 1 ? 1 - x : 0;
        }
        for (int l = 0; l < lines; l++)
            for (int c = 0; c < 3; c++) {
                int64_t total = 1 << 21;
                for (int i = first; i < end; i++) {
                    size_t at = vertical ? (size_t)i * (size_t)lines + (size_t)l : (size_t)l * (size_t)in + (size_t)i;
                    total += image[at * 3 + (size_t)c] * (int64_t)(w[i - first] / sum * (1 << 22) + 0.5);
                }
                size_t to = vertical ? (size_t)o * (size_t)lines + (size_t)l : (size_t)l * (size_t)out + (size_t)o;
                total >>= 22;
                result[to * 3 + (size_t)c] = (uint8_t)(total > 255 ? 255 : total);
            }
    }
    free(w);
    return result;
}

static uint8_t *to_rgb(const drawing *d, tl_alpha alpha) {
    size_t pixels = (size_t)d->width * (size_t)d->height;
    uint8_t *rgb = malloc(pixels * 3);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++) {
            unsigned a = d->rgba[4 * i + 3], colour = d->rgba[4 * i + c], back = alpha == TL_ALPHA_WHITE ? 255 : 0;
            rgb[3 * i + c] =
                (uint8_t)(alpha == TL_ALPHA_DROP ? colour : floor((colour * a + back * (255 - a)) / 255.0 + 0.5));
        }
    return rgb;
}

static void replace(uint8_t **image, uint8_t *by) {
    free(*image);
    *image = by;
}

uint8_t *reference_preprocess(const drawing *d, const tl_preprocess *p) {
    uint8_t *image = to_rgb(d, p->alpha);
    int w = d->width, h = d->height, ow = w, oh = h, crop = p->crop;
    double columns = d->columns > 0 ? d->columns : w, rows = d->rows > 0 ? d->rows : h;
    if (p->resize) {
        ow = columns <= rows ? p->resize : (int)(p->resize * columns / rows);
        oh = columns <= rows ? (int)(p->resize * rows / columns) : p->resize;
    }
    bool columns_first = h > oh && h - oh > 2 * (w > ow ? w - ow : 0);
    for (int pass = 0; pass < 2; pass++)
        if ((pass == 0) == columns_first && oh != rows) {
            replace(&image, resize_lines(image, w, h, rows, oh, true));
            h = oh;
            rows = h;
        } else if ((pass == 0) != columns_first && ow != columns) {
            replace(&image, resize_lines(image, h, w, columns, ow, false));
            w = ow;
            columns = w;
        }
    uint8_t *out = calloc((size_t)crop * (size_t)crop, 3);
    int left = crop > w ? -((crop - w) / 2) : (int)nearbyint((w - crop) / 2.0);
    int top = crop > h ? -((crop - h) / 2) : (int)nearbyint((h - crop) / 2.0);
    for (int y = 0; y < crop; y++)
        for (int x = 0; x < crop; x++)
            if (y + top >= 0 && y + top < h && x + left >= 0 && x + left < w)
                memcpy(out + ((size_t)y * (size_t)crop + (size_t)x) * 3,
                       image + ((size_t)(y + top) * (size_t)w + (size_t)(x + left)) * 3, 3);
    free(image);
    return out;
}

uint8_t *reference_stretch(const drawing *d, const int box[4], int side) {
    int w = box[2], h = box[3];
    uint8_t *whole = to_rgb(d, TL_ALPHA_DROP), *image = malloc((size_t)w * (size_t)h * 3);
    for (int y = 0; y < h; y++)
        memcpy(image + (size_t)y * (size_t)w * 3,
               whole + ((size_t)(box[1] + y) * (size_t)d->width + (size_t)box[0]) * 3, (size_t)w * 3);
    free(whole);
    bool columns_first = h > side && h - side > 2 * (w > side ? w - side : 0);
    for (int pass = 0; pass < 2; pass++)
        if ((pass == 0) == columns_first && h != side) {
            replace(&image, resize_lines(image, w, h, h, side, true));
            h = side;
        } else if ((pass == 0) != columns_first && w != side) {
            replace(&image, resize_lines(image, h, w, w, side, false));
            w = side;
        }
    return image;
}
