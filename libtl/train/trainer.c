#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "train/calibrate.h"

#define AUXILIARY 0.5f /* what the auxiliary classifier's loss counts */

void tl_train_options_init(tl_train_options *options, size_t size) {
    tl_train_options defaults = {.size = size, .batch = 32, .shuffle = true, .bn = TL_BN_EVAL, .cache_features = true};
    memcpy(options, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

tl__draw_options tl__trainer_draw(const tl_trainer *trainer, int count) {
    return (tl__draw_options){.batch = count, .height = trainer->height, .width = trainer->width, .training = true, .bn = trainer->options.bn};
}

static void drop_plans(tl_trainer *trainer) {
    for (int i = 0; i < 2; i++) {
        tl__plan_destroy(trainer->plans[i].plan);
        trainer->plans[i] = (struct tl__step_plan){0};
    }
    trainer->last = NULL;
}

void tl__trainer_use_features(tl_trainer *trainer, bool features) {
    if (features != trainer->features)
        drop_plans(trainer);
    trainer->features = features;
}

/* Of the output and, where there is one, the auxiliary classifier; returns the last, up to which the backward pass goes. */
static int add_losses(const tl_trainer *trainer, tl__graph *graph, struct tl__step_plan *p) {
    const tl_stage *stage = &trainer->stages[trainer->stage];
    const int outputs[2] = {p->logits, p->auxiliary}, ignored = tl__model_segments(trainer->model) ? TL_IGNORED : -1;
    const float parts[2] = {1, AUXILIARY};
    static const char *const names[2][2] = {{"loss", "dice"}, {"aux_loss", "aux_dice"}};
    int *const losses[2][2] = {{&p->loss, &p->dice}, {&p->second_loss, &p->second_dice}};
    int last = -1;
    const tl_tensor_desc classes = tl__desc1(TL_DTYPE_F32, trainer->model->options.classes);
    const int weights = stage->class_weights ? tl__graph_table(graph, classes, stage->class_weights, "class weights") : -1;
    for (int i = 0; i < 2 && outputs[i] >= 0; i++) {
        last = *losses[i][0] = tl__cross_entropy(graph, outputs[i], p->target, weights, names[i][0], ignored, 0, parts[i]);
        if (stage->dice > 0)
            last = *losses[i][1] = tl__dice(graph, outputs[i], p->target, names[i][1], ignored, (float)(parts[i] * stage->dice));
    }
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++)
            if (*losses[i][k] >= 0)
                graph->values[*losses[i][k]].keep = true;
    return last;
}

/* Forward, loss, backward and the update in one graph. */
static void add_step(tl_trainer *trainer, tl__graph *graph, int count, struct tl__step_plan *p) {
    const tl__store *store = trainer->engine->store;
    int64_t segments = (int64_t)store->segment_count, total = store->bounds[store->segment_count];
    if (graph->status != TL_OK)
        return;
    const int64_t *map = graph->values[p->logits].desc.shape;
    p->target = tl__graph_input(graph, tl__desc(TL_DTYPE_I32, 3, (const int64_t[]){count, map[1], map[2]}), "target");
    if (tl__graph_backward(graph, add_losses(trainer, graph, p)) != TL_OK)
        return;
    graph->values[p->logits].keep = true;
    int bounds = tl__graph_table(graph, tl__desc1(TL_DTYPE_I64, segments + 1), store->bounds, "segments");
    p->table = tl__graph_input(graph, tl__desc(TL_DTYPE_F32, 2, (const int64_t[]){segments, 8}), "rates");
    const int operands[] = {tl__graph_flat(graph, TL__FLAT_PARAMETERS, total), tl__graph_flat(graph, TL__FLAT_GRADIENTS, total),
                            tl__graph_flat(graph, TL__FLAT_MOMENT1, total), tl__graph_flat(graph, TL__FLAT_MOMENT2, total), bounds, p->table};
    tl__graph_node(graph, &(tl_op_desc){.op = TL_OP_ADAM}, "adam", operands, 0);
}

/* An auxiliary classifier that neither trains nor is led to by what does would add a constant to the loss. */
static tl_status leave_out_auxiliary(const tl__graph *graph, int *auxiliary) {
    bool frozen = false;
    if (*auxiliary >= 0)
        TL__TRY(tl__graph_is_frozen(graph, *auxiliary, &frozen));
    if (frozen)
        *auxiliary = -1;
    return TL_OK;
}

static tl_status make_plan(tl_trainer *trainer, int count, struct tl__step_plan *out) {
    tl__draw_options draw = tl__trainer_draw(trainer, count);
    tl__graph *graph;
    tl__drawn drawn;
    TL__TRY(tl__model_draw(trainer->model, &draw, &graph, &drawn));
    struct tl__step_plan p = {.count = count, .inputs = tl__cut_at(drawn.input), .logits = drawn.logits, .counter = drawn.counter,
                             .auxiliary = drawn.auxiliary, .second_loss = -1, .dice = -1, .second_dice = -1};
    tl_status status = leave_out_auxiliary(graph, &p.auxiliary);
    if (status != TL_OK) {
        tl__graph_destroy(graph);
        return status;
    }
    if (trainer->features) {
        p.inputs = trainer->cut;
        tl__graph_cut(graph, &p.inputs);
    } else if (trainer->cut.count) {
        tl__engine_store_in(trainer->engine, graph, trainer->cut.values[0]);
    }
    add_step(trainer, graph, count, &p);
    TL__TRY(tl__engine_plan(trainer->engine, graph, "training step", count, &p.plan));
    status = tl__rows_ready(&trainer->rows, p.plan, &p.inputs);
    if (status != TL_OK) {
        tl__plan_destroy(p.plan);
        return status;
    }
    *out = p;
    return TL_OK;
}

static tl_status plan_for(tl_trainer *trainer, int count, struct tl__step_plan **out) {
    struct tl__step_plan *p = &trainer->plans[count != trainer->options.batch], made;
    if (p->count != count) {
        tl_status status = make_plan(trainer, count, &made);
        if (status != TL_OK && trainer->engine->too_large)
            tl__trainer_say_what_fits(trainer, count);
        TL__TRY(status);
        tl__plan_destroy(p->plan);
        *p = made;
    }
    *out = p;
    return TL_OK;
}

tl_status tl__trainer_fits(tl_trainer *trainer, int count, bool *fits) {
    struct tl__step_plan p = {0};
    bool before = trainer->engine->measure;
    trainer->engine->measure = true;
    tl_status status = make_plan(trainer, count, &p);
    trainer->engine->measure = before;
    tl__plan_destroy(p.plan);
    *fits = status == TL_OK;
    /* too few for statistics of the batch is as bad as too many for the memory */
    return trainer->engine->too_large || status == TL_ERROR_DATA ? TL_OK : status;
}

tl_status tl__trainer_prepare(tl_trainer *trainer, int count, tl__plan **plan) {
    struct tl__step_plan *p;
    TL__TRY(plan_for(trainer, count, &p));
    *plan = p->plan;
    return TL_OK;
}

/* What is not frozen is always stored in f32. */
static tl_status choose_storage(tl_trainer *trainer) {
    tl_precision precision = trainer->options.precision;
    if (precision != TL_PRECISION_FP32 && !trainer->cut.count) {
        tl__log(trainer->context, TL_LOG_WARNING, "precision is fp32 here: %s", trainer->cut_reason);
        precision = TL_PRECISION_FP32;
    }
    return tl__engine_set_precision(trainer->engine, precision);
}

/* Where the frozen, deterministic part of the network ends in this stage. */
static tl_status find_cut(tl_trainer *trainer) {
    tl__draw_options draw = tl__trainer_draw(trainer, 1);
    tl__graph *graph;
    tl__drawn drawn;
    trainer->cut.count = 0;
    trainer->cut_reason = trainer->options.bn == TL_BN_BATCH ? "batch statistics in the frozen part" : NULL;
    if (trainer->cut_reason)
        return TL_OK;
    if (trainer->options.bn == TL_BN_MIXED)
        draw.batch = 2; /* one image may be too few for batch statistics */
    TL__TRY(tl__model_draw(trainer->model, &draw, &graph, &drawn));
    /* The heads of segmenters read several maps; elsewhere one value is less to keep than several. */
    const int most = tl__model_segments(trainer->model) ? TL__CUT_VALUES : 1;
    tl_status status = tl__graph_frozen_cut(graph, drawn.logits, most, &trainer->cut, &trainer->cut_reason);
    tl__graph_destroy(graph);
    return status;
}

/* The state of the model's parameters and Adam goes to the host, flags change, and back to the device. */
tl_status tl_trainer_stage(tl_trainer *trainer, size_t index) {
    tl__engine *engine = trainer->engine;
    if (index >= trainer->options.stage_count)
        return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "stage %zu of %zu", index, trainer->options.stage_count);
    if (engine->store)
        TL__TRY(tl__store_sync(engine->store, true));
    drop_plans(trainer);
    trainer->features = false;
    tl__store_destroy(engine->store);
    engine->store = NULL;
    TL__TRY(tl__arena_empty(engine->arena)); /* what trains now may need the room */
    tl__free(trainer->context, trainer->table);
    trainer->table = NULL;
    tl__free(trainer->context, trainer->rates);
    trainer->rates = NULL;
    trainer->stage_steps = 0;
    TL__TRY(tl__stage_mark(trainer->model, &trainer->stages[index], trainer->options.bn));
    TL__TRY(tl__store_create(trainer->model, engine->device, tl__engine_queue(engine), trainer->moments, &engine->store));
    trainer->rates = tl__calloc(trainer->context, engine->store->segment_count, sizeof *trainer->rates);
    trainer->table = trainer->rates ? tl__calloc(trainer->context, engine->store->segment_count * 8, sizeof(float)) : NULL;
    if (!trainer->table)
        return TL_ERROR_MEMORY;
    for (size_t s = 0; s < engine->store->segment_count; s++)
        trainer->rates[s] = tl__stage_rate(&trainer->stages[index], engine->store->segments[s]->name);
    trainer->stage = index;
    TL__TRY(find_cut(trainer));
    return choose_storage(trainer);
}

static tl_status copy_rates(tl_trainer *trainer, tl_stage *stage, const tl_rate *rates, size_t count) {
    tl_rate *own = count ? tl__calloc(trainer->context, count, sizeof *own) : NULL;
    if (count && !own)
        return TL_ERROR_MEMORY;
    stage->rates = own;
    stage->rate_count = count;
    for (size_t i = 0; i < count; i++) {
        own[i] = rates[i];
        own[i].parameters = rates[i].parameters ? tl__strdup(trainer->context, rates[i].parameters) : NULL;
        if (rates[i].parameters && !own[i].parameters)
            return TL_ERROR_MEMORY;
    }
    return TL_OK;
}

static tl_status copy_weights(tl_trainer *trainer, tl_stage *stage, const float *weights) {
    const int classes = trainer->model->options.classes;
    if (!weights)
        return TL_OK;
    float *own = tl__alloc(trainer->context, (size_t)classes * sizeof *own);
    if (!own)
        return TL_ERROR_MEMORY;
    stage->class_weights = memcpy(own, weights, (size_t)classes * sizeof *own);
    for (int i = 0; i < classes; i++)
        if (!(own[i] > 0) || !isfinite(own[i]))
            return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "stage %s: the weight of class %d is %g", stage->name, i, (double)own[i]);
    return TL_OK;
}

static void free_stage(tl_context *context, const tl_stage *stage) {
    for (size_t i = 0; i < stage->rate_count; i++)
        tl__free(context, (char *)stage->rates[i].parameters);
    tl__free(context, (tl_rate *)stage->rates);
    tl__free(context, (float *)stage->class_weights);
    tl__free(context, (char *)stage->name);
    tl__free(context, (char *)stage->train);
}

static tl_status copy_options(tl_trainer *trainer, const tl_train_options *options) {
    tl_train_options_init(&trainer->options, sizeof trainer->options);
    memcpy(&trainer->options, options, options->size < sizeof trainer->options ? options->size : sizeof trainer->options);
    tl_train_options *o = &trainer->options;
    if (o->batch < 1 || o->batch > 65536)
        return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "batch = %d is not 1 to 65536", o->batch);
    if (o->bn != TL_BN_EVAL && o->bn != TL_BN_BATCH && o->bn != TL_BN_MIXED)
        return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "bn = %d is unknown", (int)o->bn);
    if (!o->stages || !o->stage_count)
        return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "there is no stage");
    trainer->stages = tl__calloc(trainer->context, o->stage_count, sizeof *trainer->stages);
    if (!trainer->stages)
        return TL_ERROR_MEMORY;
    const char *from = (const char *)o->stages;
    size_t stride = o->stages[0].size; /* the caller's sizeof: its array's step */
    if (!stride)
        return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "the stages were not initialised");
    for (size_t i = 0; i < o->stage_count; i++) {
        tl_stage stage;
        tl_stage_init(&stage, sizeof stage);
        memcpy(&stage, from + i * stride, stride < sizeof stage ? stride : sizeof stage);
        const char *name = stage.name ? stage.name : "head", *patterns = stage.train;
        stage.name = tl__strdup(trainer->context, name);
        stage.train = patterns && stage.name ? tl__strdup(trainer->context, patterns) : NULL;
        const tl_rate *rates = stage.rates;
        size_t rate_count = stage.rate_count;
        stage.rates = NULL;
        stage.rate_count = 0;
        const float *weights = stage.class_weights;
        stage.class_weights = NULL;
        trainer->stages[i] = stage;
        if (!stage.name || (patterns && !stage.train))
            return TL_ERROR_MEMORY;
        TL__TRY(copy_rates(trainer, &trainer->stages[i], rates, rate_count));
        TL__TRY(copy_weights(trainer, &trainer->stages[i], weights));
        TL__TRY(tl__stage_check(trainer->context, &trainer->stages[i]));
        if (stage.dice > 0 && !tl__model_segments(trainer->model))
            return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "stage %s: dice = %g, but the network's head tells images apart, not pixels",
                            stage.name, stage.dice);
    }
    o->stages = trainer->stages;
    return TL_OK;
}

static tl_status create(tl_trainer *trainer, const tl_train_options *options, tl_device *device) {
    tl_model *model = trainer->model;
    TL__TRY(copy_options(trainer, options));
    trainer->moments = tl__calloc(model->context, model->parameter_count, sizeof *trainer->moments);
    if (!trainer->moments)
        return TL_ERROR_MEMORY;
    TL__TRY(tl__engine_create(model, device, &trainer->engine));
    return tl_trainer_stage(trainer, 0);
}

tl_status tl_trainer_create(tl_model *model, tl_device *device, int height, int width, const tl_train_options *options, tl_trainer **out) {
    tl_context *context = model->context;
    if (!options || !options->size)
        return tl__fail(context, TL_ERROR_ARGUMENT, "options were not initialised");
    if (height < 1 || width < 1 || height > 16384 || width > 16384)
        return tl__fail(context, TL_ERROR_ARGUMENT, "images of %d x %d", height, width);
    if (model->in_use)
        return tl__fail(context, TL_ERROR_ARGUMENT, "another trainer has the model");
    tl_trainer *trainer = tl__calloc(context, 1, sizeof *trainer);
    if (!trainer)
        return TL_ERROR_MEMORY;
    trainer->context = trainer->rows.context = context;
    trainer->model = model;
    trainer->height = height;
    trainer->width = width;
    model->in_use = true;
    tl_status status = create(trainer, options, device);
    if (status != TL_OK) {
        tl_trainer_destroy(trainer);
        return status;
    }
    *out = trainer;
    return TL_OK;
}

void tl_trainer_destroy(tl_trainer *trainer) {
    if (!trainer)
        return;
    tl_context *context = trainer->context;
    drop_plans(trainer);
    tl__engine_destroy(trainer->engine);
    for (size_t i = 0; i < trainer->model->parameter_count; i++) {
        tl__parameter *p = trainer->model->parameters[i];
        p->trains = p->moves = false;
        if (trainer->moments) {
            tl__free(context, trainer->moments[i].first);
            tl__free(context, trainer->moments[i].second);
        }
    }
    for (size_t i = 0; trainer->stages && i < trainer->options.stage_count; i++)
        free_stage(context, &trainer->stages[i]);
    tl__free(context, trainer->stages);
    tl__free(context, trainer->moments);
    tl__free(context, trainer->table);
    tl__free(context, trainer->rates);
    tl__rows_free(&trainer->rows);
    trainer->model->in_use = false;
    tl__free(context, trainer);
}

/* What Adam's kernel needs of step number t of each segment; the powers in double, as PyTorch takes them. */
static void fill_table(tl_trainer *trainer) {
    const tl_stage *stage = &trainer->stages[trainer->stage];
    const double schedule = tl__stage_factor(stage, trainer->stage_steps);
    for (size_t s = 0, i = 0; i < trainer->model->parameter_count; i++) {
        if (!trainer->model->parameters[i]->trains)
            continue;
        double t = (double)(trainer->moments[i].steps + 1), lr = trainer->rates[s] * schedule;
        float *row = trainer->table + 8 * s++;
        row[0] = (float)(lr / (1 - pow(stage->beta1, t)));
        row[1] = (float)sqrt(1 - pow(stage->beta2, t));
        row[2] = (float)(1 - stage->beta1);
        row[3] = (float)(1 - stage->beta2);
        row[4] = (float)stage->eps;
        row[5] = (float)stage->weight_decay;
        row[6] = (float)lr;
        row[7] = 0;
    }
}

static void count_step(tl_trainer *trainer) {
    trainer->steps++;
    trainer->stage_steps++;
    for (size_t i = 0; i < trainer->model->parameter_count; i++) {
        tl__parameter *p = trainer->model->parameters[i];
        trainer->moments[i].steps += p->trains;
        p->counter += p->moves && p->kind == TL__PARAMETER_COUNTER;
    }
}

static tl_status check_labels(tl_trainer *trainer, const int32_t *labels, int count) {
    if (count < 1 || count > trainer->options.batch)
        return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "%d images where a step takes 1 to %d", count, trainer->options.batch);
    const bool segments = tl__model_segments(trainer->model);
    const int64_t each = segments ? (int64_t)trainer->height * trainer->width : 1;
    for (int64_t i = 0; i < count * each; i++)
        if ((labels[i] < 0 || labels[i] >= trainer->model->options.classes) && !(segments && labels[i] == TL_IGNORED))
            return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "label %d where there are %d classes", (int)labels[i], trainer->model->options.classes);
    return TL_OK;
}

/* All losses are of the same pixels, whose weights loss[1] sums up; Dice losses are means already. */
static tl_status read_losses(const tl_trainer *trainer, const struct tl__step_plan *p, tl__sums *sums) {
    float loss[4], second[4] = {0}, dice[2] = {0}, second_dice[2] = {0};
    TL__TRY(tl__plan_read(p->plan, p->loss, loss));
    if (p->second_loss >= 0)
        TL__TRY(tl__plan_read(p->plan, p->second_loss, second));
    if (p->dice >= 0)
        TL__TRY(tl__plan_read(p->plan, p->dice, dice));
    if (p->second_dice >= 0)
        TL__TRY(tl__plan_read(p->plan, p->second_dice, second_dice));
    const double means = trainer->stages[trainer->stage].dice * (dice[0] + AUXILIARY * (double)second_dice[0]);
    *sums = (tl__sums){.loss = loss[0] + AUXILIARY * (double)second[0] + means * loss[1], .weight = loss[1], .right = loss[2],
                       .counted = loss[3]};
    return TL_OK;
}

/* From the first images that come, where nobody did it before. */
static tl_status calibrate(tl_trainer *trainer, const uint8_t *rgb, int count) {
    tl__draw_options draw = tl__trainer_draw(trainer, 1);
    drop_plans(trainer);
    return tl__calibrate(trainer->engine, &draw, &trainer->cut, rgb, count);
}

tl_status tl__trainer_step(tl_trainer *trainer, const void *input, const int32_t *labels, int count, tl__sums *sums) {
    struct tl__step_plan *p;
    if (!trainer->engine->store || !trainer->table)
        return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "no stage has begun: the last one failed to");
    const tl_stage *stage = &trainer->stages[trainer->stage];
    if (stage->schedule != TL_SCHEDULE_CONSTANT && !stage->steps)
        return tl__fail(trainer->context, TL_ERROR_ARGUMENT, "stage %s: how many steps its schedule spans was not said", stage->name);
    TL__TRY(check_labels(trainer, labels, count));
    if (!trainer->features && trainer->cut.count && tl__calibration_missing(trainer->engine))
        TL__TRY(calibrate(trainer, input, count));
    TL__TRY(plan_for(trainer, count, &p));
    fill_table(trainer);
    TL__TRY(tl__rows_write(&trainer->rows, p->plan, &p->inputs, count, input));
    TL__TRY(tl__plan_write(p->plan, p->target, labels));
    TL__TRY(tl__plan_write(p->plan, p->table, trainer->table));
    if (p->counter >= 0) {
        uint64_t seed = trainer->options.seed;
        int32_t counter[4] = {(int32_t)trainer->steps, (int32_t)(trainer->steps >> 32), (int32_t)(seed ^ seed >> 32), 0};
        TL__TRY(tl__plan_write(p->plan, p->counter, counter));
    }
    TL__TRY(tl__plan_run(p->plan));
    TL__TRY(read_losses(trainer, p, sums));
    trainer->last = p;
    count_step(trainer);
    sums->images = count;
    if (!isfinite(sums->loss))
        return tl__fail(trainer->context, TL_ERROR_NUMERIC, "step %lld: the loss is %g", (long long)trainer->steps,
                        sums->loss / sums->weight);
    return TL_OK;
}

tl_status tl_trainer_step(tl_trainer *trainer, const uint8_t *rgb, const int32_t *labels, int count, tl_score *score) {
    tl__sums sums;
    tl__trainer_use_features(trainer, false);
    TL__TRY(tl__trainer_step(trainer, rgb, labels, count, &sums));
    if (score)
        *score = tl__sums_score(&sums, tl__model_segments(trainer->model));
    return TL_OK;
}

tl_status tl_trainer_logits(tl_trainer *trainer, float *logits) {
    if (!trainer->last)
        return tl__fail(trainer->context, TL_ERROR_NOT_FOUND, "no step was made yet");
    return tl__plan_read(trainer->last->plan, trainer->last->logits, logits);
}

tl_status tl_trainer_gradient(tl_trainer *trainer, const char *name, float *out) {
    const tl__parameter *p = tl__model_find(trainer->model, name);
    if (!p || !p->trains || !trainer->engine->store)
        return tl__fail(trainer->context, TL_ERROR_NOT_FOUND, "%s: no such parameter trains", name);
    float *ours = tl__alloc(trainer->context, tl__desc_bytes(&p->desc));
    if (!ours)
        return TL_ERROR_MEMORY;
    tl_status status = tl__store_gradient(trainer->engine->store, p, ours);
    if (status == TL_OK)
        tl__parameter_to_torch(p, ours, out);
    tl__free(trainer->context, ours);
    return status;
}

tl_status tl_trainer_sync(tl_trainer *trainer) {
    /* Between two stages, or where one could not begin, the model has it all. */
    return trainer->engine->store ? tl__store_sync(trainer->engine->store, false) : TL_OK;
}
