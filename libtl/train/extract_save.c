#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/npy.h"
#include "train/extract.h"

/* Numbers in files are little endian. */
static void put_le(uint8_t *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static int64_t image_count(const tl_features *f) {
    return f->features->total;
}

/* ---- safetensors ---- */

static tl_status list_json(tl_context *context, const tl_features *f, bool classes, char **text) {
    json_t *list = json_array();
    size_t count = classes ? tl_dataset_class_count(f->dataset) : (size_t)image_count(f);
    tl_status status = list ? TL_OK : TL_ERROR_MEMORY;
    for (size_t i = 0; i < count && status == TL_OK; i++) {
        const char *item = classes ? tl_dataset_class(f->dataset, i) : tl_dataset_path(f->dataset, i);
        if (json_array_append_new(list, json_string(item)) != 0)
            status = tl__fail(context, TL_ERROR_ARGUMENT, "%s: not UTF-8, which a .safetensors file cannot hold", item);
    }
    *text = status == TL_OK ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    return status != TL_OK || *text ? status : tl__fail(context, TL_ERROR_MEMORY, "out of memory");
}

typedef struct rows {
    const tl_features *features;
    size_t next[2]; /* of each tensor */
} rows;

static tl_status read_row(void *user, size_t index, void *out) {
    rows *r = user;
    const tl_features *f = r->features;
    size_t i = r->next[index]++;
    if (index == 0) {
        put_le(out, (uint64_t)tl_dataset_label(f->dataset, i), 8);
        return TL_OK;
    }
    tl_features_read(f, i, out);
    tl__npy_order(out, (int64_t)f->features->count);
    return TL_OK;
}

static tl_status save_safetensors(const tl_features *f, const char *path) {
    tl_context *context = f->model->context;
    char *files = NULL, *classes = NULL;
    tl__output outputs[] = {
        {.name = "labels", .dtype = TL_DTYPE_I64, .rank = 1, .shape = {image_count(f)}, .pieces = image_count(f)},
        {.name = "features",
         .dtype = TL_DTYPE_F32,
         .rank = 2,
         .shape = {image_count(f), (int64_t)f->features->count},
         .pieces = image_count(f)}};
    rows r = {.features = f};
    tl_status status = list_json(context, f, false, &files);
    if (status == TL_OK)
        status = list_json(context, f, true, &classes);
    if (status == TL_OK) {
        const tl__metadata metadata[] = {{"libtl.version", (char *)tl_version()},
                                         {"libtl.arch", (char *)tl_model_arch(f->model)},
                                         {"libtl.node", f->features->key.name},
                                         {"libtl.classes", classes},
                                         {"libtl.files", files}};
        status = tl__safetensors_write(context, path, outputs, TL__COUNT(outputs), metadata, TL__COUNT(metadata),
                                       read_row, &r);
    }
    free(files);
    free(classes);
    return status;
}

/* ---- npy ---- */

static tl_status write_features(tl__writer *writer, const tl_features *f) {
    size_t count = f->features->count;
    float *row = tl__alloc(f->model->context, count * sizeof *row);
    tl_status status = row ? tl__npy_begin(writer, "<f4", 2, (const int64_t[]){image_count(f), (int64_t)count}) : TL_ERROR_MEMORY;
    for (size_t i = 0; i < (size_t)image_count(f) && status == TL_OK; i++) {
        tl_features_read(f, i, row);
        tl__npy_order(row, (int64_t)count);
        status = tl__writer_write(writer, row, count * sizeof *row);
    }
    tl__free(f->model->context, row);
    return status;
}

static tl_status write_labels(tl__writer *writer, const tl_features *f) {
    TL__TRY(tl__npy_begin(writer, "<i8", 1, (const int64_t[]){image_count(f)}));
    for (size_t i = 0; i < (size_t)image_count(f); i++) {
        uint8_t label[8];
        put_le(label, (uint64_t)tl_dataset_label(f->dataset, i), 8);
        TL__TRY(tl__writer_write(writer, label, sizeof label));
    }
    return TL_OK;
}

static tl_status write_files(tl__writer *writer, const tl_features *f) {
    for (size_t i = 0; i < (size_t)image_count(f); i++) {
        const char *path = tl_dataset_path(f->dataset, i);
        if (strchr(path, '\n'))
            return tl__fail(f->model->context, TL_ERROR_ARGUMENT,
                            "%s: a line break in a path, which a list of paths cannot hold", path);
        TL__TRY(tl__writer_write(writer, path, strlen(path)));
        TL__TRY(tl__writer_write(writer, "\n", 1));
    }
    return TL_OK;
}

static tl_status save_one(const tl_features *f, const char *path, size_t length, const char *ending,
                          tl_status (*write)(tl__writer *, const tl_features *)) {
    tl_context *context = f->model->context;
    tl__writer writer;
    char *full = tl__printf(context, "%.*s%s", (int)length, path, ending);
    if (!full)
        return TL_ERROR_MEMORY;
    tl_status status = tl__writer_open(context, full, &writer);
    if (status == TL_OK) {
        status = write(&writer, f);
        if (status == TL_OK)
            status = tl__writer_commit(&writer);
        else
            tl__writer_abandon(&writer);
    }
    tl__free(context, full);
    return status;
}

/* The features last: where they are, the others are. */
static tl_status save_npy(const tl_features *f, const char *path) {
    size_t length = strlen(path), stem = length;
    if (length > 4 && strcmp(path + length - 4, ".npy") == 0)
        stem -= 4;
    TL__TRY(save_one(f, path, stem, ".labels.npy", write_labels));
    TL__TRY(save_one(f, path, stem, ".files.txt", write_files));
    return save_one(f, path, length, "", write_features);
}

tl_status tl_features_save(const tl_features *features, const char *path, tl_features_format format) {
    switch (format) {
    case TL_FEATURES_SAFETENSORS: return save_safetensors(features, path);
    case TL_FEATURES_NPY: return save_npy(features, path);
    }
    return tl__fail(features->model->context, TL_ERROR_ARGUMENT, "format = %d is unknown", (int)format);
}
