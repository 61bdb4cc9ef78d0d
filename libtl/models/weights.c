#include "models/weights.h"

#include <stdio.h>
#include <string.h>

#include "models/base.h"
#include "models/init.h"

/* ---- findings ---- */

void tl__find(tl__findings *findings, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tl__log(findings->context, TL_LOG_WARNING, "%s: %s", findings->path, text);
    bool room = length > 0 && (size_t)length + 3 < sizeof findings->text - findings->used;
    if (findings->shown == findings->count && findings->shown < 8 && room) {
        findings->used += (size_t)snprintf(findings->text + findings->used, sizeof findings->text - findings->used, "%s%s",
                                           findings->count ? "; " : "", text);
        findings->shown++;
    }
    findings->count++;
}

const char *tl__shape_text(int rank, const int64_t *shape, char text[96]) {
    size_t used = (size_t)snprintf(text, 96, "[");
    for (int i = 0; i < rank && used < 90; i++)
        used += (size_t)snprintf(text + used, 96 - used, i ? ",%lld" : "%lld", (long long)shape[i]);
    if (used < 95)
        snprintf(text + used, 96 - used, "]");
    return text;
}

bool tl__shape_fits(const tl__parameter *parameter, const tl__entry *entry) {
    if (parameter->kind == TL__PARAMETER_COUNTER)
        return entry->count == 1;
    return entry->rank == parameter->rank &&
           memcmp(entry->shape, parameter->shape, sizeof parameter->shape[0] * (size_t)parameter->rank) == 0;
}

bool tl__in_head(const tl_model *model, const tl__parameter *parameter) {
    return tl__model_in_head(model, parameter->name);
}

/* ---- reading ---- */

#define WORTH_FORGETTING ((int64_t)1 << 14) /* elements */

/* The pages that were read need not stay: what is made of the values (packed weights, device buffers) is what counts,
 * and the file's copy of them would double the memory of a large network. */
static void forget(const tl__piece *piece, int64_t first, int64_t count) {
    const tl__entry *entry = &piece->entry;
    size_t size = tl__dtype_size(entry->dtype);
    const uint8_t *begin = entry->data + (size_t)first * size, *end = begin + (size_t)count * size;
    if (!tl__entry_contiguous(entry)) {
        if (first + count < entry->count) /* every part reads from everywhere */
            return;
        begin = end = entry->data;
        for (int i = 0; i < entry->rank; i++) {
            ptrdiff_t reach = (ptrdiff_t)((entry->shape[i] - 1) * entry->strides[i]) * (ptrdiff_t)size;
            if (reach < 0)
                begin += reach;
            else
                end += reach;
        }
        end += size;
    }
    if (piece->mapping)
        tl__map_forget(piece->mapping, (size_t)(begin - piece->mapping->data), (size_t)(end - begin));
}

static tl_status read_piece(tl_context *context, const tl__source *source, int64_t first, int64_t count, float *out) {
    (void)context;
    const tl__piece *piece = source->data;
    tl__entry_read_f32(&piece->entry, first, count, out);
    forget(piece, first, count);
    return TL_OK;
}

static const void *plain_piece(const tl__source *source) {
    const tl__piece *piece = source->data;
    bool plain = TL__LITTLE_ENDIAN && piece->entry.dtype == TL_DTYPE_F32 && tl__entry_contiguous(&piece->entry);
    return plain ? piece->entry.data : NULL;
}

/* Only of what is plain. */
static void pages_of_piece(const tl__source *source, int64_t first, int64_t count, bool wanted) {
    const tl__piece *piece = source->data;
    const uint8_t *from = piece->entry.data + (size_t)first * sizeof(float);
    if (!wanted && piece->entry.count < WORTH_FORGETTING)
        return; /* every call interrupts the other processors, and all of these together are small */
    if (!wanted)
        forget(piece, first, count);
    else if (piece->mapping)
        tl__map_expect(piece->mapping, (size_t)(from - piece->mapping->data), (size_t)count * sizeof(float));
}

const tl__mapping *tl__parameter_mapping(const tl__parameter *parameter, uint64_t *offset) {
    const tl__source *source = &parameter->source;
    const tl__piece *piece = source->data;
    if (parameter->values || source->read != read_piece || !plain_piece(source) || !piece->mapping)
        return NULL;
    *offset = (uint64_t)(piece->entry.data - piece->mapping->data);
    return piece->mapping;
}

static int64_t read_counter(const tl__entry *entry) {
    if (entry->dtype == TL_DTYPE_I64) {
        uint64_t value = 0;
        for (int i = 7; i >= 0; i--)
            value = value << 8 | entry->data[i];
        return (int64_t)value;
    }
    float value;
    tl__entry_read_f32(entry, 0, 1, &value);
    return value > -0x1p62f && value < 0x1p62f ? (int64_t)value : 0;
}

/* ---- attaching ---- */

void tl__piece_commit(tl_context *context, tl__parameter *parameter, const tl__piece *piece) {
    if (piece->action == TL__PIECE_KEEP)
        return;
    if (parameter->kind == TL__PARAMETER_COUNTER) {
        parameter->counter = read_counter(&piece->entry);
        return;
    }
    tl__parameter_set(context, parameter, NULL);
    if (piece->action == TL__PIECE_READ)
        parameter->source = (tl__source){.read = read_piece, .plain = plain_piece, .pages = pages_of_piece, .data = piece};
    else
        tl__init_constant(parameter, piece->constant);
}

/* Blue first in the file: its input channels backwards. */
static void swap_channels(tl__piece *piece) {
    tl__entry *entry = &piece->entry;
    entry->data += (ptrdiff_t)((entry->shape[1] - 1) * entry->strides[1]) * (ptrdiff_t)tl__dtype_size(entry->dtype);
    entry->strides[1] = -entry->strides[1];
}

/* Does an ONNX file that was exported from PyTorch still have all the names? */
static bool has_names(const tl_model *model, const tl__archive *archive) {
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl__parameter *parameter = model->parameters[i];
        if (parameter->kind != TL__PARAMETER_COUNTER && !tl__in_head(model, parameter) &&
            !tl__archive_find(archive, parameter->name))
            return false;
    }
    return true;
}

tl_status tl__model_match(tl_model *model, tl__archive *archive, const tl_weights_options *options, bool partial,
                          tl__piece *pieces) {
    tl__findings findings = {.context = model->context, .path = archive->path, .partial = partial};
    if (archive->layer_count && !has_names(model, archive))
        tl__match_layers(model, archive, options, pieces, &findings);
    else
        tl__match_names(model, archive, options, pieces, &findings);
    if (findings.count) {
        char more[32] = "";
        if (findings.count > findings.shown)
            snprintf(more, sizeof more, "; and %zu more", findings.count - findings.shown);
        return tl__fail(model->context, TL_ERROR_WEIGHTS, "%s: does not fit %s: %s%s", archive->path, model->arch->name,
                        findings.text, more);
    }
    if (options->bgr && pieces[0].action == TL__PIECE_READ)
        swap_channels(&pieces[0]);
    for (size_t i = 0; i < model->parameter_count; i++)
        if (pieces[i].action == TL__PIECE_READ)
            pieces[i].mapping = tl__archive_mapping(archive, pieces[i].entry.data);
    return TL_OK;
}

static tl_status prepare(tl_model *model, tl__archive *archive, const tl_weights_options *options, tl__loaded *loaded,
                         tl__base **base) {
    loaded->pieces = tl__calloc(model->context, model->parameter_count, sizeof *loaded->pieces);
    if (!loaded->pieces)
        return TL_ERROR_MEMORY;
    TL__TRY(tl__model_match(model, archive, options, false, loaded->pieces));
    return tl__base_ready(model, archive, options, base);
}

tl_status tl__model_attach(tl_model *model, tl__archive *archive, const tl_weights_options *options) {
    tl_context *context = model->context;
    tl__base *base = NULL;
    tl__loaded *loaded = tl__calloc(context, 1, sizeof *loaded);
    if (!loaded)
        return TL_ERROR_MEMORY;
    tl_status status = prepare(model, archive, options, loaded, &base);
    if (status != TL_OK) {
        tl__free(context, loaded->pieces);
        tl__free(context, loaded);
        return status;
    }
    for (size_t i = 0; i < model->parameter_count; i++)
        tl__piece_commit(context, model->parameters[i], &loaded->pieces[i]);
    tl__base_set(model, base, loaded->pieces);
    loaded->archive = archive;
    loaded->next = model->loaded;
    model->loaded = loaded;
    tl__model_detach(model, false);
    return TL_OK;
}

static bool is_read(const tl_model *model, const tl__loaded *loaded) {
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl__source *source = &model->parameters[i]->source;
        if (source->read == read_piece && source->data == &loaded->pieces[i])
            return true;
    }
    return false;
}

void tl__model_detach(tl_model *model, bool all) {
    for (tl__loaded **at = &model->loaded; *at;) {
        tl__loaded *loaded = *at;
        if (!all && is_read(model, loaded)) {
            at = &loaded->next;
            continue;
        }
        *at = loaded->next;
        tl__archive_close(loaded->archive);
        tl__free(model->context, loaded->pieces);
        tl__free(model->context, loaded);
    }
}

tl_status tl_model_load_weights(tl_model *model, const char *path, const tl_weights_options *options) {
    tl_weights_options given = {.size = sizeof given};
    if (options)
        memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    if (model->in_use)
        return tl__fail(model->context, TL_ERROR_ARGUMENT, "%s: the model is being trained", path);
    if (model->saving)
        return tl__fail(model->context, TL_ERROR_ARGUMENT, "%s: the model is being saved", path);
    tl__archive *archive;
    TL__TRY(tl__model_archive_open(model->context, path, &archive));
    tl_status status = tl__model_attach(model, archive, &given);
    if (status != TL_OK)
        tl__archive_close(archive);
    return status;
}
