/* The graph's passes: pruning, folding, fusing, splitting, the frozen cut, the layout of the arena. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/plan_internal.h"
#include "train/trainer.h"

static int count_nodes(const tl__graph *graph, int op, bool backward) {
    int count = 0;
    for (size_t n = 0; n < graph->node_count; n++)
        count += !graph->nodes[n].dead && (op < 0 || graph->nodes[n].op.op == (uint32_t)op) && graph->nodes[n].backward == backward;
    return count;
}

static tl__graph *draw(tl_model *model, bool training, tl_bn bn, int batch, tl__drawn *drawn) {
    tl__graph *graph;
    tl__draw_options options = {.batch = batch, .height = 40, .width = 40, .training = training, .bn = bn};
    ok(tl__model_draw(model, &options, &graph, drawn), model->context);
    return graph;
}

static int add_loss(tl__graph *graph, int logits, int batch) {
    int target = tl__graph_input(graph, tl__desc(TL_DTYPE_I32, 3, (const int64_t[]){batch, 1, 1}), "target");
    int loss = tl__cross_entropy(graph, logits, target, -1, "loss", -1, 0, 1);
    graph->values[loss].keep = true;
    return loss;
}

static void mark(tl_model *model, const char *patterns, tl_bn bn) {
    tl_stage stage;
    tl_stage_init(&stage, sizeof stage);
    stage.train = patterns;
    ok(tl__stage_mark(model, &stage, bn), model->context);
}

/* Freezing is pruning: no gradient is computed below the first layer that trains. */
static void test_backward_is_pruned(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_model *model = test_model(context, "resnet18", 3);
    tl__drawn drawn;
    const struct {
        const char *train;
        int grad_input, grad_weight;
    } cases[] = {
        {"fc.*", 0, 1},          /* the head: one weight, and nothing goes on from there */
        {"layer4.*, fc.*", 2, 4}, /* conv1, conv2 and the shortcut; inputs of conv2 and of fc */
        {"layer4.0.conv2.weight", 1, 1},
        {"conv1.weight", 12, 1},  /* 4 blocks of 2, 3 shortcuts, fc */
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        mark(model, cases[i].train, TL_BN_EVAL);
        tl__graph *graph = draw(model, true, TL_BN_EVAL, 2, &drawn);
        ok(tl__graph_backward(graph, add_loss(graph, drawn.logits, 2)), context);
        tl__graph_prune(graph);
        assert_int_equal(count_nodes(graph, TL_OP_CONV2D_GRAD_INPUT, true), cases[i].grad_input);
        assert_int_equal(count_nodes(graph, TL_OP_CONV2D_GRAD_WEIGHT, true), cases[i].grad_weight);
        tl__graph_destroy(graph);
    }
    tl_model_destroy(model);
    tl_context_destroy(context);
}

static void test_inference_folds_and_fuses(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_model *model = test_model(context, "resnet18", 3);
    tl__drawn drawn;
    tl__graph *graph = draw(model, false, TL_BN_EVAL, 2, &drawn);
    graph->values[drawn.logits].keep = true;
    tl__graph_prune(graph);
    ok(tl__graph_fold(graph), context);
    tl__graph_fuse(graph);
    assert_int_equal(count_nodes(graph, TL_OP_BATCHNORM, false), 0);
    assert_int_equal(count_nodes(graph, TL_OP_RELU, false), 0);
    assert_int_equal(count_nodes(graph, TL_OP_ADD, false), 0);
    /* normalize, stem, max-pool, 4 blocks of 2, 3 shortcuts, average pool, fc */
    assert_int_equal(count_nodes(graph, -1, false), 3 + 8 + 3 + 2);
    tl__graph_destroy(graph);
    tl_model_destroy(model);
    tl_context_destroy(context);
}

/* A batch-norm whose statistics are the batch's, or whose scale trains, must not disappear. */
static void test_live_norms_stay(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_model *model = test_model(context, "resnet18", 3);
    tl__drawn drawn;
    const struct {
        const char *train;
        tl_bn bn;
        int norms;
    } cases[] = {{"fc.*", TL_BN_EVAL, 0}, {"fc.*", TL_BN_BATCH, 12}, {"layer4.*", TL_BN_EVAL, 3}, {"layer4.*", TL_BN_MIXED, 3}, {"layer1.0.bn1.bias", TL_BN_EVAL, 1}};
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        mark(model, cases[i].train, cases[i].bn);
        tl__graph *graph = draw(model, true, cases[i].bn, 2, &drawn);
        graph->values[drawn.logits].keep = true;
        tl__graph_prune(graph);
        ok(tl__graph_fold(graph), context);
        assert_int_equal(count_nodes(graph, TL_OP_BATCHNORM, false), cases[i].norms);
        tl__graph_destroy(graph);
    }
    tl_model_destroy(model);
    tl_context_destroy(context);
}

static const char *cut_names(tl_model *model, const char *train, tl_bn bn, int most, const char **reason) {
    static char name[256];
    tl__drawn drawn;
    mark(model, train, bn);
    tl__graph *graph = draw(model, true, bn, 2, &drawn);
    tl__cut cut;
    ok(tl__graph_frozen_cut(graph, drawn.logits, most, &cut, reason), model->context);
    tl__cut_text(&cut, graph, name, sizeof name);
    tl__graph_destroy(graph);
    return cut.count ? name : NULL;
}

static const char *cut_name(tl_model *model, const char *train, tl_bn bn, const char **reason) {
    return cut_names(model, train, bn, 1, reason);
}

static void test_frozen_cut(void **state) {
    (void)state;
    const char *why;
    tl_context *context = test_context(NULL);
    tl_model *resnet = test_model(context, "resnet18", 3), *vgg = test_model(context, "vgg11_bn", 3);
    assert_string_equal(cut_name(resnet, "fc.*", TL_BN_EVAL, &why), "avgpool");
    assert_non_null(strstr(cut_name(resnet, "layer4.*", TL_BN_EVAL, &why), "layer3.0.relu"));
    assert_non_null(strstr(cut_name(resnet, "layer4.*", TL_BN_MIXED, &why), "layer3.0.relu"));
    assert_non_null(strstr(cut_name(resnet, "layer2.0.bn2.weight", TL_BN_EVAL, &why), "layer1.0")); /* the shortcut reads it too */
    assert_null(cut_name(resnet, "conv1.weight", TL_BN_EVAL, &why));
    assert_string_equal(why, "the first layers train");
    assert_string_equal(cut_name(resnet, "fc.*", TL_BN_BATCH, &why), "conv1"); /* before the first batch statistics */
    assert_string_equal(why, "batch statistics in the frozen part");
    assert_string_equal(cut_name(vgg, "classifier.6.*", TL_BN_EVAL, &why), "classifier.1"); /* before the dropout */
    tl_model_destroy(resnet);
    tl_model_destroy(vgg);
    tl_context_destroy(context);
}

/* The heads of segmenters read several maps: features are those of all of them. */
static void test_frozen_cut_of_segmenters(void **state) {
    (void)state;
    const char *why;
    const int layers[4] = {1, 1, 1, 1};
    tl_context *context = test_context(NULL);
    tl_model_options options;
    tl_model *fcn, *lite, *skips;
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet50";
    options.classes = 3;
    options.layers = layers;
    options.width = 0.0625;
    options.head = TL_HEAD_FCN;
    ok(tl_model_create(context, &options, &fcn), context);
    options.head = TL_HEAD_LITE;
    ok(tl_model_create(context, &options, &lite), context);
    options.arch = "vgg11";
    options.layers = NULL;
    options.head = TL_HEAD_FCN;
    ok(tl_model_create(context, &options, &skips), context);
    assert_string_equal(cut_names(fcn, "classifier.* aux_classifier.*", TL_BN_EVAL, 4, &why), "layer3.0.relu, layer4.0.relu");
    assert_string_equal(cut_names(fcn, "classifier.* aux_classifier.*", TL_BN_EVAL, 1, &why), "layer3.0.relu");
    assert_string_equal(cut_names(fcn, "*classifier.4.*", TL_BN_EVAL, 4, &why), "classifier.1, aux_classifier.1");
    /* the auxiliary classifier draws from chance, frozen or not */
    assert_string_equal(cut_names(fcn, "classifier.*", TL_BN_EVAL, 4, &why), "layer4.0.relu, aux_classifier.1");
    assert_string_equal(cut_names(fcn, "backbone.layer4.*", TL_BN_EVAL, 4, &why), "layer3.0.relu, aux_classifier.1");
    assert_string_equal(cut_names(lite, "classifier.*", TL_BN_EVAL, 4, &why), "layer3.0.relu, layer4.0.relu");
    assert_string_equal(cut_names(skips, "classifier.*", TL_BN_EVAL, 4, &why), "features.10, features.15, features.20");
    assert_string_equal(cut_names(skips, "classifier.*", TL_BN_EVAL, 2, &why), "features.10");
    /* nothing of it learned, and still read: the output itself */
    assert_null(cut_names(lite, "backbone.conv1.weight", TL_BN_EVAL, 4, &why));
    assert_string_equal(why, "the first layers train");
    tl_model_destroy(fcn);
    tl_model_destroy(lite);
    tl_model_destroy(skips);
    tl_context_destroy(context);
}

/* Two slots that live at the same step never overlap, and outputs that took an input's place are as large. */
static void test_layout_is_sound(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 1);
    tl_model *model = test_model(context, "resnet50", 3);
    tl_trainer *trainer;
    tl_train_options options;
    tl_stage stage;
    tl__plan *plan;
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.train = "*";
    options.bn = TL_BN_BATCH;
    options.batch = 3;
    options.stages = &stage;
    options.stage_count = 1;
    ok(tl_trainer_create(model, device, 40, 40, &options, &trainer), context);
    ok(tl__trainer_prepare(trainer, 3, &plan), context);
    int shared = 0;
    for (size_t a = 0; a < plan->slot_count; a++) {
        const tl__slot *x = &plan->slots[a];
        if (x->same_as >= 0) {
            shared++;
            assert_int_equal(x->offset, plan->slots[x->same_as].offset);
            continue;
        }
        for (size_t b = 0; b < a && !x->external; b++) {
            const tl__slot *y = &plan->slots[b];
            if (y->external || y->same_as >= 0 || x->first > y->last || y->first > x->last || x->chunk != y->chunk)
                continue;
            assert_true(x->offset >= y->offset + y->bytes || y->offset >= x->offset + x->bytes);
        }
    }
    assert_true(shared > 10);
    assert_non_null(strstr(tl__plan_report(plan), "conv2d_grad_input"));
    tl_trainer_destroy(trainer);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
}

/* A graph drawn for an impossible size says which layer does not fit. */
static void test_shape_errors_name_the_node(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl__graph *graph;
    ok(tl__graph_create(context, &graph), context);
    int x = tl__graph_input(graph, tl__desc4(TL_DTYPE_F32, 1, 4, 4, 3), "x");
    int w = tl__graph_table(graph, tl__desc4(TL_DTYPE_F32, 2, 7, 7, 3), (float[2 * 49 * 3]){0}, "w");
    int y = tl__conv2d(graph, x, w, -1, "stem.conv", 1, 0, 1, 1);
    assert_int_equal(y, -1);
    assert_int_equal(tl__relu(graph, y, "relu"), -1); /* and nothing after it does anything */
    assert_int_equal(tl__graph_status(graph), TL_ERROR_SHAPE);
    assert_non_null(strstr(tl_context_message(context), "stem.conv"));
    assert_non_null(strstr(tl_context_message(context), "4 x 4"));
    tl__graph_destroy(graph);
    tl_context_destroy(context);
}

/* Whole nodes and their parts give the same values: split every node that can be, and run both. */
static void run_graph(tl_model *model, tl_device *device, bool split, const uint8_t *rgb, float *logits) {
    tl__drawn drawn;
    tl__arena *arena;
    tl__plan *plan;
    tl__graph *graph = draw(model, false, TL_BN_EVAL, 2, &drawn);
    graph->values[drawn.logits].keep = true;
    tl__graph_prune(graph);
    ok(tl__graph_fold(graph), model->context);
    tl__graph_fuse(graph);
    ok(tl__arena_create(device, &arena), model->context);
    tl__plan_options options = {.device = device, .arena = arena};
    if (split) {
        /* Parts are appended: a graph of their own, in order, is what a plan with a refusing backend runs. */
        size_t nodes = graph->node_count;
        int splits = 0;
        for (size_t n = 0; n < nodes; n++) {
            int parts[4];
            tl__node whole = graph->nodes[n];
            if (whole.dead)
                continue;
            int count = tl__graph_split(graph, (int)n, parts);
            if (count)
                splits++;
            else if (tl__grow(graph->context, (void **)&graph->nodes, &graph->node_capacity, graph->node_count, sizeof whole) == TL_OK) {
                graph->nodes[graph->node_count++] = whole;
                graph->nodes[n].dead = true;
                for (int i = 0; i < TL_MAX_OUTPUTS; i++)
                    if (whole.out[i] >= 0)
                        graph->values[whole.out[i]].node = (int)graph->node_count - 1;
            }
        }
        assert_true(splits >= 9);
    }
    ok(tl__plan_create(graph, &options, &plan), model->context);
    ok(tl__plan_write(plan, drawn.input, rgb), model->context);
    ok(tl__plan_run(plan), model->context);
    ok(tl__plan_read(plan, drawn.logits, logits), model->context);
    tl__plan_destroy(plan);
    tl__arena_destroy(arena);
}

static void test_parts_equal_the_whole(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_model *model = test_model(context, "resnet18", 3);
    uint8_t *rgb = test_images(2, 40, 1);
    float whole[6], parts[6];
    run_graph(model, device, false, rgb, whole);
    run_graph(model, device, true, rgb, parts);
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(whole[i] - parts[i]) <= 1e-5f * (1 + fabsf(whole[i])));
    free(rgb);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backward_is_pruned),   cmocka_unit_test(test_inference_folds_and_fuses),
        cmocka_unit_test(test_live_norms_stay),      cmocka_unit_test(test_frozen_cut), cmocka_unit_test(test_frozen_cut_of_segmenters),
        cmocka_unit_test(test_layout_is_sound),      cmocka_unit_test(test_shape_errors_name_the_node),
        cmocka_unit_test(test_parts_equal_the_whole),
    };
    return cmocka_run_group_tests_name("passes of the graph", tests, NULL, NULL);
}
