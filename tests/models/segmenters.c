/* Segmenters by torchvision's names: fcn_resnet50, deeplabv3_resnet50 and their sisters, and what is saved of them. */
#include "tests/models/support.h"

#include <tl/weights.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* torchvision.models.segmentation's with an auxiliary classifier and 21 classes; without, `auxiliary` of both are less. */
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
enum { AUXILIARY_TENSORS = 8, AUXILIARY_PARAMETERS = 256 * 1024 * 9 + 2 * 256 + 21 * 256 + 21 };

static tl_model *create_with(tl_context *context, const char *arch, tl_head head, int classes, double width, bool auxiliary) {
    tl_model_options options;
    tl_model *model;
    tl_model_options_init(&options, sizeof options);
    options.arch = arch;
    options.classes = classes;
    options.head = head;
    options.width = width;
    options.no_auxiliary = !auxiliary;
    assert_ok(context, tl_model_create(context, &options, &model));
    return model;
}

static tl_model *create(tl_context *context, const char *arch, tl_head head, int classes, double width) {
    return create_with(context, arch, head, classes, width, true);
}

static void expect(const tl_model *model, size_t *at, const char *name, int rank, const int64_t *shape) {
    tl_parameter_info info = {.size = sizeof info};
    assert_int_equal(tl_model_parameter(model, (*at)++, &info), TL_OK);
    assert_string_equal(info.name, name);
    assert_int_equal(info.rank, rank);
    for (int i = 0; i < rank; i++)
        assert_int_equal(info.shape[i], shape[i]);
}

/* The tensors of one part of torchvision.txt, which says how its lines are to be read. */
static void expect_part(const tl_model *model, size_t *at, const char *part) {
    static const char *const norm[] = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};
    char path[4096], line[256], heading[64];
    const char *source = getenv("TL_TEST_SOURCE");
    bool inside = false, found = false;
    snprintf(path, sizeof path, "%.4000s/tests/models/torchvision.txt", source ? source : ".");
    snprintf(heading, sizeof heading, "[%s]\n", part);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char name[128], full[160];
        long long shape[4];
        if (line[0] == '[') {
            inside = strcmp(line, heading) == 0;
            found |= inside;
        }
        if (line[0] == '[' || line[0] == '#' || !inside)
            continue;
        int rank = sscanf(line, "%127s %lld %lld %lld %lld", name, &shape[0], &shape[1], &shape[2], &shape[3]) - 1;
        assert_in_range(rank, 1, 4);
        const int64_t sizes[4] = {shape[0], rank > 1 ? shape[1] : 0, rank > 2 ? shape[2] : 0, rank > 3 ? shape[3] : 0};
        if (name[0] != '+')
            expect(model, at, name, rank, sizes);
        for (int i = 0; name[0] == '+' && i < 5; i++) {
            snprintf(full, sizeof full, "%s.%s", name + 1, norm[i]);
            expect(model, at, full, i < 4, sizes);
        }
    }
    fclose(file);
    assert_true(found);
}

/* Names, shapes and their order are torchvision's. */
static void test_names(void **state) {
    (void)state;
    tl_context *context = context_create();
    for (size_t i = 0; i < 2 * TL__COUNT(totals); i++) {
        const bool auxiliary = i % 2;
        const tl_head head = totals[i / 2].head;
        tl_model *model = create_with(context, totals[i / 2].arch, head, 21, 1, auxiliary);
        size_t at = 0, count = tl_model_parameter_count(model);
        int64_t sum = 0;
        expect_part(model, &at, totals[i / 2].arch);
        expect_part(model, &at, head == TL_HEAD_FCN ? "fcn" : "deeplabv3");
        if (auxiliary)
            expect_part(model, &at, "auxiliary");
        assert_int_equal(at, count);
        assert_int_equal(count, totals[i / 2].tensors - (auxiliary ? 0 : AUXILIARY_TENSORS));
        for (size_t k = 0; k < count; k++) {
            tl_parameter_info info = {.size = sizeof info};
            assert_ok(context, tl_model_parameter(model, k, &info));
            sum += info.buffer ? 0 : info.count;
        }
        assert_int_equal(sum, totals[i / 2].parameters - (auxiliary ? 0 : AUXILIARY_PARAMETERS));
        assert_int_equal(tl_model_head(model), head);
        tl_model_destroy(model);
    }
    context_destroy(context);
}

/* What is saved has those names and shapes and no others, and comes back as it was. */
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
            const tl__parameter *parameter = tl__model_find(model, info.name);
            assert_non_null(parameter);
            assert_int_equal(info.rank, parameter->rank);
            for (int d = 0; d < info.rank; d++)
                assert_int_equal(info.shape[d], parameter->shape[d]);
            assert_string_equal(info.type, info.rank ? "f32" : "i64"); /* counters are PyTorch's only scalars */
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
