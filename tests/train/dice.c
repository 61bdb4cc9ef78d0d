/* The Dice loss of a stage: what it is, what its gradients are, and who may have it. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "train/trainer.h"

enum { SIZE = 40, CLASSES = 4, BATCH = 2, ROWS = BATCH * SIZE * SIZE };

typedef struct run {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    tl_trainer *trainer;
} run;

static run begin(const char *train, double dice, int threads, const char *moved, float by) {
    static const int layers[4] = {1, 1, 1, 1};
    run r = {.context = test_context(NULL)};
    tl_model_options options;
    tl_train_options training;
    tl_stage stage;
    r.device = test_device(r.context, threads);
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet50";
    options.classes = CLASSES;
    options.head = TL_HEAD_FCN;
    options.dropout = 0;
    options.width = 0.0625;
    options.layers = layers;
    ok(tl_model_create(r.context, &options, &r.model), r.context);
    if (moved) {
        float bias[CLASSES];
        ok(tl_model_read(r.model, moved, bias), r.context);
        bias[1] += by;
        ok(tl_model_write(r.model, moved, bias), r.context);
    }
    tl_stage_init(&stage, sizeof stage);
    stage.train = train;
    stage.lr = 0.01;
    stage.dice = dice;
    tl_train_options_init(&training, sizeof training);
    training.batch = BATCH;
    training.stages = &stage;
    training.stage_count = 1;
    ok(tl_trainer_create(r.model, r.device, SIZE, SIZE, &training, &r.trainer), r.context);
    return r;
}

static void end(run *r) {
    tl_trainer_destroy(r->trainer);
    tl_model_destroy(r->model);
    tl_device_close(r->device);
    tl_context_destroy(r->context);
}

/* Stripes of all classes but the last, with pixels between them that do not count. */
static int32_t *make_labels(void) {
    int32_t *labels = malloc(ROWS * sizeof *labels);
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % 9 == 0 ? 255 : i / 7 % (CLASSES - 1);
    return labels;
}

static double step(run *r) {
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = make_labels();
    tl_score score;
    ok(tl_trainer_step(r->trainer, rgb, labels, BATCH, &score), r->context);
    free(rgb);
    free(labels);
    return score.loss;
}

static double dice_of(const float *logits) {
    double both[CLASSES] = {0}, predicted[CLASSES] = {0}, truth[CLASSES] = {0}, scores = 0, there = 0;
    int32_t *labels = make_labels();
    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        if (labels[i] == 255)
            continue;
        for (int k = 0; k < CLASSES; k++)
            sum += exp(logits[i * CLASSES + k]);
        for (int k = 0; k < CLASSES; k++) {
            predicted[k] += exp(logits[i * CLASSES + k]) / sum;
            both[k] += labels[i] == k ? exp(logits[i * CLASSES + k]) / sum : 0;
            truth[k] += labels[i] == k;
        }
    }
    for (int k = 0; k < CLASSES; k++)
        if (truth[k] > 0) {
            scores += (2 * both[k] + 1) / (predicted[k] + truth[k] + 1);
            there++;
        }
    free(labels);
    assert_true(there == CLASSES - 1);
    return 1 - scores / there;
}

/* With the auxiliary classifier frozen the loss is that of the output alone. */
static void test_value(void **state) {
    (void)state;
    run without = begin("classifier.*", 0, 2, NULL, 0), with = begin("classifier.*", 0.7, 2, NULL, 0);
    double entropy = step(&without), both = step(&with);
    float *logits = malloc(ROWS * CLASSES * sizeof *logits);
    ok(tl_trainer_logits(with.trainer, logits), with.context);
    assert_true(fabs(both - entropy - 0.7 * dice_of(logits)) < 8 * 0x1p-24 * both);
    free(logits);
    end(&with);
    end(&without);
}

/* Of both classifiers: the auxiliary one's Dice loss counts half, like its cross-entropy. */
static void test_gradients(void **state) {
    (void)state;
    static const char *const names[] = {"classifier.4.bias", "aux_classifier.4.bias"};
    const float by = 0.03125f;
    for (size_t i = 0; i < TL__COUNT(names); i++) {
        run here = begin("*classifier.*", 2, 2, NULL, 0), above = begin("*classifier.*", 2, 2, names[i], by);
        run below = begin("*classifier.*", 2, 2, names[i], -by);
        float gradient[CLASSES];
        double loss = step(&here), difference = (step(&above) - step(&below)) / (2 * (double)by);
        ok(tl_trainer_gradient(here.trainer, names[i], gradient), here.context);
        /* a third derivative below 1 over 6, and the two losses' rounding */
        assert_true(fabs(gradient[1] - difference) < (double)by * by / 6 + 8 * 0x1p-24 * loss / (double)by);
        assert_true(fabs(gradient[1]) > 0.02);
        end(&here);
        end(&above);
        end(&below);
    }
}

static void test_threads(void **state) {
    (void)state;
    static const char train[] = "*classifier.*, backbone.layer4.*";
    run one = begin(train, 1, 1, NULL, 0), three = begin(train, 1, 3, NULL, 0);
    for (int i = 0; i < 3; i++)
        assert_true(step(&one) == step(&three));
    size_t count;
    ok(tl_trainer_sync(one.trainer), one.context);
    ok(tl_trainer_sync(three.trainer), three.context);
    float *a = test_values(one.model, &count), *b = test_values(three.model, &count);
    assert_memory_equal(a, b, count * sizeof *a);
    free(a);
    free(b);
    end(&one);
    end(&three);
}

static void refused(tl_model *model, tl_device *device, double dice, const char *text) {
    tl_context *context = model->context;
    tl_train_options training;
    tl_trainer *trainer;
    tl_stage stage;
    tl_stage_init(&stage, sizeof stage);
    stage.dice = dice;
    tl_train_options_init(&training, sizeof training);
    training.stages = &stage;
    training.stage_count = 1;
    assert_int_equal(tl_trainer_create(model, device, SIZE, SIZE, &training, &trainer), TL_ERROR_ARGUMENT);
    assert_string_equal(tl_context_message(context), text);
}

static void test_refused(void **state) {
    (void)state;
    run r = begin("classifier.*", 0, 1, NULL, 0);
    tl_model_options options;
    tl_model *classifier;
    tl_trainer_destroy(r.trainer);
    r.trainer = NULL;
    refused(r.model, r.device, -1, "stage head: dice = -1 is out of range");
    refused(r.model, r.device, INFINITY, "stage head: dice = inf is out of range");
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet18";
    options.width = 0.0625;
    ok(tl_model_create(r.context, &options, &classifier), r.context);
    refused(classifier, r.device, 0.5, "stage head: dice = 0.5, but the network's head tells images apart, not pixels");
    tl_model_destroy(classifier);
    end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_value), cmocka_unit_test(test_gradients),
                                       cmocka_unit_test(test_threads), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
