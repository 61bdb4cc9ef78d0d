/* Running a case: through the predictor and the trainer, as any program would. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/plan.h"
#include "models/models.h"
#include "tests/models/formula.h"
#include "tests/models/goldens.h"

static bool good(golden *g, tl_status status) {
    return status == TL_OK || golden_fail(g, "%s: %s", tl_status_text(status), tl_context_message(g->context));
}

/* ---- forward ---- */

static int find_node(const tl__graph *graph, const char *name) {
    for (size_t i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Values inside of the network are not part of the API: a plan of our own keeps one. */
static float *run_plan(golden *g, tl__graph *graph, int input, int value, tl_device *device, tl_device *fallback,
                       const uint8_t *rgb) {
    tl__plan_options options = {.device = device, .fallback = fallback};
    tl__plan *plan = NULL;
    graph->values[value].keep = true;
    float *got = malloc((size_t)tl__desc_bytes(&graph->values[value].desc));
    bool made = good(g, tl__arena_create(device, &options.arena)) &&
                (!fallback || good(g, tl__arena_create(fallback, &options.fallback_arena)));
    if (!made)
        tl__graph_destroy(graph);
    bool fine = made && good(g, tl__plan_create(graph, &options, &plan)) && good(g, tl__plan_write(plan, input, rgb)) &&
                good(g, tl__plan_run(plan)) && good(g, tl__plan_read(plan, value, got));
    tl__plan_destroy(plan);
    tl__arena_destroy(options.fallback_arena);
    tl__arena_destroy(options.arena);
    if (fine)
        return got;
    free(got);
    return NULL;
}

static void compare_features(golden *g, tl_model *model, tl_device *device, tl_device *fallback, const uint8_t *rgb) {
    tl__draw_options drawing = {.batch = g->n, .height = g->height, .width = g->width};
    tl__graph *graph;
    tl__drawn drawn;
    if (!good(g, tl__model_draw(model, &drawing, &graph, &drawn)))
        return;
    const bool segments = golden_segments(g);
    int node = segments ? 0 : find_node(graph, "avgpool");
    if (node < 0) {
        tl__graph_destroy(graph);
        golden_fail(g, "%s has no avgpool", g->arch);
        return;
    }
    int value = segments ? drawn.auxiliary : graph->nodes[node].out[0];
    int64_t count = tl__desc_count(&graph->values[value].desc);
    float *got = run_plan(g, graph, drawn.input, value, device, fallback, rgb);
    if (got && segments)
        golden_compare_map(g, GROUP_AUX, "aux", got);
    else if (got)
        golden_compare(g, GROUP_FEATURES, "features", got, count);
    free(got);
}

/* Elements of an output. */
static int64_t output_count(const golden *g) {
    return (int64_t)g->n * g->classes * (golden_segments(g) ? (int64_t)g->height * g->width : 1);
}

bool golden_forward(golden *g, tl_device *device, tl_device *fallback) {
    tl_model *model = golden_model(g);
    uint8_t *rgb = model ? golden_images(g, 0, g->n) : NULL;
    tl_predictor *predictor = NULL;
    const bool segments = golden_segments(g);
    float *logits = malloc((size_t)output_count(g) * sizeof *logits);
    if (rgb && good(g, tl_predictor_create(model, device, g->n, g->height, g->width, &predictor)) &&
        good(g, tl_predictor_run(predictor, rgb, g->n, logits))) {
        if (segments)
            golden_compare_map(g, GROUP_OUT, "out", logits);
        else
            golden_compare(g, GROUP_LOGITS, "logits", logits, output_count(g));
    }
    tl_predictor_destroy(predictor);
    if (rgb && (tl__archive_find(g->archive, "features") || tl__archive_find(g->archive, "aux")))
        compare_features(g, model, device, fallback, rgb);
    free(logits);
    free(rgb);
    tl_model_destroy(model);
    return !g->problem[0];
}

/* ---- training ---- */

static bool find_info(const tl_model *model, const char *name, tl_parameter_info *info) {
    info->size = sizeof *info;
    for (size_t i = 0; i < tl_model_parameter_count(model); i++)
        if (tl_model_parameter(model, i, info) == TL_OK && strcmp(info->name, name) == 0)
            return true;
    return false;
}

/* Every tensor that the file has under `prefix`, read by `read`. */
static void compare_all(golden *g, int group, const char *prefix, tl_model *model, tl_trainer *trainer) {
    for (size_t i = 0; i < g->archive->entry_count; i++) {
        const char *name = g->archive->entries[i].name;
        if (strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        name += strlen(prefix);
        tl_parameter_info info;
        if (!find_info(model, name, &info)) {
            golden_fail(g, "%s has no %s", g->arch, name);
            continue;
        }
        float *values = malloc((size_t)info.count * sizeof *values);
        tl_status status = group == GROUP_GRAD ? tl_trainer_gradient(trainer, name, values) : tl_model_read(model, name, values);
        if (good(g, status))
            golden_compare_sample(g, group, name, values, info.count);
        free(values);
    }
}

/* What the file does not name must be as it was, to the last bit. */
static void check_frozen(golden *g, tl_model *model) {
    bool two_conv_block = formula_two_conv_block(model);
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info info = {.size = sizeof info};
        char key[160];
        if (tl_model_parameter(model, i, &info) != TL_OK || info.rank == 0) /* a counter counts */
            continue;
        snprintf(key, sizeof key, "after.%s", info.name);
        if (tl__archive_find(g->archive, key))
            continue;
        size_t bytes = (size_t)info.count * sizeof(float);
        float *was = malloc(bytes), *is = malloc(bytes);
        formula_tensor(&info, g->seed, two_conv_block, was);
        if (good(g, tl_model_read(model, info.name, is)) && memcmp(was, is, bytes) != 0)
            golden_fail(g, "%s is frozen and changed", info.name);
        free(was);
        free(is);
    }
}

static bool run_steps(golden *g, tl_model *model, tl_trainer *trainer) {
    const bool segments = golden_segments(g);
    int64_t each = output_count(g) / g->classes; /* labels of a step */
    double *target = golden_read(g, "target", g->steps * each);
    float *losses = calloc((size_t)g->steps, sizeof *losses);
    float *logits = calloc((size_t)output_count(g), sizeof *logits);
    int32_t *labels = calloc((size_t)each, sizeof *labels);
    bool fine = target != NULL;
    for (int step = 0; step < g->steps && fine; step++) {
        tl_score score;
        for (int64_t i = 0; i < each; i++)
            labels[i] = (int32_t)target[step * each + i];
        uint8_t *rgb = golden_images(g, step * g->n, g->n);
        fine = rgb && good(g, tl_trainer_step(trainer, rgb, labels, g->n, &score));
        free(rgb);
        if (fine)
            losses[step] = (float)score.loss;
        if (fine && step == 0) {
            if (good(g, tl_trainer_logits(trainer, logits))) {
                if (segments)
                    golden_compare_map(g, GROUP_LOGITS, "logits", logits);
                else
                    golden_compare(g, GROUP_LOGITS, "logits", logits, output_count(g));
            }
            compare_all(g, GROUP_GRAD, "grad.", model, trainer);
        }
    }
    if (fine)
        golden_compare(g, GROUP_LOSSES, "losses", losses, g->steps);
    free(labels);
    free(logits);
    free(losses);
    free(target);
    return fine;
}

/* A layer's name stands for all in it. */
static void write_patterns(const golden *g, const tl_model *model, char *patterns, size_t size) {
    size_t used = 0;
    for (const char *at = g->trainable; *at && used < size;) {
        int length = (int)strcspn(at, " ");
        char name[160];
        snprintf(name, sizeof name, "%.*s", length, at);
        bool whole = strcmp(name, "*") == 0 || tl__model_find(model, name);
        used += (size_t)snprintf(patterns + used, size - used, "%s%s ", name, whole ? "" : ".*");
        at += length + 1;
    }
}

bool golden_train(golden *g, tl_device *device) {
    tl_model *model = golden_model(g);
    char patterns[3 * sizeof g->trainable] = "";
    tl_stage stage;
    tl_train_options options;
    tl_trainer *trainer = NULL;
    tl_stage_init(&stage, sizeof stage);
    if (model)
        write_patterns(g, model, patterns, sizeof patterns);
    stage.train = patterns;
    stage.lr = g->lr;
    stage.weight_decay = g->weight_decay;
    tl_train_options_init(&options, sizeof options);
    options.batch = g->n;
    options.bn = g->bn;
    options.stages = &stage;
    options.stage_count = 1;
    if (model && good(g, tl_trainer_create(model, device, g->height, g->width, &options, &trainer)) &&
        run_steps(g, model, trainer) && good(g, tl_trainer_sync(trainer)))
        compare_all(g, GROUP_AFTER, "after.", model, trainer);
    tl_trainer_destroy(trainer);
    if (model && !g->problem[0])
        check_frozen(g, model);
    tl_model_destroy(model);
    return !g->problem[0];
}
