/* harness.c: the run of one operation on one device; see harness.h. */
#include "tests/ops/harness.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/device.h"

#define GUARD 256

static const struct {
    const char *inputs, *outputs;
} lists[TL_OP_COUNT] = {
#define T_ROW(NAME, stem, inputs, outputs) [TL_OP_##NAME] = {inputs, outputs},
    TL_OP_LIST(T_ROW)
#undef T_ROW
};

static int words(const char *list) {
    int count = *list != '\0';
    for (; *list; list++)
        count += *list == ' ';
    return count;
}

/* Is input i updated in place? */
static bool updated(const t_op *op, int i) {
    const char *word = lists[op->desc.op].inputs;
    for (; i > 0; i--)
        word += strcspn(word, " ") + 1;
    return word[strcspn(word, " =")] == '=';
}

static bool shared(const t_op *op, int input) {
    for (int i = 0; i < op->outputs; i++)
        if (op->shares[i] == input + 1)
            return true;
    return false;
}

/* ---- operands ---- */

void t_begin(t_op *op, tl_op which) {
    memset(op, 0, sizeof(*op));
    op->desc.size = sizeof(op->desc);
    op->desc.op = which;
    op->inputs = words(lists[which].inputs);
    op->outputs = words(lists[which].outputs);
}

void *t_give(t_op *op, int i, int dtype, int rank, const int64_t *shape) {
    static uint64_t ids;
    t_operand *operand = &op->operand[i];
    operand->desc.dtype = dtype;
    operand->desc.rank = rank;
    for (int d = 0; d < rank; d++)
        operand->desc.shape[d] = shape[d];
    operand->id = ++ids;
    size_t bytes = (size_t)t_count(&operand->desc) * t_size(dtype);
    operand->result = t_allocate(bytes);
    if (i < op->inputs)
        operand->data = t_allocate(bytes);
    return operand->data;
}

void t_end(t_op *op) {
    for (int i = 0; i < T_OPERANDS; i++) {
        free(op->operand[i].data);
        free(op->operand[i].result);
    }
    memset(op, 0, sizeof(*op));
}

static size_t operand_bytes(const t_op *op, int i) {
    const tl_tensor_desc *desc = &op->operand[i].desc;
    return desc->dtype == TL_DTYPE_NONE ? 0 : (size_t)t_count(desc) * t_size(desc->dtype);
}

/* ---- constants: readable during prepare only ---- */

typedef struct constant {
    tl_constant base;
    const void *data;
    size_t bytes;
    void *copy;
} constant;

static tl_status constant_read(const tl_constant *base, const void **data) {
    constant *c = (constant *)(uintptr_t)base;
    if (!c->copy) {
        c->copy = t_allocate(c->bytes);
        memcpy(c->copy, c->data, c->bytes);
    }
    *data = c->copy;
    return TL_OK;
}

static tl_status prepare(t_device *device, const t_op *op, tl_backend_kernel **kernel) {
    tl_operand operands[T_OPERANDS] = {0};
    constant constants[T_OPERANDS] = {0};
    for (int i = 0; i < op->inputs + op->outputs; i++) {
        const t_operand *from = &op->operand[i];
        operands[i].desc = from->desc;
        if (!from->constant || from->desc.dtype == TL_DTYPE_NONE)
            continue;
        constants[i].base = (tl_constant){sizeof(tl_constant), from->id, constant_read};
        constants[i].data = from->data;
        constants[i].bytes = operand_bytes(op, i);
        operands[i].constant = &constants[i].base;
    }
    tl_backend_device *handle = t_device_handle(device);
    tl_status status = handle->ops->prepare(handle, &op->desc, operands, (uint32_t)op->inputs, (uint32_t)op->outputs,
                                            kernel);
    for (int i = 0; i < T_OPERANDS; i++) {
        if (constants[i].copy)
            memset(constants[i].copy, 0xff, constants[i].bytes);
        free(constants[i].copy);
    }
    return status;
}

const char *t_implementation(t_device *device, const t_op *op) {
    tl_backend_kernel *kernel = NULL;
    if (prepare(device, op, &kernel) != TL_OK)
        return NULL;
    const char *name = kernel->implementation;
    kernel->ops->release(kernel);
    return name;
}

tl_status t_prepare_only(t_device *device, const t_op *op) {
    tl_backend_kernel *kernel = NULL;
    tl_status status = prepare(device, op, &kernel);
    if (status == TL_OK)
        kernel->ops->release(kernel);
    return status;
}

/* ---- one run ---- */

typedef struct run {
    t_device *device;
    tl_backend_device *handle;
    tl_backend_queue *queue;
    tl_backend_kernel *kernel;
    tl_backend_buffer *buffer;
    tl_view views[T_OPERANDS + 1];
    size_t bytes;
    uint8_t *before, *after; /* images of the buffer */
} run;

/* Places every operand and the workspace in one buffer, with guards between. */
static void lay_out(run *r, const t_op *op) {
    size_t alignment = (size_t)t_device_alignment(r->device), at = 0;
    int count = op->inputs + op->outputs;
    for (int i = 0; i <= count; i++) {
        size_t bytes = i < count ? operand_bytes(op, i) : (size_t)r->kernel->workspace;
        int share = i >= op->inputs && i < count ? op->shares[i - op->inputs] : 0;
        if (bytes == 0 || (i < count && op->operand[i].constant))
            continue;
        if (share) {
            r->views[i] = r->views[share - 1];
            continue;
        }
        at = (at + GUARD + alignment - 1) / alignment * alignment;
        r->views[i].offset = at;
        r->views[i].bytes = bytes;
        at += bytes;
    }
    r->bytes = at + GUARD;
}

static void place(run *r, const t_op *op, bool results) {
    for (int i = 0; i < op->inputs; i++)
        if (r->views[i].buffer && !results)
            memcpy(r->before + r->views[i].offset, op->operand[i].data, operand_bytes(op, i));
}

static tl_status execute(run *r) {
    tl_view whole = {r->buffer, 0, r->bytes};
    tl_status status = r->handle->ops->queue_write(r->queue, &whole, r->before);
    if (status == TL_OK)
        status = r->kernel->ops->enqueue(r->kernel, r->queue);
    if (status == TL_OK)
        status = r->handle->ops->queue_finish(r->queue);
    if (status == TL_OK)
        status = r->handle->ops->queue_read(r->queue, &whole, r->after);
    return status;
}

/* Everything outside what may be written must be as before. */
static bool untouched(const run *r, const t_op *op, char *why) {
    uint8_t *expected = t_allocate(r->bytes);
    memcpy(expected, r->before, r->bytes);
    int count = op->inputs + op->outputs;
    for (int i = 0; i <= count; i++) {
        bool written = i >= op->inputs || updated(op, i) || shared(op, i);
        if (r->views[i].buffer && written)
            memcpy(expected + r->views[i].offset, r->after + r->views[i].offset, (size_t)r->views[i].bytes);
    }
    size_t at = 0;
    while (at < r->bytes && expected[at] == r->after[at])
        at++;
    bool ok = at == r->bytes;
    free(expected);
    for (int i = 0; !ok && i <= count; i++) {
        const tl_view *v = &r->views[i];
        if (!v->buffer || at + GUARD < v->offset || at >= v->offset + v->bytes + GUARD)
            continue;
        snprintf(why, T_WHY, "byte %lld of operand %d (%llu bytes) was changed", (long long)at - (long long)v->offset,
                 i, (unsigned long long)v->bytes);
    }
    return ok;
}

static void collect(const run *r, t_op *op) {
    for (int i = 0; i < op->inputs + op->outputs; i++)
        if (r->views[i].buffer)
            memcpy(op->operand[i].result, r->after + r->views[i].offset, operand_bytes(op, i));
        else if (op->operand[i].constant && op->operand[i].data)
            memcpy(op->operand[i].result, op->operand[i].data, operand_bytes(op, i));
}

static bool same_results(const run *r, const t_op *op, int *operand) {
    for (int i = 0; i < op->inputs + op->outputs; i++)
        if (r->views[i].buffer &&
            memcmp(op->operand[i].result, r->after + r->views[i].offset, operand_bytes(op, i)) != 0) {
            *operand = i;
            return false;
        }
    return true;
}

static bool failed(char *why, const char *what) {
    snprintf(why, T_WHY, "%s: %s", what, t_failure());
    return false;
}

static bool any_constant(const t_op *op) {
    for (int i = 0; i < op->inputs; i++)
        if (op->operand[i].constant)
            return true;
    return false;
}

static bool run_prepared(run *r, t_op *op, bool compare, char *why) {
    lay_out(r, op);
    if (r->handle->ops->buffer_create(r->handle, r->bytes, &r->buffer) != TL_OK)
        return failed(why, "buffer_create");
    for (int i = 0; i <= T_OPERANDS; i++)
        if (r->views[i].bytes)
            r->views[i].buffer = r->buffer;
    r->before = t_allocate(r->bytes);
    r->after = t_allocate(r->bytes);
    memset(r->before, 0xff, r->bytes);
    place(r, op, false);
    if (r->kernel->ops->bind(r->kernel, r->views) != TL_OK)
        return failed(why, "bind");
    if (execute(r) != TL_OK)
        return failed(why, "enqueue");
    if (!untouched(r, op, why))
        return false;
    int operand = 0;
    if (compare && !same_results(r, op, &operand)) {
        snprintf(why, T_WHY, "operand %d differs from what the first device (one thread, or the CPU) gives", operand);
        return false;
    }
    collect(r, op);
    if (execute(r) != TL_OK)
        return failed(why, "second enqueue");
    if (!untouched(r, op, why))
        return false;
    if (!same_results(r, op, &operand)) {
        snprintf(why, T_WHY, "operand %d differs in a second run", operand);
        return false;
    }
    return true;
}

/* Runs op; with `compare` the results must be the bits that op holds from an earlier run. */
static bool run_op(t_device *device, t_op *op, bool compare, char *why) {
    run r = {.device = device, .handle = t_device_handle(device)};
    if (r.handle->ops->queue_create(r.handle, &r.queue) != TL_OK)
        return failed(why, "queue_create");
    bool ok = true;
    if (prepare(device, op, &r.kernel) != TL_OK)
        ok = failed(why, "prepare");
    if (ok && any_constant(op)) {
        tl_backend_kernel *first = r.kernel;
        r.kernel = NULL;
        ok = prepare(device, op, &r.kernel) == TL_OK || failed(why, "prepare again");
        first->ops->release(first);
    }
    ok = ok && run_prepared(&r, op, compare, why);
    if (r.kernel)
        r.kernel->ops->release(r.kernel);
    if (r.buffer)
        r.handle->ops->buffer_destroy(r.handle, r.buffer);
    r.handle->ops->queue_destroy(r.handle, r.queue);
    free(r.before);
    free(r.after);
    return ok;
}

/* ---- cases ---- */

static int64_t work_of(const t_op *op) {
    int64_t most = op->products;
    for (int i = 0; i < op->inputs + op->outputs; i++)
        if (op->operand[i].desc.dtype != TL_DTYPE_NONE && t_count(&op->operand[i].desc) > most)
            most = t_count(&op->operand[i].desc);
    return most;
}

void t_case(t_op *op, t_verify *verify, void *user, const char *format, ...) {
    char name[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof(name), format, arguments);
    va_end(arguments);
    if (!t_wanted(name, work_of(op)))
        return;
    for (int v = 0; v < t_variant_count(); v++) {
        char why[T_WHY] = "";
        bool ok = true;
        for (int t = 0; ok && t < t_variant(v)->team_count; t++) {
            ok = run_op(t_variant(v)->teams[t], op, t > 0, why);
            if (ok && t == 0)
                ok = verify(op, user, why);
        }
        t_ok(ok, "%s%s%s", name, t_variant(v)->name ? " " : "", t_variant(v)->name ? t_variant(v)->name : "");
        if (!ok)
            t_note("%s", why);
    }
}

bool t_close(char *why, const char *label, const float *got, const double *want, const double *tolerance,
             int64_t count) {
    int64_t bad = 0, first = 0;
    for (int64_t i = 0; i < count; i++) {
        bool ok = isnan(want[i]) ? isnan(got[i])
                                 : got[i] == want[i] || fabs(got[i] - want[i]) <= tolerance[i];
        if (!ok && bad++ == 0)
            first = i;
    }
    if (bad > 0)
        snprintf(why, T_WHY, "%s: %lld of %lld are wrong, the first at %lld: %.9g instead of %.9g, tolerance %.3g",
                 label, (long long)bad, (long long)count, (long long)first, (double)got[first], want[first],
                 tolerance[first]);
    return bad == 0;
}
