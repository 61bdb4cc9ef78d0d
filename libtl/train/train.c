#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/augment.h"
#include "train/calibrate.h"
#include "train/evaluate.h"
#include "train/judge.h"
#include "train/proof.h"
#include "train/trainer.h"

#define PIXEL_CACHE ((size_t)64 << 20) /* decoded images kept between epochs */
#define SHUFFLE_PURPOSE 0x73687566ull

/* All that one call of tl_train has made. */
typedef struct run {
    tl_context *context;
    tl_model *model;
    const tl_dataset *train, *val;
    const tl_train_options *options; /* the trainer's, complete */
    tl_augment augment;              /* theirs, checked */
    tl_trainer *trainer;
    tl__loader *loader, *val_loader;
    tl__features *features; /* of both sets; NULL: steps read images */
    char *folder;           /* where they are kept; NULL: in memory */
    bool *changed;          /* by parameter: some stage trains or moves it */
    tl__proof proof;        /* of the others */
    tl__runner *val_runner;
    tl__judge *judge; /* of val as whole images; NULL: there is val_loader */
    uint32_t *order;
    float *rows;     /* a batch of features */
    int32_t *labels; /* and its labels, of images or pixels */
    size_t each;     /* labels of an image */
    uint8_t *targets[TL__FEATURE_SETS]; /* of a segmenter that reads features: all labels of both sets */
    int64_t *confusion; /* of val, this epoch's */
    int epoch, epochs;
    tl_progress progress;
    double phase_start;
    tl_epoch best, last;
    bool dry;                  /* make ready, run nothing */
    int *largest;              /* with dry: find the largest batch up to this one */
    char *plans;               /* reports of this stage's plans */
    uint64_t activation_bytes; /* of the largest of them */
} run;

static void report_progress(void *user, int64_t done, int64_t total) {
    run *r = user;
    r->progress.done = done;
    r->progress.total = total;
    r->progress.seconds = tl__seconds() - r->phase_start;
    if (r->options->on_progress)
        r->options->on_progress(r->options->user, &r->progress);
}

static void begin_phase(run *r, tl_phase phase) {
    r->progress = (tl_progress){.size = sizeof r->progress, .phase = phase, .stage_index = (int)r->trainer->stage,
                                .epoch = r->epoch, .epochs = r->epochs, .loss = NAN};
    r->phase_start = tl__seconds();
}

static tl_status note_plan(run *r, const tl__plan *plan) {
    uint64_t bytes = tl__plan_device_bytes(plan);
    char *longer = tl__printf(r->context, "%s%s", r->plans ? r->plans : "", tl__plan_report(plan));
    if (!longer)
        return TL_ERROR_MEMORY;
    tl__free(r->context, r->plans);
    r->plans = longer;
    r->activation_bytes = bytes > r->activation_bytes ? bytes : r->activation_bytes;
    return TL_OK;
}

/* ---- features ---- */

static void drop_features(run *r) {
    tl__features_destroy(r->features);
    r->features = NULL;
    tl__free(r->context, r->rows);
    r->rows = NULL;
    for (int s = 0; s < TL__FEATURE_SETS; s++) {
        tl__free(r->context, r->targets[s]);
        r->targets[s] = NULL;
    }
}

static tl_status read_labels(run *r, tl__loader *loader, size_t images, uint8_t **out) {
    TL__TRY(tl__loader_start(loader, NULL, images));
    for (size_t done = 0; done < images;) {
        const int32_t *labels;
        int count;
        TL__TRY(tl__loader_next(loader, NULL, &labels, NULL, &count));
        for (size_t i = 0; i < (size_t)count * r->each; i++)
            *(*out)++ = (uint8_t)labels[i];
        done += (size_t)count;
        if (tl__cancelled(r->context))
            return tl__fail(r->context, TL_CANCELLED, "cancelled while reading masks: %zu of %zu", done, images);
    }
    return TL_OK;
}

/* Masks are small beside features: they stay in memory, whether the features were computed or found. Images need not be
 * decoded once more for them, unless they change with them. */
static tl_status read_targets(run *r, int set, const tl_dataset *dataset) {
    const size_t images = tl_dataset_size(dataset);
    const size_t views = set == 0 ? r->features->views : 1;
    uint8_t *out = r->targets[set] = tl__calloc(r->context, images * views, r->each);
    if (!out)
        return TL_ERROR_MEMORY;
    if (set == 0 && tl_augment_is_random(r->options->augment)) {
        tl_status status = TL_OK;
        for (size_t view = 0; view < views && status == TL_OK; view++) {
            tl__loader_set_epoch(r->loader, view);
            status = read_labels(r, r->loader, images, &out);
        }
        return status;
    }
    const tl__loader_options loading = {.batch = r->options->batch, .workers = r->options->workers, .labels_only = true};
    tl__loader *loader;
    TL__TRY(tl__loader_create(r->context, dataset, &r->model->preprocess, &loading, &loader));
    tl_status status = read_labels(r, loader, images, &out);
    tl__loader_destroy(loader);
    return status;
}

static tl_status settle_proof(void *user) {
    return tl__proof_settle(&((run *)user)->proof);
}

static void begin_features_phase(void *user) {
    begin_phase(user, TL_PHASE_FEATURES);
}

static tl_status note_features_plan(void *user, const tl__plan *plan) {
    return note_plan(user, plan);
}

static tl_status make_features(run *r, char reason[128]) {
    tl__engine *engine = r->trainer->engine;
    const tl_train_options *o = r->options;
    tl__feature_request request = {.engine = engine,
                                   .draw = tl__trainer_draw(r->trainer, tl__engine_chunk(engine, o->batch)),
                                   .cut = r->trainer->cut,
                                   .sets = {r->train, r->judge ? NULL : r->val},
                                   .loaders = {r->loader, r->val_loader},
                                   .augment = tl_augment_is_random(o->augment) ? &r->augment : NULL,
                                   .batch = o->batch,
                                   .folder = r->folder,
                                   .limit = o->cache_limit,
                                   .memory = tl__feature_memory(r->folder ? 0 : o->cache_limit),
                                   .user = r,
                                   .certain = settle_proof,
                                   .planned = note_features_plan,
                                   .begin = begin_features_phase,
                                   .progress = report_progress};
    TL__TRY(tl__features_create(&request, &r->features, reason));
    if (!r->features)
        return TL_OK;
    r->rows = tl__alloc(r->context, (size_t)o->batch * r->features->count * sizeof *r->rows);
    if (!r->rows)
        return TL_ERROR_MEMORY;
    for (int s = 0; s < TL__FEATURE_SETS && request.sets[s] && tl__model_segments(r->model); s++)
        TL__TRY(read_targets(r, s, request.sets[s]));
    return TL_OK;
}

/* Without computing any: they are taken to have room in a folder. */
static tl_status rehearse_features(run *r, tl_stage_report *report, char reason[128]) {
    const tl_train_options *o = r->options;
    const tl__cut *cut = &r->trainer->cut;
    tl__draw_options draw = tl__trainer_draw(r->trainer, tl__engine_chunk(r->trainer->engine, o->batch));
    tl__runner *runner;
    TL__TRY(tl__runner_create(r->trainer->engine, &draw, TL__PART_FEATURES, cut, &runner));
    uint64_t views = tl_augment_is_random(o->augment) ? (uint64_t)r->augment.views : 1;
    uint64_t images = views * tl_dataset_size(r->train) + (r->val && !r->judge ? tl_dataset_size(r->val) : 0),
             bytes = images * runner->output_count * sizeof(float);
    report->features_cached = o->cache_folder || bytes <= tl__feature_memory(o->cache_limit);
    char names[96];
    tl__feature_reason(reason, tl__runner_cut_text(runner, names, sizeof names), bytes, report->features_cached);
    tl_status status = note_plan(r, runner->plans[0].plan);
    tl__runner_destroy(runner);
    return status;
}

/* Decides whether this stage's steps read features, and computes them unless those of the stage before serve.
 * *reason: up to where, or why not. */
static tl_status begin_features(run *r, tl_stage_report *report, char reason[128]) {
    const tl_trainer *trainer = r->trainer;
    const bool random = tl_augment_is_random(r->options->augment) && !r->augment.views;
    bool wanted = r->options->cache_features && trainer->cut.count > 0 && !random;
    report->cache = reason;
    if (!wanted)
        snprintf(reason, 128, "%s", !r->options->cache_features ? "switched off" : random ? "the images change at random" : trainer->cut_reason);
    if (wanted && r->dry)
        return rehearse_features(r, report, reason);
    bool serve = wanted && r->features && tl__cut_equal(&r->features->cut, &trainer->cut);
    if (!serve)
        drop_features(r);
    if (wanted && !serve)
        TL__TRY(make_features(r, reason));
    if (!r->features)
        return TL_OK;
    if (serve)
        snprintf(reason, 128, "%s", r->features->key.name);
    report->features_cached = true;
    report->feature_images = r->features->total;
    report->feature_images_found = serve ? r->features->total : r->features->found;
    report->cache_file = tl__features_file(r->features);
    return TL_OK;
}

/* ---- one stage ---- */

static void count_parameters(const tl_model *model, tl_stage_report *report) {
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl__parameter *p = model->parameters[i];
        int64_t count = tl__desc_count(&p->desc);
        report->tensors++;
        report->parameters += tl__parameter_is_buffer(p) ? 0 : count;
        report->trainable_tensors += p->trains;
        report->trainable += p->trains ? count : 0;
    }
}

static void tell_memory(const run *r, tl_stage_report *report) {
    tl__memory memory = tl__engine_memory(r->trainer->engine);
    report->frozen_bytes = memory.frozen;
    report->state_bytes = memory.state;
    report->activation_bytes = r->activation_bytes;
    report->device_bytes = r->trainer->engine->device->properties.memory;
    report->device_buffer_bytes = memory.largest_buffer;
}

static tl_status begin_val(run *r, bool from_features) {
    const tl_trainer *trainer = r->trainer;
    if (r->judge) {
        const tl_train_options *o = r->options;
        const uint64_t all = o->cache_features ? tl__feature_memory(o->cache_folder ? 0 : o->cache_limit) : 0,
                       taken = r->features ? r->features->memory : 0;
        const bool uncalibrated = trainer->engine->storage == TL_DTYPE_U8 && !r->features;
        const tl__whole_cache_options cache = {.folder = uncalibrated ? NULL : r->folder,
                                               .limit = o->cache_limit,
                                               .beside = r->features ? tl__features_file(r->features) : NULL,
                                               .user = r,
                                               .certain = settle_proof};
        TL__TRY(tl__judge_stage(r->judge, &trainer->cut, all > taken ? all - taken : 0, &cache));
        return tl__judge_prepare(r->judge, r, note_features_plan);
    }
    if (!r->val)
        return TL_OK;
    /* logits of pixels are large */
    int at_once = from_features && !tl__model_segments(r->model) ? r->options->batch : tl__engine_chunk(trainer->engine, r->options->batch);
    tl__draw_options draw = tl__trainer_draw(trainer, at_once);
    TL__TRY(tl__runner_create(trainer->engine, &draw, from_features ? TL__PART_REST : TL__PART_WHOLE, &trainer->cut, &r->val_runner));
    return note_plan(r, r->val_runner->plans[0].plan);
}

static tl_status begin_stage(run *r, size_t index) {
    tl_trainer *trainer = r->trainer;
    char reason[128];
    int count = tl_dataset_size(r->train) < (size_t)r->options->batch ? (int)tl_dataset_size(r->train) : r->options->batch;
    tl__runner_destroy(r->val_runner);
    r->val_runner = NULL;
    if (r->judge)
        tl__judge_rest(r->judge);
    if (index > 0)
        TL__TRY(tl_trainer_stage(trainer, index));
    tl_stage_report report = {.size = sizeof report, .stage = trainer->stages[index].name, .stage_index = (int)index};
    count_parameters(r->model, &report);
    tl__free(r->context, r->plans);
    r->plans = NULL;
    r->activation_bytes = 0;
    TL__TRY(begin_features(r, &report, reason));
    tl__trainer_use_features(trainer, report.features_cached);
    if (r->largest)
        return tl__trainer_largest(trainer, *r->largest, r->largest);
    if (!report.features_cached && !r->dry && trainer->cut.count && tl__calibration_missing(trainer->engine)) {
        tl__draw_options draw = tl__trainer_draw(trainer, 1);
        TL__TRY(tl__calibrate_on(trainer->engine, &draw, &trainer->cut, r->train, r->loader));
    }
    tl__plan *plan;
    TL__TRY(tl__trainer_prepare(trainer, count, &plan));
    TL__TRY(note_plan(r, plan));
    TL__TRY(begin_val(r, report.features_cached));
    report.plan = r->plans;
    tell_memory(r, &report);
    if (r->options->on_stage)
        r->options->on_stage(r->options->user, &report);
    return TL_OK;
}

/* ---- one epoch ---- */

static void shuffle(run *r) {
    tl__random random;
    size_t count = tl_dataset_size(r->train);
    for (size_t i = 0; i < count; i++)
        r->order[i] = (uint32_t)i;
    if (!r->options->shuffle)
        return;
    tl__random_start(&random, r->options->seed, SHUFFLE_PURPOSE + (uint64_t)r->epoch);
    tl__random_shuffle(&random, r->order, count);
}

/* The next batch, as images or features. */
static tl_status next_batch(run *r, size_t first, const void **input, const int32_t **labels, int *count) {
    size_t left = tl_dataset_size(r->train) - first;
    if (!r->features) {
        const uint8_t *rgb;
        TL__TRY(tl__loader_next(r->loader, &rgb, labels, NULL, count));
        *input = rgb;
        return TL_OK;
    }
    *count = left < (size_t)r->options->batch ? (int)left : r->options->batch;
    const size_t view = (size_t)r->epoch % r->features->views * tl_dataset_size(r->train);
    tl__labels_gather(r->train, r->targets[0], r->each, r->order + first, view, *count, r->labels);
    tl__features_gather(r->features, 0, r->order + first, view, *count, r->rows);
    *input = r->rows;
    *labels = r->labels;
    return TL_OK;
}

static tl_status train_epoch(run *r, tl_score *score) {
    size_t images = tl_dataset_size(r->train);
    tl__sums sums = {0};
    begin_phase(r, TL_PHASE_TRAIN);
    shuffle(r);
    if (!r->features) {
        tl__loader_set_epoch(r->loader, (uint64_t)r->epoch);
        TL__TRY(tl__loader_start(r->loader, r->order, images));
    }
    for (size_t done = 0; done < images;) {
        const void *input;
        const int32_t *labels;
        int count;
        tl__sums step;
        TL__TRY(next_batch(r, done, &input, &labels, &count));
        TL__TRY(tl__trainer_step(r->trainer, input, labels, count, &step));
        tl__sums_add(&sums, &step);
        done += (size_t)count;
        r->progress.loss = tl__sums_score(&sums, false).loss;
        report_progress(r, (int64_t)done, (int64_t)images);
        if (tl__cancelled(r->context))
            return tl__fail(r->context, TL_CANCELLED, "cancelled in epoch %d after %zu of %zu images", r->epoch, done, images);
    }
    *score = tl__sums_score(&sums, tl__model_segments(r->model));
    return TL_OK;
}

static tl_status validate(run *r, tl_score *score) {
    size_t classes = (size_t)r->model->options.classes;
    tl__tally tally = {.confusion = r->confusion, .classes = (int)classes, .pixels = tl__model_segments(r->model)};
    memset(r->confusion, 0, classes * classes * sizeof *r->confusion);
    begin_phase(r, TL_PHASE_VALIDATE);
    if (r->judge)
        TL__TRY(tl__judge_run(r->judge, report_progress, r, &tally));
    else if (r->features)
        TL__TRY(tl__evaluate_features(r->val_runner, r->features, 1, r->val, r->targets[1], &tally));
    else
        TL__TRY(tl__evaluate_images(r->val_runner, r->val_loader, tl_dataset_size(r->val), report_progress, r, &tally));
    *score = tl__tally_score(&tally);
    return TL_OK;
}

static bool is_better(const run *r, const tl_epoch *epoch) {
    if (!r->best.size)
        return true;
    if (!r->val)
        return epoch->train.loss < r->best.train.loss;
    if (tl__model_segments(r->model) && epoch->val.mean_iou != r->best.val.mean_iou)
        return epoch->val.mean_iou > r->best.val.mean_iou;
    if (epoch->val.accuracy != r->best.val.accuracy)
        return epoch->val.accuracy > r->best.val.accuracy;
    return epoch->val.loss < r->best.val.loss;
}

static tl_status run_epoch(run *r, size_t stage, int stage_epoch) {
    double start = tl__seconds();
    r->epoch++;
    tl_epoch epoch = {.size = sizeof epoch, .stage = r->trainer->stages[stage].name, .stage_index = (int)stage, .epoch = r->epoch,
                      .epochs = r->epochs, .stage_epoch = stage_epoch, .confusion = r->confusion};
    const tl_stage *of = &r->trainer->stages[stage];
    epoch.lr = of->lr * tl__stage_factor(of, r->trainer->stage_steps);
    TL__TRY(train_epoch(r, &epoch.train));
    if (r->val)
        TL__TRY(validate(r, &epoch.val));
    TL__TRY(tl_trainer_sync(r->trainer));
    epoch.best = is_better(r, &epoch);
    epoch.seconds = tl__seconds() - start;
    r->last = epoch;
    r->last.confusion = NULL; /* lives as long as the callback */
    if (epoch.best)
        r->best = r->last;
    return r->options->on_epoch ? r->options->on_epoch(r->options->user, &epoch, r->model) : TL_OK;
}

/* ---- the whole ---- */

static tl_status check_data(run *r) {
    size_t classes = tl_dataset_class_count(r->train);
    TL__TRY(tl__data_fits(r->model, r->train));
    if (r->val)
        TL__TRY(tl__data_fits(r->model, r->val));
    if (classes < 2)
        return tl__fail(r->context, TL_ERROR_DATA, "there is only one class, \"%s\": nothing to tell apart", tl_dataset_class(r->train, 0));
    if (classes != (size_t)r->model->options.classes)
        return tl__fail(r->context, TL_ERROR_DATA, "the data have %zu classes, the model %d", classes, r->model->options.classes);
    if (r->val)
        TL__TRY(tl_dataset_match(r->context, r->val, tl_dataset_classes(r->train), classes));
    return tl_model_set_classes(r->model, tl_dataset_classes(r->train), (int)classes);
}

static tl_status find_folder(run *r) {
    const char *folder = r->options->cache_folder;
    if (!folder || !r->options->cache_features)
        return TL_OK;
    if (!*folder)
        return tl__cache_default_folder(r->context, &r->folder);
    r->folder = tl__strdup(r->context, folder);
    return r->folder ? TL_OK : TL_ERROR_MEMORY;
}

static tl_status make_judge(run *r) {
    const tl_train_options *o = r->options;
    tl__engine *engine = r->trainer->engine;
    const tl__judge_options judging = {
        .whole = {.engine = engine, .batch = tl__engine_chunk(engine, o->batch), .tile = o->tile, .overlap = o->overlap},
        .dataset = r->val, .workers = o->workers};
    return tl__judge_create(&judging, &r->judge);
}

static tl_status prepare(run *r, tl_device *device, const tl_train_options *options) {
    const tl_preprocess *preprocess = &r->model->preprocess;
    TL__TRY(check_data(r));
    TL__TRY(tl_trainer_create(r->model, device, preprocess->crop, preprocess->crop, options, &r->trainer));
    r->options = &r->trainer->options;
    int64_t steps = ((int64_t)tl_dataset_size(r->train) + r->options->batch - 1) / r->options->batch;
    for (size_t i = 0; i < r->options->stage_count; i++) {
        tl_stage *stage = &r->trainer->stages[i];
        r->epochs += stage->epochs;
        stage->steps = stage->steps ? stage->steps : stage->epochs * steps;
    }
    if (r->options->augment)
        TL__TRY(tl__augment_take(r->context, r->options->augment, &r->augment));
    TL__TRY(tl__extent_check(r->context, r->options->extent));
    if (r->val && tl__model_segments(r->model) && r->options->extent == TL_EXTENT_WHOLE)
        TL__TRY(make_judge(r));
    if (r->dry)
        return TL_OK;
    r->order = tl__alloc(r->context, tl_dataset_size(r->train) * sizeof *r->order);
    r->each = tl__model_segments(r->model) ? (size_t)preprocess->crop * (size_t)preprocess->crop : 1;
    r->labels = tl__calloc(r->context, (size_t)r->options->batch * r->each, sizeof *r->labels);
    if (!r->order || !r->labels)
        return TL_ERROR_MEMORY;
    size_t classes = (size_t)r->model->options.classes;
    if (r->val && !(r->confusion = tl__alloc(r->context, classes * classes * sizeof *r->confusion)))
        return TL_ERROR_MEMORY;
    tl__loader_options loading = {.batch = r->options->batch, .workers = r->options->workers, .cache_bytes = PIXEL_CACHE};
    loading.augment = r->options->augment;
    TL__TRY(tl__loader_create(r->context, r->train, preprocess, &loading, &r->loader));
    loading.augment = NULL;
    if (r->val && !r->judge)
        TL__TRY(tl__loader_create(r->context, r->val, preprocess, &loading, &r->val_loader));
    return find_folder(r);
}

/* Patterns of all stages are tried first, so that a mistake in the last one does not cost the hours before it; which
 * tells what no stage will change. */
static tl_status find_changed(run *r) {
    const tl_train_options *o = r->options;
    for (size_t s = o->stage_count; s-- > 0;) {
        TL__TRY(tl__stage_mark(r->model, &r->trainer->stages[s], o->bn));
        for (size_t i = 0; i < r->model->parameter_count; i++)
            r->changed[i] |= tl__parameter_live(r->model->parameters[i]);
    }
    return TL_OK;
}

static void release(run *r) {
    tl__loader_destroy(r->loader);
    tl__loader_destroy(r->val_loader);
    drop_features(r);
    tl__runner_destroy(r->val_runner);
    tl__judge_destroy(r->judge);
    tl_trainer_destroy(r->trainer);
    tl__free(r->context, r->order);
    tl__free(r->context, r->labels);
    tl__free(r->context, r->confusion);
    tl__free(r->context, r->plans);
    tl__free(r->context, r->folder);
    tl__free(r->context, r->changed);
    tl__proof_release(&r->proof);
}

static tl_status train(run *r, tl_train_result *result) {
    TL__TRY(find_changed(r));
    TL__TRY(tl__proof_begin(r->model, r->changed, r->folder, &r->proof));
    for (size_t stage = 0; stage < r->options->stage_count; stage++) {
        TL__TRY(begin_stage(r, stage));
        for (int epoch = 1; epoch <= r->trainer->stages[stage].epochs; epoch++)
            TL__TRY(run_epoch(r, stage, epoch));
    }
    TL__TRY(tl__proof_end(&r->proof));
    result->frozen_tensors = r->proof.count;
    tl__hash_text(r->proof.hash, result->frozen_hash);
    return TL_OK;
}

tl_status tl_train(tl_model *model, tl_device *device, const tl_dataset *train_set, const tl_dataset *val,
                   const tl_train_options *options, tl_train_result *result) {
    run r = {.context = model->context, .model = model, .train = train_set, .val = val};
    tl_train_result made = {.size = sizeof made};
    double start = tl__seconds();
    r.changed = tl__calloc(model->context, model->parameter_count, sizeof *r.changed);
    if (!r.changed)
        return TL_ERROR_MEMORY;
    tl_status status = prepare(&r, device, options);
    if (status == TL_OK)
        status = train(&r, &made);
    if (status != TL_OK && r.trainer && r.trainer->steps) {
        char message[sizeof model->context->message];
        memcpy(message, model->context->message, sizeof message);
        tl_trainer_sync(r.trainer); /* what it had learned; the failure to report is the first one */
        memcpy(model->context->message, message, sizeof message);
    }
    release(&r);
    if (status == TL_OK && result) {
        made.last = r.last;
        made.best = r.best;
        made.seconds = tl__seconds() - start;
        size_t size = result->size;
        memcpy(result, &made, size < sizeof made ? size : sizeof made);
        result->size = size;
    }
    return status;
}

/* ---- without training ---- */

static tl_status rehearse(run *r, tl_device *device, const tl_train_options *options) {
    TL__TRY(prepare(r, device, options));
    if (r->largest) {
        r->trainer->engine->measure = true;
        if (tl__device_is_own_cpu(device))
            r->trainer->engine->allowed = tl__free_memory() / 2;
    }
    TL__TRY(find_changed(r));
    for (size_t stage = 0; stage < r->options->stage_count; stage++) {
        TL__TRY(begin_stage(r, stage));
        if (r->largest && *r->largest == 0)
            return tl__fail(r->context, TL_ERROR_MEMORY, "stage %s: not even one image at a time fits %s",
                            r->trainer->stages[stage].name, tl_device_name(device));
    }
    return TL_OK;
}

static tl_status rehearsal(run *r, tl_device *device, const tl_train_options *options) {
    r->changed = tl__calloc(r->context, r->model->parameter_count, sizeof *r->changed);
    r->dry = true;
    tl_status status = r->changed ? rehearse(r, device, options) : TL_ERROR_MEMORY;
    release(r);
    return status;
}

tl_status tl_train_dry_run(tl_model *model, tl_device *device, const tl_dataset *train_set, const tl_dataset *val,
                           const tl_train_options *options) {
    run r = {.context = model->context, .model = model, .train = train_set, .val = val};
    return rehearsal(&r, device, options);
}

tl_status tl_train_largest_batch(tl_model *model, tl_device *device, const tl_dataset *train_set, const tl_dataset *val,
                                 const tl_train_options *options, int limit, int *batch) {
    size_t images = tl_dataset_size(train_set);
    int largest = (size_t)limit < images ? limit : (int)images;
    run r = {.context = model->context, .model = model, .train = train_set, .val = val, .largest = &largest};
    tl_train_options own;
    tl_train_options_init(&own, sizeof own);
    if (options)
        memcpy(&own, options, options->size < sizeof own ? options->size : sizeof own);
    if (limit < 1)
        return tl__fail(r.context, TL_ERROR_ARGUMENT, "batches up to %d", limit);
    own.size = sizeof own;
    own.batch = largest;
    TL__TRY(rehearsal(&r, device, &own));
    *batch = largest;
    return TL_OK;
}
