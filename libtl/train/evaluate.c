#include "train/evaluate.h"

#include <math.h>
#include <string.h>

#include "train/judge.h"

tl_status tl__data_fits(const tl_model *model, const tl_dataset *dataset) {
    const bool masks = tl_dataset_has_masks(dataset), segments = tl__model_segments(model);
    if (masks && !segments)
        return tl__fail(model->context, TL_ERROR_DATA, "the data have masks, but the network's head tells images apart, not pixels");
    if (segments && !masks)
        return tl__fail(model->context, TL_ERROR_DATA, "the network's head tells pixels apart, but the data have no masks");
    return TL_OK;
}

tl_status tl__extent_check(tl_context *context, tl_extent extent) {
    if (extent != TL_EXTENT_WHOLE && extent != TL_EXTENT_CROP)
        return tl__fail(context, TL_ERROR_ARGUMENT, "extent = %d is unknown", (int)extent);
    return TL_OK;
}

/* Of so many images, which the runner takes a few at a time: logits of pixels are large. */
static tl_status tally_images(tl__runner *runner, const uint8_t *rgb, const int32_t *labels, int count, float *logits, tl__tally *tally) {
    const size_t rows = runner->output_count / (size_t)tally->classes; /* of each */
    for (int done = 0, now; done < count; done += now) {
        now = count - done < runner->draw.batch ? count - done : runner->draw.batch;
        TL__TRY(tl__runner_run(runner, rgb + (size_t)done * runner->input_bytes, now, logits));
        tl__tally_add(tally, logits, labels + (size_t)done * rows, (size_t)now * rows);
    }
    tally->sums.images += count;
    return TL_OK;
}

static tl_status run_images(tl__runner *runner, tl__loader *loader, size_t images, float *logits, tl__feature_progress progress, void *user, tl__tally *tally) {
    tl_context *context = runner->engine->model->context;
    TL__TRY(tl__loader_start(loader, NULL, images));
    for (size_t done = 0; done < images;) {
        const uint8_t *rgb;
        const int32_t *labels;
        int count;
        TL__TRY(tl__loader_next(loader, &rgb, &labels, NULL, &count));
        TL__TRY(tally_images(runner, rgb, labels, count, logits, tally));
        done += (size_t)count;
        progress(user, (int64_t)done, (int64_t)images);
        if (tl__cancelled(context))
            return tl__fail(context, TL_CANCELLED, "cancelled while evaluating: %zu of %zu images", done, images);
    }
    return TL_OK;
}

tl_status tl__evaluate_images(tl__runner *runner, tl__loader *loader, size_t images, tl__feature_progress progress, void *user, tl__tally *tally) {
    tl_context *context = runner->engine->model->context;
    float *logits = tl__calloc(context, (size_t)runner->draw.batch * runner->output_count, sizeof *logits);
    if (!logits)
        return TL_ERROR_MEMORY;
    tl_status status = run_images(runner, loader, images, logits, progress, user, tally);
    tl__free(context, logits);
    return status;
}

void tl__labels_gather(const tl_dataset *dataset, const uint8_t *targets, size_t each, const uint32_t *order, size_t first, int count,
                       int32_t *labels) {
    for (int i = 0; i < count; i++) {
        const size_t row = first + (order ? order[i] : (size_t)i);
        for (size_t k = 0; targets && k < each; k++)
            *labels++ = targets[row * each + k];
        if (!targets)
            *labels++ = tl_dataset_label(dataset, row % tl_dataset_size(dataset));
    }
}

static tl_status run_features(tl__runner *runner, const tl__features *features, int set, const tl_dataset *dataset, const uint8_t *targets,
                              float *rows, float *logits, int32_t *labels, tl__tally *tally) {
    const size_t images = features->images[set], batch = (size_t)runner->draw.batch, each = runner->output_count / (size_t)tally->classes;
    for (size_t first = 0; first < images; first += batch) {
        int count = images - first < batch ? (int)(images - first) : (int)batch;
        tl__labels_gather(dataset, targets, each, NULL, first, count, labels);
        tl__features_gather(features, set, NULL, first, count, rows);
        TL__TRY(tl__runner_run(runner, rows, count, logits));
        tl__tally_add(tally, logits, labels, (size_t)count * each);
        tally->sums.images += count;
    }
    return TL_OK;
}

tl_status tl__evaluate_features(tl__runner *runner, const tl__features *features, int set, const tl_dataset *dataset, const uint8_t *targets,
                                tl__tally *tally) {
    tl_context *context = runner->engine->model->context;
    const size_t batch = (size_t)runner->draw.batch;
    float *logits = tl__calloc(context, batch * runner->output_count, sizeof *logits);
    float *rows = logits ? tl__calloc(context, batch * features->count, sizeof *rows) : NULL;
    int32_t *labels = rows ? tl__calloc(context, batch * runner->output_count / (size_t)tally->classes, sizeof *labels) : NULL;
    tl_status status = labels ? run_features(runner, features, set, dataset, targets, rows, logits, labels, tally) : TL_ERROR_MEMORY;
    tl__free(context, logits);
    tl__free(context, rows);
    tl__free(context, labels);
    return status;
}

typedef struct reporter {
    const tl_evaluate_options *options;
    double start;
} reporter;

static void report(void *user, int64_t done, int64_t total) {
    const reporter *r = user;
    if (!r->options->on_progress)
        return;
    tl_progress progress = {.size = sizeof progress, .phase = TL_PHASE_VALIDATE, .done = done, .total = total, .loss = NAN, .seconds = tl__seconds() - r->start};
    r->options->on_progress(r->options->user, &progress);
}

static tl_status log_plan(void *user, const tl__plan *plan) {
    (void)user;
    tl__plan_log(plan);
    return TL_OK;
}

static tl_status evaluate_whole(tl_model *model, tl_device *device, const tl_dataset *dataset,
                                const tl_evaluate_options *options, tl__tally *tally) {
    tl__engine *engine = NULL;
    tl__judge *judge = NULL;
    reporter r = {options, tl__seconds()};
    tl_status status = tl__engine_create(model, device, &engine);
    if (status == TL_OK) {
        const tl__whole_options whole = {.engine = engine,
                                         .batch = tl__engine_chunk(engine, options->batch ? options->batch : 32),
                                         .tile = options->tile,
                                         .overlap = options->overlap};
        status = tl__judge_create(&(tl__judge_options){.whole = whole, .dataset = dataset, .workers = options->workers},
                                  &judge);
    }
    if (status == TL_OK)
        status = tl__judge_prepare(judge, NULL, log_plan);
    if (status == TL_OK)
        status = tl__judge_run(judge, report, &r, tally);
    tl__judge_destroy(judge);
    tl__engine_destroy(engine);
    return status;
}

/* The parts in the order in which they are made; each is destroyed where it was. */
static tl_status evaluate(tl_model *model, tl_device *device, const tl_dataset *dataset, const tl_evaluate_options *options, tl__tally *tally) {
    tl__engine *engine = NULL;
    tl__runner *runner = NULL;
    tl__loader *loader = NULL;
    int batch = options->batch ? options->batch : 32;
    reporter r = {options, tl__seconds()};
    tl_status status = tl__engine_create(model, device, &engine);
    if (status == TL_OK) {
        tl__draw_options draw = {.batch = tl__engine_chunk(engine, batch), .height = model->preprocess.crop, .width = model->preprocess.crop};
        status = tl__runner_create(engine, &draw, TL__PART_WHOLE, NULL, &runner);
    }
    if (status == TL_OK)
        tl__plan_log(runner->plans[0].plan);
    if (status == TL_OK)
        status = tl__loader_create(model->context, dataset, &model->preprocess, &(tl__loader_options){.batch = batch, .workers = options->workers}, &loader);
    if (status == TL_OK)
        status = tl__evaluate_images(runner, loader, tl_dataset_size(dataset), report, &r, tally);
    tl__loader_destroy(loader);
    tl__runner_destroy(runner);
    tl__engine_destroy(engine);
    return status;
}

tl_status tl_evaluate(tl_model *model, tl_device *device, const tl_dataset *dataset, const tl_evaluate_options *options, tl_score *score, int64_t *confusion) {
    tl_context *context = model->context;
    tl_evaluate_options o = {0};
    if (options)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    if (o.batch < 0 || o.batch > 65536)
        return tl__fail(context, TL_ERROR_ARGUMENT, "batch = %d is not 1 to 65536", o.batch);
    TL__TRY(tl__extent_check(context, o.extent));
    TL__TRY(tl__data_fits(model, dataset));
    int classes = model->options.classes;
    if (model->classes)
        TL__TRY(tl_dataset_match(context, dataset, (const char *const *)model->classes, (size_t)classes));
    else if (tl_dataset_class_count(dataset) != (size_t)classes)
        return tl__fail(context, TL_ERROR_DATA, "the data have %zu classes, the model %d", tl_dataset_class_count(dataset), classes);
    int64_t *own = confusion ? NULL : tl__alloc(context, (size_t)classes * (size_t)classes * sizeof *own);
    tl__tally tally = {.confusion = confusion ? confusion : own, .classes = classes, .pixels = tl__model_segments(model)};
    if (!tally.confusion)
        return TL_ERROR_MEMORY;
    memset(tally.confusion, 0, (size_t)classes * (size_t)classes * sizeof *confusion);
    const bool whole = tally.pixels && o.extent == TL_EXTENT_WHOLE;
    tl_status status = (whole ? evaluate_whole : evaluate)(model, device, dataset, &o, &tally);
    if (status == TL_OK)
        *score = tl__tally_score(&tally);
    tl__free(context, own);
    return status;
}
