/* Whole trainings: the loop, features computed once, the frozen proof, evaluation. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 32, CLASSES = 3, EACH = 5 };

typedef struct record {
    int epochs, stages, best;
    double losses[32];
    tl_score val;
    bool cached[4];
    char cache[4][64];
} record;

static void on_stage(void *user, const tl_stage_report *report) {
    record *r = user;
    r->cached[r->stages] = report->features_cached;
    snprintf(r->cache[r->stages++], sizeof r->cache[0], "%s", report->cache);
}

static tl_status on_epoch(void *user, const tl_epoch *epoch, tl_model *model) {
    record *r = user;
    (void)model;
    assert_int_equal(epoch->epoch, r->epochs + 1);
    r->losses[r->epochs++] = epoch->train.loss;
    r->val = epoch->val;
    r->best += epoch->best;
    return TL_OK;
}

typedef struct job {
    const char *arch, *train[2];
    tl_bn bn;
    bool cache;
    int epochs, batch, workers;
    uint64_t seed, limit;
} job;

/* Trains on `folder`, three quarters and a quarter; all values afterwards. */
static float *run(const job *j, const char *folder, record *r, size_t *count, tl_train_result *result) {
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_model *model = test_model(context, j->arch, CLASSES);
    tl_dataset *all, *train, *val;
    tl_preprocess preprocess;
    tl_train_options options;
    tl_stage stages[2];
    tl_preprocess_init(&preprocess, sizeof preprocess);
    preprocess.resize = preprocess.crop = SIZE;
    ok(tl_model_set_preprocess(model, &preprocess), context);
    ok(tl_dataset_open(context, folder, &all), context);
    ok(tl_dataset_split(context, all, 0.25, 1, &train, &val), context);
    tl_train_options_init(&options, sizeof options);
    for (int i = 0; i < 2 && j->train[i]; i++) {
        tl_stage_init(&stages[i], sizeof stages[i]);
        stages[i].train = j->train[i];
        stages[i].epochs = j->epochs;
        stages[i].lr = 0.01;
        options.stage_count++;
    }
    options.stages = stages;
    options.bn = j->bn;
    options.cache_features = j->cache;
    options.cache_limit = j->limit;
    options.batch = j->batch;
    options.workers = j->workers;
    options.seed = j->seed;
    options.user = r;
    options.on_stage = on_stage;
    options.on_epoch = on_epoch;
    *r = (record){0};
    ok(tl_train(model, device, train, val, &options, result), context);
    /* What the last epoch said of the validation set is what evaluating the model says. */
    tl_score score;
    int64_t confusion[CLASSES * CLASSES], sum = 0;
    ok(tl_evaluate(model, device, val, NULL, &score, confusion), context);
    for (int i = 0; i < CLASSES * CLASSES; i++)
        sum += confusion[i];
    assert_int_equal(sum, tl_dataset_size(val));
    assert_int_equal(score.images, r->val.images);
    assert_true(fabs(score.loss - r->val.loss) < 1e-4 * (1 + score.loss));
    float *values = test_values(model, count);
    tl_dataset_destroy(all);
    tl_dataset_destroy(train);
    tl_dataset_destroy(val);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
    return values;
}

static void assert_equal_jobs(const job *a, const job *b, const char *folder, record *ra, record *rb) {
    size_t count, other;
    tl_train_result result = {.size = sizeof result};
    float *x = run(a, folder, ra, &count, &result), *y = run(b, folder, rb, &other, &result);
    assert_int_equal(count, other);
    assert_memory_equal(x, y, count * sizeof *x);
    assert_memory_equal(ra->losses, rb->losses, sizeof ra->losses);
    free(x);
    free(y);
}

static void test_cached_equals_uncached(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40);
    record a, b;
    const struct {
        job job;
        const char *cut[2];
    } cases[] = {
        {{"resnet18", {"fc.*", "layer4.*, fc.*"}, TL_BN_EVAL, true, 3, 4, 0, 3, 0}, {"avgpool", "layer3.0.relu"}},
        {{"resnet50", {"layer4.0.*"}, TL_BN_MIXED, true, 2, 4, 1, 3, 0}, {"layer3.0.relu"}},
        {{"vgg11_bn", {"classifier.6.*"}, TL_BN_EVAL, true, 2, 5, 3, 9, 0}, {"classifier.1"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job uncached = cases[i].job;
        uncached.cache = false;
        uncached.workers = 2;
        assert_equal_jobs(&cases[i].job, &uncached, folder, &a, &b);
        for (int s = 0; s < a.stages; s++) {
            assert_true(a.cached[s]);
            assert_string_equal(a.cache[s], cases[i].cut[s]);
            assert_false(b.cached[s]);
        }
    }
    free(folder);
}

static void test_cache_that_does_not_fit_is_not_made(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40);
    record a, b;
    job fits = {"resnet18", {"fc.*"}, TL_BN_EVAL, true, 1, 4, 0, 3, 0}, not = fits;
    not.limit = 100;
    assert_equal_jobs(&fits, &not, folder, &a, &b);
    assert_true(a.cached[0]);
    assert_false(b.cached[0]);
    assert_non_null(strstr(b.cache[0], "would take"));
    free(folder);
}

static void test_training_learns(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, 8, 40);
    record r;
    size_t count;
    tl_train_result result = {.size = sizeof result};
    job j = {"resnet18", {"*"}, TL_BN_BATCH, true, 12, 6, 0, 0, 0};
    float *values = run(&j, folder, &r, &count, &result);
    assert_true(r.losses[11] < 0.5 * r.losses[0]);
    assert_true(r.best >= 1);
    assert_int_equal(result.last.epoch, 12);
    assert_int_equal(result.frozen_tensors, 0);
    free(values);
    free(folder);
}

static void test_frozen_tensors_are_proved(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40);
    record r;
    size_t count;
    tl_train_result a = {.size = sizeof a}, b = {.size = sizeof b}, c = {.size = sizeof c};
    free(run(&(job){"resnet18", {"fc.*"}, TL_BN_EVAL, true, 1, 4, 0, 0, 0}, folder, &r, &count, &a));
    free(run(&(job){"resnet18", {"fc.*"}, TL_BN_EVAL, true, 2, 4, 0, 1, 0}, folder, &r, &count, &b));
    free(run(&(job){"resnet18", {"fc.*"}, TL_BN_BATCH, true, 1, 4, 0, 0, 0}, folder, &r, &count, &c));
    assert_int_equal(a.frozen_tensors, 12 + 12 * 5); /* 12 convolutions, 12 batch-norms of 5 tensors */
    assert_string_equal(a.frozen_hash, b.frozen_hash);
    assert_int_equal(a.frozen_tensors - c.frozen_tensors, 12 * 3); /* running statistics and counters moved */
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cached_equals_uncached),
        cmocka_unit_test(test_cache_that_does_not_fit_is_not_made),
        cmocka_unit_test(test_training_learns),
        cmocka_unit_test(test_frozen_tensors_are_proved),
    };
    return cmocka_run_group_tests_name("training jobs", tests, NULL, NULL);
}
