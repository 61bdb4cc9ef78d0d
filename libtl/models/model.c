#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/base.h"

/* ---- options ---- */

void tl_model_options_init(tl_model_options *options, size_t size) {
    tl_model_options defaults = {.size = size, .classes = 1000, .head = TL_HEAD_NATIVE, .width = 1, .dropout = 0.5};
    memset(options, 0, size);
    memcpy(options, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

static tl_status check_head(tl_context *context, const tl_model_options *options, const tl__arch *arch) {
    const bool vgg = arch->layers[4] > 0;
    const int stride = options->output_stride;
    if ((int)options->head < TL_HEAD_NATIVE || options->head > TL_HEAD_LITE)
        return tl__fail(context, TL_ERROR_ARGUMENT, "unknown head %d", (int)options->head);
    if (options->head < TL_HEAD_FCN)
        return TL_OK;
    if (options->classes > 255)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%d classes: pixels have up to 255", options->classes);
    if (options->head == TL_HEAD_DEEPLABV3 && vgg)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: deeplabv3 is for ResNets", arch->name);
    if (stride != 0 && stride != 8 && stride != 16 && stride != 32)
        return tl__fail(context, TL_ERROR_ARGUMENT, "output stride %d: must be 8, 16 or 32", stride);
    if (stride != 32 && !(stride == 0 && options->head == TL_HEAD_LITE) && !vgg && !arch->bottleneck)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: its blocks do not dilate: its output stride is 32", arch->name);
    return TL_OK;
}

static tl_status check_options(tl_context *context, const tl_model_options *options, const tl__arch **arch) {
    if (!options->arch)
        return tl__fail(context, TL_ERROR_ARGUMENT, "no network is named");
    *arch = tl__arch_find(options->arch);
    if (!*arch)
        return tl__fail(context, TL_ERROR_NOT_FOUND, "unknown network %s; the nearest is %s", options->arch,
                        tl__arch_nearest(options->arch));
    if (options->classes < 1 || options->classes > 1 << 20)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%d classes: must be 1 to %d", options->classes, 1 << 20);
    TL__TRY(check_head(context, options, *arch));
    if (!(options->width > 0 && options->width <= 64))
        return tl__fail(context, TL_ERROR_ARGUMENT, "width %g: must be more than 0 and at most 64", options->width);
    if (!(options->dropout >= 0 && options->dropout < 1))
        return tl__fail(context, TL_ERROR_ARGUMENT, "dropout %g: must be at least 0 and less than 1", options->dropout);
    if (!options->layers)
        return TL_OK;
    if ((*arch)->layers[4])
        return tl__fail(context, TL_ERROR_ARGUMENT, "%s: only a ResNet's layers can be chosen", (*arch)->name);
    for (int i = 0; i < 4; i++)
        if (options->layers[i] < 1 || options->layers[i] > 1000)
            return tl__fail(context, TL_ERROR_ARGUMENT, "%d layers in stage %d: must be 1 to 1000", options->layers[i], i + 1);
    return TL_OK;
}

/* ---- making and ending ---- */

tl_status tl_model_create(tl_context *context, const tl_model_options *options, tl_model **out) {
    tl_model_options given;
    tl_model_options_init(&given, sizeof given);
    memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    const tl__arch *arch = NULL;
    TL__TRY(check_options(context, &given, &arch));
    tl_model *model = tl__calloc(context, 1, sizeof *model);
    if (!model)
        return TL_ERROR_MEMORY;
    model->context = context;
    model->arch = arch;
    model->options = given;
    model->options.arch = arch->name;
    if (!given.output_stride)
        model->options.output_stride = given.head == TL_HEAD_LITE ? 32 : 8;
    if (given.layers) {
        memcpy(model->layers, given.layers, sizeof model->layers);
        model->options.layers = model->layers;
    }
    tl_preprocess preprocess;
    tl_preprocess_init(&preprocess, sizeof preprocess);
    tl_status status = tl_model_set_preprocess(model, &preprocess);
    /* Declares the parameters; they do not depend on the size of the images. */
    tl__draw_options drawing = {.batch = 1, .height = 64, .width = 64};
    tl__graph *graph;
    tl__drawn drawn;
    if (status == TL_OK)
        status = tl__model_draw(model, &drawing, &graph, &drawn);
    if (status == TL_OK)
        tl__graph_destroy(graph);
    if (status != TL_OK) {
        tl_model_destroy(model);
        return status;
    }
    *out = model;
    return TL_OK;
}

static void free_classes(tl_context *context, char **classes, int count) {
    for (int i = 0; classes && i < count; i++)
        tl__free(context, classes[i]);
    tl__free(context, classes);
}

void tl_model_destroy(tl_model *model) {
    if (!model)
        return;
    tl_context *context = model->context;
    tl__model_detach(model, true);
    tl__base_release(context, model->base);
    for (size_t i = 0; i < model->parameter_count; i++) {
        tl__free(context, model->parameters[i]->values);
        tl__free(context, model->parameters[i]->name);
        tl__free(context, model->parameters[i]);
    }
    tl__free(context, model->parameters);
    free_classes(context, model->classes, model->options.classes);
    tl__free(context, model);
}

/* ---- what it is ---- */

const char *tl_model_arch(const tl_model *model) {
    return model->arch->name;
}

tl_head tl_model_head(const tl_model *model) {
    return model->options.head;
}

int tl_model_class_count(const tl_model *model) {
    return model->options.classes;
}

const char *tl_model_class(const tl_model *model, int index) {
    return model->classes && index >= 0 && index < model->options.classes ? model->classes[index] : NULL;
}

tl_status tl_model_set_classes(tl_model *model, const char *const *names, int count) {
    tl_context *context = model->context;
    if (count != model->options.classes)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%d class names for a model of %d classes", count, model->options.classes);
    char **classes = tl__calloc(context, (size_t)count, sizeof *classes);
    if (!classes)
        return TL_ERROR_MEMORY;
    for (int i = 0; i < count; i++) {
        classes[i] = tl__strdup(context, names[i]);
        if (!classes[i]) {
            free_classes(context, classes, count);
            return TL_ERROR_MEMORY;
        }
    }
    free_classes(context, model->classes, model->options.classes);
    model->classes = classes;
    return TL_OK;
}

const tl_preprocess *tl_model_preprocess(const tl_model *model) {
    return &model->preprocess;
}

tl_status tl_model_set_preprocess(tl_model *model, const tl_preprocess *preprocess) {
    tl_preprocess given;
    tl_preprocess_init(&given, sizeof given);
    memcpy(&given, preprocess, preprocess->size < sizeof given ? preprocess->size : sizeof given);
    given.size = sizeof given;
    if (given.resize < 0 || given.resize > 16384 || given.crop < 1 || given.crop > 16384)
        return tl__fail(model->context, TL_ERROR_ARGUMENT, "resize %d, crop %d: must be 0 to 16384 and 1 to 16384",
                        given.resize, given.crop);
    if (given.alpha < TL_ALPHA_DROP || given.alpha > TL_ALPHA_BLACK)
        return tl__fail(model->context, TL_ERROR_ARGUMENT, "unknown alpha %d", (int)given.alpha);
    if (given.decode != TL_DECODE_EXACT && given.decode != TL_DECODE_FAST)
        return tl__fail(model->context, TL_ERROR_ARGUMENT, "unknown decode %d", (int)given.decode);
    for (int c = 0; c < 3; c++)
        if (!isfinite(given.mean[c]) || !isfinite(given.std[c]) || given.std[c] <= 0)
            return tl__fail(model->context, TL_ERROR_ARGUMENT, "mean %g, std %g: must be finite, std more than 0",
                            given.mean[c], given.std[c]);
    model->preprocess = given;
    uint8_t bytes[3 * 256];
    float normal[3 * 256];
    for (int i = 0; i < 3 * 256; i++)
        bytes[i] = (uint8_t)(i / 3);
    tl_image_normalize(&given, bytes, 256, normal);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            model->table[c * 256 + i] = normal[3 * i + c];
    return TL_OK;
}

bool tl__model_segments(const tl_model *model) {
    return model->options.head >= TL_HEAD_FCN;
}

static const char *last_layer(const tl_model *model) {
    return model->options.head == TL_HEAD_LINEAR ? "fc" : model->arch->head;
}

bool tl__model_in_head(const tl_model *model, const char *name) {
    if (tl__model_segments(model))
        return strncmp(name, "backbone.", 9) != 0;
    const char *head = last_layer(model);
    size_t length = strlen(head);
    return strncmp(name, head, length) == 0 && name[length] == '.';
}

void tl__model_head_pattern(const tl_model *model, char *text, size_t size) {
    if (tl__model_segments(model))
        snprintf(text, size, "classifier.*%s", tl__model_find(model, "aux_classifier.0.weight") ? ", aux_classifier.*" : "");
    else
        snprintf(text, size, "%s.*", last_layer(model));
}

/* ---- parameters ---- */

tl__parameter *tl__model_find(const tl_model *model, const char *name) {
    for (size_t i = 0; i < model->parameter_count; i++)
        if (strcmp(model->parameters[i]->name, name) == 0)
            return model->parameters[i];
    return NULL;
}

size_t tl_model_parameter_count(const tl_model *model) {
    return model->parameter_count;
}

tl_status tl_model_parameter(const tl_model *model, size_t index, tl_parameter_info *info) {
    if (index >= model->parameter_count)
        return tl__fail(model->context, TL_ERROR_NOT_FOUND, "parameter %zu of %zu", index, model->parameter_count);
    const tl__parameter *parameter = model->parameters[index];
    tl_parameter_info full = {
        .size = info->size,
        .name = parameter->name,
        .rank = parameter->rank,
        .count = tl__desc_count(&parameter->desc),
        .buffer = tl__parameter_is_buffer(parameter),
    };
    memcpy(full.shape, parameter->shape, sizeof full.shape);
    memcpy(info, &full, info->size < sizeof full ? info->size : sizeof full);
    return TL_OK;
}

static tl_status find(tl_model *model, const char *name, tl__parameter **out) {
    *out = tl__model_find(model, name);
    return *out ? TL_OK : tl__fail(model->context, TL_ERROR_NOT_FOUND, "%s has no %s", model->arch->name, name);
}

tl_status tl_model_read(tl_model *model, const char *name, float *out) {
    tl__parameter *parameter;
    TL__TRY(find(model, name, &parameter));
    return tl__parameter_read_torch(model->context, parameter, out);
}

tl_status tl_model_write(tl_model *model, const char *name, const float *values) {
    tl__parameter *parameter;
    TL__TRY(find(model, name, &parameter));
    if (model->in_use)
        return tl__fail(model->context, TL_ERROR_ARGUMENT, "%s: the model is being trained", name);
    if (parameter->kind == TL__PARAMETER_COUNTER) {
        if (!(*values >= 0 && *values < 0x1p63f))
            return tl__fail(model->context, TL_ERROR_ARGUMENT, "%s: %g is no count", name, *values);
        parameter->counter = (int64_t)*values;
        return TL_OK;
    }
    float *ours = tl__alloc(model->context, tl__desc_bytes(&parameter->desc));
    if (!ours)
        return TL_ERROR_MEMORY;
    tl__parameter_from_torch(parameter, values, ours);
    tl__parameter_set(model->context, parameter, ours);
    return TL_OK;
}
