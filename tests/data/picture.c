/* Pictures as a whole, and writing PNGs. */
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <png.h>

#include <tl/image.h>

static char *folder;
static counting state_of_all;

static void ok(tl_status status, tl_context *context) {
    if (status != TL_OK)
        fail_msg("%s: %s", tl_status_text(status), tl_context_message(context));
}

static tl_preprocess preprocess_of(int resize, int crop) {
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    p.resize = resize;
    p.crop = crop;
    return p;
}

static uint8_t *noise(size_t bytes, int below) {
    uint8_t *data = malloc(bytes);
    uint32_t at = 7;
    for (size_t i = 0; i < bytes; i++) {
        at = at * 1664525u + 1013904223u;
        data[i] = (uint8_t)((at >> 16) % (uint32_t)below);
    }
    return data;
}

static void what_is_saved_is_loaded(void **state) {
    (void)state;
    tl_context *context = counting_context(&state_of_all);
    char *path = join(folder, "a.png");
    uint8_t *rgb = noise(37 * 23 * 3, 256);
    tl_preprocess p = preprocess_of(0, 224);
    tl_picture picture = {.size = sizeof picture};
    ok(tl_image_save(context, path, 37, 23, rgb, NULL, 0), context);
    ok(tl_picture_load(context, path, &p, &picture), context);
    assert_int_equal(picture.width, 37);
    assert_int_equal(picture.height, 23);
    assert_int_equal(picture.file_width, 37);
    assert_int_equal(picture.file_height, 23);
    assert_memory_equal(picture.rgb, rgb, 37 * 23 * 3);
    tl_picture_release(context, &picture);
    assert_null(picture.rgb);
    free(rgb);
    free(path);
    tl_context_destroy(context);
    assert_int_equal(state_of_all.live, 0);
}

/* The middle of the whole is what the crop shows: the offset is round(spare / 2) with halves to even. */
static void check_middle(const char *path, int resize, int crop) {
    tl_context *context = counting_context(&state_of_all);
    tl_preprocess p = preprocess_of(resize, crop);
    tl_picture whole = {.size = sizeof whole};
    uint8_t *middle = malloc((size_t)crop * (size_t)crop * 3);
    ok(tl_picture_load(context, path, &p, &whole), context);
    ok(tl_image_load(context, path, &p, middle), context);
    assert_int_equal(whole.width < whole.height ? whole.width : whole.height, resize);
    assert_true(whole.width >= crop && whole.height >= crop);
    int left = (whole.width - crop) / 2, top = (whole.height - crop) / 2;
    left += (whole.width - crop) % 2 && left % 2;
    top += (whole.height - crop) % 2 && top % 2;
    for (int y = 0; y < crop; y++)
        assert_memory_equal(whole.rgb + 3 * ((size_t)(top + y) * (size_t)whole.width + (size_t)left),
                            middle + 3 * (size_t)y * (size_t)crop, 3 * (size_t)crop);
    free(middle);
    tl_picture_release(context, &whole);
    tl_context_destroy(context);
}

static void the_whole_holds_the_crop(void **state) {
    static const char *const files[] = {"photo.jpg", "tall.png", "columns-first.jpg", "rows-first.png", "rgb.png"};
    const char *source = getenv("TL_TEST_SOURCE");
    (void)state;
    assert_non_null(source);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%.4000s/tests/data/pictures/%s", source, files[i]);
        check_middle(path, 64, 56);
        check_middle(path, 31, 31);
        check_middle(path, 200, 150);
    }
}

/* Read without libtl: the indices themselves, eight bits each. */
static void masks_are_palettes(void **state) {
    (void)state;
    tl_context *context = counting_context(&state_of_all);
    char *path = join(folder, "mask.png");
    uint8_t *labels = noise(19 * 11, 3), colours[9] = {0, 0, 0, 128, 0, 0, 1, 2, 3};
    ok(tl_image_save(context, path, 19, 11, labels, colours, 3), context);
    FILE *file = fopen(path, "rb");
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_colorp palette;
    int count;
    png_init_io(png, file);
    png_read_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    assert_int_equal(png_get_color_type(png, info), PNG_COLOR_TYPE_PALETTE);
    assert_int_equal(png_get_bit_depth(png, info), 8);
    assert_int_equal(png_get_image_width(png, info), 19);
    assert_int_equal(png_get_image_height(png, info), 11);
    assert_true(png_get_PLTE(png, info, &palette, &count) != 0);
    assert_int_equal(count, 3);
    assert_memory_equal(palette, colours, 9);
    for (int y = 0; y < 11; y++)
        assert_memory_equal(png_get_rows(png, info)[y], labels + 19 * y, 19);
    png_destroy_read_struct(&png, &info, NULL);
    fclose(file);
    free(labels);
    free(path);
    tl_context_destroy(context);
}

static int files_in(const char *name) {
    DIR *d = opendir(name);
    int count = 0;
    for (const struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void mistakes(void **state) {
    (void)state;
    tl_context *context = counting_context(&state_of_all);
    char *path = join(folder, "wrong.png"), *nowhere = join(folder, "no/where.png"), *large = join(folder, "large.png");
    uint8_t pixels[2 * 70000 * 3] = {0}, colours[6] = {0};
    tl_preprocess p = preprocess_of(0, 224);
    int before = files_in(folder);
    pixels[3] = 2;
    assert_int_equal(tl_image_save(context, path, 2, 2, pixels, colours, 2), TL_ERROR_ARGUMENT);
    assert_non_null(strstr(tl_context_message(context), "index 2 where the palette has 2 colours"));
    assert_int_equal(tl_image_save(context, path, 0, 2, pixels, NULL, 0), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_image_save(context, path, 1 << 20, 1 << 20, pixels, NULL, 0), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_image_save(context, path, 2, 2, pixels, NULL, 2), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_image_save(context, path, 2, 2, pixels, colours, 257), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_image_save(context, nowhere, 2, 2, pixels, NULL, 0), TL_ERROR_IO);
    assert_int_equal(files_in(folder), before);
    tl_picture picture = {.size = sizeof picture}, empty = {0};
    assert_int_equal(tl_picture_load(context, nowhere, &p, &picture), TL_ERROR_IO);
    assert_int_equal(tl_picture_load(context, path, &p, &empty), TL_ERROR_ARGUMENT);
    ok(tl_image_save(context, large, 70000, 2, pixels, NULL, 0), context);
    p.resize = 16384; /* 573,440,000 x 16,384 */
    assert_int_equal(tl_picture_load(context, large, &p, &picture), TL_ERROR_LIMIT);
    assert_non_null(strstr(tl_context_message(context), "large.png: "));
    assert_null(picture.rgb);
    tl_context_destroy(context);
    assert_int_equal(state_of_all.live, 0);
    free(path);
    free(nowhere);
    free(large);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    char *path = join(folder, "b.png");
    uint8_t *rgb = noise(40 * 30 * 3, 256);
    tl_preprocess p = preprocess_of(20, 224);
    bool done = false;
    for (long at = 1; !done && at < 100; at++) {
        tl_context *context = counting_context(&state_of_all);
        tl_picture picture = {.size = sizeof picture};
        unlink(path);
        state_of_all.allocations = 0;
        state_of_all.fail_at = at;
        tl_status status = tl_image_save(context, path, 40, 30, rgb, NULL, 0);
        if (status != TL_OK)
            assert_int_not_equal(access(path, F_OK), 0);
        else
            status = tl_picture_load(context, path, &p, &picture);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        done = status == TL_OK;
        assert_true(done || !picture.rgb);
        tl_picture_release(context, &picture);
        state_of_all.fail_at = 0;
        tl_context_destroy(context);
        assert_int_equal(state_of_all.live, 0);
    }
    assert_true(done);
    free(rgb);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_loaded), cmocka_unit_test(the_whole_holds_the_crop), cmocka_unit_test(masks_are_palettes),
        cmocka_unit_test(mistakes), cmocka_unit_test(every_allocation_may_fail),
    };
    folder = folder_create();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_remove(folder);
    return failed;
}
