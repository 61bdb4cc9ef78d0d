#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/init.h"
#include "models/models.h"

int tl__draw_width(const tl__draw *draw, int channels) {
    int width = (int)lround(channels * draw->model->options.width);
    return width > 1 ? width : 1;
}

/* ---- parameters ---- */

static tl__parameter *declare(tl__draw *draw, const char *name, tl__parameter_kind kind, const tl_tensor_desc *desc,
                              int rank, const int64_t *shape) {
    tl_model *model = draw->model;
    tl_context *context = model->context;
    if (tl__grow(context, (void **)&model->parameters, &model->parameter_capacity, model->parameter_count,
                 sizeof *model->parameters) != TL_OK)
        return NULL;
    tl__parameter *parameter = tl__calloc(context, 1, sizeof *parameter);
    if (!parameter)
        return NULL;
    parameter->name = tl__strdup(context, name);
    if (!parameter->name) {
        tl__free(context, parameter);
        return NULL;
    }
    parameter->kind = kind;
    parameter->desc = *desc;
    parameter->rank = rank;
    for (int i = 0; i < rank; i++)
        parameter->shape[i] = shape[i];
    parameter->id = tl__parameter_new_id();
    model->parameters[model->parameter_count++] = parameter;
    return parameter;
}

/* NAME.suffix: declared, or found by the order in which it was declared. NULL after a failure, which the graph has. */
static tl__parameter *take(tl__draw *draw, const char *layer, const char *suffix, tl__parameter_kind kind,
                           const tl_tensor_desc *desc, int rank, const int64_t *shape) {
    tl_model *model = draw->model;
    char name[128];
    snprintf(name, sizeof name, "%s%s.%s", draw->prefix, layer, suffix);
    if (draw->declare) {
        tl__parameter *parameter = declare(draw, name, kind, desc, rank, shape);
        if (!parameter)
            tl__graph_failed(draw->graph, TL_ERROR_MEMORY);
        return parameter;
    }
    for (size_t i = 0; i < model->parameter_count; i++) {
        size_t at = (draw->next + i) % model->parameter_count;
        if (strcmp(model->parameters[at]->name, name) == 0) {
            draw->next = at + 1;
            return model->parameters[at];
        }
    }
    tl__graph_failed(draw->graph, tl__fail(model->context, TL_ERROR_INTERNAL, "%s: no such parameter", name));
    return NULL;
}

static const tl_tensor_desc *desc_of(const tl__draw *draw, int value) {
    return &draw->graph->values[value].desc;
}

/* ---- layers ---- */

/* Trunks as torchvision initialises them; segmentation heads, which it leaves alone, as nn.Conv2d does itself. */
static void init_conv2d(const tl__draw *draw, tl__parameter *weight, tl__parameter *bias, double fan_out, double fan_in) {
    const uint64_t seed = draw->model->options.seed;
    const bool head = tl__model_segments(draw->model) && !draw->prefix[0];
    const double bound = 1 / sqrt(fan_in);
    if (head)
        tl__init_uniform(weight, -bound, bound, seed);
    else
        tl__init_normal(weight, sqrt(2.0 / fan_out), seed);
    if (bias && head)
        tl__init_uniform(bias, -bound, bound, seed);
    else if (bias)
        tl__init_constant(bias, 0);
}

int tl__draw_conv2d(tl__draw *draw, int x, const char *name, int out, int kernel, int stride, int pad, int dilation,
                    int groups, bool bias) {
    if (x < 0)
        return -1;
    int64_t in = desc_of(draw, x)->shape[3] / groups;
    tl_tensor_desc desc = tl__desc4(TL_DTYPE_F32, out, kernel, kernel, in), bias_desc = tl__desc1(TL_DTYPE_F32, out);
    tl__parameter *weight = take(draw, name, "weight", TL__PARAMETER_WEIGHT, &desc, 4, (int64_t[]){out, in, kernel, kernel});
    tl__parameter *offset = NULL;
    if (weight && bias)
        offset = take(draw, name, "bias", TL__PARAMETER_BIAS, &bias_desc, 1, (int64_t[]){out});
    if (!weight || (bias && !offset))
        return -1;
    if (draw->declare)
        init_conv2d(draw, weight, offset, (double)out * kernel * kernel, (double)in * kernel * kernel);
    int w = tl__graph_parameter(draw->graph, weight), b = offset ? tl__graph_parameter(draw->graph, offset) : -1;
    return tl__conv2d(draw->graph, x, w, b, name, stride, pad, dilation, groups);
}

static tl_statistics statistics(const tl__draw *draw, tl__parameter *const parameters[4]) {
    if (!draw->training || draw->bn == TL_BN_EVAL)
        return TL_STATISTICS_STORED;
    bool trains = parameters[0]->trains || parameters[1]->trains;
    return draw->bn == TL_BN_BATCH || trains ? TL_STATISTICS_BATCH : TL_STATISTICS_STORED;
}

int tl__draw_batchnorm(tl__draw *draw, int x, const char *name) {
    static const struct {
        const char *suffix;
        tl__parameter_kind kind;
        double value;
    } parts[4] = {
        {"weight", TL__PARAMETER_SCALE, 1},
        {"bias", TL__PARAMETER_SHIFT, 0},
        {"running_mean", TL__PARAMETER_MEAN, 0},
        {"running_var", TL__PARAMETER_VARIANCE, 1},
    };
    if (x < 0)
        return -1;
    int64_t channels = desc_of(draw, x)->shape[3];
    tl_tensor_desc desc = tl__desc1(TL_DTYPE_F32, channels), scalar = tl__desc(TL_DTYPE_I64, 0, NULL);
    tl__parameter *parameters[4];
    int values[4];
    for (int i = 0; i < 4; i++) {
        parameters[i] = take(draw, name, parts[i].suffix, parts[i].kind, &desc, 1, &channels);
        if (!parameters[i])
            return -1;
        if (draw->declare)
            tl__init_constant(parameters[i], parts[i].value);
        values[i] = tl__graph_parameter(draw->graph, parameters[i]);
    }
    if (draw->declare && !take(draw, name, "num_batches_tracked", TL__PARAMETER_COUNTER, &scalar, 0, NULL))
        return -1;
    return tl__batchnorm(draw->graph, x, values, name, statistics(draw, parameters));
}

int tl__draw_linear(tl__draw *draw, int x, const char *name, int out) {
    if (x < 0)
        return -1;
    const int64_t *map = desc_of(draw, x)->shape;
    int64_t in = map[1] * map[2] * map[3];
    tl_tensor_desc desc = tl__desc4(TL_DTYPE_F32, out, map[1], map[2], map[3]), bias_desc = tl__desc1(TL_DTYPE_F32, out);
    tl__parameter *weight = take(draw, name, "weight", TL__PARAMETER_WEIGHT, &desc, 2, (int64_t[]){out, in});
    tl__parameter *bias = weight ? take(draw, name, "bias", TL__PARAMETER_BIAS, &bias_desc, 1, (int64_t[]){out}) : NULL;
    if (!bias)
        return -1;
    if (draw->declare) {
        uint64_t seed = draw->model->options.seed;
        if (strcmp(name, "fc") == 0) { /* nn.Linear's own */
            double bound = 1 / sqrt((double)in);
            tl__init_uniform(weight, -bound, bound, seed);
            tl__init_uniform(bias, -bound, bound, seed);
        } else {
            tl__init_normal(weight, 0.01, seed);
            tl__init_constant(bias, 0);
        }
    }
    int w = tl__graph_parameter(draw->graph, weight), b = tl__graph_parameter(draw->graph, bias);
    return tl__conv2d(draw->graph, x, w, b, name, 1, 0, 1, 1);
}

int tl__draw_dropout(tl__draw *draw, int x, const char *name) {
    return tl__draw_dropout_of(draw, x, name, draw->model->options.dropout);
}

int tl__draw_dropout_of(tl__draw *draw, int x, const char *name, double p) {
    if (x < 0 || !draw->training || p == 0)
        return x;
    if (draw->counter < 0)
        draw->counter = tl__graph_input(draw->graph, tl__desc1(TL_DTYPE_I32, 4), "counter");
    return tl__dropout(draw->graph, x, draw->counter, name, (float)p, draw->stream++);
}

int tl__draw_unit(tl__draw *draw, int x, const char *conv, const char *norm, int out, int kernel, int dilation) {
    x = tl__draw_conv2d(draw, x, conv, out, kernel, 1, kernel / 2 * dilation, dilation, 1, false);
    x = tl__draw_batchnorm(draw, x, norm);
    return tl__relu(draw->graph, x, norm);
}

/* ---- the whole ---- */

tl_status tl__model_draw(tl_model *model, const tl__draw_options *options, tl__graph **graph, tl__drawn *drawn) {
    const tl__arch *arch = model->arch;
    if (options->height < arch->min_size || options->width < arch->min_size)
        return tl__fail(model->context, TL_ERROR_SHAPE, "%s needs images of at least %d x %d pixels, not %d x %d", arch->name,
                        arch->min_size, arch->min_size, options->width, options->height);
    tl__graph *made;
    TL__TRY(tl__graph_create(model->context, &made));
    tl__draw draw = {
        .model = model,
        .graph = made,
        .declare = model->parameter_count == 0,
        .training = options->training,
        .bn = options->bn,
        .counter = -1,
        .prefix = "",
        .auxiliary = -1,
    };
    int dtype = options->floats ? TL_DTYPE_F32 : TL_DTYPE_U8;
    int input = tl__graph_input(made, tl__desc4(dtype, options->batch, options->height, options->width, 3), "input");
    int x = input;
    if (!options->floats) {
        tl_tensor_desc desc = tl__desc(TL_DTYPE_F32, 2, (int64_t[]){3, 256});
        x = tl__normalize(made, input, tl__graph_table(made, desc, model->table, "table"), "normalize");
    }
    int logits;
    if (tl__model_segments(model)) {
        draw.prefix = "backbone.";
        tl__trunk trunk = arch->draw_trunk(&draw, x, model->options.output_stride);
        draw.prefix = "";
        logits = tl__draw_segmentation(&draw, &trunk, options->height, options->width);
    } else {
        logits = arch->draw(&draw, x);
    }
    tl_status status = tl__graph_status(made);
    if (status != TL_OK) {
        tl__graph_destroy(made);
        return status;
    }
    *graph = made;
    *drawn = (tl__drawn){.input = input, .logits = logits, .auxiliary = draw.auxiliary, .counter = draw.counter};
    return TL_OK;
}
