#include <stdlib.h>
#include <string.h>

#include <tl/bench.h>

#include "train/calibrate.h"
#include "train/runner.h"
#include "train/trainer.h"

#define MAX_STEPS    4096
#define LAYER_ROUNDS 5
#define CALIBRATION  4 /* made-up images are all alike */

typedef struct layer {
    const char *node, *op, *implementation;
    double seconds, flops;
} layer;

typedef struct bench {
    tl_context *context;
    tl_model *model;
    tl_bench_options options;
    tl__engine *engine; /* forward */
    tl__runner *runner;
    tl_trainer *trainer; /* training */
    uint8_t *rgb;
    int32_t *labels;
    float *logits;
    double *times;
    layer *layers; /* the plan's nodes, each at its fastest */
    size_t layer_count, layer_room, layer_at;
    tl_status layer_status;
} bench;

static tl_status step(bench *b) {
    if (b->runner)
        return tl__runner_run(b->runner, b->rgb, b->options.batch, b->logits);
    return tl_trainer_step(b->trainer, b->rgb, b->labels, b->options.batch, NULL);
}

static tl__plan *plan_of(const bench *b) {
    return b->runner ? b->runner->plans[0].plan : b->trainer->plans[0].plan;
}

static tl_status prepare(bench *b, tl_device *device) {
    int batch = b->options.batch, pixels = b->options.pixels;
    size_t bytes = (size_t)batch * (size_t)pixels * (size_t)pixels * 3;
    tl__random random;
    const size_t labels = tl__model_segments(b->model) ? bytes / 3 : (size_t)batch;
    b->rgb = tl__alloc(b->context, bytes);
    b->labels = tl__calloc(b->context, labels, sizeof *b->labels);
    b->logits = tl__calloc(b->context, labels * (size_t)b->model->options.classes, sizeof *b->logits);
    b->times = tl__calloc(b->context, MAX_STEPS, sizeof *b->times);
    if (!b->rgb || !b->labels || !b->logits || !b->times)
        return TL_ERROR_MEMORY;
    tl__random_start(&random, 0, 1);
    for (size_t i = 0; i < bytes; i++)
        b->rgb[i] = (uint8_t)tl__random_u32(&random);
    for (size_t i = 0; i < labels; i++)
        b->labels[i] = (int32_t)(i % (size_t)b->model->options.classes);
    if (b->options.mode == TL_BENCH_FORWARD) {
        tl__draw_options draw = {.batch = batch, .height = pixels, .width = pixels};
        TL__TRY(tl__engine_create(b->model, device, &b->engine));
        TL__TRY(tl__engine_set_precision(b->engine, b->options.precision));
        if (tl__calibration_missing(b->engine))
            TL__TRY(tl__calibrate(b->engine, &draw, NULL, b->rgb, batch < CALIBRATION ? batch : CALIBRATION));
        draw.batch = tl__engine_chunk(b->engine, batch);
        return tl__runner_create(b->engine, &draw, TL__PART_WHOLE, NULL, &b->runner);
    }
    tl_train_options options;
    tl_stage stage;
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.train = b->options.train;
    stage.lr = 1e-9; /* the values must not run away */
    options.batch = batch;
    options.precision = b->options.precision;
    options.stages = &stage;
    options.stage_count = 1;
    return tl_trainer_create(b->model, device, pixels, pixels, &options, &b->trainer);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void note(void *user, const char *node, const char *op, const char *implementation, double seconds, double flops) {
    bench *b = user;
    if (b->layer_at < b->layer_count) {
        layer *l = &b->layers[b->layer_at++];
        l->seconds = seconds < l->seconds ? seconds : l->seconds;
        return;
    }
    if (b->layer_status == TL_OK)
        b->layer_status = tl__grow(b->context, (void **)&b->layers, &b->layer_room, b->layer_count + 1, sizeof *b->layers);
    if (b->layer_status == TL_OK)
        b->layers[b->layer_count++] = (layer){node, op, implementation, seconds, flops};
    b->layer_at = b->layer_count;
}

static tl_status measure_layers(bench *b) {
    for (int round = 0; round < LAYER_ROUNDS; round++) {
        b->layer_at = 0;
        TL__TRY(tl__plan_run_timed(plan_of(b), b, note));
        TL__TRY(b->layer_status);
    }
    for (const layer *l = b->layers; l < b->layers + b->layer_count; l++)
        b->options.on_node(b->options.user, l->node, l->op, l->implementation, l->seconds, l->flops);
    return TL_OK;
}

/* What the arithmetic that the network runs in can do. */
static void measure_peak(const bench *b, tl_device *device, tl_bench_result *result) {
    static const struct {
        tl_precision precision;
        tl_dtype dtype;
        const char *name;
    } narrow[] = {{TL_PRECISION_BF16, TL_DTYPE_BF16, "bf16"}, {TL_PRECISION_INT8, TL_DTYPE_U8, "int8"}};
    for (size_t i = 0; i < TL__COUNT(narrow) && b->runner; i++) {
        if (b->options.precision != narrow[i].precision)
            continue;
        result->peak_flops = tl__device_peak(device, narrow[i].dtype);
        result->peak_type = narrow[i].name;
        if (result->peak_flops > 0)
            return;
    }
    result->peak_flops = tl__device_peak(device, TL_DTYPE_F32);
    result->peak_type = result->peak_flops > 0 ? "fp32" : NULL;
}

static tl_status measure(bench *b, tl_device *device, double start, tl_bench_result *result) {
    TL__TRY(step(b));
    result->first_seconds = tl__seconds() - start;
    tl__plan_log(plan_of(b));
    double begin = tl__seconds();
    int steps = 0;
    while (steps < 3 || (tl__seconds() - begin < b->options.seconds && steps < MAX_STEPS)) {
        double at = tl__seconds();
        TL__TRY(step(b));
        b->times[steps++] = tl__seconds() - at;
        if (tl__cancelled(b->context))
            return tl__fail(b->context, TL_CANCELLED, "cancelled after %d steps", steps);
    }
    qsort(b->times, (size_t)steps, sizeof *b->times, ascending);
    int images = b->runner ? b->runner->draw.batch : b->options.batch;
    result->steps = steps;
    result->images_per_second = b->options.batch / b->times[steps / 2];
    result->best_images_per_second = b->options.batch / b->times[0];
    result->flops_per_image = tl__plan_flops(plan_of(b)) / images;
    result->arena_bytes = tl__plan_bytes(plan_of(b));
    measure_peak(b, device, result);
    return b->options.on_node ? measure_layers(b) : TL_OK;
}

tl_status tl_bench(tl_model *model, tl_device *device, const tl_bench_options *options, tl_bench_result *result) {
    bench b = {.context = model->context, .model = model};
    tl_bench_result made = {.size = result->size};
    double start = tl__seconds();
    if (options)
        memcpy(&b.options, options, options->size < sizeof b.options ? options->size : sizeof b.options);
    b.options.batch = b.options.batch ? b.options.batch : 32;
    b.options.pixels = b.options.pixels ? b.options.pixels : 224;
    b.options.seconds = b.options.seconds > 0 ? b.options.seconds : 3;
    if (b.options.batch < 1 || b.options.batch > 65536 || b.options.pixels < 1 || b.options.pixels > 16384)
        return tl__fail(model->context, TL_ERROR_ARGUMENT, "a batch of %d images of %d pixels", b.options.batch, b.options.pixels);
    tl_status status = prepare(&b, device);
    if (status == TL_OK)
        status = measure(&b, device, start, &made);
    tl__runner_destroy(b.runner);
    tl__engine_destroy(b.engine);
    tl_trainer_destroy(b.trainer);
    tl__free(b.context, b.rgb);
    tl__free(b.context, b.labels);
    tl__free(b.context, b.logits);
    tl__free(b.context, b.times);
    tl__free(b.context, b.layers);
    if (status == TL_OK)
        memcpy(result, &made, made.size < sizeof made ? made.size : sizeof made);
    return status;
}
