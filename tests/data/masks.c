/* masks.c: reading masks of every kind, refusing what would give a wrong number; labels as the network sees them. */
#include "masks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/loader.h"

static void open_fails(fixture *f, const char *path, tl_status status, const char *words) {
    tl_dataset *d = (tl_dataset *)f;
    assert_int_equal(tl_dataset_open_masks(f->context, path, &f->options, &d), status);
    assert_ptr_equal(d, f);
    assert_says(f, words);
}

/* Reading the mask of image 0 fails so. */
static void load_fails(fixture *f, tl_status status, const char *words) {
    tl_dataset *d = open_ok(f, f->folder);
    tl_mask mask = {.size = sizeof mask, .width = 77};
    assert_int_equal(tl_mask_load(f->context, d, 0, &mask), status);
    assert_int_equal(mask.width, 77);
    assert_null(mask.labels);
    assert_says(f, words);
    tl_dataset_destroy(d);
}

/* ---- reading ---- */

#define W 9
#define H 7

static void assert_mask(fixture *f, const unsigned *values) {
    tl_dataset *d = open_ok(f, f->folder);
    tl_mask mask = {.size = sizeof mask};
    tl_status status = tl_mask_load(f->context, d, 0, &mask);
    if (status != TL_OK)
        print_error("%s\n", tl_context_message(f->context));
    assert_int_equal(status, TL_OK);
    assert_int_equal(mask.width, W);
    assert_int_equal(mask.height, H);
    for (size_t i = 0; i < W * H; i++)
        assert_int_equal(mask.labels[i], values[i]);
    tl_mask_release(f->context, &mask);
    assert_null(mask.labels);
    tl_dataset_destroy(d);
}

static void numbers_are_read_at_every_depth(void **state) {
    fixture *f = *state;
    unsigned values[W * H];
    put_image(f, "images/a.png", W, H);
    static const int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_PALETTE};
    for (int depth = 1; depth <= 8; depth *= 2)
        for (int t = 0; t < 2; t++)
            for (int interlaced = 0; interlaced < 2; interlaced++)
                for (int transparent = 0; transparent < 2; transparent++) {
                    fill(values, W * H, 1u << depth);
                    put(f, "masks/a.png", W, H, (png_kind){types[t], depth, interlaced, transparent}, values);
                    f->options.class_count = depth == 8 ? 255 : 1u << depth;
                    assert_mask(f, values); /* 255 is read as ignored, and is 255 again */
                }
}

static void ignored_pixels_have_a_number_of_choice(void **state) {
    fixture *f = *state;
    unsigned values[W * H], labels[W * H];
    fill(values, W * H, 4);
    put_image(f, "images/a.png", W, H);
    put_grey(f, "masks/a.png", W, H, values);
    for (int ignore = 0; ignore < 4; ignore++) {
        f->options.ignore = ignore;
        for (size_t i = 0; i < W * H; i++)
            labels[i] = values[i] == (unsigned)ignore ? TL_IGNORED : values[i];
        assert_mask(f, labels);
    }
    f->options.ignore = -1;
    assert_mask(f, values);
    values[W + 3] = 255;
    put_grey(f, "masks/a.png", W, H, values);
    load_fails(f, TL_ERROR_DATA, "masks/a.png: pixel 3, 1 is 255, and there are 4 classes from 0 on");
}

static void wrong_masks_are_refused(void **state) {
    fixture *f = *state;
    unsigned values[W * H * 4];
    put_image(f, "images/a.png", W, H);
    fill(values, W * H * 4, 4);
    values[2 * W + 5] = 4;
    put_grey(f, "masks/a.png", W, H, values);
    load_fails(f, TL_ERROR_DATA, "masks/a.png: pixel 5, 2 is 4, and there are 4 classes");
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_GRAY, 8, true, false}, values);
    load_fails(f, TL_ERROR_DATA, "masks/a.png: pixel 5, 2 is 4, and there are 4 classes");
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_GRAY, 16, false, false}, values);
    load_fails(f, TL_ERROR_DATA, "masks/a.png: a mask of 16 bits");
    static const int types[] = {PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA, PNG_COLOR_TYPE_GRAY_ALPHA};
    for (int i = 0; i < 3; i++) {
        put(f, "masks/a.png", W, H, (png_kind){types[i], 8, false, false}, values);
        load_fails(f, TL_ERROR_DATA, "masks/a.png: neither a palette nor plain grey");
    }
    dice d = {3};
    drawing jpeg = draw_jpeg(&d, W, H, (jpeg_kind){.components = 1, .h = {1}, .v = {1}, .quality = 90});
    file_write(f->folder, "masks/a.png", jpeg.file, jpeg.size);
    drawing_free(&jpeg);
    load_fails(f, TL_ERROR_FORMAT, "masks/a.png: not a PNG");
    file_write(f->folder, "masks/a.png", "", 0);
    load_fails(f, TL_ERROR_FORMAT, "masks/a.png: the file is empty");
    fill(values, W * H, 4);
    drawing whole = draw_values(W, H, (png_kind){PNG_COLOR_TYPE_GRAY, 8, false, false}, values);
    file_write(f->folder, "masks/a.png", whole.file, whole.size - 20);
    load_fails(f, TL_ERROR_FORMAT, "masks/a.png: ");
    whole.file[whole.size - 30] ^= 4;
    file_write(f->folder, "masks/a.png", whole.file, whole.size);
    load_fails(f, TL_ERROR_FORMAT, "masks/a.png: ");
    drawing_free(&whole);
    f->options.kind = TL_MASKS_ALPHA;
    f->options.class_count = 0;
    load_fails(f, TL_ERROR_DATA, "images/a.png: has no alpha channel");
}

static void colours_are_those_of_classes(void **state) {
    fixture *f = *state;
    static const uint8_t colours[][3] = {{10, 20, 30}, {0, 0, 0}, {255, 0, 7}}, ignored[3] = {255, 255, 255};
    unsigned labels[W * H], values[W * H * 4];
    fill(labels, W * H, 4);
    for (size_t i = 0; i < W * H; i++) {
        for (size_t c = 0; c < 3; c++)
            values[3 * i + c] = labels[i] < 3 ? colours[labels[i]][c] : ignored[c];
        labels[i] = labels[i] < 3 ? labels[i] : TL_IGNORED;
    }
    put_image(f, "images/a.png", W, H);
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_RGB, 8, false, false}, values);
    f->options.kind = TL_MASKS_COLOUR;
    f->options.class_count = 3;
    open_fails(f, f->folder, TL_ERROR_ARGUMENT, "need the classes' colours");
    f->options.colours = colours;
    f->options.ignore_colour = ignored;
    assert_mask(f, labels);
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_RGB, 8, true, false}, values);
    assert_mask(f, labels);
    values[3 * (3 * W + 2) + 1] = 19;
    values[3 * (3 * W + 2)] = values[3 * (3 * W + 2) + 2] = 0x1f;
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_RGB, 8, false, false}, values);
    load_fails(f, TL_ERROR_DATA, "masks/a.png: pixel 2, 3 is #1f131f, which is no class's colour");
    f->options.ignore_colour = colours[2];
    open_fails(f, f->folder, TL_ERROR_ARGUMENT, "#ff0007 is the colour of two classes");
    f->options.ignore_colour = NULL;
    /* a palette's colours, grey's, and transparency that is none */
    static const uint8_t others[][3] = {{0, 255, 0}, {1, 254, 7}, {1, 1, 1}, {0, 0, 0}};
    f->options.colours = others;
    f->options.class_count = 4;
    fill(labels, W * H, 2);
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_PALETTE, 8, false, false}, labels);
    assert_mask(f, labels);
    for (size_t i = 0; i < W * H; i++)
        values[2 * i] = labels[i], values[2 * i + 1] = 255, labels[i] = labels[i] ? 2 : 3;
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, false}, values);
    assert_mask(f, labels);
    values[2 * (W + 1) + 1] = 254;
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, false}, values);
    load_fails(f, TL_ERROR_DATA, "masks/a.png: pixel 1, 1 is partly transparent");
}

static void alpha_is_a_mask(void **state) {
    fixture *f = *state;
    unsigned values[W * H * 4], labels[W * H];
    f->options.kind = TL_MASKS_ALPHA;
    f->options.class_count = 0;
    static const png_kind kinds[] = {{PNG_COLOR_TYPE_RGB_ALPHA, 8, false, false}, {PNG_COLOR_TYPE_GRAY_ALPHA, 8, true, false},
                                     {PNG_COLOR_TYPE_RGB_ALPHA, 16, false, false}, {PNG_COLOR_TYPE_PALETTE, 8, false, true}};
    static const size_t channels[] = {4, 2, 4, 1};
    for (int k = 0; k < 4; k++) {
        fill(values, W * H * channels[k], 1u << kinds[k].depth);
        for (size_t i = 0; i < W * H; i++) {
            unsigned last = values[(i + 1) * channels[k] - 1];
            labels[i] = (k == 3 ? (uint8_t)(255 - 3 * last) : last) >= 128u << (kinds[k].depth - 8);
        }
        put(f, "a.png", W, H, kinds[k], values);
        assert_mask(f, labels);
    }
    tl_dataset *d = open_ok(f, f->folder);
    assert_int_equal(tl_dataset_class_count(d), 2);
    assert_string_equal(tl_dataset_class(d, 0), "background");
    assert_string_equal(tl_dataset_class(d, 1), "object");
    tl_dataset_destroy(d);
    f->options.class_count = 3;
    open_fails(f, f->folder, TL_ERROR_ARGUMENT, "masks from alpha have 2");
}

/* ---- classes and their pixels ---- */

static void classes_are_found_and_counted(void **state) {
    fixture *f = *state;
    unsigned values[W * H];
    int64_t expected[256] = {0}, counts[256], ignored = -1;
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/%d.png", i);
        put_image(f, name, W, H);
        fill(values, W * H, 11);
        for (size_t p = 0; p < W * H; p++) {
            values[p] = values[p] == 10 ? 255 : values[p] == 4 ? 6 : values[p] + (unsigned)i;
            expected[values[p]]++;
        }
        snprintf(name, sizeof name, "masks/%d.png", i);
        put_grey(f, name, W, H, values);
    }
    f->options.class_count = 0;
    tl_dataset *d = open_ok(f, f->folder);
    assert_int_equal(tl_dataset_class_count(d), 12);
    assert_string_equal(tl_dataset_class(d, 11), "11");
    assert_int_equal(tl_dataset_count_pixels(f->context, d, counts, &ignored), TL_OK);
    assert_memory_equal(counts, expected, 12 * sizeof *counts);
    assert_int_equal(ignored, expected[255]);
    /* what was counted to find the classes is known of every part of it, and is not read again */
    tl_dataset *parts[2];
    assert_int_equal(tl_dataset_split(f->context, d, 0.4, 1, &parts[0], &parts[1]), TL_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(unlink(tl_dataset_mask(d, (size_t)i)), 0);
    tl_dataset_destroy(d);
    int64_t sums[12] = {0};
    for (int part = 0; part < 2; part++) {
        int64_t all = 0;
        assert_int_equal(tl_dataset_count_pixels(f->context, parts[part], counts, &ignored), TL_OK);
        for (int i = 0; i < 12; i++) {
            sums[i] += counts[i];
            all += counts[i];
        }
        assert_int_equal(all + ignored, (int64_t)tl_dataset_size(parts[part]) * W * H);
        tl_dataset_destroy(parts[part]);
    }
    assert_memory_equal(sums, expected, sizeof sums);
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "masks/%d.png", i);
        fill(values, W * H, 12);
        put_grey(f, name, W, H, values);
    }
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "sky"};
    f->options.class_count = 13;
    f->options.classes = names;
    d = open_ok(f, f->folder);
    f->state.logged[0] = 0;
    assert_int_equal(tl_dataset_count_pixels(f->context, d, counts, NULL), TL_OK);
    assert_int_equal(counts[12], 0);
    assert_non_null(strstr(f->state.logged, "class 12, \"sky\", is in none of the 3 masks ("));
    assert_non_null(strstr(f->state.logged, "masks/0.png"));
    f->state.cancel = true;
    assert_int_equal(tl_dataset_count_pixels(f->context, d, counts, NULL), TL_CANCELLED);
    f->state.cancel = false;
    tl_dataset_destroy(d);
    for (size_t p = 0; p < W * H; p++)
        values[p] = 255;
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "masks/%d.png", i);
        put_grey(f, name, W, H, values);
    }
    f->options.class_count = 0;
    f->options.classes = NULL;
    open_fails(f, f->folder, TL_ERROR_DATA, "all pixels of all masks are ignored");
}

static void the_first_wrong_mask_is_named(void **state) {
    fixture *f = *state;
    unsigned values[W * H];
    for (int i = 0; i < 30; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/%02d.png", i);
        put_image(f, name, W, H);
        fill(values, W * H, i == 13 || i > 20 ? 5 : 4);
        snprintf(name, sizeof name, "masks/%02d.png", i);
        put_grey(f, name, W, H, values);
    }
    tl_dataset *d = open_ok(f, f->folder);
    for (int times = 0; times < 20; times++) {
        int64_t counts[4];
        assert_int_equal(tl_dataset_count_pixels(f->context, d, counts, NULL), TL_ERROR_DATA);
        assert_says(f, "masks/13.png: pixel ");
    }
    tl_dataset_destroy(d);
}

static void weights_are_inverse_frequencies(void **state) {
    (void)state;
    static const int64_t counts[] = {600, 0, 300, 100};
    float weights[4];
    tl_class_weights(counts, 4, weights);
    assert_true(weights[0] == (float)(1000.0 / 1800) && weights[1] == 1 && weights[2] == (float)(1000.0 / 900) &&
                weights[3] == (float)(1000.0 / 300));
    static const int64_t none[2] = {0, 0};
    tl_class_weights(none, 2, weights);
    assert_true(weights[0] == 1 && weights[1] == 1);
}

/* ---- as the network sees it ---- */

/* Pillow's nearest, whole, then the middle of it. */
static void expect_labels(const unsigned *values, int w, int h, int resize, int crop, uint8_t *labels) {
    int ow = w, oh = h;
    if (resize) {
        ow = w <= h ? resize : (int)((double)resize * w / h);
        oh = w <= h ? (int)((double)resize * h / w) : resize;
    }
    int left = crop > ow ? -((crop - ow) / 2) : (ow - crop) / 2 + ((ow - crop) % 2 && (ow - crop) / 2 % 2);
    int top = crop > oh ? -((crop - oh) / 2) : (oh - crop) / 2 + ((oh - crop) % 2 && (oh - crop) / 2 % 2);
    for (int y = 0; y < crop; y++)
        for (int x = 0; x < crop; x++) {
            int ox = x + left, oy = y + top;
            double fx = (double)w / ow * 0.5, fy = (double)h / oh * 0.5;
            for (int i = 0; i < ox; i++)
                fx += (double)w / ow;
            for (int i = 0; i < oy; i++)
                fy += (double)h / oh;
            labels[y * crop + x] =
                ox < 0 || oy < 0 || ox >= ow || oy >= oh ? TL_IGNORED : (uint8_t)values[(int)fy * w + (int)fx];
        }
}

#define MOST 60
#define CROP 20

static void masks_are_resized_by_nearest(void **state) {
    fixture *f = *state;
    dice d = {9};
    static unsigned values[MOST * MOST];
    for (int t = 0; t < 60; t++) {
        int w = 1 + (int)roll(&d, MOST), h = 1 + (int)roll(&d, MOST);
        fill(values, (size_t)(w * h), 4);
        put_grey(f, "masks/a.png", w, h, values);
        put_image(f, "images/a.png", w, h);
        tl_dataset *set = open_ok(f, f->folder);
        tl_preprocess p;
        tl_preprocess_init(&p, sizeof p);
        p.resize = t % 4 ? 5 + (int)roll(&d, 50) : 0;
        p.crop = CROP;
        uint8_t rgb[3 * CROP * CROP], same[3 * CROP * CROP], labels[CROP * CROP], expected[CROP * CROP];
        assert_int_equal(tl_masked_load(f->context, set, 0, &p, rgb, labels), TL_OK);
        assert_int_equal(tl_image_load(f->context, tl_dataset_path(set, 0), &p, same), TL_OK);
        assert_memory_equal(rgb, same, sizeof rgb);
        expect_labels(values, w, h, p.resize, CROP, expected);
        assert_memory_equal(labels, expected, sizeof labels);
        tl_dataset_destroy(set);
    }
}

static void another_size_is_refused(void **state) {
    fixture *f = *state;
    unsigned values[W * H] = {0};
    put_image(f, "images/a.png", W, H);
    put_grey(f, "masks/a.png", H, W, values);
    tl_dataset *d = open_ok(f, f->folder);
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    p.crop = CROP;
    uint8_t rgb[3 * CROP * CROP] = {7}, labels[CROP * CROP] = {7};
    assert_int_equal(tl_masked_load(f->context, d, 0, &p, rgb, labels), TL_ERROR_DATA);
    assert_says(f, "masks/a.png: 7 x 9 pixels, and its image ");
    assert_says(f, "images/a.png has 9 x 7");
    assert_true(rgb[0] == 7 && labels[0] == 7);
    /* also where only its header is read */
    for (int form = 0; form < 3; form++) {
        tl__loader *loader;
        tl__whole_image image;
        uint32_t index;
        int count;
        const tl__loader_options options = {.batch = 1, .labels_only = form == 1, .whole = form == 2};
        assert_int_equal(tl__loader_create(f->context, d, &p, &options, &loader), TL_OK);
        assert_int_equal(tl__loader_start(loader, NULL, 1), TL_OK);
        assert_int_equal(form == 2 ? tl__loader_next_whole(loader, &image, &index)
                                   : tl__loader_next(loader, NULL, NULL, NULL, &count),
                         TL_ERROR_DATA);
        assert_says(f, "masks/a.png: 7 x 9 pixels, and its image ");
        tl__loader_destroy(loader);
    }
    tl_dataset_destroy(d);
}

static void every_allocation_may_fail(void **state) {
    fixture *f = *state;
    static unsigned values[W * H];
    static const uint8_t colours[4][3] = {{0, 255, 0}, {1, 254, 7}, {2, 253, 14}, {3, 252, 21}};
    put_image(f, "images/a.png", W, H);
    put_image(f, "images/b.png", W, H);
    fill(values, W * H, 4);
    put(f, "masks/a.png", W, H, (png_kind){PNG_COLOR_TYPE_PALETTE, 8, true, false}, values);
    put(f, "masks/b.png", W, H, (png_kind){PNG_COLOR_TYPE_PALETTE, 8, false, false}, values);
    f->options.kind = TL_MASKS_COLOUR;
    f->options.colours = colours;
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    p.crop = CROP;
    long failures = 0, live = f->state.live;
    for (bool done = false; !done; failures++) {
        uint8_t rgb[3 * CROP * CROP], labels[CROP * CROP];
        int64_t counts[4];
        tl_dataset *d = NULL;
        f->state.allocations = 0;
        f->state.fail_at = failures + 1;
        tl_status status = tl_dataset_open_masks(f->context, f->folder, &f->options, &d);
        if (status == TL_OK)
            status = tl_masked_load(f->context, d, 0, &p, rgb, labels);
        if (status == TL_OK)
            status = tl_dataset_count_pixels(f->context, d, counts, NULL);
        f->state.fail_at = 0;
        tl_dataset_destroy(d);
        done = status == TL_OK;
        if (!done)
            assert_int_equal(status, TL_ERROR_MEMORY);
        assert_int_equal(f->state.live, live);
    }
    assert_in_range(failures, 20, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_are_read_at_every_depth, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(ignored_pixels_have_a_number_of_choice, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(wrong_masks_are_refused, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(colours_are_those_of_classes, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(alpha_is_a_mask, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(classes_are_found_and_counted, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(the_first_wrong_mask_is_named, data_set_up, data_tear_down),
        cmocka_unit_test(weights_are_inverse_frequencies),
        cmocka_unit_test_setup_teardown(masks_are_resized_by_nearest, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(another_size_is_refused, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, data_set_up, data_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
