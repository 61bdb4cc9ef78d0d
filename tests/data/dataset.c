#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tl/dataset.h>

static tl_dataset *open_ok(tl_context *context, const char *folder) {
    tl_dataset *d = NULL;
    assert_int_equal(tl_dataset_open(context, folder, &d), TL_OK);
    return d;
}

static void open_fails(const char *folder, tl_status status, const char *words) {
    counting state;
    tl_context *context = counting_context(&state);
    tl_dataset *d = (tl_dataset *)&state;
    assert_int_equal(tl_dataset_open(context, folder, &d), status);
    assert_ptr_equal(d, &state);
    assert_non_null(strstr(tl_context_message(context), words));
    tl_context_destroy(context);
    assert_int_equal(state.live, 0);
}

/* The paths below the folder, joined by spaces. */
static void assert_paths(const tl_dataset *d, const char *folder, const char *expected) {
    char text[4096] = "";
    for (size_t i = 0; i < tl_dataset_size(d); i++) {
        const char *path = tl_dataset_path(d, i);
        assert_int_equal(strncmp(path, folder, strlen(folder)), 0);
        assert_int_equal(path[strlen(folder)], '/');
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", path + strlen(folder) + 1);
    }
    assert_string_equal(text, expected);
}

typedef data_fixture fixture;

static void touch_all(const fixture *f, const char *names) {
    char copy[2048], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        file_touch(f->folder, name);
}

static void classes_are_sorted_by_code_point(void **state) {
    fixture *f = *state;
    touch_all(f, "2/a.png 10/a.png 1/a.png b/a.png B/a.png \xc3\xa4/a.png z/a.png 1.5/a.png 1-/a.png");
    tl_dataset *d = open_ok(f->context, f->folder);
    static const char *const expected[] = {"1", "1-", "1.5", "10", "2", "B", "b", "z", "\xc3\xa4"};
    assert_int_equal(tl_dataset_class_count(d), 9);
    assert_int_equal(tl_dataset_size(d), 9);
    for (size_t i = 0; i < 9; i++) {
        assert_string_equal(tl_dataset_class(d, i), expected[i]);
        assert_string_equal(tl_dataset_classes(d)[i], expected[i]);
        assert_int_equal(tl_dataset_class_size(d, i), 1);
        assert_int_equal(tl_dataset_label(d, i), i);
    }
    assert_null(tl_dataset_class(d, 9));
    assert_int_equal(tl_dataset_class_size(d, 9), 0);
    assert_null(tl_dataset_path(d, 9));
    assert_int_equal(tl_dataset_label(d, 9), -1);
    assert_int_equal(tl_dataset_match(f->context, d, expected, 9), TL_OK);
    assert_int_equal(tl_dataset_match(f->context, d, expected, 8), TL_ERROR_DATA);
    assert_non_null(strstr(tl_context_message(f->context), "\xc3\xa4"));
    static const char *const other[] = {"1", "1-", "2"};
    assert_int_equal(tl_dataset_match(f->context, d, other, 3), TL_ERROR_DATA);
    assert_non_null(strstr(tl_context_message(f->context), "\"1.5\""));
    assert_non_null(strstr(tl_context_message(f->context), "\"2\""));
    tl_dataset_destroy(d);
}

static void images_are_sorted_as_os_walk_gives_them(void **state) {
    fixture *f = *state;
    touch_all(f, "c/z.png c/b/1.png c/b-x/1.png c/b/a/1.jpg c/a.JPG c/b.JpEg c/10.png c/2.png c/b/10.png c/n.txt c/png "
                 "c/x.gif "
                 "c/.hidden.png c/.folder/a.png .git/a.png d/1.png loose.png");
    tl_dataset *d = open_ok(f->context, f->folder);
    /* folders compare as whole paths: "c/b-x" before "c/b/a", though after "c/b" */
    assert_paths(d, f->folder,
                 "c/10.png c/2.png c/a.JPG c/b.JpEg c/z.png c/b/1.png c/b/10.png c/b-x/1.png c/b/a/1.jpg d/1.png");
    assert_int_equal(tl_dataset_class_count(d), 2);
    assert_int_equal(tl_dataset_class_size(d, 0), 9);
    tl_dataset_destroy(d);
    char *slashes = join(f->folder, "//");
    d = open_ok(f->context, slashes);
    assert_paths(d, f->folder,
                 "c/10.png c/2.png c/a.JPG c/b.JpEg c/z.png c/b/1.png c/b/10.png c/b-x/1.png c/b/a/1.jpg d/1.png");
    tl_dataset_destroy(d);
    free(slashes);
}

static void one_class_is_a_data_set(void **state) {
    fixture *f = *state;
    touch_all(f, "only/a.png only/b.png");
    tl_dataset *d = open_ok(f->context, f->folder);
    assert_int_equal(tl_dataset_class_count(d), 1);
    assert_int_equal(tl_dataset_size(d), 2);
    tl_dataset_destroy(d);
}

static void links_are_followed_and_loops_end(void **state) {
    fixture *f = *state;
    touch_all(f, "a/1.png a/sub/2.png b/1.png");
    char *loop = join(f->folder, "a/sub/up"), *self = join(f->folder, "a/sub/self"),
         *other = join(f->folder, "a/other");
    char *file = join(f->folder, "b/2.png"), *broken = join(f->folder, "b/3.png"), *class = join(f->folder, "c");
    assert_int_equal(symlink("..", loop), 0);
    assert_int_equal(symlink(".", self), 0);
    assert_int_equal(symlink("../b", other), 0);
    assert_int_equal(symlink("../a/1.png", file), 0);
    assert_int_equal(symlink("nowhere", broken), 0);
    assert_int_equal(symlink("b", class), 0);
    char *pipe = join(f->folder, "b/pipe.png");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    tl_dataset *d = open_ok(f->context, f->folder);
    assert_paths(d, f->folder,
                 "a/1.png a/other/1.png a/other/2.png a/other/3.png a/sub/2.png b/1.png b/2.png b/3.png c/1.png "
                 "c/2.png c/3.png");
    tl_dataset_destroy(d);
    free(loop);
    free(self);
    free(other);
    free(file);
    free(broken);
    free(class);
    free(pipe);
}

static void what_is_no_data_set_is_refused(void **state) {
    fixture *f = *state;
    open_fails(f->folder, TL_ERROR_DATA, "no class folders");
    touch_all(f, "readme.txt");
    open_fails(f->folder, TL_ERROR_DATA, "no class folders");
    touch_all(f, "1.png 2.jpg");
    open_fails(f->folder, TL_ERROR_DATA, "2 images but no folders");
    touch_all(f, "full/1.png vacant/readme.txt vacant/.a.png");
    open_fails(f->folder, TL_ERROR_DATA, "\"vacant\"");
    char *missing = join(f->folder, "missing"), *file = join(f->folder, "1.png");
    open_fails(missing, TL_ERROR_NOT_FOUND, "missing");
    open_fails(file, TL_ERROR_NOT_FOUND, "1.png");
    open_fails("", TL_ERROR_ARGUMENT, "folder");
    if (geteuid() != 0) {
        char *closed = join(f->folder, "full/closed");
        assert_int_equal(mkdir(closed, 0), 0);
        open_fails(f->folder, TL_ERROR_IO, "full/closed");
        free(closed);
    }
    free(missing);
    free(file);
    tl_dataset_destroy(NULL);
}

static void make_classes(const fixture *f, const int *sizes, int classes) {
    for (int c = 0; c < classes; c++)
        for (int i = 0; i < sizes[c]; i++) {
            char name[64];
            snprintf(name, sizeof name, "class%d/%03d.png", c, i);
            file_touch(f->folder, name);
        }
}

/* The two parts are disjoint, cover the whole and keep its order. */
static void assert_partition(const tl_dataset *whole, const tl_dataset *a, const tl_dataset *b) {
    size_t i = 0, j = 0;
    for (size_t k = 0; k < tl_dataset_size(whole); k++) {
        const char *path = tl_dataset_path(whole, k);
        const char *in_a = tl_dataset_path(a, i), *in_b = tl_dataset_path(b, j);
        if (in_a && strcmp(in_a, path) == 0)
            assert_int_equal(tl_dataset_label(a, i++), tl_dataset_label(whole, k));
        else if (in_b && strcmp(in_b, path) == 0)
            assert_int_equal(tl_dataset_label(b, j++), tl_dataset_label(whole, k));
        else
            fail_msg("%s is in neither part", path);
    }
    assert_int_equal(i, tl_dataset_size(a));
    assert_int_equal(j, tl_dataset_size(b));
}

static void splits_are_stratified(void **state) {
    fixture *f = *state;
    static const int sizes[] = {40, 2, 7, 101};
    make_classes(f, sizes, 4);
    tl_dataset *d = open_ok(f->context, f->folder);
    static const struct {
        double fraction;
        size_t held[4];
    } cases[] = {{0.25, {10, 1, 2, 25}}, {0.001, {1, 1, 1, 1}}, {0.999, {39, 1, 6, 100}}, {0.5, {20, 1, 4, 51}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            tl_dataset *rest, *held, *again_rest, *again_held;
            assert_int_equal(tl_dataset_split(f->context, d, cases[i].fraction, seed, &rest, &held), TL_OK);
            for (size_t c = 0; c < 4; c++) {
                assert_int_equal(tl_dataset_class_size(held, c), cases[i].held[c]);
                assert_int_equal(tl_dataset_class_size(rest, c), (size_t)sizes[c] - cases[i].held[c]);
            }
            assert_partition(d, rest, held);
            assert_int_equal(tl_dataset_match(f->context, held, tl_dataset_classes(d), 4), TL_OK);
            assert_int_equal(tl_dataset_split(f->context, d, cases[i].fraction, seed, &again_rest, &again_held), TL_OK);
            for (size_t k = 0; k < tl_dataset_size(held); k++)
                assert_string_equal(tl_dataset_path(held, k), tl_dataset_path(again_held, k));
            tl_dataset_destroy(rest);
            tl_dataset_destroy(held);
            tl_dataset_destroy(again_rest);
            tl_dataset_destroy(again_held);
        }
    tl_dataset_destroy(d);
}

/* These values are a promise: the same seed holds out the same images in every version and on every machine. */
static void splits_never_change(void **state) {
    fixture *f = *state;
    static const int sizes[] = {8, 12};
    make_classes(f, sizes, 2);
    tl_dataset *d = open_ok(f->context, f->folder), *rest, *held;
    assert_int_equal(tl_dataset_split(f->context, d, 0.25, 0, &rest, &held), TL_OK);
    assert_paths(held, f->folder, "class0/004.png class0/007.png class1/001.png class1/007.png class1/009.png");
    tl_dataset_destroy(rest);
    tl_dataset_destroy(held);
    assert_int_equal(tl_dataset_split(f->context, d, 0.25, 0x123456789abcdef0u, &rest, &held), TL_OK);
    assert_paths(held, f->folder, "class0/000.png class0/007.png class1/004.png class1/005.png class1/010.png");
    /* names outlive what they came from, and a part can be split again */
    tl_dataset_destroy(d);
    tl_dataset_destroy(held);
    tl_dataset *inner, *outer;
    assert_int_equal(tl_dataset_split(f->context, rest, 0.5, 1, &inner, &outer), TL_OK);
    assert_partition(rest, inner, outer);
    tl_dataset_destroy(rest);
    assert_string_equal(tl_dataset_class(inner, 1), "class1");
    tl_dataset_destroy(inner);
    tl_dataset_destroy(outer);
}

static void a_class_draws_alone(void **state) {
    fixture *f = *state;
    static const int sizes[] = {30, 30};
    make_classes(f, sizes, 2);
    tl_dataset *d = open_ok(f->context, f->folder), *rest, *held, *more, *rest2, *held2;
    assert_int_equal(tl_dataset_split(f->context, d, 0.3, 7, &rest, &held), TL_OK);
    touch_all(f, "another/1.png another/2.png");
    more = open_ok(f->context, f->folder);
    assert_int_equal(tl_dataset_split(f->context, more, 0.3, 7, &rest2, &held2), TL_OK);
    for (size_t i = 0; i < tl_dataset_size(held); i++)
        assert_string_equal(tl_dataset_path(held2, i + 1), tl_dataset_path(held, i));
    size_t same = 0;
    for (size_t i = 0; i < 9; i++)
        same += strcmp(strrchr(tl_dataset_path(held, i), '/'), strrchr(tl_dataset_path(held, i + 9), '/')) == 0;
    assert_true(same < 9); /* the classes do not draw the same numbers */
    tl_dataset_destroy(d);
    tl_dataset_destroy(rest);
    tl_dataset_destroy(held);
    tl_dataset_destroy(more);
    tl_dataset_destroy(rest2);
    tl_dataset_destroy(held2);
}

static void bad_splits_are_refused(void **state) {
    fixture *f = *state;
    touch_all(f, "many/1.png many/2.png single/1.png");
    tl_dataset *d = open_ok(f->context, f->folder), *a = NULL, *b = NULL;
    assert_int_equal(tl_dataset_split(f->context, d, 0.5, 0, &a, &b), TL_ERROR_DATA);
    assert_non_null(strstr(tl_context_message(f->context), "\"single\""));
    static const double fractions[] = {0.0, 1.0, -0.5, 2.0, 0.0 / 0.0};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(tl_dataset_split(f->context, d, fractions[i], 0, &a, &b), TL_ERROR_ARGUMENT);
    assert_null(a);
    assert_null(b);
    tl_dataset_destroy(d);
}

static void every_allocation_may_fail(void **state) {
    fixture *f = *state;
    touch_all(f, "a/1.png a/2.png a/deep/er/3.png b/1.png b/2.png");
    long live = f->state.live, n = 1;
    for (bool all_done = false; !all_done; n++) {
        tl_dataset *d = NULL, *rest = NULL, *held = NULL;
        f->state.fail_at = f->state.allocations + n;
        tl_status status = tl_dataset_open(f->context, f->folder, &d);
        if (status == TL_OK)
            status = tl_dataset_split(f->context, d, 0.5, 0, &rest, &held);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        all_done = status == TL_OK;
        assert_true(all_done || (!rest && !held));
        f->state.fail_at = 0;
        tl_dataset_destroy(d);
        tl_dataset_destroy(rest);
        tl_dataset_destroy(held);
        assert_int_equal(f->state.live, live);
    }
    assert_true(n > 20);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, data_set_up, data_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(classes_are_sorted_by_code_point),
        CASE(images_are_sorted_as_os_walk_gives_them),
        CASE(one_class_is_a_data_set),
        CASE(links_are_followed_and_loops_end),
        CASE(what_is_no_data_set_is_refused),
        CASE(splits_are_stratified),
        CASE(splits_never_change),
        CASE(a_class_draws_alone),
        CASE(bad_splits_are_refused),
        CASE(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
