/* Steps and scores of segmenters. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/evaluate.h"
#include "train/trainer.h"

enum { SIZE = 40, CLASSES = 3, BATCH = 2, PIXELS = SIZE * SIZE };

typedef struct job {
    const char *arch, *train;
    tl_head head;
    double dropout;
    tl_device *device;
    tl_model *model;
    tl_trainer *trainer;
} job;

static tl_context *begin(job *j) {
    static const int layers[4] = {1, 1, 1, 1};
    tl_context *context = test_context(NULL);
    tl_model_options options;
    tl_train_options training;
    tl_stage stage;
    j->device = test_device(context, 2);
    tl_model_options_init(&options, sizeof options);
    options.arch = j->arch;
    options.classes = CLASSES;
    options.head = j->head;
    options.dropout = j->dropout;
    options.width = 0.0625;
    options.layers = strcmp(j->arch, "resnet50") == 0 ? layers : NULL;
    ok(tl_model_create(context, &options, &j->model), context);
    tl_stage_init(&stage, sizeof stage);
    stage.train = j->train;
    stage.lr = 0.01;
    tl_train_options_init(&training, sizeof training);
    training.batch = BATCH;
    training.stages = &stage;
    training.stage_count = 1;
    ok(tl_trainer_create(j->model, j->device, SIZE, SIZE, &training, &j->trainer), context);
    return context;
}

static void end(job *j, tl_context *context) {
    tl_trainer_destroy(j->trainer);
    tl_model_destroy(j->model);
    tl_device_close(j->device);
    tl_context_destroy(context);
}

static int32_t *labels_of(int ignored_every) {
    int32_t *labels = malloc(BATCH * PIXELS * sizeof *labels);
    for (int i = 0; i < BATCH * PIXELS; i++)
        labels[i] = ignored_every && i % ignored_every == 0 ? 255 : i / 7 % CLASSES;
    return labels;
}

/* Where no pixel counts, nothing is learned and nothing breaks. */
static void test_all_ignored(void **state) {
    (void)state;
    job j = {.arch = "resnet50", .train = "*classifier.*", .head = TL_HEAD_FCN, .dropout = 0.5};
    tl_context *context = begin(&j);
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = labels_of(1);
    size_t count;
    float *before = test_values(j.model, &count), gradient[CLASSES];
    tl_score score;
    ok(tl_trainer_step(j.trainer, rgb, labels, BATCH, &score), context);
    assert_true(score.loss == 0 && score.accuracy == 0 && score.pixels == 0 && score.images == BATCH && isnan(score.mean_iou));
    ok(tl_trainer_gradient(j.trainer, "classifier.4.bias", gradient), context);
    for (int c = 0; c < CLASSES; c++)
        assert_true(gradient[c] == 0);
    ok(tl_trainer_sync(j.trainer), context);
    float *after = test_values(j.model, &count);
    assert_memory_equal(before, after, count * sizeof *after);
    labels[5] = 1; /* a single pixel */
    ok(tl_trainer_step(j.trainer, rgb, labels, BATCH, &score), context);
    assert_int_equal(score.pixels, 1);
    assert_true(score.loss > 0 && isfinite(score.loss));
    labels[5] = CLASSES;
    assert_int_equal(tl_trainer_step(j.trainer, rgb, labels, BATCH, &score), TL_ERROR_ARGUMENT);
    free(before);
    free(after);
    free(rgb);
    free(labels);
    end(&j, context);
}

/* The mean over a batch's pixels is the mean of what its images give, each weighted by its pixels that count. */
static void test_pixels_weigh_the_same(void **state) {
    (void)state;
    job j = {.arch = "resnet50", .train = "*classifier.*", .head = TL_HEAD_FCN, .dropout = 0};
    tl_context *context = begin(&j);
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = labels_of(0);
    tl__sums all, first, second;
    for (int i = 0; i < PIXELS; i++)
        if (i % 10)
            labels[i] = 255; /* a tenth of the first image */
    j.trainer->stages[0].lr = 1e-30;
    for (size_t s = 0; s < j.trainer->engine->store->segment_count; s++)
        j.trainer->rates[s] = 1e-30;
    ok(tl__trainer_step(j.trainer, rgb, labels, 2, &all), context);
    ok(tl__trainer_step(j.trainer, rgb, labels, 1, &first), context);
    ok(tl__trainer_step(j.trainer, rgb + PIXELS * 3, labels + PIXELS, 1, &second), context);
    assert_true(first.counted == PIXELS / 10 && second.counted == PIXELS && all.counted == PIXELS + PIXELS / 10);
    tl__sums_add(&first, &second);
    assert_true(fabs(tl__sums_score(&first, true).loss - tl__sums_score(&all, true).loss) < 1e-5);
    assert_true(first.right == all.right);
    free(rgb);
    free(labels);
    end(&j, context);
}

/* Steps on features are steps on the images that they come from, to the last bit, whatever the values of the cut. */
static void check_features(const job *given, int values) {
    job on_images = *given, on_features = *given;
    tl_context *a = begin(&on_images), *b = begin(&on_features);
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = labels_of(9);
    tl__draw_options draw = tl__trainer_draw(on_features.trainer, BATCH);
    tl__runner *runner;
    tl__sums x, y;
    size_t count;
    assert_int_equal(on_features.trainer->cut.count, values);
    ok(tl__runner_create(on_features.trainer->engine, &draw, TL__PART_FEATURES, &on_features.trainer->cut, &runner), b);
    float *rows = malloc(BATCH * runner->output_count * sizeof *rows);
    ok(tl__runner_run(runner, rgb, BATCH, rows), b);
    tl__trainer_use_features(on_features.trainer, true);
    for (int step = 0; step < 3; step++) {
        ok(tl__trainer_step(on_images.trainer, rgb, labels, BATCH, &x), a);
        ok(tl__trainer_step(on_features.trainer, rows, labels, BATCH, &y), b);
        assert_memory_equal(&x, &y, sizeof x);
    }
    ok(tl__trainer_step(on_images.trainer, rgb, labels, 1, &x), a); /* a smaller last batch */
    ok(tl__trainer_step(on_features.trainer, rows, labels, 1, &y), b);
    assert_memory_equal(&x, &y, sizeof x);
    ok(tl_trainer_sync(on_images.trainer), a);
    ok(tl_trainer_sync(on_features.trainer), b);
    float *v = test_values(on_images.model, &count), *w = test_values(on_features.model, &count);
    assert_memory_equal(v, w, count * sizeof *v);
    tl__runner_destroy(runner);
    free(v);
    free(w);
    free(rows);
    free(rgb);
    free(labels);
    end(&on_images, a);
    end(&on_features, b);
}

static void test_features(void **state) {
    (void)state;
    check_features(&(job){.arch = "resnet50", .train = "classifier.*, aux_classifier.*", .head = TL_HEAD_FCN, .dropout = 0.5}, 2);
    check_features(&(job){.arch = "resnet50", .train = "classifier.*, aux_classifier.*", .head = TL_HEAD_DEEPLABV3, .dropout = 0.5},
                   3); /* with the pooled map, which no parameter comes before */
    check_features(&(job){.arch = "resnet50", .train = "classifier.*, aux_classifier.*, backbone.layer4.*", .head = TL_HEAD_FCN, .dropout = 0.5}, 1);
    check_features(&(job){.arch = "resnet50", .train = "classifier.*", .head = TL_HEAD_LITE, .dropout = 0}, 2);
    check_features(&(job){.arch = "vgg11", .train = "classifier.*", .head = TL_HEAD_FCN, .dropout = 0}, 3);
}

/* One that neither trains nor draws from chance adds nothing but a constant: it is not computed. */
static void test_constant_auxiliary(void **state) {
    (void)state;
    job j = {.arch = "resnet50", .train = "classifier.*", .head = TL_HEAD_FCN, .dropout = 0};
    tl_context *context = begin(&j);
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = labels_of(0);
    tl__sums sums;
    assert_int_equal(j.trainer->cut.count, 1);
    ok(tl__trainer_step(j.trainer, rgb, labels, BATCH, &sums), context);
    assert_int_equal(j.trainer->last->second_loss, -1);
    free(rgb);
    free(labels);
    end(&j, context);
}

/* Four pixels, one of them ignored: losses log(1 + e^-1), log(1 + e^2), log 2. */
static void test_tally(void **state) {
    (void)state;
    const float logits[4 * 2] = {1, 0, 2, 0, 7, 9, 3, 3};
    const int32_t labels[4] = {0, 1, 255, 0};
    int64_t confusion[4] = {0};
    tl__tally tally = {.confusion = confusion, .classes = 2, .pixels = true};
    tl__tally_add(&tally, logits, labels, 4);
    tally.sums.images = 1;
    tl_score score = tl__tally_score(&tally);
    assert_true(fabs(score.loss - (log(1 + exp(-1)) + log(1 + exp(2)) + log(2)) / 3) < 1e-12);
    assert_true(fabs(score.accuracy - 2 / 3.0) < 1e-12);
    assert_int_equal(score.pixels, 3);
    assert_int_equal(score.images, 1);
    assert_memory_equal(confusion, ((const int64_t[]){2, 0, 1, 0}), sizeof confusion);
    assert_true(fabs(score.mean_iou - (2 / 3.0 + 0) / 2) < 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_ignored), cmocka_unit_test(test_pixels_weigh_the_same), cmocka_unit_test(test_features),
        cmocka_unit_test(test_constant_auxiliary), cmocka_unit_test(test_tally),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
