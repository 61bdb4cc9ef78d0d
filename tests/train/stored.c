/* A frozen part stored in 16 bits on an OpenCL device: opencl:0 (TL_OPENCL_DEVICE: another), taken for a GPU. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 64, CLASSES = 3, EACH = 4, IMAGES = CLASSES * EACH };

typedef test_job fixture;

static const char *how_built(void) {
    const char *how = getenv("TL_TEST_OPENCL");
    return how && (strcmp(how, "plugin") == 0 || strcmp(how, "builtin") == 0) ? how : NULL;
}

static void begin(fixture *x, const char *vectors) {
    const char *build = getenv("TL_TEST_BUILD"), *name = getenv("TL_OPENCL_DEVICE");
    char path[4200] = "";
    if (strcmp(how_built(), "plugin") == 0)
        snprintf(path, sizeof path, "%s/backends/opencl/.libs", build);
    tl_context_options context = {.size = sizeof context, .backend_path = path};
    tl_device_options device = {.size = sizeof device};
    setenv("TL_OPENCL_VECTORS", vectors, 1);
    assert_int_equal(tl_context_create(&context, &x->context), TL_OK);
    ok(tl_device_open(x->context, name ? name : "opencl:0", &device, &x->device), x->context);
    test_job_begin(x, "resnet18", CLASSES, EACH, SIZE, SIZE);
}

static tl_status extract(fixture *x, tl_precision precision, tl_features **features) {
    tl_features_options options;
    tl_features_options_init(&options, sizeof options);
    options.batch = 5;
    options.precision = precision;
    return tl_features_create(x->model, x->device, x->data, &options, features);
}

static double *values_of(fixture *x, tl_precision precision, size_t *count) {
    tl_features *features;
    tl_features_info info = {.size = sizeof info};
    ok(extract(x, precision, &features), x->context);
    tl_features_describe(features, &info);
    *count = (size_t)(info.images * info.count);
    float *values = malloc(*count * sizeof *values);
    double *wide = malloc(*count * sizeof *wide);
    for (size_t i = 0; i < (size_t)info.images; i++)
        tl_features_read(features, i, values + i * (size_t)info.count);
    for (size_t i = 0; i < *count; i++)
        wide[i] = (double)values[i];
    free(values);
    tl_features_destroy(features);
    return wide;
}

/* On the longest way to the features lie the table of normalize and nine convolutions (two of a block, four blocks, the
 * first one). Each rounds its weights and its result by 2^-11 of themselves at most. A layer of random weights enlarges an
 * error as it enlarges what it came with, so that relative errors, as roots of means of squares, add up, in one direction
 * at worst. */
static void test_features(void **state) {
    (void)state;
    fixture x;
    begin(&x, "no");
    size_t count, again;
    double *wide = values_of(&x, TL_PRECISION_FP32, &count), *narrow = values_of(&x, TL_PRECISION_FP16, &again);
    double error = 0, size = 0;
    assert_int_equal(count, again);
    for (size_t i = 0; i < count; i++) {
        error += (narrow[i] - wide[i]) * (narrow[i] - wide[i]);
        size += wide[i] * wide[i];
    }
    print_message("relative error of features stored as fp16: %.3g\n", sqrt(error / size));
    assert_true(size > 0);
    assert_true(error > 0); /* or nothing was rounded */
    assert_true(sqrt(error / size) <= (1 + 2 * 9) * 0x1p-11);
    free(wide);
    free(narrow);
    test_job_end(&x);
}

static uint64_t memory_of(fixture *x, const char *train, tl_precision precision) {
    tl_bench_options options = {.size = sizeof options, .mode = train ? TL_BENCH_TRAIN : TL_BENCH_FORWARD,
                                .train = train, .batch = 4, .pixels = SIZE, .seconds = 1e-3,
                                .precision = precision};
    tl_bench_result result = {.size = sizeof result};
    ok(tl_bench(x->model, x->device, &options, &result), x->context);
    return result.arena_bytes;
}

/* Bytes of images, the features, and what trains stay as they are: less than a tenth of the rest. */
static void test_memory(void **state) {
    (void)state;
    fixture x;
    begin(&x, "no");
    const char *const trains[] = {NULL, "fc.*"};
    for (int i = 0; i < 2; i++) {
        uint64_t wide = memory_of(&x, trains[i], TL_PRECISION_FP32), narrow = memory_of(&x, trains[i], TL_PRECISION_FP16);
        print_message("bytes of the plan: %llu, stored as fp16 %llu\n", (unsigned long long)wide, (unsigned long long)narrow);
        assert_true(narrow >= wide / 2 - 4096);
        assert_true(10 * narrow <= 6 * wide);
    }
    test_job_end(&x);
}

static void test_refusals(void **state) {
    (void)state;
    fixture x;
    tl_features *features = NULL;
    begin(&x, "yes");
    assert_int_equal(extract(&x, TL_PRECISION_FP16, &features), TL_UNSUPPORTED);
    assert_non_null(strstr(tl_context_message(x.context), "fp16 storage is for GPUs, and this device is a CPU"));
    test_job_end(&x);
    begin(&x, "no");
    assert_int_equal(extract(&x, TL_PRECISION_BF16, &features), TL_UNSUPPORTED);
    assert_non_null(strstr(tl_context_message(x.context), "bf16 storage is the CPU backend's: take fp16 here"));
    assert_null(features);
    test_job_end(&x);
}

int main(void) {
    if (!how_built()) {
        puts("1..0 # SKIP the OpenCL backend was not built");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("a frozen part in 16 bits on OpenCL", tests, NULL, NULL);
}
