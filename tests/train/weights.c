/* weights.c: classes that count for more in the loss: the loss and the head's gradient by hand, from the logits. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/trainer.h"

enum { SIZE = 32, CLASSES = 3, BATCH = 5 };

typedef struct fixture {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    uint8_t *rgb;
    int32_t labels[BATCH];
} fixture;

static fixture begin(void) {
    fixture f = {.context = test_context(NULL), .labels = {0, 2, 1, 0, 0}};
    f.device = test_device(f.context, 2);
    f.model = test_model(f.context, "resnet18", CLASSES);
    f.rgb = test_images(BATCH, SIZE, 3);
    return f;
}

static void end(fixture *f) {
    tl_model_destroy(f->model);
    tl_device_close(f->device);
    tl_context_destroy(f->context);
    free(f->rgb);
}

static tl_status create(fixture *f, const float *weights, tl_trainer **trainer) {
    tl_stage stage;
    tl_train_options options;
    tl_stage_init(&stage, sizeof stage);
    stage.class_weights = weights;
    stage.lr = 0.1;
    tl_train_options_init(&options, sizeof options);
    options.batch = BATCH;
    options.stages = &stage;
    options.stage_count = 1;
    return tl_trainer_create(f->model, f->device, SIZE, SIZE, &options, trainer);
}

/* Means by weight, in double. */
static void by_hand(const float *logits, const int32_t *labels, const float *weights, double *loss, double gradient[CLASSES]) {
    double all = 0, sum = 0;
    memset(gradient, 0, CLASSES * sizeof *gradient);
    for (int i = 0; i < BATCH; i++, logits += CLASSES) {
        double total = 0, w = weights[labels[i]];
        for (int c = 0; c < CLASSES; c++)
            total += exp(logits[c]);
        sum += w * (log(total) - logits[labels[i]]);
        for (int c = 0; c < CLASSES; c++)
            gradient[c] += w * (exp(logits[c]) / total - (c == labels[i]));
        all += w;
    }
    *loss = sum / all;
    for (int c = 0; c < CLASSES; c++)
        gradient[c] /= all;
}

static void loss_and_gradient_are_weighted(void **state) {
    (void)state;
    fixture f = begin();
    float weights[CLASSES] = {0.25f, 3, 1.5f};
    tl_trainer *trainer;
    ok(create(&f, weights, &trainer), f.context);
    memset(weights, 0, sizeof weights); /* they were copied */
    static const float given[CLASSES] = {0.25f, 3, 1.5f}, even[CLASSES] = {1, 1, 1};
    for (int step = 0; step < 3; step++) {
        float logits[BATCH * CLASSES], gradient[CLASSES];
        double loss, expected[CLASSES], plain, unused[CLASSES];
        tl_score score;
        ok(tl_trainer_step(trainer, f.rgb, f.labels, BATCH, &score), f.context);
        ok(tl_trainer_logits(trainer, logits), f.context);
        ok(tl_trainer_gradient(trainer, "fc.bias", gradient), f.context);
        by_hand(logits, f.labels, given, &loss, expected);
        by_hand(logits, f.labels, even, &plain, unused);
        /* the loss is a float sum of five terms, a gradient's element one of five products */
        assert_true(fabs(score.loss - loss) < 1e-6 * (1 + loss));
        assert_true(fabs(plain - loss) > 1e-3);
        for (int c = 0; c < CLASSES; c++)
            assert_true(fabs(gradient[c] - expected[c]) < 1e-6);
    }
    tl_trainer_destroy(trainer);
    end(&f);
}

static void each_stage_has_its_own(void **state) {
    (void)state;
    fixture f = begin();
    static const float given[CLASSES] = {0.25f, 3, 1.5f}, even[CLASSES] = {1, 1, 1};
    tl_stage stages[2];
    tl_train_options options;
    tl_trainer *trainer;
    for (int i = 0; i < 2; i++)
        tl_stage_init(&stages[i], sizeof stages[i]);
    stages[1].class_weights = given;
    tl_train_options_init(&options, sizeof options);
    options.batch = BATCH;
    options.stages = stages;
    options.stage_count = 2;
    ok(tl_trainer_create(f.model, f.device, SIZE, SIZE, &options, &trainer), f.context);
    for (size_t stage = 0; stage < 2; stage++) {
        float logits[BATCH * CLASSES];
        double loss, unused[CLASSES];
        tl_score score;
        ok(tl_trainer_stage(trainer, stage), f.context);
        ok(tl_trainer_step(trainer, f.rgb, f.labels, BATCH, &score), f.context);
        ok(tl_trainer_logits(trainer, logits), f.context);
        by_hand(logits, f.labels, stage ? given : even, &loss, unused);
        assert_true(fabs(score.loss - loss) < 1e-6 * (1 + loss));
    }
    tl_trainer_destroy(trainer);
    end(&f);
}

static void weights_are_checked(void **state) {
    (void)state;
    fixture f = begin();
    static const float bad[] = {0, -1, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        const float weights[CLASSES] = {1, bad[i], 1};
        tl_trainer *trainer = NULL;
        assert_int_equal(create(&f, weights, &trainer), TL_ERROR_ARGUMENT);
        assert_null(trainer);
        assert_non_null(strstr(tl_context_message(f.context), "the weight of class 1"));
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradient_are_weighted),
        cmocka_unit_test(each_stage_has_its_own),
        cmocka_unit_test(weights_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
