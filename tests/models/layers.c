/* ONNX files: layers matched in graph order, whatever their names. */
#include "tests/models/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/models/formula.h"
#include "tests/models/onnx_writer.h"

enum { FOLDED = 1, TRANSPOSED = 2, ADDED_BIAS = 4, NO_HEAD = 8, NAMES = 16, NO_NORM = 32 };

typedef struct export {
    tl_model *model;
    onnx_writer *writer;
    unsigned how;
    int node;
    char before[32];
} export;

static const char *named(const export *e, size_t index, char text[96]) {
    if (e->how & NAMES)
        snprintf(text, 96, "%s", e->model->parameters[index]->name);
    else
        snprintf(text, 96, "onnx::t%zu", index);
    return text;
}

static void put(export *e, size_t index, const float *values, bool transposed) {
    const tl__parameter *p = e->model->parameters[index];
    char name[96];
    named(e, index, name);
    if (!transposed) {
        onnx_tensor(e->writer, name, p->rank, p->shape, values);
        return;
    }
    int64_t rows = p->shape[0], columns = p->shape[1];
    float *other = malloc((size_t)(rows * columns) * sizeof *other);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            other[c * rows + r] = values[r * columns + c];
    onnx_tensor(e->writer, name, 2, (int64_t[]){columns, rows}, other);
    free(other);
}

static void put_node(export *e, const char *type, const char *operands, bool transposed_b) {
    char inputs[512], output[32];
    snprintf(inputs, sizeof inputs, "%s %s", e->before, operands);
    snprintf(output, sizeof output, "v%d", e->node++);
    onnx_node(e->writer, type, inputs, output, transposed_b);
    strcpy(e->before, output);
}

/* The batch-norm at `norm` folded into the weight, as exporters do it. */
static void put_folded(export *e, size_t weight, size_t norm, float *w) {
    const tl__parameter *p = e->model->parameters[weight];
    float *part[4], *own = NULL;
    int64_t count, row = tl__desc_count(&p->desc) / p->shape[0];
    for (int i = 0; i < 4; i++)
        part[i] = read_all(e->model, e->model->parameters[norm + (size_t)i]->name, &count);
    if (norm == weight + 2)
        own = read_all(e->model, e->model->parameters[weight + 1]->name, &count);
    float *bias = malloc((size_t)count * sizeof *bias);
    for (int64_t o = 0; o < count; o++) {
        double by = part[0][o] / sqrt(part[3][o] + 1e-5);
        for (int64_t i = 0; i < row; i++)
            w[o * row + i] = (float)(w[o * row + i] * by);
        bias[o] = (float)(part[1][o] + ((own ? own[o] : 0) - part[2][o]) * by);
    }
    put(e, weight, w, false);
    char name[96], operands[256];
    named(e, weight, name);
    snprintf(operands, sizeof operands, "%s folded%zu", name, weight);
    char label[32];
    snprintf(label, sizeof label, "folded%zu", weight);
    onnx_tensor(e->writer, label, 1, &count, bias);
    put_node(e, "Conv", operands, false);
    for (int i = 0; i < 4; i++)
        free(part[i]);
    free(bias);
    free(own);
}

static bool is_kind(const tl_model *model, size_t index, tl__parameter_kind kind) {
    return index < model->parameter_count && model->parameters[index]->kind == kind;
}

static void put_layer(export *e, size_t index) {
    tl_model *model = e->model;
    const tl__parameter *p = model->parameters[index];
    bool convolution = p->rank == 4, has_bias = false, has_norm = false;
    char weight[96], bias[96] = "", operands[400], part[4][96];
    int64_t count;
    float *w = read_all(model, p->name, &count);
    has_bias = is_kind(model, index + 1, TL__PARAMETER_BIAS);
    size_t norm = index + 1 + has_bias;
    has_norm = is_kind(model, norm, TL__PARAMETER_SCALE);
    if (has_norm && e->how & FOLDED) {
        put_folded(e, index, norm, w);
        free(w);
        return;
    }
    bool transposed = !convolution && e->how & TRANSPOSED;
    put(e, index, w, transposed);
    free(w);
    named(e, index, weight);
    if (has_bias) {
        float *b = read_all(model, model->parameters[index + 1]->name, &count);
        put(e, index + 1, b, false);
        named(e, index + 1, bias);
        free(b);
    }
    bool apart = has_bias && !convolution && e->how & ADDED_BIAS;
    snprintf(operands, sizeof operands, "%s %s", weight, apart ? "" : bias);
    put_node(e, convolution ? "Conv" : apart ? "MatMul" : "Gemm", operands, !convolution && !transposed);
    if (apart)
        put_node(e, "Add", bias, false);
    if (!has_norm || e->how & NO_NORM)
        return;
    for (size_t i = 0; i < 4; i++) {
        float *values = read_all(model, model->parameters[norm + i]->name, &count);
        put(e, norm + i, values, false);
        named(e, norm + i, part[i]);
        free(values);
    }
    snprintf(operands, sizeof operands, "%s %s %s %s", part[0], part[1], part[2], part[3]);
    put_node(e, "BatchNormalization", operands, false);
}

/* The model's layers one after the other: not its graph, but what matching goes by. */
static const char *write_onnx(tl_model *model, unsigned how) {
    export e = {.model = model, .writer = onnx_begin(), .how = how, .before = "input"};
    const char *path = temporary("layers.onnx");
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl__parameter *p = model->parameters[i];
        if (p->kind == TL__PARAMETER_WEIGHT && !(how & NO_HEAD && p->rank == 2))
            put_layer(&e, i);
    }
    assert_true(onnx_end(e.writer, path));
    return path;
}

static tl_model *filled(tl_context *context, const char *arch, int classes, tl_head head, uint64_t seed) {
    tl_model *model = model_create(context, arch, classes, head, 0.05);
    assert_ok(context, formula_fill(model, seed));
    return model;
}

static void test_round(void **state) {
    (void)state;
    static const unsigned ways[] = {0, NAMES, TRANSPOSED, TRANSPOSED | ADDED_BIAS, NAMES | TRANSPOSED};
    static const char *const archs[] = {"resnet18", "resnext50_32x4d", "vgg11", "vgg11_bn"};
    tl_context *context = context_create();
    for (size_t a = 0; a < TL__COUNT(archs); a++)
        for (size_t w = 0; w < TL__COUNT(ways); w++) {
            if (ways[w] & NAMES && ways[w] & TRANSPOSED)
                continue; /* names promise torchvision's shapes */
            tl_model *from = filled(context, archs[a], 5, TL_HEAD_NATIVE, 1);
            tl_model *to = filled(context, archs[a], 5, TL_HEAD_NATIVE, 2);
            assert_ok(context, tl_model_load_weights(to, write_onnx(from, ways[w]), NULL));
            assert_true(same_values(from, to));
            tl_model_destroy(from);
            tl_model_destroy(to);
        }
    context_destroy(context);
}

/* What convolution and batch-norm do together: the weight's factor and the offset of each channel. */
static void joined(tl_model *model, const char *convolution, const char *norm, double *factor, double *offset) {
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    float *part[4], *bias = NULL;
    int64_t channels;
    char name[64];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.%s", norm, parts[i]);
        part[i] = read_all(model, name, &channels);
    }
    snprintf(name, sizeof name, "%s.bias", convolution);
    if (tl__model_find(model, name))
        bias = read_all(model, name, &channels);
    for (int64_t o = 0; o < channels; o++) {
        factor[o] = part[0][o] / sqrt(part[3][o] + 1e-5);
        offset[o] = part[1][o] + ((bias ? bias[o] : 0) - part[2][o]) * factor[o];
    }
    for (int i = 0; i < 4; i++)
        free(part[i]);
    free(bias);
}

/* Batch-norms inside the convolutions: ours then pass on what they get. */
static void check_folded(tl_context *context, const char *arch, const char *convolution, const char *norm) {
    static double factor[2][512], offset[2][512];
    tl_model *model[2] = {filled(context, arch, 5, TL_HEAD_NATIVE, 1), filled(context, arch, 5, TL_HEAD_NATIVE, 2)};
    assert_ok(context, tl_model_load_weights(model[1], write_onnx(model[0], FOLDED), NULL));
    int64_t count;
    float *w[2];
    char name[64];
    snprintf(name, sizeof name, "%s.weight", convolution);
    for (int m = 0; m < 2; m++) {
        w[m] = read_all(model[m], name, &count);
        joined(model[m], convolution, norm, factor[m], offset[m]);
    }
    int64_t channels = tl__model_find(model[0], name)->shape[0], row = count / channels;
    for (int64_t o = 0; o < channels; o++) {
        assert_true(fabs(offset[0][o] - offset[1][o]) < 1e-6);
        for (int64_t i = o * row; i < (o + 1) * row; i++)
            assert_true(fabs(w[0][i] * factor[0][o] - w[1][i] * factor[1][o]) < 1e-6);
    }
    for (int m = 0; m < 2; m++) {
        free(w[m]);
        tl_model_destroy(model[m]);
    }
}

static void test_folded(void **state) {
    (void)state;
    tl_context *context = context_create();
    check_folded(context, "resnet18", "layer3.1.conv2", "layer3.1.bn2");
    check_folded(context, "vgg11_bn", "features.8", "features.9");
    context_destroy(context);
}

static void test_trunk(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *whole = filled(context, "vgg16", 9, TL_HEAD_NATIVE, 1), *linear = filled(context, "vgg16", 4, TL_HEAD_LINEAR, 2);
    tl_model *native = filled(context, "vgg16", 9, TL_HEAD_NATIVE, 3);
    tl_weights_options bgr = {.size = sizeof bgr, .bgr = true};
    for (int i = 0; i < 2; i++) { /* three linear layers that are not wanted, then none */
        int64_t count;
        assert_ok(context, tl_model_load_weights(linear, write_onnx(whole, i ? NO_HEAD : TRANSPOSED), i ? &bgr : NULL));
        float *a = read_all(whole, "features.28.weight", &count), *b = read_all(linear, "features.28.weight", &count);
        assert_memory_equal(a, b, (size_t)count * sizeof *a);
        free(a);
        free(b);
        a = read_all(whole, "features.0.weight", &count), b = read_all(linear, "features.0.weight", &count);
        assert_memory_equal(a, b + (i ? 18 : 0), 9 * sizeof *a);
        free(a);
        free(b);
    }
    assert_fails(context, tl_model_load_weights(native, write_onnx(whole, NO_HEAD), NULL), TL_ERROR_WEIGHTS,
                 "0 linear layers, not 3");
    tl_model_destroy(native);
    native = filled(context, "vgg16", 2, TL_HEAD_NATIVE, 3); /* other classes: the last layer stays new */
    assert_ok(context, tl_model_load_weights(native, write_onnx(whole, 0), NULL));
    int64_t count;
    float *a = read_all(whole, "classifier.3.weight", &count), *b = read_all(native, "classifier.3.weight", &count);
    assert_memory_equal(a, b, (size_t)count * sizeof *a);
    free(a);
    free(b);
    bgr = (tl_weights_options){.size = sizeof bgr, .keep_head = true};
    assert_fails(context, tl_model_load_weights(native, write_onnx(whole, 0), &bgr), TL_ERROR_WEIGHTS, "classifier.6.weight needs");
    tl_model_destroy(native);
    tl_model_destroy(linear);
    tl_model_destroy(whole);
    context_destroy(context);
}

static void test_misfits(void **state) {
    (void)state;
    tl_context *context = context_create();
    tl_model *from = filled(context, "resnet18", 5, TL_HEAD_NATIVE, 1);
    tl_model *deeper = filled(context, "resnet34", 5, TL_HEAD_NATIVE, 2), *same = filled(context, "resnet34", 5, TL_HEAD_NATIVE, 2);
    assert_fails(context, tl_model_load_weights(deeper, write_onnx(from, 0), NULL), TL_ERROR_WEIGHTS, "20 convolutions, not 36");
    assert_true(same_values(deeper, same));
    tl_model *wider = model_create(context, "resnet18", 5, TL_HEAD_NATIVE, 0.1);
    assert_fails(context, tl_model_load_weights(wider, write_onnx(from, 0), NULL), TL_ERROR_WEIGHTS, "conv1.weight needs [6,3,7,7]");
    tl_model *to = filled(context, "resnet18", 5, TL_HEAD_NATIVE, 2);
    assert_fails(context, tl_model_load_weights(to, write_onnx(from, NO_NORM), NULL), TL_ERROR_WEIGHTS, "missing bn1.weight");
    tl_model_destroy(from);
    tl_model_destroy(deeper);
    tl_model_destroy(same);
    tl_model_destroy(wider);
    tl_model_destroy(to);
    context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round), cmocka_unit_test(test_folded),
        cmocka_unit_test(test_trunk), cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
