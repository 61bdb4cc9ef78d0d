/* Single steps: what moves, what must not, and that results repeat. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/trainer.h"

enum { SIZE = 40, CLASSES = 3 };

typedef struct job {
    const char *arch, *train;
    tl_bn bn;
    int batch, threads;
    uint64_t seed;
    double lr, weight_decay;
} job;

static tl_trainer *begin(tl_model *model, tl_device *device, const job *j) {
    tl_trainer *trainer;
    tl_train_options options;
    tl_stage stage;
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.train = j->train;
    stage.lr = j->lr ? j->lr : 1e-2;
    stage.weight_decay = j->weight_decay;
    options.bn = j->bn;
    options.batch = j->batch;
    options.seed = j->seed;
    options.stages = &stage;
    options.stage_count = 1;
    ok(tl_trainer_create(model, device, SIZE, SIZE, &options, &trainer), model->context);
    return trainer;
}

/* Three steps on the same images; all values afterwards. */
static float *run(const job *j, size_t *count) {
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, j->threads);
    tl_model *model = test_model(context, j->arch, CLASSES);
    tl_trainer *trainer = begin(model, device, j);
    uint8_t *rgb = test_images(j->batch, SIZE, 1);
    int32_t *labels = test_labels(j->batch, CLASSES);
    for (int i = 0; i < 3; i++)
        ok(tl_trainer_step(trainer, rgb, labels, j->batch, NULL), context);
    ok(tl_trainer_sync(trainer), context);
    tl_trainer_destroy(trainer);
    float *values = test_values(model, count);
    free(rgb);
    free(labels);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
    return values;
}

static void assert_same(const job *a, const job *b, bool same) {
    size_t count, other_count;
    float *x = run(a, &count), *y = run(b, &other_count);
    assert_int_equal(count, other_count);
    assert_int_equal(memcmp(x, y, count * sizeof *x) == 0, same);
    free(x);
    free(y);
}

static void test_results_do_not_depend_on_threads(void **state) {
    (void)state;
    const job base = {"resnet50", "*", TL_BN_BATCH, 5, 1, 0, 0, 0.01};
    job other = base;
    assert_same(&base, &base, true);
    other.threads = 2;
    assert_same(&base, &other, true);
    other.threads = 8;
    assert_same(&base, &other, true);
}

static void test_dropout_follows_the_seed(void **state) {
    (void)state;
    const job base = {"vgg11", "classifier.*", TL_BN_EVAL, 4, 2, 5, 1e-3, 0};
    job other = base;
    assert_same(&base, &base, true);
    other.seed = 6;
    assert_same(&base, &other, false);
}


/* Which tensors change in three steps, by a pattern over all names. */
static void check_moves(const job *j, const char *moving) {
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_model *model = test_model(context, j->arch, CLASSES);
    size_t count, at = 0;
    float *before = test_values(model, &count);
    tl_trainer *trainer = begin(model, device, j);
    uint8_t *rgb = test_images(j->batch, SIZE, 1);
    int32_t *labels = test_labels(j->batch, CLASSES);
    for (int i = 0; i < 3; i++)
        ok(tl_trainer_step(trainer, rgb, labels, j->batch, NULL), context);
    ok(tl_trainer_sync(trainer), context);
    float *after = test_values(model, &count);
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info info = {.size = sizeof info};
        ok(tl_model_parameter(model, i, &info), context);
        bool changed = memcmp(before + at, after + at, (size_t)info.count * sizeof *after) != 0;
        if (changed != tl__pattern_match(moving, info.name))
            fail_msg("%s %s", info.name, changed ? "changed" : "did not change");
        at += (size_t)info.count;
    }
    tl_trainer_destroy(trainer);
    free(before);
    free(after);
    free(rgb);
    free(labels);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
}

static void test_only_what_trains_moves(void **state) {
    (void)state;
    const char *statistics = "*running_mean *running_var *num_batches_tracked";
    char text[256];
    check_moves(&(job){"resnet18", "fc.*", TL_BN_EVAL, 4, 2, 0, 0, 0.1}, "fc.*");
    check_moves(&(job){"resnet18", "layer4.0.conv1.weight", TL_BN_EVAL, 4, 2, 0, 0, 0}, "layer4.0.conv1.weight");
    check_moves(&(job){"resnet18", "layer2.0.bn1.weight", TL_BN_EVAL, 4, 2, 0, 0, 0}, "layer2.0.bn1.weight");
    snprintf(text, sizeof text, "fc.* %s", statistics);
    check_moves(&(job){"resnet18", "fc.*", TL_BN_BATCH, 4, 2, 0, 0, 0.1}, text);
    check_moves(&(job){"resnet18", "layer4.0.bn2.bias", TL_BN_MIXED, 4, 2, 0, 0, 0}, "layer4.0.bn2.bias layer4.0.bn2.r* layer4.0.bn2.n*");
    check_moves(&(job){"vgg11_bn", "classifier.6.bias", TL_BN_EVAL, 4, 2, 0, 0, 0.1}, "classifier.6.bias");
}

/* The mean over the batch of 5 is the mean of what 2 and 3 images give: a smaller last batch counts for what it is. */
static void test_loss_is_a_mean_over_samples(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_model *model = test_model(context, "resnet18", CLASSES);
    tl_trainer *trainer = begin(model, device, &(job){"resnet18", "fc.*", TL_BN_EVAL, 5, 2, 0, 1e-30, 0});
    uint8_t *rgb = test_images(5, SIZE, 1);
    int32_t *labels = test_labels(5, CLASSES);
    tl_score all, two, three;
    ok(tl_trainer_step(trainer, rgb, labels, 5, &all), context);
    ok(tl_trainer_step(trainer, rgb, labels, 2, &two), context);
    ok(tl_trainer_step(trainer, rgb + 2 * SIZE * SIZE * 3, labels + 2, 3, &three), context);
    assert_true(fabs(all.loss - (2 * two.loss + 3 * three.loss) / 5) < 1e-5);
    assert_true(fabs(all.accuracy - (2 * two.accuracy + 3 * three.accuracy) / 5) < 1e-6);
    tl_trainer_destroy(trainer);
    free(rgb);
    free(labels);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
}

/* Adam's first step is lr * sign(gradient), whichever stage it comes in; a parameter that rests and trains again
 * goes on with its moments. */
static void test_stages_keep_adam(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_model *model = test_model(context, "resnet18", CLASSES);
    tl_trainer *trainer;
    tl_train_options options;
    tl_stage stages[3];
    const char *trains[] = {"fc.*", "layer4.0.bn2.bias", "fc.*, layer4.0.bn2.bias"};
    tl_train_options_init(&options, sizeof options);
    for (int i = 0; i < 3; i++) {
        tl_stage_init(&stages[i], sizeof stages[i]);
        stages[i].train = trains[i];
        stages[i].lr = 0.01;
    }
    options.batch = 4;
    options.stages = stages;
    options.stage_count = 3;
    ok(tl_trainer_create(model, device, SIZE, SIZE, &options, &trainer), context);
    uint8_t *rgb = test_images(4, SIZE, 1);
    int32_t *labels = test_labels(4, CLASSES);
    float before[32], after[32], gradient[32];
    for (int i = 0; i < 3; i++)
        ok(tl_trainer_step(trainer, rgb, labels, 4, NULL), context);
    ok(tl_trainer_stage(trainer, 1), context);
    ok(tl_model_read(model, "layer4.0.bn2.bias", before), context);
    ok(tl_trainer_step(trainer, rgb, labels, 4, NULL), context);
    ok(tl_trainer_gradient(trainer, "layer4.0.bn2.bias", gradient), context);
    ok(tl_trainer_sync(trainer), context);
    ok(tl_model_read(model, "layer4.0.bn2.bias", after), context);
    for (int i = 0; i < 32; i++)
        if (fabsf(gradient[i]) > 1e-5f)
            assert_true(fabsf(before[i] - after[i] - copysignf(0.01f, gradient[i])) < 1e-4f);
    assert_int_equal(tl_trainer_gradient(trainer, "fc.bias", gradient), TL_ERROR_NOT_FOUND);
    ok(tl_trainer_stage(trainer, 2), context);
    for (size_t i = 0; i < model->parameter_count; i++) {
        if (strcmp(model->parameters[i]->name, "fc.bias") == 0)
            assert_int_equal(trainer->moments[i].steps, 3);
        if (strcmp(model->parameters[i]->name, "layer4.0.bn2.bias") == 0)
            assert_int_equal(trainer->moments[i].steps, 1);
    }
    ok(tl_trainer_step(trainer, rgb, labels, 4, NULL), context);
    tl_trainer_destroy(trainer);
    free(rgb);
    free(labels);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
}

/* Once a plan is made, steps ask for no memory. */
static void test_running_allocates_nothing(void **state) {
    (void)state;
    counter count = {0};
    tl_context *context = test_context(&count);
    tl_device *device = test_device(context, 2);
    tl_model *model = test_model(context, "resnet50", CLASSES);
    tl_trainer *trainer = begin(model, device, &(job){"resnet50", "*", TL_BN_BATCH, 4, 2, 0, 0, 0});
    uint8_t *rgb = test_images(4, SIZE, 1);
    int32_t *labels = test_labels(4, CLASSES);
    ok(tl_trainer_step(trainer, rgb, labels, 4, NULL), context);
    long made = count.made;
    for (int i = 0; i < 3; i++)
        ok(tl_trainer_step(trainer, rgb, labels, 4, NULL), context);
    assert_int_equal(count.made, made);
    tl_trainer_destroy(trainer);
    free(rgb);
    free(labels);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
    assert_int_equal(count.live, 0);
}

/* An image's logits are the same to the bit alone, at any place in a batch, and with any others. */
static void test_images_do_not_depend_on_each_other(void **state) {
    (void)state;
    const char *const archs[] = {"resnet18", "resnet50", "vgg11"};
    enum { COUNT = 11 };
    for (size_t a = 0; a < TL__COUNT(archs); a++) {
        tl_context *context = test_context(NULL);
        tl_device *device = test_device(context, 2);
        tl_model *model = test_model(context, archs[a], CLASSES);
        tl_predictor *many, *one;
        uint8_t *rgb = test_images(COUNT, SIZE, 1);
        float logits[COUNT][CLASSES], alone[CLASSES];
        ok(tl_predictor_create(model, device, COUNT, SIZE, SIZE, &many), context);
        ok(tl_predictor_create(model, device, 1, SIZE, SIZE, &one), context);
        ok(tl_predictor_run(many, rgb, COUNT, logits[0]), context);
        for (int i = 0; i < COUNT; i++) {
            ok(tl_predictor_run(one, rgb + (size_t)i * SIZE * SIZE * 3, 1, alone), context);
            assert_memory_equal(alone, logits[i], sizeof alone);
        }
        tl_predictor_destroy(many);
        tl_predictor_destroy(one);
        free(rgb);
        tl_model_destroy(model);
        tl_device_close(device);
        tl_context_destroy(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_do_not_depend_on_threads), cmocka_unit_test(test_dropout_follows_the_seed),
        cmocka_unit_test(test_only_what_trains_moves),           cmocka_unit_test(test_loss_is_a_mean_over_samples),
        cmocka_unit_test(test_stages_keep_adam),                 cmocka_unit_test(test_running_allocates_nothing),
        cmocka_unit_test(test_images_do_not_depend_on_each_other),
    };
    return cmocka_run_group_tests_name("training steps", tests, NULL, NULL);
}
