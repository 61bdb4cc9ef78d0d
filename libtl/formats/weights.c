#include <string.h>

#include <tl/weights.h>

#include "formats/formats.h"

struct tl_weights {
    tl_context *context;
    tl__archive *archive;
};

tl_status tl_weights_open(tl_context *context, const char *path, tl_weights **out)
{
    if (!context)
        return TL_ERROR_ARGUMENT;
    if (!path || !out)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_weights_open: a path and a place for the result are needed");
    tl_weights *weights = tl__alloc(context, sizeof(*weights));
    if (!weights)
        return TL_ERROR_MEMORY;
    weights->context = context;
    tl_status status = tl__archive_open(context, path, &weights->archive);
    if (status != TL_OK) {
        tl__free(context, weights);
        return status;
    }
    *out = weights;
    return TL_OK;
}

void tl_weights_close(tl_weights *weights)
{
    if (!weights)
        return;
    tl__archive_close(weights->archive);
    tl__free(weights->context, weights);
}

const char *tl_weights_format(const tl_weights *weights)
{
    return weights->archive->format;
}

size_t tl_weights_count(const tl_weights *weights)
{
    return weights->archive->entry_count;
}

tl_status tl_weights_tensor(const tl_weights *weights, size_t index, tl_weights_info *info)
{
    if (index >= weights->archive->entry_count)
        return tl__fail(weights->context, TL_ERROR_ARGUMENT, "tl_weights_tensor: there is no tensor %zu, the file has %zu",
                        index, weights->archive->entry_count);
    if (!info || info->size == 0)
        return tl__fail(weights->context, TL_ERROR_ARGUMENT, "tl_weights_tensor: the size of the result is not set");
    const tl__entry *entry = &weights->archive->entries[index];
    tl_weights_info full = {
        .size = info->size,
        .name = entry->name,
        .type = tl__dtype_name(entry->dtype),
        .rank = entry->rank,
        .count = entry->count,
    };
    memcpy(full.shape, entry->shape, sizeof(full.shape));
    memcpy(info, &full, info->size < sizeof(full) ? info->size : sizeof(full));
    return TL_OK;
}

const char *tl_weights_metadata(const tl_weights *weights, size_t index, const char **value)
{
    if (index >= weights->archive->metadata_count)
        return NULL;
    if (value)
        *value = weights->archive->metadata[index].value;
    return weights->archive->metadata[index].key;
}
