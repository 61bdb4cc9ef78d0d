/* The networks as they are declared and drawn: names, shapes, counts, options. */
#include "tests/models/support.h"

#include <string.h>

static const struct {
    const char *arch;
    int64_t parameters; /* torchvision's */
    size_t tensors;     /* entries of its state_dict */
} totals[] = {
    {"resnet18", 11689512, 122},         {"resnet34", 21797672, 218},        {"resnet50", 25557032, 320},
    {"resnet101", 44549160, 626},        {"resnet152", 60192808, 932},       {"resnext50_32x4d", 25028904, 320},
    {"wide_resnet50_2", 68883240, 320},  {"vgg11", 132863336, 22},           {"vgg11_bn", 132868840, 62},
    {"vgg13", 133047848, 26},            {"vgg13_bn", 133053736, 76},        {"vgg16", 138357544, 32},
    {"vgg16_bn", 138365992, 97},         {"vgg19", 143667240, 38},           {"vgg19_bn", 143678248, 118},
};

static int64_t count_parameters(const tl_model *model, bool buffers) {
    int64_t count = 0;
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info info = {.size = sizeof info};
        assert_int_equal(tl_model_parameter(model, i, &info), TL_OK);
        int64_t product = 1;
        for (int d = 0; d < info.rank; d++)
            product *= info.shape[d];
        assert_int_equal(product, info.count);
        if (info.buffer == buffers)
            count += info.count;
    }
    return count;
}

static void test_totals(void **state) {
    (void)state;
    tl_context *context = context_create();
    for (size_t i = 0; i < TL__COUNT(totals); i++) {
        assert_string_equal(tl_arch_name(i), totals[i].arch);
        tl_model *model = model_create(context, totals[i].arch, 1000, TL_HEAD_NATIVE, 1);
        assert_int_equal(count_parameters(model, false), totals[i].parameters);
        assert_int_equal(tl_model_parameter_count(model), totals[i].tensors);
        assert_string_equal(tl_model_arch(model), totals[i].arch);
        assert_int_equal(tl_model_class_count(model), 1000);
        tl_model_destroy(model);
    }
    assert_null(tl_arch_name(TL__COUNT(totals)));
    context_destroy(context);
}

static void check_parameter(const tl_model *model, size_t index, const char *name, int rank, int64_t a, int64_t b,
                            int64_t c, int64_t d) {
    tl_parameter_info info = {.size = sizeof info};
    assert_int_equal(tl_model_parameter(model, index, &info), TL_OK);
    assert_string_equal(info.name, name);
    assert_int_equal(info.rank, rank);
    const int64_t shape[4] = {a, b, c, d};
    for (int i = 0; i < rank; i++)
        assert_int_equal(info.shape[i], shape[i]);
}

static void test_order(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = model_create(context, "resnet50", 2, TL_HEAD_NATIVE, 1);
    check_parameter(model, 0, "conv1.weight", 4, 64, 3, 7, 7);
    check_parameter(model, 1, "bn1.weight", 1, 64, 0, 0, 0);
    check_parameter(model, 4, "bn1.running_var", 1, 64, 0, 0, 0);
    check_parameter(model, 5, "bn1.num_batches_tracked", 0, 0, 0, 0, 0);
    check_parameter(model, 6, "layer1.0.conv1.weight", 4, 64, 64, 1, 1);
    check_parameter(model, 12, "layer1.0.conv2.weight", 4, 64, 64, 3, 3);
    check_parameter(model, 24, "layer1.0.downsample.0.weight", 4, 256, 64, 1, 1);
    check_parameter(model, 30, "layer1.1.conv1.weight", 4, 64, 256, 1, 1);
    check_parameter(model, 318, "fc.weight", 2, 2, 2048, 0, 0);
    check_parameter(model, 319, "fc.bias", 1, 2, 0, 0, 0);
    tl_model_destroy(model);

    model = model_create(context, "vgg16", 7, TL_HEAD_NATIVE, 1);
    check_parameter(model, 0, "features.0.weight", 4, 64, 3, 3, 3);
    check_parameter(model, 1, "features.0.bias", 1, 64, 0, 0, 0);
    check_parameter(model, 24, "features.28.weight", 4, 512, 512, 3, 3);
    check_parameter(model, 26, "classifier.0.weight", 2, 4096, 25088, 0, 0);
    check_parameter(model, 30, "classifier.6.weight", 2, 7, 4096, 0, 0);
    tl_model_destroy(model);

    model = model_create(context, "vgg16_bn", 3, TL_HEAD_LINEAR, 1);
    check_parameter(model, 2, "features.1.weight", 1, 64, 0, 0, 0);
    check_parameter(model, tl_model_parameter_count(model) - 2, "fc.weight", 2, 3, 512, 0, 0);
    tl_model_destroy(model);

    model = model_create(context, "resnext50_32x4d", 3, TL_HEAD_NATIVE, 1);
    check_parameter(model, 12, "layer1.0.conv2.weight", 4, 128, 4, 3, 3);
    tl_model_destroy(model);
    model = model_create(context, "wide_resnet50_2", 3, TL_HEAD_NATIVE, 1);
    check_parameter(model, 12, "layer1.0.conv2.weight", 4, 128, 128, 3, 3);
    tl_model_destroy(model);
    context_destroy(context);
}

static void test_width(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = small_model(context);
    check_parameter(model, 0, "conv1.weight", 4, 4, 3, 7, 7);
    check_parameter(model, 6, "layer1.0.conv1.weight", 4, 4, 4, 3, 3);
    check_parameter(model, tl_model_parameter_count(model) - 2, "fc.weight", 2, 5, 32, 0, 0);
    assert_null(tl__model_find(model, "layer1.1.conv1.weight"));
    assert_non_null(tl__model_find(model, "layer2.0.downsample.1.running_mean"));
    assert_null(tl__model_find(model, "layer1.0.downsample.0.weight"));
    tl_model_destroy(model);

    model = model_create(context, "resnext50_32x4d", 4, TL_HEAD_NATIVE, 0.3); /* groups stay */
    check_parameter(model, 12, "layer1.0.conv2.weight", 4, 32, 1, 3, 3);
    check_parameter(model, 24, "layer1.0.downsample.0.weight", 4, 77, 19, 1, 1);
    tl_model_destroy(model);

    model = model_create(context, "vgg11", 4, TL_HEAD_NATIVE, 0.001); /* at least one channel */
    check_parameter(model, 0, "features.0.weight", 4, 1, 3, 3, 3);
    check_parameter(model, 16, "classifier.0.weight", 2, 4, 49, 0, 0);
    tl_model_destroy(model);
    context_destroy(context);
}

static void test_refusals(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model_options options;
    tl_model *model = NULL;
    int layers[4] = {1, 1, 0, 1};
#define TRY(field, value, status, text)                                                            \
    tl_model_options_init(&options, sizeof options);                                               \
    options.arch = "resnet18";                                                                     \
    options.field = value;                                                                         \
    assert_fails(context, tl_model_create(context, &options, &model), status, text)
    TRY(arch, "resnet5", TL_ERROR_NOT_FOUND, "nearest is resnet50");
    TRY(arch, "vgg16bn", TL_ERROR_NOT_FOUND, "nearest is vgg16_bn");
    TRY(arch, NULL, TL_ERROR_ARGUMENT, "no network");
    TRY(classes, 0, TL_ERROR_ARGUMENT, "0 classes");
    TRY(head, (tl_head)7, TL_ERROR_ARGUMENT, "head 7");
    TRY(width, 0, TL_ERROR_ARGUMENT, "width");
    TRY(width, -1, TL_ERROR_ARGUMENT, "width");
    TRY(dropout, 1, TL_ERROR_ARGUMENT, "dropout");
    TRY(layers, layers, TL_ERROR_ARGUMENT, "stage 3");
    options.arch = "vgg11";
    assert_fails(context, tl_model_create(context, &options, &model), TL_ERROR_ARGUMENT, "ResNet");
    assert_null(model);
    context_destroy(context);
}

static tl_status draw(tl_model *model, int height, int width) {
    tl__draw_options drawing = {.batch = 2, .height = height, .width = width, .training = true, .bn = TL_BN_EVAL};
    tl__graph *graph;
    tl__drawn drawn;
    TL__TRY(tl__model_draw(model, &drawing, &graph, &drawn));
    const tl_tensor_desc *logits = &graph->values[drawn.logits].desc;
    assert_int_equal(logits->shape[0], 2);
    assert_int_equal(logits->shape[1] * logits->shape[2], 1);
    assert_int_equal(logits->shape[3], tl_model_class_count(model));
    assert_int_equal(drawn.counter >= 0, model->arch->layers[4] && model->options.head == TL_HEAD_NATIVE);
    tl__graph_destroy(graph);
    return TL_OK;
}

/* Every network at sizes that torchvision's admits, and the message where it does not. */
static void test_drawing(void **state) {
    (void)state;
    static const int sizes[][2] = {{32, 32}, {33, 65}, {75, 93}, {224, 224}, {40, 321}};
    tl_context *context = context_create();
    for (size_t i = 0; tl_arch_name(i); i++)
        for (int head = 0; head < 2; head++) {
            tl_model *model = model_create(context, tl_arch_name(i), 6, (tl_head)head, 0.05);
            for (size_t s = 0; s < TL__COUNT(sizes); s++)
                assert_ok(context, draw(model, sizes[s][0], sizes[s][1]));
            if (model->arch->layers[4])
                assert_fails(context, draw(model, 31, 64), TL_ERROR_SHAPE, "at least 32 x 32");
            else
                assert_ok(context, draw(model, 1, 1));
            tl_model_destroy(model);
        }
    context_destroy(context);
}

/* The batch-norms whose statistics come from the batch, by the mode and what trains. */
static int count_batch_statistics(tl_model *model, tl_bn bn, bool training) {
    tl__draw_options drawing = {.batch = 2, .height = 64, .width = 64, .training = training, .bn = bn};
    tl__graph *graph;
    tl__drawn drawn;
    int count = 0;
    assert_ok(model->context, tl__model_draw(model, &drawing, &graph, &drawn));
    for (size_t i = 0; i < graph->node_count; i++)
        count += graph->nodes[i].op.op == TL_OP_BATCHNORM && graph->nodes[i].op.statistics == TL_STATISTICS_BATCH;
    tl__graph_destroy(graph);
    return count;
}

static void test_statistics(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = small_model(context);
    assert_int_equal(count_batch_statistics(model, TL_BN_EVAL, true), 0);
    assert_int_equal(count_batch_statistics(model, TL_BN_BATCH, true), 12);
    assert_int_equal(count_batch_statistics(model, TL_BN_BATCH, false), 0);
    assert_int_equal(count_batch_statistics(model, TL_BN_MIXED, true), 0);
    tl__model_find(model, "layer2.0.bn1.weight")->trains = true;
    tl__model_find(model, "layer3.0.bn1.bias")->trains = true;
    tl__model_find(model, "layer4.0.conv1.weight")->trains = true;
    assert_int_equal(count_batch_statistics(model, TL_BN_MIXED, true), 2);
    tl_model_destroy(model);
    context_destroy(context);
}

/* Parameters are made once: drawing again names the same ones, each once. */
static void test_drawing_declares_nothing(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = model_create(context, "resnet50", 3, TL_HEAD_NATIVE, 0.1);
    size_t before = tl_model_parameter_count(model), named = 0;
    tl__draw_options drawing = {.batch = 1, .height = 64, .width = 64};
    tl__graph *graph;
    tl__drawn drawn;
    assert_ok(context, tl__model_draw(model, &drawing, &graph, &drawn));
    for (size_t i = 0; i < graph->value_count; i++)
        named += graph->values[i].kind == TL__VALUE_PARAMETER;
    assert_int_equal(tl_model_parameter_count(model), before);
    assert_int_equal(named, before - 53); /* all but the counters */
    tl__graph_destroy(graph);
    tl_model_destroy(model);
    context_destroy(context);
}

static void test_memory_failures(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_status status = TL_ERROR_MEMORY;
    for (long at = 1; status != TL_OK; at++) {
        static const int layers[4] = {1, 1, 1, 1};
        tl_model_options options;
        tl_model *model = NULL;
        tl_model_options_init(&options, sizeof options);
        options.arch = "resnet18";
        options.layers = layers;
        context_fail_after(context, at);
        status = tl_model_create(context, &options, &model);
        context_fail_after(context, 0);
        if (status != TL_OK) {
            assert_int_equal(status, TL_ERROR_MEMORY);
            assert_null(model);
        }
        tl_model_destroy(model);
        assert_int_equal(context_blocks(context) <= 1, true); /* the context itself */
    }
    context_destroy(context);
}

static void test_properties(void **state) {
    (void)state;
    static const char *const names[] = {"cat", "dog"};
    tl_context *context = context_create();
    tl_model *model = model_create(context, "resnet18", 2, TL_HEAD_NATIVE, 0.1);
    assert_null(tl_model_class(model, 0));
    assert_fails(context, tl_model_set_classes(model, names, 1), TL_ERROR_ARGUMENT, "1 class names");
    assert_ok(context, tl_model_set_classes(model, names, 2));
    assert_ok(context, tl_model_set_classes(model, names, 2));
    assert_string_equal(tl_model_class(model, 1), "dog");
    assert_null(tl_model_class(model, 2));
    assert_null(tl_model_class(model, -1));

    tl_preprocess preprocess = *tl_model_preprocess(model);
    assert_int_equal(preprocess.crop, 224);
    assert_true(model->table[0 * 256 + 255] == (1.0f - 0.485f) / 0.229f);
    assert_true(model->table[2 * 256 + 0] == (0.0f - 0.406f) / 0.225f);
    preprocess.mean[1] = 0.5f;
    preprocess.std[1] = 2;
    assert_ok(context, tl_model_set_preprocess(model, &preprocess));
    assert_true(model->table[1 * 256 + 255] == 0.25f);
    preprocess.std[1] = 0;
    assert_fails(context, tl_model_set_preprocess(model, &preprocess), TL_ERROR_ARGUMENT, "std");
    assert_true(tl_model_preprocess(model)->std[1] == 2);

    tl_parameter_info info = {.size = sizeof info};
    assert_fails(context, tl_model_parameter(model, 122, &info), TL_ERROR_NOT_FOUND, "122");
    float value = 3;
    assert_fails(context, tl_model_read(model, "fc.weights", &value), TL_ERROR_NOT_FOUND, "fc.weights");
    assert_ok(context, tl_model_write(model, "bn1.num_batches_tracked", &value));
    value = 0;
    assert_ok(context, tl_model_read(model, "bn1.num_batches_tracked", &value));
    assert_true(value == 3);
    char pattern[32];
    tl__model_head_pattern(model, pattern, sizeof pattern);
    assert_string_equal(pattern, "fc.*");
    tl_model_destroy(model);
    context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_totals),      cmocka_unit_test(test_order),
        cmocka_unit_test(test_width),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_drawing),     cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_properties),  cmocka_unit_test(test_drawing_declares_nothing),
        cmocka_unit_test(test_memory_failures),
    };
    return cmocka_run_group_tests_name("networks", tests, NULL, NULL);
}
