#include "train/feature_key.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "data/augment.h"
#include "graph/plan_internal.h"
#include "models/frozen.h"

typedef struct tracer {
    tl__engine *engine;
    const tl__graph *graph;
    bool *needed;    /* values that the cut is computed from */
    tl__hash nodes, weights;
} tracer;

static void mix(tl__hash *hash, const void *data, size_t bytes) {
    *hash = tl__hash_mix(*hash, tl__hash_bytes(data, bytes, 0));
}

static tl_status mix_parameter(tracer *t, tl__parameter *p) {
    tl__hash contents;
    TL__TRY(tl__parameter_hash(t->engine->model->context, p, &contents));
    mix(&t->weights, p->name, strlen(p->name));
    t->weights = tl__hash_mix(t->weights, contents);
    return TL_OK;
}

/* A value's shape without the batch, and where it comes from. */
static tl_status mix_value(tracer *t, int index) {
    const tl__value *value = &t->graph->values[index];
    int32_t facts[TL_MAX_RANK + 4] = {value->kind, value->desc.dtype, value->desc.rank, index};
    for (int d = value->kind == TL__VALUE_PARAMETER ? 0 : 1; d < value->desc.rank; d++)
        facts[4 + d] = (int32_t)value->desc.shape[d];
    mix(&t->nodes, facts, sizeof facts);
    if (value->kind == TL__VALUE_PARAMETER)
        return mix_parameter(t, value->parameter);
    if (value->kind == TL__VALUE_CONSTANT && value->constant->data)
        mix(&t->nodes, value->constant->data, value->constant->bytes);
    return TL_OK;
}

static bool is_needed(const tracer *t, const tl__node *node) {
    for (int i = 0; i < TL_MAX_OUTPUTS; i++)
        if (node->out[i] >= 0 && t->needed[node->out[i]])
            return true;
    return false;
}

static tl_status trace(tracer *t, const tl__cut *cut) {
    const tl__graph *graph = t->graph;
    for (int i = 0; i < cut->count; i++)
        t->needed[cut->values[i]] = true;
    for (size_t n = graph->node_count; n-- > 0;)
        if (is_needed(t, &graph->nodes[n]))
            for (int i = 0; i < TL_MAX_INPUTS; i++)
                if (graph->nodes[n].in[i] >= 0)
                    t->needed[graph->nodes[n].in[i]] = true;
    for (size_t n = 0; n < graph->node_count; n++) {
        const tl__node *node = &graph->nodes[n];
        if (!is_needed(t, node))
            continue;
        mix(&t->nodes, &node->op, sizeof node->op);
        for (int i = 0; i < TL_MAX_INPUTS; i++)
            if (node->in[i] >= 0)
                TL__TRY(mix_value(t, node->in[i]));
        for (int i = 0; i < TL_MAX_OUTPUTS; i++)
            if (node->out[i] >= 0)
                TL__TRY(mix_value(t, node->out[i]));
    }
    return TL_OK;
}

/* Our own CPU backend chooses by shape and identity alone, of which what it was tuned to is a part. What others chose counts
 * by name. */
static tl_status hash_implementations(tl__engine *engine, const tl__draw_options *draw, const tl__cut *cut, char text[33]) {
    tl__hash hash = {0, 0};
    tl__runner *runner;
    TL__TRY(tl__runner_create(engine, draw, TL__PART_FEATURES, cut, &runner));
    const tl__plan *plan = runner->plans[0].plan;
    for (size_t s = 0; s < plan->step_count; s++) {
        const char *chosen = plan->steps[s].kernel ? tl__kernel_implementation(plan->steps[s].kernel) : "transfer";
        mix(&hash, &plan->steps[s].device, sizeof plan->steps[s].device);
        mix(&hash, chosen, strlen(chosen));
    }
    tl__runner_destroy(runner);
    tl__hash_text(hash, text);
    return TL_OK;
}

static tl_status write_about(const tracer *t, const tl__draw_options *draw, const tl__cut *cut, tl__feature_key *key) {
    const tl_device *device = t->engine->device;
    const tl_preprocess *p = &t->engine->model->preprocess;
    char build[33], backend[33], nodes[33], weights[33], pixels[33], chosen[33] = "its own", calibrated[64] = "";
    if (t->engine->cpu)
        TL__TRY(hash_implementations(t->engine, draw, cut, chosen));
    tl__hash_text(tl__build_hash((void (*)(void))tl__feature_key_create), build);
    tl__hash_text(tl__build_hash((void (*)(void))device->ops.prepare), backend);
    tl__hash_text(tl__hash_bytes(p, sizeof *p, 0), pixels); /* whatever field is added to it */
    if (t->engine->storage == TL_DTYPE_U8) {
        char images[33];
        tl__hash_text(t->engine->calibrated_on, images);
        snprintf(calibrated, sizeof calibrated, ", calibrated on images %s", images);
    }
    tl__hash_text(t->nodes, nodes);
    tl__hash_text(t->weights, weights);
    key->about = tl__printf(
        t->engine->model->context,
        "libtl %s, build %s\ndevice %s of backend %s %s, build %s, kernels %s\nnetwork %s, %s\nvalue %s, %zu floats\n"
        "weights %s\npreprocess resize %d, crop %d, mean %g %g %g, std %g %g %g, all %s\nprecision %s%s\n",
        tl_version(), build, device->properties.identity, device->backend->table.name,
        device->backend->table.version ? device->backend->table.version : "", backend, chosen,
        tl_model_arch(t->engine->model), nodes, key->name, key->count, weights, p->resize, p->crop, (double)p->mean[0],
        (double)p->mean[1], (double)p->mean[2], (double)p->std[0], (double)p->std[1], (double)p->std[2], pixels,
        tl__dtype_name(t->engine->storage ? t->engine->storage : TL_DTYPE_F32), calibrated);
    key->stem = tl__printf(t->engine->model->context, "%s-%.40s", tl_model_arch(t->engine->model), key->name);
    if (!key->about || !key->stem)
        return TL_ERROR_MEMORY;
    for (char *c = key->stem; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-')
            *c = '_';
    return TL_OK;
}

tl_status tl__feature_key_create(tl__engine *engine, const tl__draw_options *draw, const tl__cut *cut, bool words,
                                 tl__feature_key *key) {
    tl_context *context = engine->model->context;
    tl__draw_options one = *draw;
    tl__graph *graph;
    tl__drawn drawn;
    *key = (tl__feature_key){0};
    one.batch = 1;
    one.training = false;
    TL__TRY(tl__model_draw(engine->model, &one, &graph, &drawn));
    tracer t = {.engine = engine, .graph = graph};
    char name[256];
    for (int i = 0; i < cut->count; i++)
        key->count += (size_t)tl__desc_count(&graph->values[cut->values[i]].desc);
    key->name = tl__strdup(context, tl__cut_text(cut, graph, name, sizeof name));
    t.needed = key->name ? tl__calloc(context, graph->value_count, sizeof *t.needed) : NULL;
    tl_status status = t.needed ? TL_OK : TL_ERROR_MEMORY;
    if (status == TL_OK && words)
        status = trace(&t, cut);
    if (status == TL_OK && words)
        status = write_about(&t, draw, cut, key);
    tl__free(context, t.needed);
    tl__graph_destroy(graph);
    if (status != TL_OK)
        tl__feature_key_release(context, key);
    return status;
}

void tl__feature_key_release(tl_context *context, tl__feature_key *key) {
    tl__free(context, key->name);
    tl__free(context, key->about);
    tl__free(context, key->stem);
    *key = (tl__feature_key){0};
}

tl__hash tl__feature_image_key(tl__hash contents, uint64_t view) {
    return tl__hash_mix(contents, tl__hash_bytes(&view, sizeof view, 0));
}

uint64_t tl__feature_view(const tl_augment *augment, uint32_t image, uint64_t epoch) {
    tl__change change;
    const uint64_t which[] = {epoch, image, augment->seed};
    tl__change_draw(augment, epoch, image, &change);
    const double facts[] = {change.mirrored,  change.upside_down, change.degrees,   change.factor[0],   change.factor[1],
                            change.factor[2], change.order[0],    change.order[1], change.random_crop, change.ratio};
    return tl__hash_mix(tl__hash_bytes(facts, sizeof facts, 0), tl__hash_bytes(which, sizeof which, 0)).low | 1;
}
