/* Weights in and out: files of every kind, what does not fit, heads, saving and opening. */
#include "tests/models/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/weights.h"
#include "tests/models/formula.h"

static void check_formula(tl_model *model, const char *name, uint64_t seed, double tolerance) {
    tl_parameter_info info = {.size = sizeof info};
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        assert_int_equal(tl_model_parameter(model, i, &info), TL_OK);
        if (name && strcmp(info.name, name) != 0)
            continue;
        float *want = malloc((size_t)info.count * sizeof *want);
        int64_t count;
        float *got = read_all(model, info.name, &count);
        formula_tensor(&info, seed, true, want);
        for (int64_t k = 0; k < count; k++)
            if (!(got[k] - want[k] <= tolerance && want[k] - got[k] <= tolerance))
                fail_msg("%s[%d]: %g, not %g", info.name, (int)k, got[k], want[k]);
        free(want);
        free(got);
    }
}

static void test_wrappings(void **state) {
    (void)state;
    static const struct {
        const char *file;
        double tolerance;
    } files[] = {
        {"zip.pth", 0},           {"legacy.pth", 0},     {"zip-protocol4.pth", 0},  {"wrapped.pth", 0},
        {"wrapped-model.pth", 0}, {"parameters.pth", 0}, {"channels-last.pth", 0},  {"shared-storage.pth", 0},
        {"double.pth", 0},        {"half.pth", 1e-3},    {"bfloat16.pth", 8e-3},    {"plain.safetensors", 0},
        {"bfloat16.safetensors", 8e-3},
    };
    tl_context *context = context_create();
    for (size_t i = 0; i < TL__COUNT(files); i++) {
        tl_model *model = small_model(context);
        assert_ok(context, tl_model_load_weights(model, checkpoint(files[i].file), NULL));
        check_formula(model, NULL, 7, files[i].tolerance);
        check_formula(model, NULL, 7, files[i].tolerance); /* read lazily, and as often as wanted */
        tl_model_destroy(model);
    }
    context_destroy(context);
}

/* Each key is named, and the model stays as it was. */
static void test_misfits(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = small_model(context), *same = small_model(context);
    assert_fails(context, tl_model_load_weights(model, checkpoint("missing-key.pth"), NULL), TL_ERROR_WEIGHTS,
                 "missing layer2.0.bn1.running_mean");
    assert_fails(context, tl_model_load_weights(model, checkpoint("extra-key.pth"), NULL), TL_ERROR_WEIGHTS,
                 "extra layer9.weight");
    assert_fails(context, tl_model_load_weights(model, checkpoint("other-shape.pth"), NULL), TL_ERROR_WEIGHTS,
                 "conv1.weight is [4,3,3,3], not [4,3,7,7]");
    assert_fails(context, tl_model_load_weights(model, checkpoint("none.pth"), NULL), TL_ERROR_NOT_FOUND, "none.pth");
    assert_fails(context, tl_model_load_weights(model, checkpoint("evil-system.pth"), NULL), TL_ERROR_FORMAT, "evil-system");
    assert_true(same_values(model, same));
    assert_null(model->loaded);
    tl_model_destroy(same);
    tl_model_destroy(model);

    context_clear_log(context);
    model = model_create(context, "resnet34", 5, TL_HEAD_NATIVE, 0.0625); /* of another network */
    assert_fails(context, tl_model_load_weights(model, checkpoint("zip.pth"), NULL), TL_ERROR_WEIGHTS, "does not fit resnet34");
    assert_non_null(strstr(tl_context_message(context), "missing layer1.1.conv1.weight"));
    assert_non_null(strstr(tl_context_message(context), " more"));
    assert_non_null(strstr(context_log(context), "missing layer4.2.bn2.running_var\n")); /* the last of many */
    tl_model_destroy(model);
    context_destroy(context);
}

static void test_heads(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = small_model(context), *fresh = small_model(context);
    tl_weights_options strict = {.size = sizeof strict, .keep_head = true};
    assert_fails(context, tl_model_load_weights(model, checkpoint("other-head.pth"), &strict), TL_ERROR_WEIGHTS,
                 "fc.weight is [1000,32], not [5,32]");
    assert_non_null(strstr(tl_context_message(context), "fc.bias is [1000], not [5]"));
    assert_true(same_values(model, fresh));
    context_clear_log(context);
    assert_ok(context, tl_model_load_weights(model, checkpoint("other-head.pth"), NULL));
    assert_non_null(strstr(context_log(context), "fc.weight is [1000,32], not [5,32], and stays new"));
    check_formula(model, "layer4.0.conv2.weight", 7, 0);
    int64_t count;
    float *head = read_all(model, "fc.weight", &count), *was = read_all(fresh, "fc.weight", &count);
    assert_memory_equal(head, was, (size_t)count * sizeof *head);
    free(head);
    free(was);
    tl_model_destroy(model);
    tl_model_destroy(fresh);
    context_destroy(context);
}

/* A model whose trunk comes from a file with the classifier that it does not have itself; and the reverse. */
static void test_linear_head(void **state) {
    (void)state;
    tl_context *context = context_create();
    const char *native = temporary("native.safetensors"), *linear = temporary("linear.safetensors");
    tl_model *whole = model_create(context, "vgg11_bn", 9, TL_HEAD_NATIVE, 0.05);
    assert_ok(context, formula_fill(whole, 3));
    assert_ok(context, tl_model_save(whole, native));
    tl_model *trunk = model_create(context, "vgg11_bn", 4, TL_HEAD_LINEAR, 0.05);
    assert_ok(context, tl_model_load_weights(trunk, native, NULL));
    check_formula(trunk, "features.8.weight", 3, 0);
    check_formula(trunk, "features.26.running_mean", 3, 0);
    assert_ok(context, tl_model_save(trunk, linear));
    assert_fails(context, tl_model_load_weights(whole, linear, NULL), TL_ERROR_WEIGHTS, "missing classifier.0.weight");
    assert_non_null(strstr(tl_context_message(context), "extra fc.weight"));
    tl_model_destroy(trunk);
    tl_model_destroy(whole);
    context_destroy(context);
}

static void test_bgr(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *rgb = small_model(context), *bgr = small_model(context);
    tl_weights_options swap = {.size = sizeof swap, .bgr = true};
    static const char *const files[] = {"zip.pth", "channels-last.pth", "half.pth"};
    for (size_t f = 0; f < TL__COUNT(files); f++) {
        int64_t count;
        assert_ok(context, tl_model_load_weights(rgb, checkpoint(files[f]), NULL));
        assert_ok(context, tl_model_load_weights(bgr, checkpoint(files[f]), &swap));
        float *a = read_all(rgb, "conv1.weight", &count), *b = read_all(bgr, "conv1.weight", &count);
        for (int o = 0; o < 4; o++)
            for (int c = 0; c < 3; c++)
                assert_memory_equal(a + (o * 3 + c) * 49, b + (o * 3 + 2 - c) * 49, 49 * sizeof *a);
        free(a);
        free(b);
    }
    tl_model_destroy(rgb);
    tl_model_destroy(bgr);
    context_destroy(context);
}

static tl_model *decorated(tl_context *context, const char *arch, tl_head head) {
    static const char *const names[] = {"a", "b \"c\"", "d\\e", "\xce\xa9mega", ""};
    tl_model *model = model_create(context, arch, 5, head, 0.07);
    tl_preprocess preprocess = *tl_model_preprocess(model);
    preprocess.resize = 0;
    preprocess.crop = 96;
    preprocess.alpha = TL_ALPHA_WHITE;
    preprocess.mean[0] = 0.1f;
    preprocess.std[2] = 1.0f / 255;
    float counter = 12345;
    assert_ok(context, tl_model_set_preprocess(model, &preprocess));
    assert_ok(context, tl_model_set_classes(model, names, 5));
    assert_ok(context, formula_fill(model, 11));
    if (tl__model_find(model, "bn1.num_batches_tracked"))
        assert_ok(context, tl_model_write(model, "bn1.num_batches_tracked", &counter));
    return model;
}

static void test_save_and_open(void **state) {
    (void)state;
    tl_context *context = context_create();
    const char *path = temporary("saved.safetensors");
    static const char *const archs[] = {"resnet18", "vgg11", "resnext50_32x4d", "vgg13_bn"};
    for (size_t i = 0; i < TL__COUNT(archs); i++)
        for (int head = 0; head < 2; head++) {
            tl_model *model = decorated(context, archs[i], (tl_head)head), *opened = NULL;
            assert_ok(context, tl_model_save(model, path));
            assert_ok(context, tl_model_open(context, path, &opened));
            assert_string_equal(tl_model_arch(opened), archs[i]);
            assert_true(same_values(model, opened));
            assert_int_equal(opened->options.head, head);
            assert_true(opened->options.width == 0.07);
            for (int c = 0; c < 5; c++)
                assert_string_equal(tl_model_class(opened, c), tl_model_class(model, c));
            assert_memory_equal(tl_model_preprocess(opened), tl_model_preprocess(model), sizeof(tl_preprocess));
            assert_memory_equal(opened->table, model->table, sizeof model->table);
            /* Over the very file that it is read from. */
            assert_ok(context, tl_model_save(opened, path));
            assert_true(same_values(model, opened));
            tl_model_destroy(opened);
            assert_ok(context, tl_model_open(context, path, &opened));
            assert_true(same_values(model, opened));
            tl_model_destroy(opened);
            tl_model_destroy(model);
        }
    tl_model *model = small_model(context), *opened;
    assert_ok(context, tl_model_save(model, path));
    assert_ok(context, tl_model_open(context, path, &opened));
    assert_true(same_values(model, opened));
    assert_memory_equal(opened->layers, model->layers, sizeof model->layers);
    assert_null(tl_model_class(opened, 0));
    tl_model_destroy(opened);
    tl_model_destroy(model);
    context_destroy(context);
}

static void test_save_failures(void **state) {
    (void)state;
    static const char *const bad[] = {"a", "\xff", "c", "d", "e"};
    tl_context *context = context_create();
    tl_model *model = small_model(context);
    assert_fails(context, tl_model_save(model, "/nonexistent/folder/x.safetensors"), TL_ERROR_IO, "/nonexistent");
    if (access("/dev/full", W_OK) == 0)
        assert_int_equal(tl_model_save(model, "/dev/full/x.safetensors"), TL_ERROR_IO);
    assert_ok(context, tl_model_set_classes(model, bad, 5));
    const char *path = temporary("bad.safetensors");
    assert_fails(context, tl_model_save(model, path), TL_ERROR_ARGUMENT, "class 1");
    assert_int_equal(access(path, F_OK), -1);
    tl_model_destroy(model);
    context_destroy(context);
}

static void test_open_failures(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = NULL;
    assert_fails(context, tl_model_open(context, checkpoint("plain.safetensors"), &model), TL_ERROR_FORMAT, "libtl.arch");
    assert_fails(context, tl_model_open(context, checkpoint("zip.pth"), &model), TL_ERROR_FORMAT, "libtl.arch");
    assert_fails(context, tl_model_open(context, checkpoint("none"), &model), TL_ERROR_NOT_FOUND, "none");
    static const struct {
        tl__metadata metadata[4];
        tl_status status;
        const char *text;
    } cases[] = {
        {{{(char *)"libtl.arch", (char *)"resnet9"}}, TL_ERROR_FORMAT, "resnet9"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}}, TL_ERROR_WEIGHTS, "missing conv1.weight"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.head", (char *)"bald"}}, TL_ERROR_FORMAT, "libtl.head"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.width", (char *)"\"1\""}}, TL_ERROR_FORMAT, "libtl.width"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.width", (char *)"1e9"}}, TL_ERROR_FORMAT, "width"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.layers", (char *)"[1,1,1]"}}, TL_ERROR_FORMAT, "libtl.layers"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.class_count", (char *)"1e30"}}, TL_ERROR_FORMAT, "classes"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.classes", (char *)"[\"a\"]"}}, TL_ERROR_FORMAT, "libtl.classes"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.class_count", (char *)"1"}, {(char *)"libtl.classes", (char *)"[1]"}},
         TL_ERROR_FORMAT, "libtl.classes"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.preprocess", (char *)"{}"}}, TL_ERROR_FORMAT, "libtl.preprocess"},
        {{{(char *)"libtl.arch", (char *)"resnet18"}, {(char *)"libtl.preprocess", (char *)"[1"}}, TL_ERROR_FORMAT, "libtl.preprocess"},
        {{{(char *)"libtl.arch", (char *)"resnet18"},
          {(char *)"libtl.preprocess", (char *)"{\"resize\":1,\"crop\":0,\"alpha\":\"drop\",\"mean\":[0,0,0],\"std\":[1,1,1]}"}},
         TL_ERROR_FORMAT, "crop"},
    };
    const char *path = temporary("odd.safetensors");
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        size_t count = 0;
        while (count < 4 && cases[i].metadata[count].key)
            count++;
        assert_ok(context, tl__safetensors_write(context, path, NULL, 0, cases[i].metadata, count, NULL, NULL));
        assert_fails(context, tl_model_open(context, path, &model), cases[i].status, cases[i].text);
    }
    assert_null(model);
    context_destroy(context);
}

/* Whatever allocation fails, the model is as before, and nothing leaks. */
static void test_memory_failures(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = small_model(context), *fresh = small_model(context);
    const char *path = temporary("memory.safetensors");
    tl_status status = TL_ERROR_MEMORY;
    for (long at = 1; status != TL_OK; at++) {
        context_fail_after(context, at);
        status = tl_model_load_weights(model, checkpoint("wrapped.pth"), NULL);
        context_fail_after(context, 0);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        if (status != TL_OK)
            assert_true(same_values(model, fresh));
    }
    status = TL_ERROR_MEMORY;
    for (long at = 1; status != TL_OK; at++) {
        context_fail_after(context, at);
        status = tl_model_save(model, path);
        context_fail_after(context, 0);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
    }
    status = TL_ERROR_MEMORY;
    for (long at = 1; status != TL_OK; at += 1 + at / 20) {
        tl_model *opened = NULL;
        context_fail_after(context, at);
        status = tl_model_open(context, path, &opened);
        context_fail_after(context, 0);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        tl_model_destroy(opened);
    }
    tl_model_destroy(model);
    tl_model_destroy(fresh);
    context_destroy(context);
}

/* A file is let go of when nothing reads from it any more. */
static void test_files(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = small_model(context);
    assert_ok(context, tl_model_load_weights(model, checkpoint("zip.pth"), NULL));
    assert_ok(context, tl_model_load_weights(model, checkpoint("half.pth"), NULL));
    assert_non_null(model->loaded);
    assert_null(model->loaded->next);
    assert_ok(context, tl_model_load_weights(model, checkpoint("other-head.pth"), NULL)); /* fc still from the other */
    assert_non_null(model->loaded->next);
    uint64_t id = tl__model_find(model, "conv1.weight")->id, bias = tl__model_find(model, "bn1.bias")->id;
    int64_t count;
    float *values = read_all(model, "conv1.weight", &count);
    values[17] = 42;
    assert_ok(context, tl_model_write(model, "conv1.weight", values));
    assert_true(tl__model_find(model, "conv1.weight")->id != id);
    assert_true(tl__model_find(model, "bn1.bias")->id == bias);
    float *again = read_all(model, "conv1.weight", &count);
    assert_memory_equal(values, again, (size_t)count * sizeof *values);
    free(again);
    free(values);
    model->in_use = true;
    assert_fails(context, tl_model_load_weights(model, checkpoint("zip.pth"), NULL), TL_ERROR_ARGUMENT, "being trained");
    tl_model_destroy(model);
    context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrappings),      cmocka_unit_test(test_misfits),       cmocka_unit_test(test_heads),
        cmocka_unit_test(test_linear_head),    cmocka_unit_test(test_bgr),           cmocka_unit_test(test_save_and_open),
        cmocka_unit_test(test_save_failures),  cmocka_unit_test(test_open_failures), cmocka_unit_test(test_files),
        cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
