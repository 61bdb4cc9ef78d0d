#include "train/frozen.h"

#include <string.h>

tl_status tl__parameter_hash(tl_context *context, const tl__parameter *p, tl__hash *hash) {
    size_t bytes = tl__desc_bytes(&p->desc);
    if (p->kind == TL__PARAMETER_COUNTER) {
        *hash = tl__hash_bytes(&p->counter, sizeof p->counter, 0);
        return TL_OK;
    }
    const void *plain = !p->values && p->source.plain ? p->source.plain(&p->source) : NULL;
    if (plain) {
        *hash = tl__hash_bytes(plain, bytes, 0);
        p->source.done(&p->source);
        return TL_OK;
    }
    float *values = tl__alloc(context, bytes);
    if (!values)
        return TL_ERROR_MEMORY;
    tl_status status = tl__parameter_read_torch(context, p, values);
    if (status == TL_OK)
        *hash = tl__hash_bytes(values, bytes, 0);
    tl__free(context, values);
    return status;
}

tl_status tl__frozen_hash(tl_model *model, const bool *changed, tl__hash *hash, size_t *count, tl__hash *each) {
    tl__hash all = {0, 0};
    size_t tensors = 0;
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl__parameter *p = model->parameters[i];
        tl__hash contents;
        if (changed[i])
            continue;
        TL__TRY(tl__parameter_hash(model->context, p, &contents));
        if (each)
            each[i] = contents;
        all = tl__hash_mix(all, tl__hash_mix(tl__hash_bytes(p->name, strlen(p->name), 0), contents));
        tensors++;
    }
    *hash = all;
    *count = tensors;
    return TL_OK;
}
