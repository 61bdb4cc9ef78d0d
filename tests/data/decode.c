#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <png.h>

#include "data/reader.h"
#include "draw.h"

/* A fixture: a context that must have given everything back in the end. */
typedef struct fixture {
    tl_context *context;
    counting state;
    dice dice;
} fixture;

static int set_up(void **out) {
    fixture *f = calloc(1, sizeof *f);
    f->context = counting_context(&f->state);
    const char *seed = getenv("TL_TEST_SEED"); /* for long runs */
    f->dice.state = seed ? strtoull(seed, NULL, 10) : 20;
    *out = f;
    return 0;
}

static int tear_down(void **in) {
    fixture *f = *in;
    tl_context_destroy(f->context);
    int leaked = f->state.live != 0;
    free(f);
    return leaked;
}

static tl_preprocess sizes(int resize, int crop, tl_alpha alpha) {
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    p.resize = resize;
    p.crop = crop;
    p.alpha = alpha;
    return p;
}

/* Random sizes; the crop is smaller than the image, or larger. */
static tl_preprocess any_sizes(fixture *f, const drawing *d) {
    int shorter = d->width < d->height ? d->width : d->height;
    uint32_t how = roll(&f->dice, 8);
    int resize = how == 0 ? 0 : how == 1 ? shorter : 1 + (int)roll(&f->dice, how < 5 ? (uint32_t)shorter : 150);
    int crop = 1 + (int)roll(&f->dice, roll(&f->dice, 2) ? 40 : 200);
    return sizes(resize, crop, (tl_alpha)roll(&f->dice, 3));
}

/* Reads the drawing through a reader and compares every byte; nothing before or behind them may be touched. */
static void assert_same(tl__reader *reader, const drawing *d, const char *what) {
    const tl_preprocess *p = &reader->preprocess;
    size_t bytes = (size_t)p->crop * (size_t)p->crop * 3;
    uint8_t *expected = reference_preprocess(d, p), *got = malloc(bytes + 64);
    memset(got, 0x5a, bytes + 64);
    tl_status status = tl__reader_decode(reader, what, d->file, d->size, got + 32);
    if (status != TL_OK)
        fail_msg("%s", tl_context_message(reader->context));
    for (size_t i = 0; i < 32; i++)
        assert_true(got[i] == 0x5a && got[bytes + 32 + i] == 0x5a);
    for (size_t i = 0; i < bytes; i++)
        if (got[32 + i] != expected[i])
            fail_msg("%s, %d x %d, resize %d, crop %d, alpha %d: byte %zu is %d instead of %d", what, d->width,
                     d->height, p->resize, p->crop, (int)p->alpha, i, got[32 + i], expected[i]);
    free(expected);
    free(got);
}

static void check(fixture *f, drawing *d, const char *what) {
    tl_preprocess p = any_sizes(f, d);
    tl__reader *reader = NULL;
    assert_int_equal(tl__reader_create(f->context, &p, &reader), TL_OK);
    assert_same(reader, d, what);
    tl__reader_destroy(reader);
    drawing_free(d);
}

static int any_side(fixture *f) {
    return 1 + (int)roll(&f->dice, roll(&f->dice, 4) ? 150 : roll(&f->dice, 2) ? 8 : 400);
}

static void every_kind_of_png(void **state) {
    fixture *f = *state;
    static const png_kind kinds[] = {
        {PNG_COLOR_TYPE_GRAY, 1, false, false},        {PNG_COLOR_TYPE_GRAY, 2, false, false},
        {PNG_COLOR_TYPE_GRAY, 4, false, false},        {PNG_COLOR_TYPE_GRAY, 8, false, false},
        {PNG_COLOR_TYPE_GRAY, 16, false, false},       {PNG_COLOR_TYPE_RGB, 8, false, false},
        {PNG_COLOR_TYPE_RGB, 16, false, false},        {PNG_COLOR_TYPE_PALETTE, 1, false, false},
        {PNG_COLOR_TYPE_PALETTE, 2, false, false},     {PNG_COLOR_TYPE_PALETTE, 4, false, false},
        {PNG_COLOR_TYPE_PALETTE, 8, false, false},     {PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, false},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 16, false, false}, {PNG_COLOR_TYPE_RGB_ALPHA, 8, false, false},
        {PNG_COLOR_TYPE_RGB_ALPHA, 16, false, false},
    };
    for (int round = 0; round < 6; round++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            for (int variant = 0; variant < 4; variant++) {
                png_kind kind = kinds[k];
                kind.interlaced = variant & 1;
                kind.transparent = variant & 2;
                char what[80];
                snprintf(what, sizeof what, "PNG type %d depth %d%s%s", kind.type, kind.depth,
                         kind.interlaced ? " interlaced" : "", kind.transparent ? " tRNS" : "");
                drawing d = draw_png(&f->dice, any_side(f), any_side(f), kind);
                check(f, &d, what);
            }
}

/* Luma (and black) finer than chroma in one of the usual and unusual ways, any mixture of ones and twos (a block of an
 * interleaved scan holds at most ten), or all alike. */
static void any_sampling(fixture *f, jpeg_kind *kind) {
    static const int luma[][2] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {1, 4}, {3, 1}, {1, 3}};
    const int *s = luma[roll(&f->dice, 8)];
    bool alike = kind->rgb || (kind->components == 4 && !kind->ycck), mixed = roll(&f->dice, 4) == 0;
    int blocks;
    do {
        blocks = 0;
        for (int c = 0; c < 4; c++) {
            bool fine = !alike && (c == 0 || c == 3);
            kind->h[c] = mixed ? 1 + (int)roll(&f->dice, 2) : fine ? s[0] : 1;
            kind->v[c] = mixed ? 1 + (int)roll(&f->dice, 2) : fine ? s[1] : 1;
            blocks += c < kind->components ? kind->h[c] * kind->v[c] : 0;
        }
    } while (blocks > 10);
}

static void every_kind_of_jpeg(void **state) {
    fixture *f = *state;
    for (int round = 0; round < 400; round++) {
        uint32_t colour = roll(&f->dice, 8);
        jpeg_kind kind = {
            .components = colour < 5   ? 3
                          : colour < 6 ? 1
                                       : 4,
            .progressive = roll(&f->dice, 2),
            .ycck = colour == 7,
            .rgb = colour == 4,
            .restart = roll(&f->dice, 2) ? 0 : 1 + (int)roll(&f->dice, 12),
            .quality = 10 + (int)roll(&f->dice, 90),
        };
        any_sampling(f, &kind);
        char what[120];
        snprintf(what, sizeof what, "JPEG %d components %dx%d progressive %d ycck %d rgb %d restart %d",
                 kind.components, kind.h[0], kind.v[0], kind.progressive, kind.ycck, kind.rgb, kind.restart);
        drawing d = draw_jpeg(&f->dice, any_side(f), any_side(f), kind);
        check(f, &d, what);
    }
}

/* Photos of one to twenty times the size, decoded at an eighth, a quarter, a half or all of it: as plain libjpeg decodes
 * them so, and as precisely placed as at full size. What is not twice too large has the bytes of exact. */
static void fast_decodes_large_photos_smaller(void **state) {
    fixture *f = *state;
    int seen[9] = {0};
    for (int round = 0; round < 300; round++) {
        jpeg_kind kind = {
            .components = roll(&f->dice, 4) ? 3 : 1,
            .progressive = roll(&f->dice, 4) == 0,
            .restart = roll(&f->dice, 2) ? 0 : 1 + (int)roll(&f->dice, 12),
            .quality = 50 + (int)roll(&f->dice, 50),
        };
        any_sampling(f, &kind);
        drawing d = draw_jpeg(&f->dice, 20 + (int)roll(&f->dice, 400), 20 + (int)roll(&f->dice, 400), kind), scaled;
        int shorter = d.width < d.height ? d.width : d.height, eighths = 8;
        tl_preprocess p = sizes(roll(&f->dice, 16) ? 1 + (int)roll(&f->dice, (uint32_t)shorter) / 2 : 0,
                                1 + (int)roll(&f->dice, 100), TL_ALPHA_DROP);
        p.decode = TL_DECODE_FAST;
        while (p.resize && eighths > 1 && shorter * (eighths / 2) >= 8 * p.resize)
            eighths /= 2;
        seen[eighths]++;
        scaled = draw_scaled(&d, eighths);
        scaled.file = d.file;
        scaled.size = d.size;
        d.file = NULL;
        tl__reader *reader = NULL;
        assert_int_equal(tl__reader_create(f->context, &p, &reader), TL_OK);
        char what[80];
        snprintf(what, sizeof what, "fast, %d eighths of %d x %d", eighths, d.width, d.height);
        assert_same(reader, &scaled, what);
        tl__reader_destroy(reader);
        drawing_free(&scaled);
        drawing_free(&d);
    }
    assert_true(seen[1] > 9 && seen[2] > 9 && seen[4] > 9 && seen[8] > 9);
    png_kind kind = {PNG_COLOR_TYPE_RGB, 8, false, false};
    drawing d = draw_png(&f->dice, 300, 200, kind);
    tl_preprocess p = sizes(24, 20, TL_ALPHA_DROP);
    p.decode = TL_DECODE_FAST;
    tl__reader *reader = NULL;
    assert_int_equal(tl__reader_create(f->context, &p, &reader), TL_OK);
    assert_same(reader, &d, "a PNG");
    tl__reader_destroy(reader);
    drawing_free(&d);
}

/* One reader for many images: what is kept from one must not show in the next. */
static void a_reader_serves_many_images(void **state) {
    fixture *f = *state;
    tl_preprocess p = sizes(40, 36, TL_ALPHA_WHITE);
    tl__reader *reader = NULL;
    assert_int_equal(tl__reader_create(f->context, &p, &reader), TL_OK);
    uint8_t *scratch = malloc(36 * 36 * 3);
    for (int i = 0; i < 120; i++) {
        drawing d;
        if (i % 2)
            d = draw_jpeg(
                &f->dice, any_side(f), any_side(f),
                (jpeg_kind){.components = 3, .h = {2, 1, 1}, .v = {2, 1, 1}, .quality = 80, .progressive = i % 3 == 0});
        else
            d = draw_png(&f->dice, any_side(f), any_side(f),
                         (png_kind){PNG_COLOR_TYPE_RGB_ALPHA, 8, i % 3 == 0, false});
        if (i % 5 == 0) /* a failure in between */
            assert_int_equal(tl__reader_decode(reader, "half", d.file, d.size / 2, scratch), TL_ERROR_FORMAT);
        assert_same(reader, &d, "one of many");
        drawing_free(&d);
    }
    free(scratch);
    tl__reader_destroy(reader);
}

/* Every beginning of a good file is an error (none is shorter than the file and yet whole), and leaves the pixels
 * alone. */
static void truncated_images_are_refused(void **state) {
    fixture *f = *state;
    tl_preprocess p = sizes(24, 20, TL_ALPHA_DROP);
    tl__reader *reader = NULL;
    assert_int_equal(tl__reader_create(f->context, &p, &reader), TL_OK);
    uint8_t rgb[20 * 20 * 3], before[sizeof rgb];
    memset(rgb, 0x77, sizeof rgb);
    memcpy(before, rgb, sizeof rgb);
    for (int kind = 0; kind < 6; kind++) {
        drawing d =
            kind < 3 ? draw_png(&f->dice, 40, 90,
                                (png_kind){kind == 2 ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB, 8, kind == 1, true})
                     : draw_jpeg(&f->dice, 40, 90,
                                 (jpeg_kind){.components = kind == 5 ? 4 : 3,
                                             .h = {1, 1, 1, 1},
                                             .v = {1, 1, 1, 1},
                                             .quality = 70,
                                             .progressive = kind == 4});
        for (size_t n = 0; n < d.size; n += n < 700 || d.size - n < 100 ? 1 : 7) {
            tl_status status = tl__reader_decode(reader, "NAME", d.file, n, rgb);
            if (status != TL_ERROR_FORMAT)
                fail_msg("kind %d: %zu of %zu bytes give %d", kind, n, d.size, (int)status);
            assert_non_null(strstr(tl_context_message(f->context), "NAME"));
            assert_memory_equal(rgb, before, sizeof rgb);
        }
        drawing_free(&d);
    }
    tl__reader_destroy(reader);
}

/* Any byte changed: an error or some image, never a crash. Of a PNG, whose every byte is under a checksum, an error. */
static void corrupted_images_do_no_harm(void **state) {
    fixture *f = *state;
    tl_preprocess p = sizes(24, 20, TL_ALPHA_WHITE);
    tl__reader *reader = NULL;
    assert_int_equal(tl__reader_create(f->context, &p, &reader), TL_OK);
    uint8_t rgb[20 * 20 * 3];
    for (int kind = 0; kind < 5; kind++) {
        drawing d = kind < 2
                        ? draw_png(&f->dice, 30, 40,
                                   (png_kind){kind ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB, 8, kind == 1, true})
                        : draw_jpeg(&f->dice, 30, 40,
                                    (jpeg_kind){.components = kind == 4 ? 4 : 3,
                                                .h = {2, 1, 1, 2},
                                                .v = {2, 1, 1, 2},
                                                .quality = 70,
                                                .progressive = kind == 3,
                                                .restart = 2,
                                                .ycck = kind == 4});
        for (size_t n = 0; n < d.size; n++) {
            uint8_t kept = d.file[n];
            d.file[n] ^= (uint8_t)(1u << roll(&f->dice, 8));
            tl_status status = tl__reader_decode(reader, "NAME", d.file, d.size, rgb);
            if (kind < 2 && status != TL_ERROR_FORMAT && status != TL_ERROR_LIMIT)
                fail_msg("PNG %d with byte %zu changed gives %d", kind, n, (int)status);
            if (status != TL_OK)
                assert_non_null(strstr(tl_context_message(f->context), "NAME"));
            d.file[n] = kept;
        }
        drawing_free(&d);
    }
    tl__reader_destroy(reader);
}

static void every_allocation_may_fail(void **state) {
    fixture *f = *state;
    tl_preprocess p = sizes(24, 20, TL_ALPHA_WHITE);
    static const png_kind kinds[] = {{PNG_COLOR_TYPE_RGB_ALPHA, 8, true, false},
                                     {PNG_COLOR_TYPE_PALETTE, 4, false, true}};
    for (int kind = 0; kind < 3; kind++) {
        drawing d = kind < 2 ? draw_png(&f->dice, 50, 60, kinds[kind])
                             : draw_jpeg(&f->dice, 50, 60,
                                         (jpeg_kind){.components = 3, .h = {2, 1, 1}, .v = {2, 1, 1}, .quality = 90});
        uint8_t *expected = reference_preprocess(&d, &p), rgb[20 * 20 * 3];
        long live = f->state.live, n = 1;
        for (bool all_done = false; !all_done; n++) {
            tl__reader *reader = NULL;
            memset(rgb, 1, sizeof rgb);
            f->state.fail_at = f->state.allocations + n;
            tl_status status = tl__reader_create(f->context, &p, &reader);
            if (status == TL_OK)
                status = tl__reader_decode(reader, "NAME", d.file, d.size, rgb);
            f->state.fail_at = 0;
            assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
            all_done = status == TL_OK;
            if (all_done)
                assert_memory_equal(rgb, expected, sizeof rgb);
            tl__reader_destroy(reader);
            assert_int_equal(f->state.live, live);
        }
        assert_true(n > 4);
        free(expected);
        drawing_free(&d);
    }
}

/* A header alone, of a PNG or of a JPEG, that declares a size. */
static size_t png_header(uint8_t *out, uint32_t width, uint32_t height) {
    static const uint8_t start[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    memcpy(out, start, 16);
    const uint8_t ihdr[] = {(uint8_t)(width >> 24),
                            (uint8_t)(width >> 16),
                            (uint8_t)(width >> 8),
                            (uint8_t)width,
                            (uint8_t)(height >> 24),
                            (uint8_t)(height >> 16),
                            (uint8_t)(height >> 8),
                            (uint8_t)height,
                            8,
                            2,
                            0,
                            0,
                            1};
    memcpy(out + 16, ihdr, 13);
    uint32_t crc = 0xffffffff;
    for (int i = 12; i < 29; i++) {
        crc ^= out[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    crc = ~crc;
    const uint8_t end[] = {(uint8_t)(crc >> 24),
                           (uint8_t)(crc >> 16),
                           (uint8_t)(crc >> 8),
                           (uint8_t)crc,
                           0,
                           0,
                           0,
                           0,
                           'I',
                           'D',
                           'A',
                           'T',
                           0x35,
                           0xaf,
                           0x06,
                           0x1e};
    memcpy(out + 29, end, sizeof end);
    return 29 + sizeof end;
}

static void huge_images_cost_nothing(void **state) {
    fixture *f = *state;
    tl_preprocess p = sizes(256, 224, TL_ALPHA_DROP);
    tl__reader *reader = NULL;
    assert_int_equal(tl__reader_create(f->context, &p, &reader), TL_OK);
    uint8_t file[64], *rgb = malloc(224 * 224 * 3);
    static const uint32_t too_many[][2] = {{60000, 60000}, {16385, 16384}, {0x7fffffff, 0x7fffffff}, {0x7fffffff, 1}};
    for (size_t i = 0; i < 4; i++) {
        size_t n = png_header(file, too_many[i][0], too_many[i][1]);
        assert_int_equal(tl__reader_decode(reader, "NAME", file, n, rgb), TL_ERROR_LIMIT);
        assert_non_null(strstr(tl_context_message(f->context), "NAME"));
        assert_non_null(strstr(tl_context_message(f->context), "2^28"));
    }
    static const uint32_t none[][2] = {{0, 5}, {5, 0}, {0x80000000u, 1}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tl__reader_decode(reader, "NAME", file, png_header(file, none[i][0], none[i][1]), rgb),
                         TL_ERROR_FORMAT);
    drawing d =
        draw_jpeg(&f->dice, 16, 16, (jpeg_kind){.components = 3, .h = {1, 1, 1}, .v = {1, 1, 1}, .quality = 50});
    for (size_t i = 0; i + 8 < d.size; i++)
        if (d.file[i] == 0xff && d.file[i + 1] == 0xc0)
            memcpy(d.file + i + 5, "\xff\xdc\xff\xdc", 4); /* 65500 x 65500 */
    assert_int_equal(tl__reader_decode(reader, "NAME", d.file, d.size, rgb), TL_ERROR_LIMIT);
    drawing_free(&d);
    free(rgb);
    tl__reader_destroy(reader);
}

/* A progressive JPEG whose last scan is repeated more often than anyone would. */
static void endless_scans_are_refused(void **state) {
    fixture *f = *state;
    tl_preprocess p = sizes(8, 8, TL_ALPHA_DROP);
    tl__reader *reader = NULL;
    assert_int_equal(tl__reader_create(f->context, &p, &reader), TL_OK);
    drawing d = draw_jpeg(&f->dice, 16, 16,
                          (jpeg_kind){.components = 1, .h = {1}, .v = {1}, .quality = 50, .progressive = true});
    size_t scan = 0;
    for (size_t i = 0; i + 1 < d.size; i++)
        if (d.file[i] == 0xff && d.file[i + 1] == 0xda)
            scan = i;
    size_t length = d.size - 2 - scan;
    for (int times = 50; times <= 150; times += 100) {
        uint8_t *file = malloc(d.size + length * (size_t)times), rgb[8 * 8 * 3];
        size_t n = scan;
        memcpy(file, d.file, scan);
        for (int i = 0; i < times; i++, n += length)
            memcpy(file + n, d.file + scan, length);
        memcpy(file + n, "\xff\xd9", 2);
        tl_status status = tl__reader_decode(reader, "NAME", file, n + 2, rgb);
        assert_int_equal(status, times < 100 ? TL_OK : TL_ERROR_FORMAT);
        if (times > 100)
            assert_non_null(strstr(tl_context_message(f->context), "100 scans"));
        free(file);
    }
    drawing_free(&d);
    tl__reader_destroy(reader);
}

static void files_are_told_by_their_contents(void **state) {
    fixture *f = *state;
    char *folder = folder_create();
    tl_preprocess p = sizes(20, 16, TL_ALPHA_DROP);
    uint8_t rgb[16 * 16 * 3], untouched[sizeof rgb];
    drawing png = draw_png(&f->dice, 30, 33, (png_kind){PNG_COLOR_TYPE_RGB, 8, false, false});
    drawing jpeg =
        draw_jpeg(&f->dice, 30, 33, (jpeg_kind){.components = 3, .h = {1, 1, 1}, .v = {1, 1, 1}, .quality = 80});
    file_write(folder, "a.jpg", png.file, png.size);
    file_write(folder, "b.png", jpeg.file, jpeg.size);
    file_write(folder, "c", "GIF89a", 6);
    file_write(folder, "d.png", "", 0);
    drawing *drawn[] = {&png, &jpeg};
    static const char *const names[] = {"a.jpg", "b.png", "c", "d.png", "missing.png", "."};
    static const tl_status expected[] = {TL_OK, TL_OK, TL_ERROR_FORMAT, TL_ERROR_FORMAT, TL_ERROR_IO, TL_ERROR_IO};
    for (size_t i = 0; i < 6; i++) {
        char *path = join(folder, names[i]);
        memset(rgb, 3, sizeof rgb);
        memcpy(untouched, rgb, sizeof rgb);
        assert_int_equal(tl_image_load(f->context, path, &p, rgb), expected[i]);
        uint8_t *wanted = i < 2 ? reference_preprocess(drawn[i], &p) : NULL;
        assert_memory_equal(rgb, wanted ? wanted : untouched, sizeof rgb);
        if (i >= 2)
            assert_non_null(strstr(tl_context_message(f->context), path));
        free(wanted);
        free(path);
    }
    drawing_free(&png);
    drawing_free(&jpeg);
    folder_remove(folder);
}

/* Larger than any buffer, and through a pipe, which gives what it likes. */
static void large_files_and_pipes_are_read(void **state) {
    fixture *f = *state;
    char *folder = folder_create(), *pipe_path = join(folder, "pipe"), *path = join(folder, "file");
    tl_preprocess p = sizes(60, 50, TL_ALPHA_DROP);
    uint8_t rgb[50 * 50 * 3];
    for (int kind = 0; kind < 2; kind++) {
        drawing d = kind ? draw_png(&f->dice, 700, 400, (png_kind){PNG_COLOR_TYPE_RGB, 16, false, false})
                         : draw_jpeg(&f->dice, 900, 800,
                                     (jpeg_kind){.components = 3, .h = {1, 1, 1}, .v = {1, 1, 1}, .quality = 99});
        assert_true(d.size > 200000);
        uint8_t *expected = reference_preprocess(&d, &p);
        file_write(folder, "file", d.file, d.size);
        assert_int_equal(tl_image_load(f->context, path, &p, rgb), TL_OK);
        assert_memory_equal(rgb, expected, sizeof rgb);
        assert_int_equal(mkfifo(pipe_path, 0600), 0);
        pid_t child = fork();
        if (child == 0) {
            FILE *stream = fopen(pipe_path, "wb");
            setvbuf(stream, NULL, _IONBF, 0);
            for (size_t n = 0; n < d.size; n += n < 16 ? 1 : 5000)
                fwrite(d.file + n, 1, n < 16 ? 1 : d.size - n < 5000 ? d.size - n : 5000, stream);
            _exit(0);
        }
        memset(rgb, 0, sizeof rgb);
        assert_int_equal(tl_image_load(f->context, pipe_path, &p, rgb), TL_OK);
        assert_memory_equal(rgb, expected, sizeof rgb);
        unlink(pipe_path);
        free(expected);
        drawing_free(&d);
    }
    free(pipe_path);
    free(path);
    folder_remove(folder);
}

static void odd_images_are_remarked(void **state) {
    fixture *f = *state;
    char *folder = folder_create(), *path = join(folder, "deep.png"), *noisy = join(folder, "noisy.jpg");
    tl_preprocess p = sizes(20, 16, TL_ALPHA_DROP);
    uint8_t rgb[16 * 16 * 3];
    drawing d = draw_png(&f->dice, 30, 30, (png_kind){PNG_COLOR_TYPE_GRAY, 16, false, false});
    file_write(folder, "deep.png", d.file, d.size);
    drawing_free(&d);
    assert_int_equal(tl_image_load(f->context, path, &p, rgb), TL_OK);
    assert_int_equal(f->state.log_lines, 1);
    assert_non_null(strstr(f->state.logged, "deep.png"));
    assert_non_null(strstr(f->state.logged, "16-bit grey"));
    /* rubbish between the last scan and the end, which every viewer shows without a word */
    d = draw_jpeg(&f->dice, 30, 30, (jpeg_kind){.components = 3, .h = {1, 1, 1}, .v = {1, 1, 1}, .quality = 80});
    uint8_t *file = malloc(d.size + 9);
    memcpy(file, d.file, d.size - 2);
    memcpy(file + d.size - 2, "\xff\x01rubbish\xff\xd9", 11);
    file_write(folder, "noisy.jpg", file, d.size + 9);
    uint8_t *expected = reference_preprocess(&d, &p);
    assert_int_equal(tl_image_load(f->context, noisy, &p, rgb), TL_OK);
    assert_memory_equal(rgb, expected, sizeof rgb);
    assert_int_equal(f->state.log_lines, 2);
    assert_non_null(strstr(f->state.logged, "noisy.jpg"));
    free(expected);
    free(file);
    drawing_free(&d);
    free(path);
    free(noisy);
    folder_remove(folder);
}

/* Damage in the data of a JPEG, `part` of the file from its start, is mended and remarked where the pixels that are needed
 * come from; below them the data are only passed over, and what they depend on has all its bytes. */
static void what_is_below_the_crop_is_not_decoded(void **state) {
    fixture *f = *state;
    char *folder = folder_create(), *path = join(folder, "x.jpg");
    tl_preprocess p = sizes(20, 20, TL_ALPHA_DROP);
    uint8_t rgb[20 * 20 * 3];
    for (int restart = 0; restart < 2; restart++) {
        drawing d = draw_jpeg(&f->dice, 40, 400,
                              (jpeg_kind){.components = 3, .h = {2, 1, 1}, .v = {2, 1, 1}, .quality = 90, .restart = 3 * restart});
        uint8_t *expected = reference_preprocess(&d, &p), *kept = malloc(d.size);
        memcpy(kept, d.file, d.size);
        for (int part = 1; part <= 9; part += 8) {
            int before = f->state.log_lines;
            size_t at = d.size / 10 * (size_t)part;
            memcpy(d.file, kept, d.size);
            memcpy(d.file + at, "\xff\xd5\xff\xd3\xff\xff\xd1", 7); /* restarts where none belong */
            file_write(folder, "x.jpg", d.file, d.size);
            assert_int_equal(tl_image_load(f->context, path, &p, rgb), TL_OK);
            assert_int_equal(f->state.log_lines - before, part == 1);
            if (part == 9)
                assert_memory_equal(rgb, expected, sizeof rgb);
        }
        free(kept);
        free(expected);
        drawing_free(&d);
    }
    free(path);
    folder_remove(folder);
}

static void bad_preprocessing_is_refused(void **state) {
    fixture *f = *state;
    tl_preprocess good = sizes(256, 224, TL_ALPHA_DROP), bad[11];
    for (size_t i = 0; i < 11; i++)
        bad[i] = good;
    bad[0].resize = -1;
    bad[1].resize = 16385;
    bad[2].crop = 0;
    bad[3].crop = 16385;
    bad[4].alpha = (tl_alpha)3;
    bad[5].std[1] = 0;
    bad[6].std[2] = -1;
    bad[7].std[0] = NAN;
    bad[8].mean[0] = INFINITY;
    bad[9].size = 0;
    bad[10].decode = (tl_decode)2;
    uint8_t rgb[1];
    for (size_t i = 0; i < 11; i++)
        assert_int_equal(tl_image_load(f->context, "x.png", &bad[i], rgb), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_image_load(f->context, NULL, &good, rgb), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_image_load(f->context, "x.png", &good, NULL), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_image_load(f->context, "x.png", NULL, rgb), TL_ERROR_ARGUMENT);
}

static void defaults_are_imagenets(void **state) {
    (void)state;
    struct {
        tl_preprocess p;
        char behind[64];
    } larger;
    memset(&larger, 0xff, sizeof larger);
    tl_preprocess_init(&larger.p, sizeof larger); /* a program built with a later header */
    assert_int_equal(larger.p.size, sizeof larger);
    assert_int_equal(larger.p.decode, TL_DECODE_EXACT);
    assert_true(larger.p.resize == 256 && larger.p.crop == 224 && larger.p.alpha == TL_ALPHA_DROP);
    assert_true(larger.p.mean[0] == 0.485f && larger.p.mean[1] == 0.456f && larger.p.mean[2] == 0.406f);
    assert_true(larger.p.std[0] == 0.229f && larger.p.std[1] == 0.224f && larger.p.std[2] == 0.225f);
    for (size_t i = 0; i < sizeof larger.behind; i++)
        assert_int_equal(larger.behind[i], 0);
}

/* Bits that torchvision's Normalize(ToTensor(.)) gives. */
static void normalisation_is_pytorchs(void **state) {
    (void)state;
    static const struct {
        uint8_t byte;
        uint32_t bits[3];
    } cases[] = {
        {0, {0xc0078bbdu, 0xc0024924u, 0xbfe6f809u}},   {1, {0xc006732bu, 0xc0012a4fu, 0xbfe4bceau}},
        {2, {0xc0055a98u, 0xc0000b79u, 0xbfe281ccu}},   {3, {0xc0044206u, 0xbffdd947u, 0xbfe046adu}},
        {7, {0xbfffbf78u, 0xbff4e299u, 0xbfd75a32u}},   {50, {0xbfa17e48u, 0xbf9486cfu, 0xbf6ed816u}},
        {100, {0xbecf9456u, 0xbe91ed5au, 0xbd7c019du}}, {101, {0xbec6cfc2u, 0xbe88f6acu, 0xbd349dc7u}},
        {103, {0xbeb5469cu, 0xbe6e12a3u, 0xbc175872u}}, {116, {0xbe069640u, 0xbba0a089u, 0x3e5e8eefu}},
        {123, {0xbc3d6314u, 0x3df0f0f1u, 0x3eadbed2u}}, {124, {0x3bb65eaeu, 0x3e0a65d3u, 0x3eb6ab4du}},
        {127, {0x3d6939a6u, 0x3e402de4u, 0x3ed170bdu}}, {128, {0x3d97af32u, 0x3e521b48u, 0x3eda5d3cu}},
        {200, {0x3fa74d4fu, 0x3fbb9b9cu, 0x3fd737efu}}, {201, {0x3fa97e74u, 0x3fbdd947u, 0x3fd9730eu}},
        {250, {0x400a7341u, 0x4015d38au, 0x402361f7u}}, {253, {0x400dbcf8u, 0x4019300cu, 0x4026baa4u}},
        {254, {0x400ed58au, 0x401a4ee0u, 0x4027d834u}}, {255, {0x400fee1du, 0x401b6db7u, 0x4028f5c3u}},
    };
    tl_preprocess p = sizes(256, 224, TL_ALPHA_DROP);
    uint8_t rgb[256 * 3];
    float out[256 * 3];
    for (int i = 0; i < 256; i++)
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = (uint8_t)i;
    tl_image_normalize(&p, rgb, 256, out);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_memory_equal(out + 3 * cases[i].byte, cases[i].bits, 12);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(every_kind_of_png),
        CASE(every_kind_of_jpeg),
        CASE(fast_decodes_large_photos_smaller),
        CASE(a_reader_serves_many_images),
        CASE(truncated_images_are_refused),
        CASE(corrupted_images_do_no_harm),
        CASE(every_allocation_may_fail),
        CASE(huge_images_cost_nothing),
        CASE(endless_scans_are_refused),
        CASE(files_are_told_by_their_contents),
        CASE(large_files_and_pipes_are_read),
        CASE(odd_images_are_remarked),
        CASE(what_is_below_the_crop_is_not_decoded),
        CASE(bad_preprocessing_is_refused),
        CASE(defaults_are_imagenets),
        CASE(normalisation_is_pytorchs),
    };
    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
