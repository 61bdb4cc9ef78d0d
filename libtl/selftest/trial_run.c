#include "selftest/trial.h"

#include <stdio.h>
#include <string.h>

#define GUARD 256

typedef struct known {
    tl_constant constant; /* first: the backend sees only this */
    const void *data;
} known;

static tl_status read_known(const tl_constant *constant, const void **data) {
    *data = ((const known *)constant)->data;
    return TL_OK;
}

/* Everything that one run has made. */
typedef struct run {
    tl_device *device;
    tl_backend_queue *queue;
    const tl__trial *trial;
    tl_backend_kernel *kernel;
    tl_backend_buffer *buffer;
    tl_view views[TL__TRIAL_OPERANDS + 1];
    uint64_t bytes;
    uint8_t *before, *first, *second; /* the whole buffer: before a run, and after each of two */
} run;

static tl_status prepare(run *r) {
    const tl__trial *trial = r->trial;
    tl_operand operands[TL__TRIAL_OPERANDS] = {{{0}, NULL}};
    known constants[TL_MAX_INPUTS];
    for (int i = 0; i < tl__trial_operands(trial); i++) {
        operands[i].desc = trial->desc[i];
        if (i >= trial->rule->input_count || !trial->constant[i])
            continue;
        constants[i] = (known){{sizeof(tl_constant), tl__parameter_new_id(), read_known}, trial->data[i]};
        operands[i].constant = &constants[i].constant;
    }
    return tl__device_prepare(r->device, &trial->op, operands, (uint32_t)trial->rule->input_count,
                              (uint32_t)trial->rule->output_count, &r->kernel);
}

/* Operands and workspace in one buffer, with something between that nobody may touch. */
static void lay_out(run *r) {
    const tl__trial *trial = r->trial;
    int operands = tl__trial_operands(trial), inputs = trial->rule->input_count;
    uint64_t alignment = r->device->properties.alignment, at = 0;
    for (int i = 0; i <= operands; i++) {
        uint64_t bytes = i == operands ? r->kernel->workspace
                         : trial->desc[i].dtype ? tl__desc_bytes(&trial->desc[i]) : 0;
        int share = i >= inputs && i < operands ? trial->shares[i - inputs] : -1;
        if (bytes == 0 || (i < inputs && trial->constant[i]))
            continue;
        if (share >= 0) {
            r->views[i] = r->views[share];
            continue;
        }
        at = (at + GUARD + alignment - 1) / alignment * alignment;
        r->views[i] = (tl_view){NULL, at, bytes};
        at += bytes;
    }
    r->bytes = at + GUARD;
}

static tl_status make_images(run *r) {
    r->before = tl__alloc(r->trial->context, r->bytes);
    r->first = tl__alloc(r->trial->context, r->bytes);
    r->second = tl__alloc(r->trial->context, r->bytes);
    if (!r->before || !r->first || !r->second)
        return TL_ERROR_MEMORY;
    memset(r->before, 0xff, r->bytes); /* NaN in every type of float */
    for (int i = 0; i < r->trial->rule->input_count; i++)
        if (r->views[i].bytes)
            memcpy(r->before + r->views[i].offset, r->trial->data[i], r->views[i].bytes);
    return TL_OK;
}

static tl_status execute(run *r, uint8_t *after) {
    tl_view whole = {r->buffer, 0, r->bytes};
    TL__TRY(tl__device_queue_write(r->device, r->queue, &whole, r->before));
    TL__TRY(tl__device_enqueue(r->device, r->kernel, r->queue));
    TL__TRY(tl__device_queue_finish(r->device, r->queue));
    return tl__device_queue_read(r->device, r->queue, &whole, after);
}

/* Whether all bytes are as before that no run may change. */
static bool kept_within(const run *r) {
    const tl__trial *trial = r->trial;
    int operands = tl__trial_operands(trial);
    uint64_t at = 0;
    for (;;) { /* from one operand that may change to the next; views lie in any order */
        uint64_t begin = r->bytes, end = r->bytes;
        for (int i = 0; i <= operands; i++)
            if (r->views[i].bytes && (i == operands || tl__trial_writes(trial, i)) && r->views[i].offset >= at &&
                r->views[i].offset < begin) {
                begin = r->views[i].offset;
                end = begin + r->views[i].bytes;
            }
        if (memcmp(r->before + at, r->first + at, begin - at) != 0)
            return false;
        if (begin == r->bytes)
            return true;
        at = end;
    }
}

static bool same_twice(const run *r) {
    for (int i = 0; i < tl__trial_operands(r->trial); i++) {
        const tl_view *view = &r->views[i];
        if (view->bytes && tl__trial_writes(r->trial, i) &&
            memcmp(r->first + view->offset, r->second + view->offset, view->bytes) != 0)
            return false;
    }
    return true;
}

static tl_status work(run *r, tl__trial_result *result) {
    const tl__trial *trial = r->trial;
    TL__TRY(prepare(r));
    snprintf(result->implementation, sizeof result->implementation, "%s", tl__kernel_implementation(r->kernel));
    lay_out(r);
    TL__TRY(make_images(r));
    TL__TRY(tl__device_buffer_create(r->device, r->bytes, &r->buffer));
    for (int i = 0; i <= TL__TRIAL_OPERANDS; i++)
        if (r->views[i].bytes)
            r->views[i].buffer = r->buffer;
    TL__TRY(tl__device_bind(r->device, r->kernel, r->views));
    TL__TRY(execute(r, r->first));
    TL__TRY(execute(r, r->second));
    if (!kept_within(r))
        snprintf(result->fault, sizeof result->fault, "it writes outside its outputs");
    else if (!same_twice(r))
        snprintf(result->fault, sizeof result->fault, "it gives other results in a second run");
    for (int i = 0; i < tl__trial_operands(trial); i++) {
        if (!result->data[i])
            continue;
        if (r->views[i].bytes)
            memcpy(result->data[i], r->first + r->views[i].offset, r->views[i].bytes);
        else /* a constant in the place of what only other forms update */
            memcpy(result->data[i], trial->data[i], tl__desc_bytes(&trial->desc[i]));
    }
    return TL_OK;
}

tl_status tl__trial_run(tl_device *device, tl_backend_queue *queue, const tl__trial *trial, tl__trial_result *result) {
    run r = {.device = device, .queue = queue, .trial = trial};
    result->fault[0] = result->implementation[0] = '\0';
    tl_status status = work(&r, result);
    if (status != TL_OK)
        tl__device_queue_settle(device, queue);
    tl__device_release(device, r.kernel);
    tl__device_buffer_destroy(device, r.buffer);
    tl__free(trial->context, r.before);
    tl__free(trial->context, r.first);
    tl__free(trial->context, r.second);
    return status;
}

tl_status tl__trial_result_create(const tl__trial *trial, tl__trial_result *result) {
    *result = (tl__trial_result){0};
    for (int i = 0; i < tl__trial_operands(trial); i++)
        if (tl__trial_writes(trial, i)) {
            /* a bound is a double for each element */
            result->data[i] = tl__calloc(trial->context, (size_t)tl__desc_count(&trial->desc[i]), sizeof(double));
            if (!result->data[i])
                return TL_ERROR_MEMORY;
        }
    return TL_OK;
}

void tl__trial_result_free(const tl__trial *trial, tl__trial_result *result) {
    for (int i = 0; i < TL__TRIAL_OPERANDS; i++)
        tl__free(trial->context, result->data[i]);
}
