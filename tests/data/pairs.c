/* pairs.c: data sets with masks: finding images and their masks, in folders and lists. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tl/dataset.h>

typedef data_fixture fixture;

static tl_dataset *open_ok(fixture *f, const char *path) {
    tl_dataset *d = NULL;
    tl_status status = tl_dataset_open_masks(f->context, path, &f->options, &d);
    if (status != TL_OK)
        print_error("%s\n", tl_context_message(f->context));
    assert_int_equal(status, TL_OK);
    return d;
}

static void assert_says(const fixture *f, const char *words) {
    if (!strstr(tl_context_message(f->context), words))
        fail_msg("\"%s\" does not say \"%s\"", tl_context_message(f->context), words);
}

static void open_fails(fixture *f, const char *path, tl_status status, const char *words) {
    tl_dataset *d = (tl_dataset *)f;
    assert_int_equal(tl_dataset_open_masks(f->context, path, &f->options, &d), status);
    assert_ptr_equal(d, f);
    assert_says(f, words);
}

static void pairs_have_the_same_stems(void **state) {
    fixture *f = *state;
    static const char *const images[] = {"images/b.jpg", "images/a.png", "images/deep/er/a.JPEG", "images/a.b.png", "images/ab.png"};
    for (int i = 0; i < 5; i++)
        file_touch(f->folder, images[i]);
    static const char *const masks[] = {"masks/a.png", "masks/a.b.PNG", "masks/b.png", "masks/deep/er/a.png", "masks/ab.png"};
    for (int i = 0; i < 5; i++)
        file_touch(f->folder, masks[i]);
    file_touch(f->folder, "masks/notes.txt");
    char *slashed = join(f->folder, "/");
    tl_dataset *d = open_ok(f, slashed);
    static const char *const expected[][2] = {{"images/a.b.png", "masks/a.b.PNG"},
                                              {"images/a.png", "masks/a.png"},
                                              {"images/ab.png", "masks/ab.png"},
                                              {"images/b.jpg", "masks/b.png"},
                                              {"images/deep/er/a.JPEG", "masks/deep/er/a.png"}};
    assert_int_equal(tl_dataset_size(d), 5);
    assert_true(tl_dataset_has_masks(d));
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(tl_dataset_path(d, i) + strlen(f->folder) + 1, expected[i][0]);
        assert_string_equal(tl_dataset_mask(d, i) + strlen(f->folder) + 1, expected[i][1]);
        assert_int_equal(tl_dataset_label(d, i), -1);
    }
    assert_null(tl_dataset_mask(d, 5));
    assert_int_equal(tl_dataset_class_count(d), 4);
    assert_string_equal(tl_dataset_class(d, 3), "3");
    assert_int_equal(tl_dataset_class_size(d, 0), 0);
    assert_int_equal(f->state.log_lines, 0);
    tl_dataset_destroy(d);
    free(slashed);
}

static void what_has_no_partner_is_named(void **state) {
    fixture *f = *state;
    open_fails(f, "/nowhere", TL_ERROR_NOT_FOUND, "/nowhere/images");
    open_fails(f, f->folder, TL_ERROR_NOT_FOUND, "holds images/ and masks/");
    file_touch(f->folder, "masks/b.png");
    file_touch(f->folder, "images/readme");
    open_fails(f, f->folder, TL_ERROR_DATA, "images: holds no PNG or JPEG");
    file_touch(f->folder, "images/b.png");
    file_touch(f->folder, "masks/c.png");
    file_touch(f->folder, "masks/a.png");
    tl_dataset *d = open_ok(f, f->folder);
    assert_int_equal(tl_dataset_size(d), 1);
    assert_int_equal(f->state.log_lines, 1);
    assert_non_null(strstr(f->state.logged, "masks/a.png: there is no image for this mask, nor for others"));
    tl_dataset_destroy(d);
    file_touch(f->folder, "images/bb.png");
    open_fails(f, f->folder, TL_ERROR_DATA, "images/bb.png: there is no mask ");
    file_touch(f->folder, "masks/bb.png");
    file_touch(f->folder, "images/bb.jpg");
    open_fails(f, f->folder, TL_ERROR_DATA, "images/bb.png: another file, ");
}

static void lists_are_read(void **state) {
    fixture *f = *state;
    static const char list[] = "\xef\xbb\xbfimage,mask\r\nx/1.png,m/1.png\r\n\r\n\"with, comma.png\",\"say \"\"2\"\".png\"\n/a/3.png,/b/3.png";
    file_write(f->folder, "list.csv", list, sizeof list - 1);
    char *path = join(f->folder, "list.csv"), *first = join(f->folder, "x/1.png"), *second = join(f->folder, "say \"2\".png");
    tl_dataset *d = open_ok(f, path);
    assert_int_equal(tl_dataset_size(d), 3);
    assert_string_equal(tl_dataset_path(d, 0), first);
    assert_string_equal(tl_dataset_mask(d, 1), second);
    assert_string_equal(tl_dataset_path(d, 2), "/a/3.png");
    assert_string_equal(tl_dataset_mask(d, 2), "/b/3.png");
    tl_dataset_destroy(d);
    free(first);
    free(second);
    static const char *const bad[] = {"a.png", "a.png,", ",b.png", "a,b,c", "\"a,b", "\"a\"x,b", "image,mask\na.png\n"};
    for (int i = 0; i < 7; i++) {
        file_write(f->folder, "list.csv", bad[i], strlen(bad[i]));
        open_fails(f, path, TL_ERROR_DATA, i == 6 ? "list.csv:2: " : "list.csv:1: the form of a line is image,mask");
    }
    file_write(f->folder, "list.csv", "a\0b", 3);
    open_fails(f, path, TL_ERROR_DATA, "not a text");
    file_write(f->folder, "list.csv", "image,mask\n\n", 12);
    open_fails(f, path, TL_ERROR_DATA, "lists no images");
    f->options.kind = TL_MASKS_ALPHA;
    f->options.class_count = 0;
    file_write(f->folder, "list.csv", "image\na.png\nb.png", 17);
    d = open_ok(f, path);
    assert_int_equal(tl_dataset_size(d), 2);
    assert_string_equal(tl_dataset_mask(d, 1), tl_dataset_path(d, 1));
    tl_dataset_destroy(d);
    free(path);
    open_fails(f, "/nowhere.csv", TL_ERROR_NOT_FOUND, "/nowhere.csv");
}

static void all_images_are_split_together(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/%d.png", i);
        file_touch(f->folder, name);
        snprintf(name, sizeof name, "masks/%d.png", i);
        file_touch(f->folder, name);
    }
    tl_dataset *d = open_ok(f, f->folder), *rest, *held, *other, *other_rest;
    assert_int_equal(tl_dataset_split(f->context, d, 0.3, 1, &rest, &held), TL_OK);
    assert_int_equal(tl_dataset_split(f->context, d, 0.3, 2, &other_rest, &other), TL_OK);
    tl_dataset_destroy(d);
    assert_int_equal(tl_dataset_size(rest), 7);
    assert_int_equal(tl_dataset_size(held), 3);
    bool seen[10] = {false}, same = true;
    for (size_t i = 0; i < 10; i++) {
        const tl_dataset *of = i < 7 ? rest : held;
        size_t at = i < 7 ? i : i - 7;
        int digit = tl_dataset_path(of, at)[strlen(f->folder) + 8] - '0';
        assert_int_equal(tl_dataset_mask(of, at)[strlen(f->folder) + 7] - '0', digit);
        assert_false(seen[digit]);
        seen[digit] = true;
        same &= i < 7 || !strcmp(tl_dataset_path(held, at), tl_dataset_path(other, at));
    }
    assert_false(same);
    assert_true(tl_dataset_has_masks(held));
    tl_dataset_destroy(rest);
    tl_dataset_destroy(held);
    tl_dataset_destroy(other);
    tl_dataset_destroy(other_rest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pairs_have_the_same_stems, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(what_has_no_partner_is_named, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(lists_are_read, data_set_up, data_tear_down),
        cmocka_unit_test_setup_teardown(all_images_are_split_together, data_set_up, data_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
