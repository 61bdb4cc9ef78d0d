/* masks_loader.c: masks and their images from the loader: in batches, labels alone, whole. */
#include "masks.h"

#include <stdio.h>
#include <unistd.h>

#include "data/loader.h"

#define MOST 60
#define CROP 20

/* JPEGs and PNGs of every kind: the labels beside an image of which the header alone was read are those beside its
 * pixels, whatever comes behind the header. */
static void headers_are_enough(void **state) {
    fixture *f = *state;
    static const jpeg_kind kinds[] = {{1, {1}, {1}, false, false, false, 0, 80},
                                      {3, {2, 1, 1}, {2, 1, 1}, true, false, false, 0, 80},
                                      {4, {1, 1, 1, 1}, {1, 1, 1, 1}, false, true, false, 0, 80}};
    enum { COUNT = 6 };
    dice d = {5};
    static unsigned values[100 * 100];
    for (int i = 0; i < COUNT; i++) {
        char name[32];
        const int w = 40 + (int)roll(&d, 60), h = 40 + (int)roll(&d, 60);
        drawing image = i < 3 ? draw_jpeg(&d, w, h, kinds[i])
                              : draw_png(
                                    &d, w, h,
                                    (png_kind){i == 3 ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_GRAY, 8, i == 4, true});
        snprintf(name, sizeof name, "images/%d.%s", i, i < 3 ? "jpg" : "png");
        file_write(f->folder, name, image.file, image.size);
        drawing_free(&image);
        fill(values, (size_t)(w * h), 4);
        snprintf(name, sizeof name, "masks/%d.png", i);
        put_grey(f, name, w, h, values);
    }
    tl_dataset *set = open_ok(f, f->folder);
    for (int decode = 0; decode < 2; decode++) {
        uint8_t rgb[3 * CROP * CROP], expected[COUNT][CROP * CROP];
        tl__loader *loader;
        tl_preprocess p;
        tl_preprocess_init(&p, sizeof p);
        p.resize = 19;
        p.crop = CROP;
        p.decode = decode ? TL_DECODE_FAST : TL_DECODE_EXACT;
        for (size_t i = 0; i < COUNT; i++)
            assert_int_equal(tl_masked_load(f->context, set, i, &p, rgb, expected[i]), TL_OK);
        assert_int_equal(
            tl__loader_create(f->context, set, &p, &(tl__loader_options){.batch = COUNT, .labels_only = true}, &loader),
            TL_OK);
        for (int damage = 0; damage < 2; damage++) {
            const int32_t *labels;
            int count;
            for (size_t i = 0; damage && decode && i < 3; i++) /* 650 bytes: all that comes before the picture itself */
                assert_int_equal(truncate(tl_dataset_path(set, i), 650), 0);
            assert_int_equal(tl__loader_start(loader, NULL, COUNT), TL_OK);
            assert_int_equal(tl__loader_next(loader, NULL, &labels, NULL, &count), TL_OK);
            for (int i = 0; i < COUNT * CROP * CROP; i++)
                assert_int_equal(labels[i], expected[i / (CROP * CROP)][i % (CROP * CROP)]);
        }
        tl__loader_destroy(loader);
    }
    tl_dataset_destroy(set);
}

/* Whole images are those of tl_picture_load, and come with the masks of tl_mask_load, in any order. */
static void whole_images_come_with_their_masks(void **state) {
    fixture *f = *state;
    enum { COUNT = 7 };
    static const uint32_t order[COUNT] = {4, 1, 1, 6, 0, 5, 2};
    static unsigned values[60 * 60];
    for (int i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/%d.png", i);
        put_image(f, name, 30 + 3 * i, 50 - i);
        snprintf(name, sizeof name, "masks/%d.png", i);
        fill(values, (size_t)(30 + 3 * i) * (size_t)(50 - i), 4);
        put_grey(f, name, 30 + 3 * i, 50 - i, values);
    }
    tl_dataset *set = open_ok(f, f->folder);
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    p.resize = 24;
    for (int workers = 1; workers < 4; workers++) {
        tl__loader *loader;
        tl__whole_image image;
        uint32_t index;
        assert_int_equal(tl__loader_create(f->context, set, &p,
                                           &(tl__loader_options){.batch = 1, .workers = workers, .whole = true},
                                           &loader),
                         TL_OK);
        for (int turn = 0; turn < 2; turn++) {
            assert_int_equal(tl__loader_start(loader, order, COUNT), TL_OK);
            for (int i = 0; i < (turn ? COUNT : 3); i++) { /* the first is given up */
                tl_picture picture = {.size = sizeof picture};
                tl_mask mask = {.size = sizeof mask};
                assert_int_equal(tl__loader_next_whole(loader, &image, &index), TL_OK);
                assert_int_equal(index, order[i]);
                assert_int_equal(tl_picture_load(f->context, tl_dataset_path(set, index), &p, &picture), TL_OK);
                assert_int_equal(tl_mask_load(f->context, set, index, &mask), TL_OK);
                assert_true(image.picture.width == picture.width && image.picture.height == picture.height);
                assert_true(image.picture.file_width == mask.width && image.picture.file_height == mask.height);
                assert_memory_equal(image.picture.rgb, picture.rgb, (size_t)picture.width * (size_t)picture.height * 3);
                assert_memory_equal(image.labels, mask.labels, (size_t)mask.width * (size_t)mask.height);
                tl_picture_release(f->context, &picture);
                tl_mask_release(f->context, &mask);
                tl__whole_image_free(f->context, &image);
            }
        }
        assert_int_equal(tl__loader_next_whole(loader, &image, &index), TL_OK);
        assert_null(image.labels);
        tl__loader_destroy(loader);
    }
    tl__loader *loader;
    assert_int_equal(tl__loader_create(f->context, set, &p, &(tl__loader_options){.batch = 2, .whole = true}, &loader),
                     TL_ERROR_ARGUMENT);
    tl_dataset_destroy(set);
}

static void batches_hold_images_and_labels(void **state) {
    fixture *f = *state;
    enum { IMAGES = 7, PIXELS = CROP * CROP };
    static unsigned values[MOST * MOST];
    static uint8_t rgb[IMAGES][3 * PIXELS], labels[IMAGES][PIXELS];
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    p.resize = 24;
    p.crop = CROP;
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/%d.png", i);
        put_image(f, name, 30 + i, 25);
        snprintf(name, sizeof name, "masks/%d.png", i);
        fill(values, (size_t)(30 + i) * 25, 4);
        put_grey(f, name, 30 + i, 25, values);
    }
    tl_dataset *d = open_ok(f, f->folder);
    for (size_t i = 0; i < IMAGES; i++)
        assert_int_equal(tl_masked_load(f->context, d, i, &p, rgb[i], labels[i]), TL_OK);
    for (int form = 0; form < 8; form++) {
        tl__loader *loader;
        const uint64_t caches[] = {0, 3 * 4 * PIXELS + 9, UINT64_MAX, UINT64_MAX};
        tl__loader_options options = {
            .batch = 3, .workers = 1 + form % 3, .cache_bytes = caches[form / 2], .labels_only = form % 2};
        assert_int_equal(tl__loader_create(f->context, d, &p, &options, &loader), TL_OK);
        for (int epoch = 0; epoch < 3; epoch++) {
            const uint32_t order[IMAGES] = {4, 1, 1, 6, 0, 5, 2};
            const uint8_t *got_rgb;
            const int32_t *got;
            int count;
            assert_int_equal(tl__loader_start(loader, order, IMAGES), TL_OK);
            for (int done = 0; done < IMAGES; done += count) {
                assert_int_equal(tl__loader_next(loader, &got_rgb, &got, NULL, &count), TL_OK);
                assert_int_equal(count, IMAGES - done < 3 ? IMAGES - done : 3);
                for (int i = 0; i < count; i++) {
                    if (!options.labels_only)
                        assert_memory_equal(got_rgb + (size_t)i * 3 * PIXELS, rgb[order[done + i]], 3 * PIXELS);
                    for (int k = 0; k < PIXELS; k++)
                        assert_int_equal(got[i * PIXELS + k], labels[order[done + i]][k]);
                }
            }
        }
        tl__loader_destroy(loader);
    }
    tl_dataset_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batches_hold_images_and_labels, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(headers_are_enough, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(whole_images_come_with_their_masks, data_set_up, data_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
