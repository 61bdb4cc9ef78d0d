/* A frozen part stored in 8 bits on the CPU: how near its features are, that they are the same whenever and by however many
 * threads they are computed, and what is refused. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/calibrate.h"
#include "train/feature_key.h"

enum { SIZE = 64, CLASSES = 3, EACH = 4 };

typedef test_job fixture;

static void begin(fixture *x, const char *arch, int threads) {
    *x = (fixture){.context = test_context(NULL)};
    x->device = test_device(x->context, threads);
    test_job_begin(x, arch, CLASSES, EACH, SIZE, SIZE);
}

static tl_status extract(fixture *x, tl_precision precision, const char *cache, tl_features **features) {
    tl_features_options options;
    tl_features_options_init(&options, sizeof options);
    options.batch = 5;
    options.precision = precision;
    options.cache_folder = cache;
    return tl_features_create(x->model, x->device, x->data, &options, features);
}

static float *values_of(fixture *x, tl_precision precision, size_t *count) {
    tl_features *features;
    tl_features_info info = {.size = sizeof info};
    ok(extract(x, precision, NULL, &features), x->context);
    tl_features_describe(features, &info);
    *count = (size_t)(info.images * info.count);
    float *values = malloc(*count * sizeof *values);
    for (size_t i = 0; i < (size_t)info.images; i++)
        tl_features_read(features, i, values + i * (size_t)info.count);
    tl_features_destroy(features);
    return values;
}

static double relative_error(const char *arch, int threads) {
    fixture x;
    begin(&x, arch, threads);
    size_t count, again;
    float *wide = values_of(&x, TL_PRECISION_FP32, &count), *narrow = values_of(&x, TL_PRECISION_INT8, &again);
    double error = 0, size = 0;
    assert_int_equal(count, again);
    for (size_t i = 0; i < count; i++) {
        error += ((double)narrow[i] - (double)wide[i]) * ((double)narrow[i] - (double)wide[i]);
        size += (double)wide[i] * (double)wide[i];
    }
    free(wide);
    free(narrow);
    test_job_end(&x);
    assert_true(size > 0);
    assert_true(error > 0); /* or nothing was rounded */
    return sqrt(error / size);
}

/* Rounding to a step is off by step / sqrt(12) as root of the mean of squares. Weights drawn from a normal distribution
 * reach 4 of its deviations at most among the thousands of a channel, so that their step is 4/127 of it and their error
 * 0.9 %. A map's step is a 255th of its range; what a ReLU leaves of normally distributed sums has 0.7 of their deviation
 * as its root of the mean of squares, and where it reaches up to 6 deviations, over all maps and images, an error of 1 %.
 * Errors of different layers are independent: their squares add up, those of weights and of maps, over the table and as
 * many convolutions as lie on the longest way. Seen were 2.8 % of 4.2 % for resnet18,
 * 2.0 % of 5.0 % for resnet50 and 2.5 % of 3.9 % for vgg11. */
static void check_near(const char *arch, int convolutions) {
    const double weights = 0.009, maps = 0.01, error = relative_error(arch, 2);
    const double bound = sqrt(convolutions * (weights * weights + maps * maps) + maps * maps);
    print_message("relative error of %s's features stored as int8: %.3g of %.3g\n", arch, error, bound);
    assert_true(error <= bound);
}

static void test_near(void **state) {
    (void)state;
    check_near("resnet18", 9);
    check_near("resnet50", 13);
    check_near("vgg11", 8);
}

static void test_threads(void **state) {
    (void)state;
    size_t count, again;
    float *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        fixture x;
        begin(&x, "resnet18", threads);
        float *values = values_of(&x, TL_PRECISION_INT8, first ? &again : &count);
        test_job_end(&x);
        if (first) {
            assert_int_equal(count, again);
            assert_memory_equal(first, values, count * sizeof *values);
            free(values);
        } else {
            first = values;
        }
    }
    free(first);
}

/* What a short training makes of all parameters. */
static float *trained(const char *train, bool cached, int threads, size_t *count) {
    fixture x;
    tl_train_options options;
    tl_stage stage;
    begin(&x, "resnet18", threads);
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.train = train;
    stage.epochs = 2;
    options.stages = &stage;
    options.stage_count = 1;
    options.batch = 5;
    options.cache_features = cached;
    options.precision = TL_PRECISION_INT8;
    ok(tl_train(x.model, x.device, x.data, NULL, &options, NULL), x.context);
    float *values = test_values(x.model, count);
    test_job_end(&x);
    return values;
}

static void test_cached_equals_computed(void **state) {
    (void)state;
    const char *const trains[] = {"fc.*", "layer4.*, fc.*"};
    for (int i = 0; i < 2; i++) {
        size_t count, again;
        float *with = trained(trains[i], true, 1, &count), *without = trained(trains[i], false, 2, &again);
        assert_int_equal(count, again);
        assert_memory_equal(with, without, count * sizeof *with);
        free(with);
        free(without);
    }
}

/* A trainer that is given batches takes its steps from the first one. */
static void test_batches(void **state) {
    (void)state;
    fixture x;
    tl_train_options options;
    tl_stage stage;
    tl_trainer *trainer;
    begin(&x, "resnet18", 1);
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.train = "fc.*";
    options.stages = &stage;
    options.stage_count = 1;
    options.batch = 4;
    options.precision = TL_PRECISION_INT8;
    ok(tl_trainer_create(x.model, x.device, SIZE, SIZE, &options, &trainer), x.context);
    uint8_t *rgb = test_images(4, SIZE, 1);
    int32_t *labels = test_labels(4, CLASSES);
    for (int step = 0; step < 3; step++) {
        tl_score score;
        ok(tl_trainer_step(trainer, rgb, labels, step == 1 ? 3 : 4, &score), x.context);
        assert_true(score.loss > 0);
        assert_true(score.loss < 10);
    }
    tl_trainer_destroy(trainer);
    free(rgb);
    free(labels);
    test_job_end(&x);
}

static char *key_of(fixture *x, const tl_dataset *data) {
    tl__engine *engine;
    tl__feature_key key;
    const tl__cut cut = tl__cut_at(9);
    const tl__draw_options draw = {.batch = 2, .height = SIZE, .width = SIZE};
    ok(tl__engine_create(x->model, x->device, &engine), x->context);
    ok(tl__engine_set_precision(engine, TL_PRECISION_INT8), x->context);
    ok(tl__calibration_hash(engine, data, NULL), x->context);
    ok(tl__feature_key_create(engine, &draw, &cut, true, &key), x->context);
    char *about = strdup(key.about);
    tl__feature_key_release(x->context, &key);
    tl__engine_destroy(engine);
    return about;
}

/* Features depend on the images that they were calibrated on: the same ones find them, others do not. */
static void test_key(void **state) {
    (void)state;
    fixture x;
    tl_dataset *fewer;
    begin(&x, "resnet18", 1);
    char *folder = test_folder(CLASSES, EACH - 1, SIZE), *same = test_folder(CLASSES, EACH, SIZE);
    char *cache = test_folder(0, 0, SIZE);
    tl_dataset *again;
    ok(tl_dataset_open(x.context, folder, &fewer), x.context);
    ok(tl_dataset_open(x.context, same, &again), x.context);
    char *first = key_of(&x, x.data), *other = key_of(&x, fewer), *equal = key_of(&x, again);
    assert_string_equal(first, equal);
    assert_string_not_equal(first, other);
    assert_non_null(strstr(first, "calibrated on images"));
    for (int round = 0; round < 2; round++) {
        tl_features *features;
        tl_features_info info = {.size = sizeof info};
        ok(extract(&x, TL_PRECISION_INT8, cache, &features), x.context);
        tl_features_describe(features, &info);
        assert_int_equal(info.images_found, round ? CLASSES * EACH : 0);
        tl_features_destroy(features);
    }
    free(first);
    free(other);
    free(equal);
    tl_dataset_destroy(fewer);
    tl_dataset_destroy(again);
    test_job_end(&x);
    free(folder);
    free(same);
    free(cache);
}

static void test_refusals(void **state) {
    (void)state;
    fixture x;
    tl_features *features = NULL;
    begin(&x, "resnext50_32x4d", 1);
    assert_int_equal(extract(&x, TL_PRECISION_INT8, NULL, &features), TL_UNSUPPORTED);
    assert_non_null(strstr(tl_context_message(x.context), "with values stored in int8"));
    assert_non_null(strstr(tl_context_message(x.context), "int8 has no convolutions in groups"));
    test_job_end(&x);
    begin(&x, "resnet18", 1);
    float *values = calloc(4 * 3 * 49, sizeof *values);
    const char *const words[] = {"a weight is not finite", "values that are not finite, which int8 cannot store"};
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 4 * 3 * 49; k++)
            values[k] = i ? 1e38f : INFINITY; /* which sums make infinite */
        ok(tl_model_write(x.model, "conv1.weight", values), x.context);
        assert_int_equal(extract(&x, TL_PRECISION_INT8, NULL, &features), TL_ERROR_DATA);
        assert_non_null(strstr(tl_context_message(x.context), words[i]));
    }
    assert_null(features);
    free(values);
    test_job_end(&x);
}

/* Every allocation fails once: a status, nothing left behind. */
static void test_every_allocation_fails_once(void **state) {
    (void)state;
    char *folder = test_folder(2, 1, SIZE);
    long n = 0;
    for (bool failed = true; failed; n++) {
        counter count = {0};
        fixture x = {.context = test_context(&count)};
        tl_features *features = NULL;
        tl_preprocess preprocess;
        x.device = test_device(x.context, 1);
        x.model = test_model(x.context, "resnet18", 2);
        tl_preprocess_init(&preprocess, sizeof preprocess);
        preprocess.resize = preprocess.crop = SIZE / 2;
        ok(tl_model_set_preprocess(x.model, &preprocess), x.context);
        ok(tl_dataset_open(x.context, folder, &x.data), x.context);
        count.fail_at = count.made + n + 1;
        tl_status status = extract(&x, TL_PRECISION_INT8, NULL, &features);
        failed = count.made >= count.fail_at;
        count.fail_at = 0;
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        assert_true((status == TL_OK) == (features != NULL));
        tl_features_destroy(features);
        tl_dataset_destroy(x.data);
        tl_model_destroy(x.model);
        tl_device_close(x.device);
        tl_context_destroy(x.context);
        if (count.live != 0)
            fail_msg("allocation %ld: %ld pieces of memory were left", n, count.live);
    }
    assert_true(n > 100);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near),    cmocka_unit_test(test_threads),  cmocka_unit_test(test_cached_equals_computed),
        cmocka_unit_test(test_batches), cmocka_unit_test(test_key),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests_name("a frozen part in 8 bits", tests, NULL, NULL);
}
