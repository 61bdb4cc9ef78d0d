/* A model's file that is written while the model changes is the one that tl_model_save writes at the end. */
#include "tests/models/support.h"

#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static size_t temporaries(const char *path) {
    char pattern[4200];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s.*", path);
    size_t count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

static void add_one(tl_context *context, tl_model *model, const char *name) {
    int64_t count;
    float *values = read_all(model, name, &count);
    for (int64_t i = 0; i < count; i++)
        values[i] += 1;
    assert_ok(context, tl_model_write(model, name, values));
    free(values);
}

static void expect_same(tl_context *context, tl_model *model, tl_saving *saving, const char *path, const char *plain) {
    assert_ok(context, tl_model_save_end(saving));
    assert_ok(context, tl_model_save(model, plain));
    assert_true(same_files(path, plain));
    assert_int_equal(temporaries(path), 0);
    tl_model *opened;
    assert_ok(context, tl_model_open(context, path, &opened));
    assert_true(same_values(model, opened));
    tl_model_destroy(opened);
}

/* Whatever changes meanwhile, and whether that was said or not: from generators, and from a file, its own included. */
static void test_same_file(void **state) {
    (void)state;
    tl_context *context = context_create();
    const long blocks = context_blocks(context);
    const char *path = strdup(temporary("begun.safetensors")), *plain = strdup(temporary("plain.safetensors"));
    static const char *const classes[] = {"a", "b", "c", "d", "e"};
    for (int from_file = 0; from_file < 2; from_file++) {
        tl_model *model = small_model(context);
        tl_saving *saving;
        if (from_file) {
            tl_model_destroy(model);
            assert_ok(context, tl_model_open(context, path, &model));
        }
        bool *changing = calloc(model->parameter_count, sizeof *changing);
        assert_ok(context, tl_model_save_begin(model, path, NULL, &saving));
        expect_same(context, model, saving, path, plain);
        changing[0] = changing[model->parameter_count - 1] = true;
        for (int said = 0; said < 2; said++) {
            assert_ok(context, tl_model_save_begin(model, path, said ? changing : NULL, &saving));
            add_one(context, model, "fc.weight");
            add_one(context, model, model->parameters[0]->name);
            add_one(context, model, "bn1.num_batches_tracked");
            expect_same(context, model, saving, path, plain);
        }
        assert_ok(context, tl_model_save_begin(model, path, changing, &saving));
        assert_ok(context, tl_model_set_classes(model, classes, 5)); /* another header */
        expect_same(context, model, saving, path, plain);
        free(changing);
        tl_model_destroy(model);
    }
    assert_int_equal(context_blocks(context), blocks);
    context_destroy(context);
    free((void *)path);
    free((void *)plain);
}

static void test_abandoned(void **state) {
    (void)state;
    tl_context *context = context_create();
    const long blocks = context_blocks(context);
    const char *path = temporary("abandoned.safetensors");
    tl_model *model = small_model(context);
    tl_saving *saving;
    tl_model_save_abandon(NULL);
    assert_ok(context, tl_model_save_begin(model, path, NULL, &saving));
    assert_fails(context, tl_model_load_weights(model, path, NULL), TL_ERROR_ARGUMENT, "is being saved");
    tl_model_save_abandon(saving);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(temporaries(path), 0);
    assert_fails(context, tl_model_load_weights(model, path, NULL), TL_ERROR_NOT_FOUND, path);
    tl_model_destroy(model);
    assert_int_equal(context_blocks(context), blocks);
    context_destroy(context);
}

static void test_failures(void **state) {
    (void)state;
    tl_context *context = context_create();
    const char *path = temporary("failing.safetensors");
    tl_model *model = small_model(context);
    tl_saving *saving = NULL;
    assert_fails(context, tl_model_save_begin(model, "/nowhere/at/all", NULL, &saving), TL_ERROR_IO, "/nowhere/at/all");
    assert_null(saving);
    tl_status status = TL_ERROR_MEMORY;
    for (long n = 1; status == TL_ERROR_MEMORY; n++) {
        long before = context_blocks(context);
        context_fail_after(context, n);
        status = tl_model_save_begin(model, path, NULL, &saving);
        if (status == TL_OK)
            status = tl_model_save_end(saving);
        context_fail_after(context, 0);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        assert_int_equal(temporaries(path), 0);
        assert_int_equal(context_blocks(context), before);
    }
    tl_model_destroy(model);
    context_destroy(context);
}

/* No room, for what the thread writes, or for what is written at the end. */
static void test_full(void **state) {
    (void)state;
    tl_context *context = context_create();
    const char *path = temporary("full.safetensors");
    tl_model *model = small_model(context);
    bool *all = calloc(model->parameter_count, sizeof *all);
    struct rlimit limit, small = {.rlim_cur = 20000};
    memset(all, true, model->parameter_count * sizeof *all);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small.rlim_max = limit.rlim_max;
    for (int at_the_end = 0; at_the_end < 2; at_the_end++) {
        const long before = context_blocks(context);
        tl_saving *saving;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        tl_status begun = tl_model_save_begin(model, path, at_the_end ? all : NULL, &saving);
        tl_status status = begun == TL_OK ? tl_model_save_end(saving) : begun;
        setrlimit(RLIMIT_FSIZE, &limit);
        assert_ok(context, begun);
        assert_fails(context, status, TL_ERROR_IO, path);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(temporaries(path), 0);
        assert_int_equal(context_blocks(context), before);
    }
    signal(SIGXFSZ, SIG_DFL);
    free(all);
    tl_model_destroy(model);
    context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_file), cmocka_unit_test(test_abandoned),
                                       cmocka_unit_test(test_failures), cmocka_unit_test(test_full)};
    return cmocka_run_group_tests_name("files that are written meanwhile", tests, NULL, NULL);
}
