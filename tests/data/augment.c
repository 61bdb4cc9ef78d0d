/* augment.c: random changes against slow and obvious ones; the same whatever the workers; images and masks alike. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "data/loader.h"
#include "data/reader.h"
#include "draw.h"

#define SIDE   24
#define PIXELS (SIDE * SIDE)
#define BYTES  (3 * PIXELS)
#define IMAGES 11

static const uint8_t colours[3][3] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}};

/* Images of flat patches in the colours of three classes, with masks that say the same. */
typedef struct fixture {
    tl_context *context;
    counting state;
    char *folder;
    tl_dataset *dataset;
    tl_preprocess preprocess;
} fixture;

static void draw_pair(const fixture *f, dice *d, int number) {
    int width = 30 + 5 * number, height = 70 - 3 * number, split = 5 + number % 7;
    size_t pixels = (size_t)width * (size_t)height;
    unsigned *labels = malloc(pixels * sizeof *labels), *rgb = malloc(3 * pixels * sizeof *rgb);
    unsigned patches[400];
    for (int i = 0; i < 400; i++)
        patches[i] = roll(d, 3);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            size_t at = (size_t)y * (size_t)width + (size_t)x;
            labels[at] = patches[(y / split * 20 + x / split) % 400];
            for (size_t c = 0; c < 3; c++)
                rgb[3 * at + c] = colours[labels[at]][c];
        }
    drawing image = draw_values(width, height, (png_kind){PNG_COLOR_TYPE_RGB, 8, number % 3 == 0, false}, rgb),
            mask = draw_values(width, height, (png_kind){PNG_COLOR_TYPE_PALETTE, 8, false, false}, labels);
    char name[32];
    snprintf(name, sizeof name, "images/%02d.png", number);
    file_write(f->folder, name, image.file, image.size);
    snprintf(name, sizeof name, "masks/%02d.png", number);
    file_write(f->folder, name, mask.file, mask.size);
    drawing_free(&image);
    drawing_free(&mask);
    free(labels);
    free(rgb);
}

static int set_up(void **out) {
    fixture *f = calloc(1, sizeof *f);
    dice d = {7};
    f->context = counting_context(&f->state);
    f->folder = folder_create();
    for (int i = 0; i < IMAGES; i++)
        draw_pair(f, &d, i);
    tl_masks_options options;
    tl_masks_options_init(&options, sizeof options);
    options.class_count = 3;
    assert_int_equal(tl_dataset_open_masks(f->context, f->folder, &options, &f->dataset), TL_OK);
    tl_preprocess_init(&f->preprocess, sizeof f->preprocess);
    f->preprocess.resize = 28;
    f->preprocess.crop = SIDE;
    *out = f;
    return 0;
}

static int tear_down(void **in) {
    fixture *f = *in;
    tl_dataset_destroy(f->dataset);
    folder_remove(f->folder);
    tl_context_destroy(f->context);
    int leaked = f->state.live != 0;
    free(f);
    return leaked;
}

static tl_augment everything(void) {
    tl_augment a;
    tl_augment_init(&a, sizeof a);
    a.random_crop = 0.3;
    a.flip = TL_FLIP_BOTH;
    a.rotate = 40;
    a.brightness = a.contrast = a.saturation = 0.5;
    a.seed = 11;
    return a;
}

/* Everything that an epoch gives, by number of the image. */
typedef struct epoch {
    uint8_t rgb[IMAGES][BYTES];
    int32_t labels[IMAGES][PIXELS];
} epoch;

static void read_epoch(fixture *f, tl__loader *loader, uint64_t number, const uint32_t *order, epoch *out) {
    const uint8_t *rgb;
    const int32_t *labels;
    const uint32_t *indices;
    int count;
    tl__loader_set_epoch(loader, number);
    assert_int_equal(tl__loader_start(loader, order, IMAGES), TL_OK);
    memset(out, 77, sizeof *out);
    for (;;) {
        tl_status status = tl__loader_next(loader, &rgb, &labels, &indices, &count);
        if (status != TL_OK)
            print_error("%s\n", tl_context_message(f->context));
        assert_int_equal(status, TL_OK);
        if (!count)
            return;
        for (int i = 0; i < count; i++) {
            memcpy(out->rgb[indices[i]], rgb + (size_t)i * BYTES, BYTES);
            memcpy(out->labels[indices[i]], labels + (size_t)i * PIXELS, sizeof out->labels[0]);
        }
    }
}

static void one_epoch(fixture *f, const tl_augment *augment, int workers, uint64_t number, const uint32_t *order, epoch *out) {
    tl__loader *loader;
    tl__loader_options options = {.batch = 3, .workers = workers, .cache_bytes = UINT64_MAX, .augment = augment};
    assert_int_equal(tl__loader_create(f->context, f->dataset, &f->preprocess, &options, &loader), TL_OK);
    read_epoch(f, loader, number, order, out);
    tl__loader_destroy(loader);
}

static void nothing_wanted_is_nothing_changed(void **state) {
    fixture *f = *state;
    epoch *plain = malloc(sizeof *plain), *neutral = malloc(sizeof *neutral);
    tl_augment a;
    tl_augment_init(&a, sizeof a);
    assert_false(tl_augment_is_random(&a));
    assert_false(tl_augment_is_random(NULL));
    one_epoch(f, NULL, 2, 0, NULL, plain);
    one_epoch(f, &a, 2, 5, NULL, neutral);
    assert_memory_equal(plain, neutral, sizeof *plain);
    /* what is drawn for nothing changes nothing either */
    for (uint32_t i = 0; i < 50; i++) {
        tl__change change;
        uint8_t work[4 * PIXELS], rgb[BYTES];
        int box[4];
        tl__change_draw(&a, i, i * 7, &change);
        memcpy(rgb, plain->rgb[i % IMAGES], BYTES);
        tl__change_apply(&change, SIDE, rgb, NULL, work);
        assert_memory_equal(rgb, plain->rgb[i % IMAGES], BYTES);
        tl__change_box(&change, 30, 20, box);
        assert_int_equal(box[2], 0);
    }
    free(plain);
    free(neutral);
}

static void all_is_the_same_whatever_the_workers(void **state) {
    fixture *f = *state;
    epoch *first = malloc(sizeof *first), *other = malloc(sizeof *other);
    uint32_t backwards[IMAGES];
    tl_augment a = everything();
    for (uint32_t i = 0; i < IMAGES; i++)
        backwards[i] = IMAGES - 1 - i;
    one_epoch(f, &a, 1, 3, NULL, first);
    static const int workers[] = {1, 2, 8};
    for (int i = 0; i < 3; i++) {
        one_epoch(f, &a, workers[i], 3, backwards, other);
        assert_memory_equal(first, other, sizeof *first);
    }
    one_epoch(f, &a, 2, 4, NULL, other);
    for (int i = 0; i < IMAGES; i++)
        assert_memory_not_equal(first->rgb[i], other->rgb[i], BYTES);
    a.seed++;
    one_epoch(f, &a, 2, 3, NULL, other);
    for (int i = 0; i < IMAGES; i++)
        assert_memory_not_equal(first->rgb[i], other->rgb[i], BYTES);
    free(first);
    free(other);
}

/* One loader, its cache on, epoch after epoch. */
static void epochs_do_not_remember_each_other(void **state) {
    fixture *f = *state;
    epoch *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    tl_augment augment = everything();
    tl__loader *loader;
    tl__loader_options options = {.batch = 4, .workers = 3, .cache_bytes = UINT64_MAX, .augment = &augment};
    assert_int_equal(tl__loader_create(f->context, f->dataset, &f->preprocess, &options, &loader), TL_OK);
    for (uint64_t number = 0; number < 3; number++) {
        read_epoch(f, loader, number, NULL, a);
        one_epoch(f, &augment, 1, number, NULL, b);
        assert_memory_equal(a, b, sizeof *a);
    }
    tl__loader_destroy(loader);
    free(a);
    free(b);
}

static int pure(const uint8_t *rgb) {
    for (int i = 0; i < 3; i++)
        if (!memcmp(rgb, colours[i], 3))
            return i;
    return rgb[0] + rgb[1] + rgb[2] == 0 ? TL_IGNORED : -1;
}

/* No blend of two colours is a third one or black, so a pixel with a class's colour is of that class. */
static void masks_follow_their_images(void **state) {
    fixture *f = *state;
    epoch *e = malloc(sizeof *e);
    tl_augment a = everything();
    a.brightness = a.contrast = a.saturation = 0;
    int counted = 0, ignored = 0, wrong = 0;
    for (uint64_t number = 0; number < 12; number++) {
        one_epoch(f, &a, 2, number, NULL, e);
        for (int i = 0; i < IMAGES; i++)
            for (int p = 0; p < PIXELS; p++) {
                int colour = pure(e->rgb[i] + 3 * p);
                counted += colour >= 0 && colour < 3;
                ignored += e->labels[i][p] == TL_IGNORED;
                wrong += colour >= 0 && colour != e->labels[i][p];
                wrong += colour < 0 && e->labels[i][p] > 2;
            }
    }
    assert_int_equal(wrong, 0);
    assert_in_range(counted, 12 * IMAGES * PIXELS / 4, 12 * IMAGES * PIXELS);
    assert_in_range(ignored, 100, 12 * IMAGES * PIXELS / 2);
    free(e);
}

/* ---- each change by itself ---- */

static void noise(dice *d, uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)roll(d, 256);
}

typedef struct picture {
    int side;
    uint8_t *rgb, *labels, *old_rgb, *old_labels, *work;
} picture;

static picture picture_create(dice *d, int side) {
    size_t pixels = (size_t)side * (size_t)side;
    picture p = {side, malloc(3 * pixels), malloc(pixels), malloc(3 * pixels), malloc(pixels), malloc(4 * pixels)};
    noise(d, p.rgb, 3 * pixels);
    noise(d, p.labels, pixels);
    memcpy(p.old_rgb, p.rgb, 3 * pixels);
    memcpy(p.old_labels, p.labels, pixels);
    return p;
}

static void picture_free(picture *p) {
    free(p->rgb);
    free(p->labels);
    free(p->old_rgb);
    free(p->old_labels);
    free(p->work);
}

static tl__change no_change(void) {
    return (tl__change){.factor = {1, 1, 1}, .order = {0, 1, 2}};
}

/* Pixel (x, y) is what (from_x, from_y) was, or nothing. */
static void assert_from(const picture *p, int x, int y, int from_x, int from_y) {
    size_t at = (size_t)(y * p->side + x), from = (size_t)(from_y * p->side + from_x);
    bool inside = from_x >= 0 && from_y >= 0 && from_x < p->side && from_y < p->side;
    for (size_t c = 0; c < 3; c++)
        assert_int_equal(p->rgb[3 * at + c], inside ? p->old_rgb[3 * from + c] : 0);
    assert_int_equal(p->labels[at], inside ? p->old_labels[from] : TL_IGNORED);
}

static void flips_and_right_angles(void **state) {
    (void)state;
    dice d = {3};
    static const int sides[] = {1, 2, 7, 16};
    for (int s = 0; s < 4; s++)
        for (int which = 0; which < 6; which++) {
            picture p = picture_create(&d, sides[s]);
            int last = p.side - 1;
            tl__change change = no_change();
            change.mirrored = which == 0 || which == 2;
            change.upside_down = which == 1 || which == 2;
            change.degrees = which < 3 ? 0 : 90 * (which - 2);
            tl__change_apply(&change, p.side, p.rgb, p.labels, p.work);
            for (int y = 0; y <= last; y++)
                for (int x = 0; x <= last; x++) {
                    const int from[6][2] = {{last - x, y}, {x, last - y},        {last - x, last - y}, /* counterclockwise: */
                                            {last - y, x}, {last - x, last - y}, {y, last - x}};
                    assert_from(&p, x, y, from[which][0], from[which][1]);
                }
            picture_free(&p);
        }
}

static void rotation_takes_nearest_pixels(void **state) {
    (void)state;
    dice d = {4};
    for (int t = 0; t < 60; t++) {
        picture p = picture_create(&d, 1 + (int)roll(&d, 40));
        tl__change change = no_change();
        change.degrees = roll(&d, 3600) / 10.0 - 180 + 0.01234;
        tl__change_apply(&change, p.side, p.rgb, p.labels, p.work);
        double a = cos(change.degrees * M_PI / 180), b = sin(change.degrees * M_PI / 180);
        int compared = 0;
        for (int y = 0; y < p.side; y++)
            for (int x = 0; x < p.side; x++) {
                double dx = x + 0.5 - p.side / 2.0, dy = y + 0.5 - p.side / 2.0;
                double fx = a * dx - b * dy + p.side / 2.0, fy = b * dx + a * dy + p.side / 2.0;
                /* 16 bits behind the point, and up to 80 roundings of half of the last of them */
                if (fabs(fx - nearbyint(fx)) < 1e-3 || fabs(fy - nearbyint(fy)) < 1e-3)
                    continue;
                assert_from(&p, x, y, (int)floor(fx), (int)floor(fy));
                compared++;
            }
        assert_true(compared * 10 >= p.side * p.side * 9 || p.side < 4);
        picture_free(&p);
    }
}

/* Pillow's blending, a float at a time. */
static uint8_t blended(float by, int without, int with) {
    volatile float part = by * (float)(with - without);
    volatile float sum = (float)without + part;
    return (uint8_t)(sum <= 0 ? 0 : sum >= 255 ? 255 : sum);
}

static int grey_of(const uint8_t *rgb) {
    return (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 32768) / 65536;
}

static void change_colour(int which, float by, uint8_t *rgb, size_t pixels) {
    double sum = 0;
    for (size_t i = 0; i < pixels; i++)
        sum += grey_of(rgb + 3 * i);
    int mean = (int)(sum / (double)pixels + 0.5);
    for (size_t i = 0; i < pixels; i++) {
        int own = grey_of(rgb + 3 * i);
        for (size_t c = 0; c < 3; c++)
            rgb[3 * i + c] = blended(by, which == 0 ? 0 : which == 1 ? mean : own, rgb[3 * i + c]);
    }
}

static void colours_change_as_in_pillow(void **state) {
    (void)state;
    dice d = {5};
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int t = 0; t < 120; t++) {
        picture p = picture_create(&d, 1 + (int)roll(&d, 20));
        size_t pixels = (size_t)p.side * (size_t)p.side;
        tl__change change = no_change();
        memcpy(change.order, orders[t % 6], sizeof change.order);
        for (int i = 0; i < 3; i++)
            change.factor[i] = roll(&d, 4) ? roll(&d, 2500) / 1000.0 : i == 1 ? 0 : 1;
        for (int i = 0; i < 3; i++)
            if (change.factor[change.order[i]] != 1)
                change_colour(change.order[i], (float)change.factor[change.order[i]], p.old_rgb, pixels);
        tl__change_apply(&change, p.side, p.rgb, p.labels, p.work);
        assert_memory_equal(p.rgb, p.old_rgb, 3 * pixels);
        assert_memory_equal(p.labels, p.old_labels, pixels);
        picture_free(&p);
    }
}

static void boxes_are_resized_as_images_of_their_own(void **state) {
    fixture *f = *state;
    dice d = {6};
    tl_augment a;
    tl_augment_init(&a, sizeof a);
    a.random_crop = 0.05;
    tl__reader *reader;
    f->preprocess.decode = TL_DECODE_FAST;
    assert_int_equal(tl__reader_create(f->context, &f->preprocess, &reader), TL_OK);
    for (uint32_t t = 0; t < 80; t++) {
        int width = 1 + (int)roll(&d, 150), height = 1 + (int)roll(&d, 150);
        drawing image = t % 2 ? draw_png(&d, width, height, (png_kind){PNG_COLOR_TYPE_RGB, 8, t % 4 == 1, false})
                              : draw_jpeg(&d, width, height, (jpeg_kind){.components = 3, .h = {2, 1, 1}, .v = {2, 1, 1}, .quality = 80});
        uint8_t rgb[BYTES];
        tl__change change;
        tl__change_draw(&a, 1, t, &change);
        reader->change = &change;
        assert_int_equal(tl__reader_decode(reader, "image", image.file, image.size, rgb), TL_OK);
        const int *box = reader->resampler.box;
        assert_true(box[0] >= 0 && box[1] >= 0 && box[2] >= 1 && box[3] >= 1);
        assert_true(box[0] + box[2] <= width && box[1] + box[3] <= height);
        uint8_t *expected = reference_stretch(&image, box, SIDE);
        assert_memory_equal(rgb, expected, BYTES);
        free(expected);
        drawing_free(&image);
    }
    tl__reader_destroy(reader);
}

static void what_is_drawn_keeps_its_bounds(void **state) {
    (void)state;
    enum { TIMES = 20000 };
    tl_augment a = everything(), without = a;
    a.random_crop = 0.25;
    without.rotate = without.brightness = 0;
    int mirrored = 0, over = 0, first[3] = {0};
    double degrees = 0, factor = 0, area = 0, log_ratio = 0;
    for (uint32_t i = 0; i < TIMES; i++) {
        tl__change change, other;
        int box[4];
        tl__change_draw(&a, 2, i, &change);
        tl__change_draw(&without, 2, i, &other);
        mirrored += change.mirrored;
        over += change.upside_down;
        first[change.order[0]]++;
        assert_true(fabs(change.degrees) <= 40);
        for (int c = 0; c < 3; c++)
            assert_true(change.factor[c] >= 0.5 && change.factor[c] <= 1.5);
        degrees += change.degrees;
        factor += change.factor[1];
        /* what is not wanted leaves the rest as it was */
        assert_true(other.mirrored == change.mirrored && other.factor[1] == change.factor[1] && other.degrees == 0 &&
                    other.factor[0] == 1 && !memcmp(&other.boxes, &change.boxes, sizeof other.boxes));
        tl__change_box(&change, 1000, 900, box);
        double part = box[2] / 1000.0 * box[3] / 900.0;
        assert_true(part > 0.249 && part <= 1 && box[2] * 0.745 <= box[3] && box[3] * 0.745 <= box[2]);
        area += part;
        log_ratio += log((double)box[2] / box[3]);
    }
    /* six standard deviations of each mean */
    double bound = 6 / sqrt(TIMES);
    assert_true(fabs(mirrored / (double)TIMES - 0.5) < 0.5 * bound && fabs(over / (double)TIMES - 0.5) < 0.5 * bound);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(first[i] / (double)TIMES - 1 / 3.0) < 0.48 * bound);
    assert_true(fabs(degrees / TIMES) < 40 / sqrt(3) * bound);
    assert_true(fabs(factor / TIMES - 1) < 0.5 / sqrt(3) * bound);
    assert_true(area / TIMES > 0.5 && area / TIMES < 0.63); /* large boxes of an odd shape do not fit */
    assert_true(fabs(log_ratio / TIMES) < 0.1);
}

static void a_box_that_fits_nowhere_is_the_middle(void **state) {
    (void)state;
    tl_augment a;
    tl__change change;
    int box[4];
    tl_augment_init(&a, sizeof a);
    a.random_crop = 1;
    tl__change_draw(&a, 0, 0, &change);
    tl__change_box(&change, 400, 100, box);
    assert_true(box[0] == 133 && box[1] == 0 && box[2] == 133 && box[3] == 100);
    tl__change_box(&change, 100, 401, box);
    assert_true(box[0] == 0 && box[1] == 134 && box[2] == 100 && box[3] == 133);
    tl__change_box(&change, 1, 1, box);
    assert_true(box[0] == 0 && box[1] == 0 && box[2] == 1 && box[3] == 1);
}

static void arguments_are_checked(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 8; i++) {
        tl_augment a = everything();
        double *const bad[] = {&a.random_crop, &a.ratio, &a.rotate, &a.brightness, &a.contrast, &a.saturation};
        static const char *const words[] = {"random_crop", "ratio", "rotate", "brightness", "contrast", "saturation"};
        if (i < 6)
            *bad[i] = i % 2 ? NAN : -1;
        else if (i == 6)
            a.flip = (tl_flip)4;
        else
            a.random_crop = 1.5;
        tl__loader *loader = NULL;
        tl__loader_options options = {.batch = 1, .workers = 1, .augment = &a};
        assert_int_equal(tl__loader_create(f->context, f->dataset, &f->preprocess, &options, &loader), TL_ERROR_ARGUMENT);
        assert_null(loader);
        assert_non_null(strstr(tl_context_message(f->context), i < 6 ? words[i] : i == 6 ? "flip" : "random_crop"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_wanted_is_nothing_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_is_the_same_whatever_the_workers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(epochs_do_not_remember_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(masks_follow_their_images, set_up, tear_down),
        cmocka_unit_test(flips_and_right_angles),
        cmocka_unit_test(rotation_takes_nearest_pixels),
        cmocka_unit_test(colours_change_as_in_pillow),
        cmocka_unit_test_setup_teardown(boxes_are_resized_as_images_of_their_own, set_up, tear_down),
        cmocka_unit_test(what_is_drawn_keeps_its_bounds),
        cmocka_unit_test(a_box_that_fits_nowhere_is_the_middle),
        cmocka_unit_test_setup_teardown(arguments_are_checked, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
