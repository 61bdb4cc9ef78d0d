/* fallback.c: who is told, and how often, that a device leaves something to the CPU; and that it may be forbidden. */
#include "tests/plugin/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/trainer.h"

enum { SIZE = 32, CLASSES = 3 };

static const char *folder;

static int set_up(void **state) {
    (void)state;
    unsetenv("TL_BACKEND_PATH");
    folder = folder_create();
    folder_add(folder, "fake");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    environment_reset();
    folder_remove(folder);
    return 0;
}

/* A context, a device with this fallback and a small model. */
typedef struct bench {
    watched *w;
    tl_device *device;
    tl_model *model;
} bench;

static bench begin(tl_fallback fallback) {
    bench b = {.w = watch(folder)};
    tl_device_options options = {.size = sizeof options, .fallback = fallback};
    assert_int_equal(tl_device_open(b.w->context, "fake", &options, &b.device), TL_OK);
    assert_int_equal(small_model(b.w->context, CLASSES, &b.model), TL_OK);
    return b;
}

static void end(bench *b) {
    tl_model_destroy(b->model);
    tl_device_close(b->device);
    unwatch(b->w);
}

static tl_status predict(bench *b) {
    static uint8_t image[SIZE * SIZE * 3];
    float logits[CLASSES];
    tl_predictor *predictor = NULL;
    tl_status status = tl_predictor_create(b->model, b->device, 1, SIZE, SIZE, &predictor);
    if (status == TL_OK)
        status = tl_predictor_run(predictor, image, 1, logits);
    tl_predictor_destroy(predictor);
    return status;
}

static tl_status train(bench *b, char *report, size_t size) {
    tl_stage stage;
    tl_train_options options;
    tl_trainer *trainer = NULL;
    tl__plan *plan;
    tl_stage_init(&stage, sizeof stage);
    tl_train_options_init(&options, sizeof options);
    options.stages = &stage;
    options.stage_count = 1;
    tl_status status = tl_trainer_create(b->model, b->device, SIZE, SIZE, &options, &trainer);
    if (status == TL_OK)
        status = tl__trainer_prepare(trainer, 2, &plan);
    if (status == TL_OK && report)
        snprintf(report, size, "%s", tl__plan_report(plan));
    tl_trainer_destroy(trainer);
    return status;
}

/* Four operations of a training step that the fake has not: one warning names them all, and once. */
static void warnings(void **state) {
    (void)state;
    static const char *const lacking[] = {"1 cross_entropy (loss): cross_entropy: it has no arithmetic",
                                          "1 cross_entropy_grad (loss): ", "1 conv2d_grad_weight (fc): ",
                                          "1 adam (adam): "};
    bench b = begin(TL_FALLBACK_WARN);
    assert_int_equal(predict(&b), TL_OK);
    assert_not_logged(b.w, "warning");
    for (int times = 0; times < 3; times++) {
        assert_int_equal(train(&b, NULL, 0), TL_OK);
        assert_int_equal(times_logged(b.w, "warning: "), 1);
    }
    assert_logged(b.w, "warning: fake:0 leaves to the CPU: 1 cross_entropy");
    for (size_t i = 0; i < sizeof lacking / sizeof lacking[0]; i++)
        assert_int_equal(times_logged(b.w, lacking[i]), 1);
    end(&b);
}

/* Many nodes refused for one reason are one entry; another device of the same backend warns for itself. */
static void each_reason_once(void **state) {
    (void)state;
    environment_set("TL_FAKE_REFUSE", "conv2d");
    for (int times = 0; times < 2; times++) {
        bench b = begin(TL_FALLBACK_WARN);
        assert_int_equal(predict(&b), TL_OK);
        assert_int_equal(predict(&b), TL_OK);
        assert_logged(b.w, "warning: fake:0 leaves to the CPU: 13 conv2d (conv1): conv2d: refused on demand\n");
        assert_int_equal(times_logged(b.w, "warning"), 1);
        end(&b);
    }
}

static void allowed(void **state) {
    (void)state;
    char report[4096];
    bench b = begin(TL_FALLBACK_ALLOW);
    assert_int_equal(train(&b, report, sizeof report), TL_OK);
    assert_not_logged(b.w, "warning");
    if (!strstr(report, "  not on fake:0: adam, 1 node (adam): adam: it has no arithmetic for this operation\n") ||
        !strstr(report, " from cpu to fake:0, ") || !strstr(report, " from fake:0 to cpu, ") ||
        !strstr(report, "  fake:0   conv2d                13  slow\n") || !strstr(report, "training step, 2 images: "))
        fail_msg("the report is:\n%s", report);
    end(&b);
}

static void forbidden(void **state) {
    (void)state;
    bench b = begin(TL_FALLBACK_ERROR);
    assert_int_equal(predict(&b), TL_OK);
    assert_int_equal(train(&b, NULL, 0), TL_UNSUPPORTED);
    assert_string_equal(tl_context_message(b.w->context),
                        "loss (cross_entropy): fake:0 does not do it, and the CPU may not instead: cross_entropy: it has no "
                        "arithmetic for this operation");
    assert_not_logged(b.w, "cpu opened");
    end(&b);
    environment_set("TL_FAKE_REFUSE_FUSED", "1");
    b = begin(TL_FALLBACK_ERROR);
    assert_int_equal(predict(&b), TL_UNSUPPORTED); /* a bias is not split off */
    assert_message(b.w, "conv1 (conv2d): fake:0 does not do it, and the CPU may not instead: conv2d: fused forms");
    end(&b);
}

static void unknown(void **state) {
    (void)state;
    watched *w = watch(folder);
    tl_device *device = NULL;
    tl_device_options options = {.size = sizeof options, .fallback = (tl_fallback)3};
    assert_int_equal(tl_device_open(w->context, "fake", &options, &device), TL_ERROR_ARGUMENT);
    assert_message(w, "fake:0: fallback = 3 is unknown");
    unwatch(w);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        CASE(warnings), CASE(each_reason_once), CASE(allowed), CASE(forbidden), CASE(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
