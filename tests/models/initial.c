/* Random initial values: their distributions, and that they follow from seed and name alone. */
#include "tests/models/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/init.h"

typedef struct moments {
    double mean, deviation, kurtosis, largest;
} moments;

static moments measure(tl_model *model, const char *name) {
    int64_t count;
    float *values = read_all(model, name, &count);
    double n = (double)count, sum = 0, squares = 0, fourth = 0;
    moments m = {0};
    for (int64_t i = 0; i < count; i++)
        sum += values[i];
    m.mean = sum / n;
    for (int64_t i = 0; i < count; i++) {
        double d = values[i] - m.mean;
        squares += d * d;
        fourth += d * d * d * d;
        m.largest = fmax(m.largest, fabs(values[i]));
    }
    m.deviation = sqrt(squares / n);
    m.kurtosis = fourth / n / (squares / n * squares / n);
    free(values);
    return m;
}

static void check_normal(tl_model *model, const char *name, double deviation) {
    moments m = measure(model, name);
    int64_t count;
    free(read_all(model, name, &count));
    double error = deviation / sqrt((double)count);
    assert_true(fabs(m.mean) < 4 * error);
    assert_true(fabs(m.deviation - deviation) < 4 * error);
    assert_true(fabs(m.kurtosis - 3) < 4 * sqrt(24.0 / (double)count));
    assert_true(m.largest < 6.8 * deviation);
}

static void check_uniform(tl_model *model, const char *name, double bound) {
    moments m = measure(model, name);
    int64_t count;
    free(read_all(model, name, &count));
    assert_true(m.largest <= bound * (1 + 1e-6));
    assert_true(fabs(m.mean) < 4 * bound / sqrt(3.0 * (double)count));
    assert_true(fabs(m.deviation - bound / sqrt(3)) < 4 * bound / sqrt((double)count));
}

static void check_constant(tl_model *model, const char *name, float value) {
    int64_t count;
    float *values = read_all(model, name, &count);
    for (int64_t i = 0; i < count; i++)
        assert_true(values[i] == value);
    free(values);
}

static void test_resnet(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = model_create(context, "resnet50", 50, TL_HEAD_NATIVE, 1);
    check_normal(model, "conv1.weight", sqrt(2.0 / (64 * 49)));
    check_normal(model, "layer3.1.conv2.weight", sqrt(2.0 / (256 * 9)));
    check_normal(model, "layer4.0.downsample.0.weight", sqrt(2.0 / 2048));
    check_constant(model, "layer3.1.bn2.weight", 1);
    check_constant(model, "layer3.1.bn3.weight", 1);
    check_constant(model, "layer3.1.bn2.bias", 0);
    check_constant(model, "layer3.1.bn2.running_mean", 0);
    check_constant(model, "layer3.1.bn2.running_var", 1);
    check_constant(model, "layer3.1.bn2.num_batches_tracked", 0);
    check_uniform(model, "fc.weight", 1 / sqrt(2048));
    check_uniform(model, "fc.bias", 1 / sqrt(2048));
    tl_model_destroy(model);
    model = model_create(context, "resnext50_32x4d", 3, TL_HEAD_NATIVE, 1); /* fan out does not know of groups */
    check_normal(model, "layer2.0.conv2.weight", sqrt(2.0 / (256 * 9)));
    tl_model_destroy(model);
    context_destroy(context);
}

static void test_vgg(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *model = model_create(context, "vgg11_bn", 100, TL_HEAD_NATIVE, 0.25);
    check_normal(model, "features.8.weight", sqrt(2.0 / (64 * 9)));
    check_constant(model, "features.8.bias", 0);
    check_constant(model, "features.9.weight", 1);
    check_normal(model, "classifier.3.weight", 0.01);
    check_constant(model, "classifier.3.bias", 0);
    check_normal(model, "classifier.6.weight", 0.01);
    tl_model_destroy(model);
    model = model_create(context, "vgg11", 100, TL_HEAD_LINEAR, 1);
    check_uniform(model, "fc.weight", 1 / sqrt(512));
    tl_model_destroy(model);
    context_destroy(context);
}

static tl_model *seeded(tl_context *context, const char *arch, uint64_t seed) {
    tl_model_options options;
    tl_model *model = NULL;
    tl_model_options_init(&options, sizeof options);
    options.arch = arch;
    options.classes = 3;
    options.width = 0.125;
    options.seed = seed;
    assert_ok(context, tl_model_create(context, &options, &model));
    return model;
}

static void test_seeds(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *a = seeded(context, "resnet18", 5), *b = seeded(context, "resnet18", 5), *c = seeded(context, "resnet18", 6);
    assert_true(same_values(a, b));
    assert_false(same_values(a, c));
    /* A tensor's numbers do not depend on what else the network has. */
    tl_model *d = seeded(context, "resnet34", 5);
    int64_t count[2];
    float *x = read_all(a, "layer2.1.conv1.weight", &count[0]), *y = read_all(d, "layer2.1.conv1.weight", &count[1]);
    assert_int_equal(count[0], count[1]);
    assert_memory_equal(x, y, (size_t)count[0] * sizeof *x);
    free(x);
    free(y);
    x = read_all(a, "layer1.0.conv1.weight", &count[0]), y = read_all(a, "layer1.0.conv2.weight", &count[1]);
    assert_memory_not_equal(x, y, 16);
    free(x);
    free(y);
    tl_model_destroy(a);
    tl_model_destroy(b);
    tl_model_destroy(c);
    tl_model_destroy(d);
    context_destroy(context);
}

/* Any part of the numbers is the same as in the whole. */
static void test_parts(void **state) {
    (void)state;
    static float whole[5000], part[5000];
    tl_context *context = context_create();
    tl__parameter parameter = {.name = (char *)"some.weight"};
    for (int kind = 0; kind < 2; kind++) {
        if (kind)
            tl__init_uniform(&parameter, -1, 2, 9);
        else
            tl__init_normal(&parameter, 1, 9);
        const tl__source *source = &parameter.source;
        assert_ok(context, source->read(context, source, 0, 5000, whole));
        for (int64_t first = 0; first < 600; first += 7)
            for (int64_t count = 1; count < 4400; count = count * 3 + first % 5) {
                assert_ok(context, source->read(context, source, first, count, part));
                assert_memory_equal(part, whole + first, (size_t)count * sizeof *part);
            }
    }
    context_destroy(context);
}

/* The same on every machine: these are the numbers of all of them. */
static void test_known(void **state) {
    (void)state;
    static const uint32_t normal[8] = {0x3f654ff5, 0x3f366ef1, 0x3f2647f6, 0x3f25ab67, 0xbee88fa7, 0x3f76acda, 0x3fb0c880, 0xbfbe36c3};
    static const uint32_t uniform[4] = {0x3d1ed140, 0xbf093ce8, 0x3ea09504, 0xbf002670};
    tl_context *context = context_create();
    tl__parameter parameter = {.name = (char *)"conv1.weight"};
    float values[8];
    tl__init_normal(&parameter, 1, 7);
    assert_ok(context, parameter.source.read(context, &parameter.source, 0, 8, values));
    assert_memory_equal(values, normal, sizeof normal);
    tl__init_uniform(&parameter, -1, 1, 7);
    assert_ok(context, parameter.source.read(context, &parameter.source, 0, 4, values));
    assert_memory_equal(values, uniform, sizeof uniform);
    context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet), cmocka_unit_test(test_vgg),   cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_parts),  cmocka_unit_test(test_known),
    };
    return cmocka_run_group_tests_name("initial values", tests, NULL, NULL);
}
