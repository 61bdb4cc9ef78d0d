#include "train/calibrate.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "graph/plan_internal.h"
#include "train/feature_key.h"

struct tl__calibration {
    tl_context *context;
    size_t count; /* values of the graph as it is drawn */
    tl__range ranges[];
};

/* A calibration in progress. */
typedef struct observer {
    tl__engine *own; /* its memory is large, and goes when it is done */
    tl__plan *plan;
    tl__calibration *made;
    int input;
    size_t image_bytes;
    float *values; /* room for the largest */
} observer;

void tl__calibration_destroy(tl__calibration *calibration) {
    if (calibration)
        tl__free(calibration->context, calibration);
}

bool tl__calibration_missing(const tl__engine *engine) {
    return engine->storage == TL_DTYPE_U8 && !engine->calibration;
}

void tl__engine_store_in(const tl__engine *engine, tl__graph *graph, int stored_to) {
    graph->storage = engine->storage;
    graph->stored_to = stored_to;
    graph->ranges = engine->calibration ? engine->calibration->ranges : NULL;
}

/* ---- one image after another ---- */

static tl_status make_plan(observer *o, tl_context *context, const tl__draw_options *one, const tl__cut *cut) {
    tl__graph *graph;
    tl__drawn drawn;
    TL__TRY(tl__model_draw(o->own->model, one, &graph, &drawn));
    o->made = tl__calloc(context, 1, sizeof *o->made + graph->value_count * sizeof o->made->ranges[0]);
    if (!o->made) {
        tl__graph_destroy(graph);
        return TL_ERROR_MEMORY;
    }
    o->made->context = context;
    o->made->count = graph->value_count;
    o->input = drawn.input;
    const int end = cut && cut->count ? cut->values[0] : drawn.logits;
    graph->values[end].keep = true;
    graph->storage = TL_DTYPE_U8;
    graph->stored_to = end;
    graph->observe = true;
    TL__TRY(tl__engine_plan(o->own, graph, "calibration", 1, &o->plan));
    uint64_t largest = 0;
    for (size_t v = 0; v < o->made->count; v++) {
        const uint64_t bytes = tl__desc_bytes(&tl__plan_value(o->plan, (int)v)->desc);
        largest = bytes > largest ? bytes : largest;
    }
    o->values = tl__alloc(context, largest);
    o->image_bytes = tl__desc_bytes(&tl__plan_value(o->plan, drawn.input)->desc);
    return o->values ? TL_OK : TL_ERROR_MEMORY;
}

static tl_status observe_value(void *user, int v) {
    const observer *o = user;
    const tl__value *value = tl__plan_value(o->plan, v);
    tl__range *range = &o->made->ranges[v];
    const int64_t count = tl__desc_count(&value->desc);
    float low = range->low, high = range->high, sum = 0;
    TL__TRY(tl__plan_read(o->plan, v, o->values));
    for (int64_t i = 0; i < count; i++) {
        const float x = o->values[i];
        low = x < low ? x : low;
        high = x > high ? x : high;
        sum += x * 0; /* NaN where a number is none or not finite */
    }
    if (sum != 0 || !isfinite(low) || !isfinite(high))
        return tl__fail(o->made->context, TL_ERROR_DATA, "%s has values that are not finite, which int8 cannot store",
                        value->name ? value->name : "a value");
    *range = (tl__range){low, high};
    return TL_OK;
}

static tl_status observe(observer *o, const uint8_t *rgb, int count) {
    for (int i = 0; i < count; i++, rgb += o->image_bytes) {
        TL__TRY(tl__plan_write(o->plan, o->input, rgb));
        TL__TRY(tl__plan_run_observed(o->plan, o, observe_value));
        if (tl__cancelled(o->made->context))
            return tl__fail(o->made->context, TL_CANCELLED, "cancelled while calibrating");
    }
    return TL_OK;
}

/* What refuses int8 is to say so before images are computed for nothing: a plan with ranges that are made up. */
static tl_status rehearse(const observer *o, const tl__draw_options *one, const tl__cut *cut) {
    tl__graph *graph;
    tl__drawn drawn;
    tl__plan *plan;
    TL__TRY(tl__model_draw(o->own->model, one, &graph, &drawn));
    const int end = cut && cut->count ? cut->values[0] : drawn.logits;
    graph->values[end].keep = true;
    tl__engine_store_in(o->own, graph, end);
    o->own->measure = true;
    tl_status status = tl__engine_plan(o->own, graph, "int8", 1, &plan);
    o->own->measure = false;
    if (status == TL_OK)
        tl__plan_destroy(plan);
    return status;
}

static tl_status begin(observer *o, tl__engine *engine, const tl__draw_options *draw, const tl__cut *cut) {
    tl__draw_options one = *draw;
    one.batch = 1;
    one.training = false;
    *o = (observer){0};
    TL__TRY(tl__engine_create(engine->model, engine->device, &o->own));
    o->own->storage = engine->storage;
    TL__TRY(rehearse(o, &one, cut));
    return make_plan(o, engine->model->context, &one, cut);
}

/* What was made becomes the engine's, unless it failed. */
static void end(observer *o, tl__engine *engine, tl_status status) {
    tl__plan_destroy(o->plan);
    tl__engine_destroy(o->own);
    tl__free(engine->model->context, o->values);
    if (status != TL_OK) {
        tl__calibration_destroy(o->made);
        return;
    }
    tl__calibration_destroy(engine->calibration);
    engine->calibration = o->made;
}

/* ---- from what ---- */

tl_status tl__calibrate(tl__engine *engine, const tl__draw_options *draw, const tl__cut *cut, const uint8_t *rgb,
                        int count) {
    observer o;
    tl_status status = begin(&o, engine, draw, cut);
    if (status == TL_OK)
        status = observe(&o, rgb, count < TL__CALIBRATION_IMAGES ? count : TL__CALIBRATION_IMAGES);
    end(&o, engine, status);
    return status;
}

static size_t choose(const tl_dataset *dataset, uint32_t order[TL__CALIBRATION_IMAGES]) {
    const size_t images = tl_dataset_size(dataset);
    const size_t count = images < TL__CALIBRATION_IMAGES ? images : TL__CALIBRATION_IMAGES;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)(i * images / count);
    return count;
}

tl_status tl__calibrate_on(tl__engine *engine, const tl__draw_options *draw, const tl__cut *cut,
                           const tl_dataset *dataset, tl__loader *loader) {
    uint32_t order[TL__CALIBRATION_IMAGES];
    const size_t images = choose(dataset, order);
    observer o;
    tl_status status = begin(&o, engine, draw, cut);
    tl__loader_set_epoch(loader, 0);
    if (status == TL_OK)
        status = tl__loader_start(loader, order, images);
    for (size_t done = 0; status == TL_OK && done < images;) {
        const uint8_t *rgb;
        int count;
        status = tl__loader_next(loader, &rgb, NULL, NULL, &count);
        if (status == TL_OK)
            status = observe(&o, rgb, count);
        done += status == TL_OK ? (size_t)count : 0;
    }
    end(&o, engine, status);
    return status;
}

tl_status tl__calibration_hash(tl__engine *engine, const tl_dataset *dataset, const tl_augment *augment) {
    uint32_t order[TL__CALIBRATION_IMAGES];
    const size_t images = choose(dataset, order);
    tl_context *context = engine->model->context;
    void *buffer = tl__alloc(context, TL__HASH_BUFFER);
    tl__hash all = {0, 0};
    if (!buffer)
        return TL_ERROR_MEMORY;
    for (size_t i = 0; i < images; i++) {
        const char *path = tl_dataset_path(dataset, order[i]);
        tl__hash one;
        uint64_t stamp;
        errno = 0;
        if (!tl__hash_file(path, buffer, &one, &stamp)) {
            const int code = errno ? errno : EIO;
            tl__free(context, buffer);
            return tl__fail(context, TL_ERROR_IO, "%s: cannot be read: %s", path, strerror(code));
        }
        all = tl__hash_mix(all, tl__feature_image_key(one, augment ? tl__feature_view(augment, order[i], 0) : 0));
    }
    tl__free(context, buffer);
    engine->calibrated_on = all;
    return TL_OK;
}
