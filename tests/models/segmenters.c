/* Segmenters by torchvision's names: fcn_resnet50, deeplabv3_resnet50 and their sisters, and what is saved of them. */
#include "tests/models/support.h"

#include <tl/weights.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* torchvision.models.segmentation's, with an auxiliary classifier and 21 classes. */
static const struct {
    const char *arch;
    tl_head head;
    int64_t parameters;
    size_t tensors; /* entries of its state_dict */
} totals[] = {
    {"resnet50", TL_HEAD_FCN, 35322218, 318 + 8 + 8},
    {"resnet101", TL_HEAD_FCN, 54314346, 624 + 8 + 8},
    {"resnet50", TL_HEAD_DEEPLABV3, 42004074, 318 + 44 + 8},
    {"resnet101", TL_HEAD_DEEPLABV3, 60996202, 624 + 44 + 8},
};

/* NAME with a batch-norm's five tensors after "+". */
static const char *const fcn[] = {"classifier.0.weight 512 2048 3", "+classifier.1 512", "classifier.4.weight 21 512 1",
                                  "classifier.4.bias 21", NULL};
static const char *const deeplabv3[] = {
    "classifier.0.convs.0.0.weight 256 2048 1", "+classifier.0.convs.0.1 256", "classifier.0.convs.1.0.weight 256 2048 3",
    "+classifier.0.convs.1.1 256", "classifier.0.convs.2.0.weight 256 2048 3", "+classifier.0.convs.2.1 256",
    "classifier.0.convs.3.0.weight 256 2048 3", "+classifier.0.convs.3.1 256", "classifier.0.convs.4.1.weight 256 2048 1",
    "+classifier.0.convs.4.2 256", "classifier.0.project.0.weight 256 1280 1", "+classifier.0.project.1 256",
    "classifier.1.weight 256 256 3", "+classifier.2 256", "classifier.4.weight 21 256 1", "classifier.4.bias 21", NULL};
static const char *const auxiliary[] = {"aux_classifier.0.weight 256 1024 3", "+aux_classifier.1 256",
                                        "aux_classifier.4.weight 21 256 1", "aux_classifier.4.bias 21", NULL};
static const char *const norm[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};

static tl_model *create(tl_context *context, const char *arch, tl_head head, int classes, double width) {
    tl_model_options options;
    tl_model *model;
    tl_model_options_init(&options, sizeof options);
    options.arch = arch;
    options.classes = classes;
    options.head = head;
    options.width = width;
    assert_ok(context, tl_model_create(context, &options, &model));
    return model;
}

static void expect(const tl_model *model, size_t *at, const char *name, int rank, int64_t out, int64_t in, int64_t kernel) {
    tl_parameter_info info = {.size = sizeof info};
    assert_int_equal(tl_model_parameter(model, (*at)++, &info), TL_OK);
    assert_string_equal(info.name, name);
    assert_int_equal(info.rank, rank);
    const int64_t shape[4] = {out, in, kernel, kernel};
    for (int i = 0; i < rank; i++)
        assert_int_equal(info.shape[i], shape[i]);
}

static void expect_head(const tl_model *model, size_t *at, const char *const *lines) {
    for (; *lines; lines++) {
        char name[64], full[96];
        int out = 0, in = 0, kernel = 0;
        const bool batchnorm = **lines == '+';
        int read = sscanf(*lines + batchnorm, "%63s %d %d %d", name, &out, &in, &kernel);
        for (int i = 0; batchnorm && i < 5; i++) {
            snprintf(full, sizeof full, "%s.%s", name, norm[i]);
            expect(model, at, full, i < 4, out, 0, 0);
        }
        if (!batchnorm)
            expect(model, at, name, read == 4 ? 4 : 1, out, in, kernel);
    }
}

/* Names, shapes and their order: the trunk is the classifier's without fc. */
static void test_names(void **state) {
    (void)state;
    tl_context *context = context_create();
    for (size_t i = 0; i < TL__COUNT(totals); i++) {
        tl_model *model = create(context, totals[i].arch, totals[i].head, 21, 1);
        tl_model *trunk = model_create(context, totals[i].arch, 1000, TL_HEAD_NATIVE, 1);
        size_t at = 0, count = tl_model_parameter_count(model);
        int64_t sum = 0;
        for (size_t k = 0; k + 2 < tl_model_parameter_count(trunk); k++) {
            tl_parameter_info info = {.size = sizeof info};
            char name[128];
            assert_ok(context, tl_model_parameter(trunk, k, &info));
            snprintf(name, sizeof name, "backbone.%s", info.name);
            expect(model, &at, name, info.rank, info.shape[0], info.shape[1], info.shape[2]);
        }
        expect_head(model, &at, totals[i].head == TL_HEAD_FCN ? fcn : deeplabv3);
        expect_head(model, &at, auxiliary);
        assert_int_equal(at, count);
        assert_int_equal(count, totals[i].tensors);
        for (size_t k = 0; k < count; k++) {
            tl_parameter_info info = {.size = sizeof info};
            assert_ok(context, tl_model_parameter(model, k, &info));
            sum += info.buffer ? 0 : info.count;
        }
        assert_int_equal(sum, totals[i].parameters);
        assert_int_equal(tl_model_head(model), totals[i].head);
        tl_model_destroy(trunk);
        tl_model_destroy(model);
    }
    context_destroy(context);
}

/* What is saved has those names and no others, and comes back as it was. */
static void test_saved(void **state) {
    (void)state;
    static const tl_head heads[] = {TL_HEAD_FCN, TL_HEAD_DEEPLABV3, TL_HEAD_LITE};
    tl_context *context = context_create();
    const char *path = temporary("segmenter.safetensors");
    for (size_t i = 0; i < TL__COUNT(heads); i++) {
        tl_model *model = create(context, "resnet50", heads[i], 4, 0.0625), *opened;
        tl_weights *weights;
        assert_ok(context, tl_model_save(model, path));
        assert_ok(context, tl_weights_open(context, path, &weights));
        assert_int_equal(tl_weights_count(weights), tl_model_parameter_count(model));
        for (size_t k = 0; k < tl_weights_count(weights); k++) {
            tl_weights_info info = {.size = sizeof info};
            assert_ok(context, tl_weights_tensor(weights, k, &info));
            assert_non_null(tl__model_find(model, info.name));
        }
        tl_weights_close(weights);
        assert_ok(context, tl_model_open(context, path, &opened));
        assert_int_equal(tl_model_head(opened), heads[i]);
        assert_int_equal(opened->options.output_stride, heads[i] == TL_HEAD_LITE ? 32 : 8);
        assert_true(same_values(model, opened));
        tl_model_destroy(opened);
        tl_model_destroy(model);
    }
    context_destroy(context);
}

/* A classifier's file gives the trunk, and the head stays new; so does that of a VGG with a linear head. */
static void test_trunks(void **state) {
    (void)state;
    static const struct {
        const char *arch;
        tl_head from, to;
    } cases[] = {{"resnet50", TL_HEAD_NATIVE, TL_HEAD_DEEPLABV3}, {"vgg11_bn", TL_HEAD_NATIVE, TL_HEAD_FCN},
                 {"vgg11", TL_HEAD_LINEAR, TL_HEAD_LITE}};
    tl_context *context = context_create();
    const char *path = temporary("trunk.safetensors");
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        tl_model *trunk = model_create(context, cases[i].arch, 5, cases[i].from, 0.0625);
        tl_model *model = create(context, cases[i].arch, cases[i].to, 3, 0.0625), *fresh = create(context, cases[i].arch, cases[i].to, 3, 0.0625);
        assert_ok(context, tl_model_save(trunk, path));
        assert_ok(context, tl_model_load_weights(model, path, NULL));
        for (size_t k = 0; k < tl_model_parameter_count(model); k++) {
            tl_parameter_info info = {.size = sizeof info};
            int64_t count;
            assert_ok(context, tl_model_parameter(model, k, &info));
            bool head = strncmp(info.name, "backbone.", 9) != 0;
            float *have = read_all(model, info.name, &count);
            float *want = head ? read_all(fresh, info.name, &count) : read_all(trunk, info.name + 9, &count);
            assert_memory_equal(have, want, (size_t)count * sizeof *have);
            free(have);
            free(want);
        }
        tl_model_destroy(fresh);
        tl_model_destroy(model);
        tl_model_destroy(trunk);
    }
    context_destroy(context);
}

/* The scores of a VGG's earlier maps begin at 0, those of the last one do not. */
static void test_skips_begin_at_zero(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = create(context, "vgg11", TL_HEAD_FCN, 3, 0.0625);
    static const char *const names[] = {"classifier.skip4.weight", "classifier.skip4.bias", "classifier.skip3.weight",
                                        "classifier.skip3.bias", "classifier.4.weight", "classifier.4.bias"};
    for (size_t i = 0; i < TL__COUNT(names); i++) {
        int64_t count;
        float *values = read_all(model, names[i], &count);
        for (int64_t k = 0; k < count; k++)
            assert_int_equal(values[k] == 0, i < 4);
        free(values);
    }
    tl_model_destroy(model);
    context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_saved), cmocka_unit_test(test_trunks),
                                       cmocka_unit_test(test_skips_begin_at_zero)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
