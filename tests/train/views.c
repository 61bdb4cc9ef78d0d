/* So many random views of each image, whose features are kept: the same weights bit for bit as without, and found again
 * for exactly what they are of. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "data/augment.h"
#include "train/feature_key.h"

enum { SIZE = 32, CLASSES = 2, EACH = 5, ALL = CLASSES * EACH };

typedef struct outcome {
    stage_features features;
    tl__hash values;
} outcome;

/* A training of four epochs from the same beginning. `cache` as in tl_train_options; "none": steps read images. */
static outcome run(test_job *job, const tl_augment *augment, const char *cache, const char *train) {
    outcome o = {0};
    tl_train_options options;
    tl_stage stage;
    size_t count;
    tl_preprocess preprocess = *tl_model_preprocess(job->model);
    tl_model_destroy(job->model);
    job->model = test_model(job->context, "resnet18", CLASSES);
    ok(tl_model_set_preprocess(job->model, &preprocess), job->context);
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.train = train;
    stage.epochs = 4;
    stage.lr = 0.01;
    options.stages = &stage;
    options.stage_count = 1;
    options.batch = 4;
    options.augment = augment;
    options.cache_features = !cache || strcmp(cache, "none") != 0;
    options.cache_folder = options.cache_features ? cache : NULL;
    options.user = &o;
    options.on_stage = test_note_features;
    ok(tl_train(job->model, job->device, job->data, job->data, &options, NULL), job->context);
    float *values = test_values(job->model, &count);
    o.values = tl__hash_bytes(values, count * sizeof *values, 0);
    free(values);
    return o;
}

static void assert_same(const outcome *a, const outcome *b) {
    assert_true(a->values.low == b->values.low && a->values.high == b->values.high);
}

static tl_augment changes(int views) {
    tl_augment augment;
    tl_augment_init(&augment, sizeof augment);
    augment.random_crop = 0.3;
    augment.flip = TL_FLIP_BOTH;
    augment.rotate = 20;
    augment.brightness = 0.4;
    augment.seed = 3;
    augment.views = views;
    return augment;
}

static void begin(test_job *job) {
    memset(job, 0, sizeof *job);
    job->context = test_context(NULL);
    job->device = test_device(job->context, 2);
    test_job_begin(job, "resnet18", CLASSES, EACH, 48, SIZE);
}

static void test_same_weights(void **state) {
    (void)state;
    static const char *const trains[] = {"fc.*", "layer4.*, fc.*"};
    test_job job;
    begin(&job);
    char *folder = test_folder(0, 0, 0);
    for (int t = 0; t < 2; t++)
        for (int views = 1; views <= 3; views += 2) {
            tl_augment augment = changes(views);
            outcome none = run(&job, &augment, "none", trains[t]), memory = run(&job, &augment, NULL, trains[t]),
                    disk = run(&job, &augment, folder, trains[t]), again = run(&job, &augment, folder, trains[t]);
            assert_false(none.features.cached);
            assert_true(memory.features.cached && disk.features.cached && again.features.cached);
            assert_same(&none, &memory);
            assert_same(&none, &disk);
            assert_same(&none, &again);
            assert_int_equal(memory.features.images, ALL * (views + 1)); /* and once as they are, to judge by */
            assert_int_equal(memory.features.found, 0);
            assert_int_equal(again.features.found, ALL * (views + 1));
        }
    free(folder);
    test_job_end(&job);
}

/* Without views every epoch has its own, which is refused with its reason; as many as there are epochs are the same. */
static void test_without_views(void **state) {
    (void)state;
    test_job job;
    begin(&job);
    tl_augment none = changes(0), five = changes(5), three = changes(3);
    outcome a = run(&job, &none, NULL, "fc.*"), b = run(&job, &five, NULL, "fc.*"), c = run(&job, &three, NULL, "fc.*");
    assert_false(a.features.cached);
    assert_string_equal(a.features.cache, "the images change at random");
    assert_true(b.features.cached);
    assert_same(&a, &b);
    assert_true(a.values.low != c.values.low);
    test_job_end(&job);
}

/* What is found is what is the same: other numbers, another seed or none of it have their own; more views keep the first. */
static void test_what_is_found(void **state) {
    (void)state;
    test_job job;
    begin(&job);
    char *folder = test_folder(0, 0, 0);
    tl_augment two = changes(2), three = changes(3), seed = changes(2), turned = changes(2), plain;
    seed.seed = 4;
    turned.rotate = 21;
    tl_augment_init(&plain, sizeof plain);
    assert_int_equal(run(&job, &two, folder, "fc.*").features.found, 0);
    assert_int_equal(run(&job, &three, folder, "fc.*").features.found, ALL * 3);
    assert_int_equal(run(&job, &seed, folder, "fc.*").features.found, ALL);
    assert_int_equal(run(&job, &turned, folder, "fc.*").features.found, ALL);
    assert_int_equal(run(&job, &plain, folder, "fc.*").features.found, 2 * ALL);
    uint64_t first = tl__feature_view(&two, 1, 0);
    assert_true(first != 0);
    assert_true(first == tl__feature_view(&three, 1, 0));
    assert_true(first != tl__feature_view(&two, 2, 0));
    assert_true(first != tl__feature_view(&two, 1, 1));
    assert_true(first != tl__feature_view(&seed, 1, 0));
    assert_true(first != tl__feature_view(&turned, 1, 0));
    free(folder);
    test_job_end(&job);
}

static void test_wrong_numbers(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_augment out, bad = changes(-1), many = changes(65537);
    assert_int_equal(tl__augment_take(context, &bad, &out), TL_ERROR_ARGUMENT);
    assert_non_null(strstr(tl_context_message(context), "views is -1"));
    assert_int_equal(tl__augment_take(context, &many, &out), TL_ERROR_ARGUMENT);
    tl_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_weights), cmocka_unit_test(test_without_views),
                                       cmocka_unit_test(test_what_is_found), cmocka_unit_test(test_wrong_numbers)};
    return cmocka_run_group_tests_name("features of several views", tests, NULL, NULL);
}
