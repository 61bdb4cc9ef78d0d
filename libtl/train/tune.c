#include <string.h>

#include <tl/tune.h>

#include "train/runner.h"
#include "train/trainer.h"

typedef struct tuning {
    tl_context *context;
    tl_model *model;
    tl_device *device;
    tl_tune_options options;
    const char *node, *operation;
    int forms, candidates;
} tuning;

static int on_candidate(void *user, const char *implementation, double seconds, const char *note) {
    tuning *t = user;
    t->candidates++;
    if (t->options.on_candidate)
        t->options.on_candidate(t->options.user, t->node, t->operation, implementation, seconds, note ? note : "");
    return tl__cancelled(t->context);
}

static void on_choice(void *user, const char *form, const char *implementation, double seconds) {
    tuning *t = user;
    t->forms++;
    if (t->options.on_choice)
        t->options.on_choice(t->options.user, form, implementation, seconds);
}

static void at(void *user, const char *node, const char *operation) {
    tuning *t = user;
    t->node = node;
    t->operation = operation;
}

static tl_status measure(tuning *t, tl__plan *plan) {
    tl_tuning how = {.size = sizeof how, .user = t, .candidate = on_candidate, .chosen = on_choice};
    return tl__plan_tune(plan, &how, t, at);
}

/* Plans are only measured, so they take no memory on the device. */
static tl_status inference(tuning *t, tl_precision precision) {
    tl__draw_options draw = {.batch = t->options.batch, .height = t->options.pixels, .width = t->options.pixels};
    tl__engine *engine = NULL;
    tl__runner *runner = NULL;
    tl_status status = tl__engine_create(t->model, t->device, &engine);
    if (status == TL_OK)
        status = tl__engine_set_precision(engine, precision);
    if (status == TL_OK) {
        engine->measure = true;
        draw.batch = tl__engine_chunk(engine, draw.batch); /* as many at once as inference takes */
        status = tl__runner_create(engine, &draw, TL__PART_WHOLE, NULL, &runner);
    }
    if (status == TL_OK)
        status = measure(t, runner->plans[0].plan);
    tl__runner_destroy(runner);
    tl__engine_destroy(engine);
    return status;
}

static tl_status training(tuning *t) {
    tl_train_options options;
    tl_stage stage;
    tl_trainer *trainer = NULL;
    tl__plan *plan;
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.train = "*";
    options.batch = t->options.batch;
    options.stages = &stage;
    options.stage_count = 1;
    tl_status status = tl_trainer_create(t->model, t->device, t->options.pixels, t->options.pixels, &options, &trainer);
    if (status == TL_OK) {
        trainer->engine->measure = true;
        status = tl__trainer_prepare(trainer, t->options.batch, &plan);
    }
    if (status == TL_OK)
        status = measure(t, plan);
    tl_trainer_destroy(trainer);
    return status;
}

tl_status tl_tune(tl_model *model, tl_device *device, const tl_tune_options *options, tl_tune_result *result) {
    tuning t = {.context = model->context, .model = model, .device = device};
    if (options)
        TL__TABLE_COPY(&t.options, options);
    t.options.batch = t.options.batch ? t.options.batch : 32;
    t.options.pixels = t.options.pixels ? t.options.pixels : 224;
    if (t.options.batch < 1 || t.options.batch > 65536 || t.options.pixels < 1 || t.options.pixels > 16384)
        return tl__fail(t.context, TL_ERROR_ARGUMENT, "a batch of %d images of %d pixels", t.options.batch, t.options.pixels);
    if (!device->ops.tune)
        return tl__fail(t.context, TL_UNSUPPORTED, "%s: its backend has nothing to choose", tl_device_name(device));
    if (t.options.precision != TL_PRECISION_FP32) /* first: it may be refused */
        TL__TRY(inference(&t, t.options.precision));
    TL__TRY(inference(&t, TL_PRECISION_FP32));
    TL__TRY(training(&t));
    tl_tune_result made = {.size = sizeof made, .forms = t.forms, .candidates = t.candidates};
    if (result)
        memcpy(result, &made, result->size < sizeof made ? result->size : sizeof made);
    return TL_OK;
}
