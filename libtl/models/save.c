/* One .safetensors file is the whole model: its tensors under torchvision's names, and in the metadata what is needed to
 * make it again. Values that are not plain text are JSON, whose numbers do not depend on the locale. */
#include <stdlib.h>
#include <string.h>

#include "models/base.h"
#include "models/save.h"
#include "models/weights.h"

#define PLAIN (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17))

/* ---- out ---- */

static tl_status add_text(tl__model_file *s, const char *key, const char *value) {
    tl__metadata *item = &s->metadata[s->metadata_count];
    item->key = (char *)key;
    item->value = tl__strdup(s->model->context, value);
    if (!item->value)
        return TL_ERROR_MEMORY;
    s->metadata_count++;
    return TL_OK;
}

tl_status tl__model_file_describe(tl__model_file *s, const char *key, json_t *value) {
    char *text = value ? json_dumps(value, PLAIN) : NULL;
    json_decref(value);
    tl_status status = text ? add_text(s, key, text)
                            : tl__fail(s->model->context, TL_ERROR_MEMORY, "%s: cannot be written as JSON", key);
    free(text);
    return status;
}

static json_t *three(const float *values) {
    return json_pack("[f,f,f]", (double)values[0], (double)values[1], (double)values[2]);
}

static const char *const heads[] = {"native", "linear", "fcn", "deeplabv3", "lite"};
static const char *const alphas[] = {"drop", "white", "black"};

static tl_status describe_input(tl__model_file *s) {
    const tl_preprocess *p = &s->model->preprocess;
    return tl__model_file_describe(s, "libtl.preprocess",
                    json_pack("{s:i,s:i,s:s,s:o,s:o}", "resize", p->resize, "crop", p->crop, "alpha", alphas[p->alpha],
                              "mean", three(p->mean), "std", three(p->std)));
}

static tl_status describe_classes(tl__model_file *s) {
    const tl_model *model = s->model;
    TL__TRY(tl__model_file_describe(s, "libtl.class_count", json_integer(model->options.classes)));
    if (!model->classes)
        return TL_OK;
    json_t *names = json_array();
    for (int i = 0; names && i < model->options.classes; i++)
        if (json_array_append_new(names, json_string(model->classes[i])) != 0) {
            json_decref(names);
            return tl__fail(model->context, TL_ERROR_ARGUMENT, "the name of class %d is not UTF-8", i);
        }
    return tl__model_file_describe(s, "libtl.classes", names);
}

static tl_status describe(tl__model_file *s) {
    const tl_model_options *options = &s->model->options;
    TL__TRY(add_text(s, "format", "pt"));
    TL__TRY(add_text(s, "libtl.version", tl_version()));
    TL__TRY(add_text(s, "libtl.arch", options->arch));
    TL__TRY(describe_classes(s));
    TL__TRY(describe_input(s));
    TL__TRY(add_text(s, "libtl.head", heads[options->head]));
    if (options->layers)
        TL__TRY(tl__model_file_describe(s, "libtl.layers", json_pack("[i,i,i,i]", options->layers[0], options->layers[1],
                                                      options->layers[2], options->layers[3])));
    TL__TRY(tl__model_file_describe(s, "libtl.width", json_real(options->width)));
    if (tl__model_segments(s->model)) {
        TL__TRY(tl__model_file_describe(s, "libtl.output_stride", json_integer(options->output_stride)));
        const bool auxiliary = tl__model_find(s->model, "aux_classifier.0.weight") != NULL;
        TL__TRY(tl__model_file_describe(s, "libtl.auxiliary", json_integer(auxiliary)));
    }
    return tl__model_file_describe(s, "libtl.dropout", json_real(options->dropout));
}

tl_status tl__model_file_read(void *user, size_t index, void *out) {
    const tl__model_file *s = user;
    const tl__parameter *parameter = s->order[index];
    if (!out) {
        parameter->source.pages(&parameter->source, 0, tl__desc_count(&parameter->desc), false);
        return TL_OK;
    }
    if (parameter->kind != TL__PARAMETER_COUNTER)
        return tl__parameter_read_torch(s->model->context, parameter, out);
    uint8_t *bytes = out;
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)parameter->counter >> 8 * i);
    return TL_OK;
}

/* Counters first: PyTorch wants every tensor at a multiple of its element's size. */
static void arrange(tl__model_file *s, const bool *among) {
    const tl_model *model = s->model;
    for (int counters = 1; counters >= 0; counters--)
        for (size_t i = 0; i < model->parameter_count; i++) {
            tl__parameter *parameter = model->parameters[i];
            if ((parameter->kind == TL__PARAMETER_COUNTER) != counters || (among && !among[i]))
                continue;
            tl__output output = {.name = parameter->name, .dtype = parameter->desc.dtype, .rank = parameter->rank};
            memcpy(output.shape, parameter->shape, sizeof parameter->shape);
            if (!parameter->values && parameter->source.plain)
                output.data = parameter->source.plain(&parameter->source);
            s->outputs[s->count] = output;
            s->order[s->count++] = parameter;
        }
}

tl_status tl__model_file_create(tl_model *model, const bool *among, tl__model_file *file) {
    *file = (tl__model_file){.model = model};
    file->order = tl__calloc(model->context, model->parameter_count, sizeof *file->order);
    file->outputs = file->order ? tl__calloc(model->context, model->parameter_count, sizeof *file->outputs) : NULL;
    TL__TRY(file->outputs ? describe(file) : TL_ERROR_MEMORY);
    arrange(file, among);
    return TL_OK;
}

void tl__model_file_release(tl__model_file *file) {
    tl_context *context = file->model->context;
    for (size_t i = 0; i < file->metadata_count; i++)
        tl__free(context, file->metadata[i].value);
    tl__free(context, file->outputs);
    tl__free(context, file->order);
}

tl_status tl__model_file_write(tl__model_file *file, const char *path) {
    return tl__safetensors_write(file->model->context, path, file->outputs, file->count, file->metadata,
                                 file->metadata_count, tl__model_file_read, file);
}

tl_status tl_model_save(tl_model *model, const char *path) {
    tl__model_file file;
    tl_status status = tl__model_file_create(model, NULL, &file);
    if (status == TL_OK)
        status = tl__model_file_write(&file, path);
    tl__model_file_release(&file);
    return status;
}

/* ---- in ---- */

tl_status tl__metadata_bad(const tl__archive *archive, const char *key) {
    return tl__fail(archive->context, TL_ERROR_FORMAT, "%s: metadata %s is not what libtl writes", archive->path, key);
}

tl_status tl__metadata_json(const tl__archive *archive, const char *key, json_t **out) {
    const char *text = tl__archive_get(archive, key);
    *out = text ? json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL) : NULL;
    return text && !*out ? tl__metadata_bad(archive, key) : TL_OK;
}

static tl_status get_number(const tl__archive *archive, const char *key, double *out) {
    json_t *value;
    TL__TRY(tl__metadata_json(archive, key, &value));
    bool number = !value || json_is_number(value);
    if (number && value)
        *out = json_number_value(value);
    json_decref(value);
    return number ? TL_OK : tl__metadata_bad(archive, key);
}

static tl_status get_layers(const tl__archive *archive, int layers[4], bool *given) {
    json_t *value;
    TL__TRY(tl__metadata_json(archive, "libtl.layers", &value));
    *given = value != NULL;
    int failed = value ? json_unpack(value, "[i,i,i,i!]", &layers[0], &layers[1], &layers[2], &layers[3]) : 0;
    json_decref(value);
    return failed ? tl__metadata_bad(archive, "libtl.layers") : TL_OK;
}

static tl_status get_input(tl_model *model, const tl__archive *archive) {
    static const char key[] = "libtl.preprocess";
    tl_preprocess preprocess = model->preprocess;
    json_t *value;
    const char *alpha;
    double mean[3], deviation[3];
    TL__TRY(tl__metadata_json(archive, key, &value));
    if (!value)
        return TL_OK;
    int failed = json_unpack(value, "{s:i,s:i,s:s,s:[FFF!],s:[FFF!]}", "resize", &preprocess.resize, "crop", &preprocess.crop,
                             "alpha", &alpha, "mean", &mean[0], &mean[1], &mean[2], "std", &deviation[0], &deviation[1],
                             &deviation[2]);
    size_t i = 0;
    while (!failed && i < TL__COUNT(alphas) && strcmp(alphas[i], alpha) != 0)
        i++;
    json_decref(value);
    if (failed || i == TL__COUNT(alphas))
        return tl__metadata_bad(archive, key);
    preprocess.alpha = (tl_alpha)i;
    for (int c = 0; c < 3; c++) {
        preprocess.mean[c] = (float)mean[c];
        preprocess.std[c] = (float)deviation[c];
    }
    tl_status status = tl_model_set_preprocess(model, &preprocess);
    return status == TL_OK ? TL_OK : tl__fail_at(model->context, TL_ERROR_FORMAT, "%s", archive->path);
}

static tl_status get_classes(tl_model *model, const tl__archive *archive) {
    static const char key[] = "libtl.classes";
    json_t *value;
    TL__TRY(tl__metadata_json(archive, key, &value));
    if (!value)
        return TL_OK;
    size_t count = json_is_array(value) ? json_array_size(value) : 0;
    const char **names = NULL;
    tl_status status = count == (size_t)model->options.classes ? TL_OK : tl__metadata_bad(archive, key);
    if (status == TL_OK) {
        names = tl__alloc(model->context, count * sizeof *names);
        if (!names)
            status = TL_ERROR_MEMORY;
    }
    for (size_t i = 0; status == TL_OK && i < count; i++) {
        names[i] = json_string_value(json_array_get(value, i));
        if (!names[i])
            status = tl__metadata_bad(archive, key);
    }
    if (status == TL_OK)
        status = tl_model_set_classes(model, names, (int)count);
    tl__free(model->context, names);
    json_decref(value);
    return status;
}

static tl_status get_head(const tl__archive *archive, tl_head *head) {
    const char *text = tl__archive_get(archive, "libtl.head");
    *head = TL_HEAD_NATIVE;
    for (size_t i = 0; text && i < TL__COUNT(heads); i++)
        if (strcmp(text, heads[i]) == 0) {
            *head = (tl_head)i;
            return TL_OK;
        }
    return text ? tl__metadata_bad(archive, "libtl.head") : TL_OK;
}

tl_status tl__model_described(tl_context *context, const tl__archive *archive, tl_model **out) {
    tl_model_options options;
    tl_model_options_init(&options, sizeof options);
    options.arch = tl__archive_get(archive, "libtl.arch");
    if (!options.arch)
        return tl__fail(context, TL_ERROR_FORMAT, "%s: holds weights but does not say of what (no libtl.arch in its metadata)",
                        archive->path);
    TL__TRY(get_head(archive, &options.head));
    double classes = options.classes, output_stride = 0, auxiliary = 1;
    int layers[4];
    bool given;
    TL__TRY(get_number(archive, "libtl.class_count", &classes));
    TL__TRY(get_number(archive, "libtl.width", &options.width));
    TL__TRY(get_number(archive, "libtl.dropout", &options.dropout));
    TL__TRY(get_number(archive, "libtl.output_stride", &output_stride));
    TL__TRY(get_number(archive, "libtl.auxiliary", &auxiliary));
    TL__TRY(get_layers(archive, layers, &given));
    options.output_stride = output_stride >= 0 && output_stride <= 32 ? (int)output_stride : -1;
    options.no_auxiliary = auxiliary == 0;
    options.layers = given ? layers : NULL;
    options.classes = classes >= 1 && classes <= 1 << 20 ? (int)classes : 0;
    tl_status status = tl_model_create(context, &options, out);
    return status == TL_OK || status == TL_ERROR_MEMORY ? status : tl__fail_at(context, TL_ERROR_FORMAT, "%s", archive->path);
}

tl_status tl_model_open(tl_context *context, const char *path, tl_model **out) {
    tl__archive *archive;
    TL__TRY(tl__model_archive_open(context, path, &archive));
    tl_model *model = NULL;
    tl_weights_options strict = {.size = sizeof strict, .keep_head = true};
    tl_status status = tl__model_described(context, archive, &model);
    if (status == TL_OK)
        status = get_input(model, archive);
    if (status == TL_OK)
        status = get_classes(model, archive);
    if (status == TL_OK)
        status = tl__model_attach(model, archive, &strict);
    if (status != TL_OK) {
        tl__archive_close(archive);
        tl_model_destroy(model);
        return status;
    }
    *out = model;
    return TL_OK;
}
