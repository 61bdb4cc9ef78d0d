#include "train/extract.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void tl_features_options_init(tl_features_options *options, size_t size) {
    tl_features_options defaults = {.size = size, .batch = 32};
    memcpy(options, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

/* ---- which value ---- */

/* What the first node with a parameter of the head reads. */
static int input_of_head(const tl_model *model, const tl__graph *graph) {
    for (size_t n = 0; n < graph->node_count; n++) {
        const tl__node *node = &graph->nodes[n];
        for (int i = 1; i < TL_MAX_INPUTS; i++)
            if (node->in[i] >= 0 && graph->values[node->in[i]].kind == TL__VALUE_PARAMETER &&
                tl__model_in_head(model, graph->values[node->in[i]].parameter->name))
                return node->in[0];
    }
    return -1;
}

/* The value of this name, or the last one of the block of this name. */
static int value_named(const tl__graph *graph, const char *name) {
    size_t length = strlen(name);
    int last = -1;
    for (size_t v = 0; v < graph->value_count; v++) {
        const tl__value *value = &graph->values[v];
        if (value->kind != TL__VALUE_COMPUTED || !value->name)
            continue;
        if (strcmp(value->name, name) == 0)
            return (int)v;
        if (length && strncmp(value->name, name, length) == 0 && value->name[length] == '.')
            last = (int)v;
    }
    return last;
}

static tl_status no_value(const tl_model *model, const tl__graph *graph, const char *name) {
    char names[400] = "";
    size_t used = 0, shown = 0;
    for (size_t v = graph->value_count; v-- > 0 && shown < 6;)
        if (graph->values[v].kind == TL__VALUE_COMPUTED && graph->values[v].name && used < sizeof names)
            used +=
                (size_t)snprintf(names + used, sizeof names - used, "%s%s", shown++ ? ", " : "", graph->values[v].name);
    return tl__fail(model->context, TL_ERROR_NOT_FOUND, "%s has no node \"%s\"; its last ones are %s",
                    tl_model_arch(model), name, names);
}

static tl_status choose_value(tl_features *f, const tl_features_options *options, const tl__draw_options *draw) {
    tl__draw_options one = *draw;
    tl__graph *graph;
    tl__drawn drawn;
    one.batch = 1;
    TL__TRY(tl__model_draw(f->model, &one, &graph, &drawn));
    f->cut = options->at ? value_named(graph, options->at) : input_of_head(f->model, graph);
    tl_status status = f->cut < 0 ? no_value(f->model, graph, options->at ? options->at : "the head's input") : TL_OK;
    if (status == TL_OK) {
        const tl_tensor_desc *desc = &graph->values[f->cut].desc;
        for (int i = 0; i < 3; i++)
            f->shape[i] = desc->shape[1 + i];
    }
    tl__graph_destroy(graph);
    return status;
}

/* ---- computing ---- */

static void begin_set(void *user) {
    tl_features *f = user;
    f->start = tl__seconds();
}

static void report(void *user, int64_t done, int64_t total) {
    const tl_features *f = user;
    if (!f->options.on_progress)
        return;
    tl_progress progress = {.size = sizeof progress,
                            .phase = TL_PHASE_FEATURES,
                            .done = done,
                            .total = total,
                            .loss = NAN,
                            .seconds = tl__seconds() - f->start};
    f->options.on_progress(f->options.user, &progress);
}

static tl_status run(tl_features *f, tl__feature_request *request, tl_device *device) {
    tl_model *model = f->model;
    char reason[128];
    TL__TRY(tl__engine_create(model, device, &request->engine));
    TL__TRY(tl__engine_set_precision(request->engine, f->options.precision));
    request->draw = (tl__draw_options){.batch = tl__engine_chunk(request->engine, request->batch),
                                       .height = model->preprocess.crop,
                                       .width = model->preprocess.crop};
    TL__TRY(choose_value(f, &f->options, &request->draw));
    request->cut = tl__cut_at(f->cut);
    tl__loader_options loading = {.batch = request->batch, .workers = f->options.workers};
    TL__TRY(tl__loader_create(model->context, f->dataset, &model->preprocess, &loading, &request->loaders[0]));
    TL__TRY(tl__features_create(request, &f->features, reason));
    return f->features ? TL_OK : tl__fail(model->context, TL_ERROR_LIMIT, "%s: no room", reason);
}

static tl_status create(tl_features *f, tl_device *device) {
    tl_context *context = f->model->context;
    const char *given = f->options.cache_folder;
    char *folder = NULL;
    if (f->options.batch < 0 || f->options.batch > 65536)
        return tl__fail(context, TL_ERROR_ARGUMENT, "batch = %d is not 1 to 65536", f->options.batch);
    if (given && !*given)
        TL__TRY(tl__cache_default_folder(context, &folder));
    tl__feature_request request = {.sets = {f->dataset},
                                   .batch = f->options.batch ? f->options.batch : 32,
                                   .folder = given && *given ? given : folder,
                                   .limit = f->options.cache_limit,
                                   .memory = tl__feature_memory(given ? 0 : f->options.cache_limit),
                                   .user = f,
                                   .begin = begin_set,
                                   .progress = report};
    tl_status status = run(f, &request, device);
    tl__loader_destroy(request.loaders[0]);
    tl__engine_destroy(request.engine);
    tl__free(context, folder);
    return status;
}

tl_status tl_features_create(tl_model *model, tl_device *device, const tl_dataset *dataset,
                             const tl_features_options *options, tl_features **out) {
    tl_features *f = tl__calloc(model->context, 1, sizeof *f);
    if (!f)
        return TL_ERROR_MEMORY;
    f->model = model;
    f->dataset = dataset;
    tl_features_options_init(&f->options, sizeof f->options);
    if (options)
        memcpy(&f->options, options, options->size < sizeof f->options ? options->size : sizeof f->options);
    tl_status status =
        model->in_use ? tl__fail(model->context, TL_ERROR_ARGUMENT, "the model is being trained") : create(f, device);
    if (status != TL_OK) {
        tl_features_destroy(f);
        return status;
    }
    *out = f;
    return TL_OK;
}

void tl_features_destroy(tl_features *features) {
    if (!features)
        return;
    tl_context *context = features->model->context;
    tl__features_destroy(features->features);
    tl__free(context, features);
}

/* ---- what they are ---- */

void tl_features_describe(const tl_features *f, tl_features_info *info) {
    tl_features_info all = {.size = info->size,
                            .at = f->features->key.name,
                            .images = f->features->total,
                            .count = (int64_t)f->features->count,
                            .shape = {f->shape[2], f->shape[0], f->shape[1]},
                            .images_found = f->features->found,
                            .cache_file = tl__features_file(f->features)};
    memcpy(info, &all, info->size < sizeof all ? info->size : sizeof all);
}

void tl_features_read(const tl_features *f, size_t image, float *out) {
    const float *values = tl__features_row(f->features, 0, image);
    int64_t map = f->shape[0] * f->shape[1], channels = f->shape[2];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < map; i++)
            *out++ = values[i * channels + c];
}
