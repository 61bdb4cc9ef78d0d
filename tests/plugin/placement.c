/* placement.c: networks on a device that does some operations and refuses others, or fails at any moment. The CPU
 * does the rest, with the same result; a failure ends in a status with a message, and nothing is lost. */
#include "tests/plugin/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 40, BATCH = 2, CLASSES = 3, STEPS = 2, RESULTS = STEPS + BATCH * CLASSES };

/* Both sides compute in f32 with other orders of summation: a few hundred terms, 20 layers, values around 1. */
#define TOLERANCE 2e-4

static const char *folder;
static uint8_t images[BATCH * SIZE * SIZE * 3];
static const int32_t labels[BATCH] = {2, 0};

static int set_up(void **state) {
    (void)state;
    unsetenv("TL_BACKEND_PATH");
    folder = folder_create();
    folder_add(folder, "fake");
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    environment_reset();
    folder_remove(folder);
    return 0;
}

/* ---- two small jobs ---- */

static tl_status predict(tl_context *context, const char *name, float *logits) {
    tl_model *model = NULL;
    tl_device *device = NULL;
    tl_predictor *predictor = NULL;
    tl_status status = small_model(context, CLASSES, &model);
    if (status == TL_OK)
        status = tl_device_open(context, name, NULL, &device);
    if (status == TL_OK)
        status = tl_predictor_create(model, device, BATCH, SIZE, SIZE, &predictor);
    if (status == TL_OK)
        status = tl_predictor_run(predictor, images, BATCH, logits);
    tl_predictor_destroy(predictor);
    tl_device_close(device);
    tl_model_destroy(model);
    return status;
}

/* Losses, and the logits of the last step: a value that is read after a run, wherever it was made. */
static tl_status steps(tl_trainer *trainer, float *losses) {
    for (int i = 0; i < STEPS; i++) {
        tl_score score;
        tl_status status = tl_trainer_step(trainer, images, labels, BATCH, &score);
        if (status != TL_OK)
            return status;
        losses[i] = (float)score.loss;
    }
    tl_status status = tl_trainer_logits(trainer, losses + STEPS);
    return status == TL_OK ? tl_trainer_sync(trainer) : status;
}

/* After a failure the model must still be fit for use. */
static void check_model(tl_context *context, tl_model *model, float *bias) {
    (void)context;
    assert_int_equal(tl_model_read(model, "fc.bias", bias), TL_OK);
    for (int i = 0; i < CLASSES; i++)
        assert_true(isfinite(bias[i]));
}

static tl_status train(tl_context *context, const char *name, float *losses, float *bias) {
    tl_model *model = NULL;
    tl_device *device = NULL;
    tl_trainer *trainer = NULL;
    tl_stage stage;
    tl_train_options options;
    tl_stage_init(&stage, sizeof stage);
    stage.train = "layer4.*, fc.*";
    tl_train_options_init(&options, sizeof options);
    options.batch = BATCH;
    options.stages = &stage;
    options.stage_count = 1;
    tl_status status = small_model(context, CLASSES, &model);
    if (status == TL_OK)
        status = tl_device_open(context, name, NULL, &device);
    if (status == TL_OK)
        status = tl_trainer_create(model, device, SIZE, SIZE, &options, &trainer);
    if (status == TL_OK)
        status = steps(trainer, losses);
    tl_trainer_destroy(trainer);
    tl_device_close(device);
    if (model)
        check_model(context, model, bias);
    tl_model_destroy(model);
    return status;
}

static void assert_near(const float *got, const float *expected, int count) {
    for (int i = 0; i < count; i++)
        if (!(fabsf(got[i] - expected[i]) <= TOLERANCE))
            fail_msg("value %d is %g, not %g", i, (double)got[i], (double)expected[i]);
}

static long kernels_run(const watched *w) {
    const char *at = strstr(w->log, " kernels run");
    assert_non_null(at);
    while (at > w->log && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return strtol(at, NULL, 10);
}

/* The options of the fake that the placements below go through. */
static const struct {
    const char *name, *value;
    bool takes; /* the fake gets something to do */
} placements[] = {
    {"TL_FAKE_REFUSE", "", true},
    {"TL_FAKE_REFUSE", "conv2d", true},
    {"TL_FAKE_REFUSE", "normalize,avgpool2d", true},
    {"TL_FAKE_ONLY", "conv2d", true},
    {"TL_FAKE_ONLY", "conv2d,add", true},
    {"TL_FAKE_ONLY", "normalize", true},
    {"TL_FAKE_ONLY", "none", false},
    {"TL_FAKE_REFUSE_FUSED", "1", true},
    {"TL_FAKE_HOST_VISIBLE", "1", true},
    {"TL_FAKE_ALIGNMENT", "4096", true},
    {"TL_FAKE_ALIGNMENT", "1", true},
};

static void predictions(void **state) {
    (void)state;
    float expected[BATCH * CLASSES], got[BATCH * CLASSES];
    watched *w = watch(folder);
    assert_int_equal(predict(w->context, "cpu", expected), TL_OK);
    unwatch(w);
    environment_set("TL_FAKE_REPORT", "1");
    for (size_t i = 0; i < sizeof placements / sizeof placements[0]; i++) {
        setenv(placements[i].name, placements[i].value, 1);
        w = watch(folder);
        if (predict(w->context, "fake", got) != TL_OK)
            fail_msg("%s=%s: %s", placements[i].name, placements[i].value, tl_context_message(w->context));
        assert_near(got, expected, BATCH * CLASSES);
        assert_int_equal(kernels_run(w) > 0, placements[i].takes);
        assert_not_logged(w, "error");
        unwatch(w);
        unsetenv(placements[i].name);
    }
}

static void trainings(void **state) {
    (void)state;
    float expected[RESULTS], got[RESULTS], bias[CLASSES], got_bias[CLASSES];
    watched *w = watch(folder);
    assert_int_equal(train(w->context, "cpu", expected, bias), TL_OK);
    unwatch(w);
    environment_set("TL_FAKE_REPORT", "1");
    for (size_t i = 0; i < sizeof placements / sizeof placements[0]; i++) {
        setenv(placements[i].name, placements[i].value, 1);
        w = watch(folder);
        if (train(w->context, "fake", got, got_bias) != TL_OK)
            fail_msg("%s=%s: %s", placements[i].name, placements[i].value, tl_context_message(w->context));
        assert_near(got, expected, RESULTS);
        assert_near(got_bias, bias, CLASSES);
        assert_int_equal(kernels_run(w) > 0, placements[i].takes);
        assert_not_logged(w, "error");
        unwatch(w);
        unsetenv(placements[i].name);
    }
}

/* What is too large for one buffer goes into several, or is refused in words. */
static void small_buffers(void **state) {
    (void)state;
    float expected[BATCH * CLASSES], got[BATCH * CLASSES];
    watched *w = watch(folder);
    assert_int_equal(predict(w->context, "cpu", expected), TL_OK);
    bool done = false;
    for (long bytes = 1000; bytes < 1000000; bytes *= 4) {
        char text[32];
        snprintf(text, sizeof text, "%ld", bytes);
        setenv("TL_FAKE_MAX_BUFFER", text, 1);
        tl_status status = predict(w->context, "fake", got);
        if (status == TL_OK) {
            assert_near(got, expected, BATCH * CLASSES);
            done = true;
        } else {
            assert_false(done);
            assert_true(status == TL_ERROR_LIMIT || status == TL_ERROR_MEMORY);
            assert_message(w, "fake:0");
        }
    }
    unsetenv("TL_FAKE_MAX_BUFFER");
    assert_true(done);
    assert_not_logged(w, "error");
    unwatch(w);
}

/* ---- failures ---- */

typedef tl_status (*job)(tl_context *context);

static tl_status predict_job(tl_context *context) {
    float logits[BATCH * CLASSES];
    return predict(context, "fake", logits);
}

static tl_status train_job(tl_context *context) {
    float losses[RESULTS], bias[CLASSES];
    return train(context, "fake", losses, bias);
}

/* The Nth call fails, for every N until there are not that many. */
static void every_failure(job run, const char *call, tl_status expected) {
    int tolerated = 0;
    for (int n = 1;; n++) {
        char fault[32];
        snprintf(fault, sizeof fault, "%s:%d", call, n);
        setenv("TL_FAKE_FAIL", fault, 1);
        watched *w = watch(folder);
        tl_status status = run(w->context);
        assert_not_logged(w, "error");
        if (status != TL_OK) {
            /* an allocation from the host is a call too */
            if (status != (strstr(tl_context_message(w->context), ": memory ") ? TL_ERROR_MEMORY : expected))
                fail_msg("%s: %s: %s", fault, tl_status_text(status), tl_context_message(w->context));
            assert_message(w, "fake:0");
            assert_message(w, "fails on demand");
        }
        bool reached = strstr(w->log, "fails on demand") != NULL;
        unwatch(w);
        if (!reached) {
            assert_int_equal(status, TL_OK);
            assert_true(n > 5);
            break;
        }
        tolerated += status == TL_OK;
        assert_true(n < 5000);
    }
    /* where the device has no memory for the arena (the fake allocates twice), fewer images go at once; and nobody
     * hears of the wait before the end */
    assert_true(tolerated <= 3);
    unsetenv("TL_FAKE_FAIL");
}

static void failing_predictions(void **state) {
    (void)state;
    every_failure(predict_job, "any", TL_ERROR_DEVICE);
}

static void failing_trainings(void **state) {
    (void)state;
    every_failure(train_job, "any", TL_ERROR_DEVICE);
}

static void predictions_without_memory(void **state) {
    (void)state;
    every_failure(predict_job, "memory", TL_ERROR_MEMORY);
}

/* The context's allocator fails instead, in libtl as in both backends. */
static void every_allocation(job run, long step) {
    environment_set("TL_FAKE_REFUSE", "conv2d");
    for (long n = 1;; n += step) {
        watched *w = watch(folder);
        w->fail_at = w->allocations + n;
        tl_status status = run(w->context);
        bool reached = w->allocations >= w->fail_at;
        assert_not_logged(w, "error");
        if (status != TL_OK) {
            assert_int_equal(status, TL_ERROR_MEMORY);
            assert_message(w, "memory");
        }
        if (!reached && status != TL_OK)
            fail_msg("%ld of %ld: %s", n, w->allocations, tl_context_message(w->context));
        unwatch(w);
        if (!reached)
            break;
        assert_true(n < 20000);
    }
}

static void predictions_out_of_memory(void **state) {
    (void)state;
    every_allocation(predict_job, 1);
}

static void trainings_out_of_memory(void **state) {
    (void)state;
    every_allocation(train_job, 3);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        CASE(predictions),
        CASE(trainings),
        CASE(small_buffers),
        CASE(failing_predictions),
        CASE(failing_trainings),
        CASE(predictions_without_memory),
        CASE(predictions_out_of_memory),
        CASE(trainings_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
