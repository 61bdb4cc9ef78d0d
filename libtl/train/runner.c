#include "train/runner.h"

#include "train/calibrate.h"

static tl_status make_plan(tl__runner *runner, int count, struct tl__runner_plan *out) {
    tl__draw_options draw = runner->draw;
    tl__graph *graph;
    tl__drawn drawn;
    tl__plan *plan;
    draw.batch = count;
    TL__TRY(tl__model_draw(runner->engine->model, &draw, &graph, &drawn));
    static const char *const whats[] = {[TL__PART_WHOLE] = "inference", [TL__PART_FEATURES] = "features",
                                        [TL__PART_REST] = "inference from features"};
    tl__cut inputs = tl__cut_at(drawn.input), outputs = tl__cut_at(drawn.logits);
    if (runner->part == TL__PART_FEATURES)
        outputs = runner->cut;
    if (runner->part == TL__PART_REST) {
        inputs = runner->cut;
        tl__graph_cut(graph, &inputs);
    }
    for (int i = 0; i < outputs.count; i++)
        graph->values[outputs.values[i]].keep = true;
    if (runner->part != TL__PART_REST)
        tl__engine_store_in(runner->engine, graph, runner->cut.count ? runner->cut.values[0] : drawn.logits);
    TL__TRY(tl__engine_plan(runner->engine, graph, whats[runner->part], count, &plan));
    tl_status status = tl__rows_ready(&runner->rows, plan, &inputs);
    if (status == TL_OK)
        status = tl__rows_ready(&runner->rows, plan, &outputs);
    if (status != TL_OK) {
        tl__plan_destroy(plan);
        return status;
    }
    *out = (struct tl__runner_plan){count, plan, inputs, outputs};
    runner->input_bytes = tl__rows_bytes(plan, &inputs, count);
    runner->output_count = tl__rows_bytes(plan, &outputs, count) / sizeof(float);
    return TL_OK;
}

tl_status tl__runner_create(tl__engine *engine, const tl__draw_options *draw, tl__part part, const tl__cut *cut, tl__runner **out) {
    tl__runner *runner = tl__calloc(engine->model->context, 1, sizeof *runner);
    if (!runner)
        return TL_ERROR_MEMORY;
    runner->engine = engine;
    runner->draw = *draw;
    runner->draw.training = false;
    runner->part = part;
    runner->rows.context = engine->model->context;
    if (cut)
        runner->cut = *cut;
    tl_status status = make_plan(runner, draw->batch, &runner->plans[0]);
    /* Results do not depend on how many images go at once, so fewer do where the device has no room for all. */
    while (status != TL_OK && engine->too_large && runner->draw.batch > 1) {
        runner->draw.batch = (runner->draw.batch + 1) / 2;
        status = make_plan(runner, runner->draw.batch, &runner->plans[0]);
        if (status == TL_OK)
            tl__log(engine->model->context, TL_LOG_INFO, "%d images at once: %s has no room for %d", runner->draw.batch,
                    tl_device_name(engine->device), draw->batch);
    }
    if (status != TL_OK) {
        tl__runner_destroy(runner);
        return status;
    }
    *out = runner;
    return TL_OK;
}

const char *tl__runner_cut_text(const tl__runner *runner, char *text, size_t size) {
    return tl__cut_text(&runner->cut, tl__plan_graph(runner->plans[0].plan), text, size);
}

void tl__runner_destroy(tl__runner *runner) {
    if (!runner)
        return;
    for (int i = 0; i < 2; i++)
        tl__plan_destroy(runner->plans[i].plan);
    tl__rows_free(&runner->rows);
    tl__free(runner->engine->model->context, runner);
}

static tl_status plan_for(tl__runner *runner, int count, struct tl__runner_plan **out) {
    struct tl__runner_plan made, *other = &runner->plans[1];
    if (count == runner->plans[0].count) {
        *out = &runner->plans[0];
        return TL_OK;
    }
    if (other->count != count) {
        TL__TRY(make_plan(runner, count, &made));
        tl__plan_destroy(other->plan);
        *other = made;
    }
    *out = other;
    return TL_OK;
}

tl_status tl__runner_run(tl__runner *runner, const void *input, int count, float *out) {
    const char *at = input;
    if (runner->part != TL__PART_REST && tl__calibration_missing(runner->engine))
        return tl__fail(runner->engine->model->context, TL_ERROR_INTERNAL, "int8 without a calibration");
    while (count > 0) {
        int now = count < runner->draw.batch ? count : runner->draw.batch;
        struct tl__runner_plan *p;
        TL__TRY(plan_for(runner, now, &p));
        TL__TRY(tl__rows_write(&runner->rows, p->plan, &p->inputs, now, at));
        TL__TRY(tl__plan_run(p->plan));
        TL__TRY(tl__rows_read(&runner->rows, p->plan, &p->outputs, now, out));
        at += runner->input_bytes * (size_t)now;
        out += runner->output_count * (size_t)now;
        count -= now;
    }
    return TL_OK;
}
