/* kernel.c: prepares kernels, and the life of a prepared one. */
#include <string.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/tune.h"
#include "backends/form.h"

/* What TL_OP_LIST says of each operation. Every operation must have its list of implementations, or this file does
 * not link. */
static const struct {
    const char *stem, *inputs, *outputs;
    const cpu_implementation *implementations;
} table[TL_OP_COUNT] = {
#define CPU_ROW(NAME, stem, inputs, outputs) \
    [TL_OP_##NAME] = {#stem, inputs, outputs, tl__cpu_##stem##_implementations},
    TL_OP_LIST(CPU_ROW)
#undef CPU_ROW
};

int64_t tl__cpu_elements(const cpu_kernel *kernel, int operand) {
    return form_elements(&kernel->operands[operand]);
}

uint64_t tl__cpu_bytes(const cpu_kernel *kernel, int operand) {
    return form_bytes(&kernel->operands[operand]);
}

tl_status tl__cpu_expect(cpu_kernel *kernel, const char *types) {
    int misfit = form_misfit(kernel->operands, kernel->count, types);
    if (misfit >= 0)
        return tl__cpu_fail(kernel->device, TL_UNSUPPORTED, "cpu: %s: no implementation for the type of operand %d",
                            table[kernel->op.op].stem, misfit);
    return TL_OK;
}

/* ---- a kernel's life ---- */

static tl_status bind(tl_backend_kernel *base, const tl_view *views) {
    cpu_kernel *kernel = (cpu_kernel *)base;
    for (uint32_t i = 0; i <= kernel->count; i++) {
        const tl_view *view = &views[i];
        bool workspace = i == kernel->count;
        if (!view->buffer) {
            if (workspace ? base->workspace > 0 : cpu_present(kernel, (int)i) && !(kernel->derived & 1u << i))
                return tl__cpu_fail(kernel->device, TL_ERROR_INTERNAL, "cpu: %s: operand %u is not bound",
                                    table[kernel->op.op].stem, (unsigned)i);
            continue;
        }
        uint64_t bytes = workspace ? base->workspace : tl__cpu_bytes(kernel, (int)i);
        if (view->offset > view->buffer->bytes || view->bytes > view->buffer->bytes - view->offset ||
            bytes > view->bytes)
            return tl__cpu_fail(kernel->device, TL_ERROR_INTERNAL, "cpu: %s: operand %u is bound to too small a view",
                                table[kernel->op.op].stem, (unsigned)i);
    }
    for (uint32_t i = 0; i < kernel->count; i++)
        if (views[i].buffer)
            kernel->ptr[i] = views[i].buffer->data + views[i].offset;
    const tl_view *last = &views[kernel->count];
    kernel->workspace = last->buffer ? last->buffer->data + last->offset : NULL;
    return TL_OK;
}

static tl_status enqueue(tl_backend_kernel *base, tl_backend_queue *queue) {
    cpu_kernel *kernel = (cpu_kernel *)base;
    (void)queue;
    if (kernel->run)
        kernel->run(kernel);
    return TL_OK;
}

static void release(tl_backend_kernel *base) {
    cpu_kernel *kernel = (cpu_kernel *)base;
    tl__cpu_constants_release(kernel);
    tl__cpu_release(kernel->device, kernel->data);
    tl__cpu_release(kernel->device, kernel);
}

static const tl_kernel_ops kernel_ops = {sizeof(kernel_ops), bind, enqueue, release};

/* ---- prepare ---- */

const cpu_implementation *tl__cpu_implementations(uint32_t op) {
    return table[op].implementations;
}

/* The first of the list that accepts; with a name, that one alone. */
static tl_status try_list(cpu_kernel *kernel, const cpu_asked *asked) {
    const cpu_implementation *list = table[kernel->op.op].implementations;
    tl_status status = TL_UNSUPPORTED;
    kernel->asked = asked && asked->asked;
    for (; list->name; list++) {
        if (asked && strcmp(asked->name, list->name) != 0)
            continue;
        kernel->base.implementation = list->name;
        status = list->prepare(kernel);
        if (status != TL_UNSUPPORTED)
            break;
        tl__cpu_constants_release(kernel);
        tl__cpu_release(kernel->device, kernel->data);
        kernel->data = NULL;
        kernel->derived = 0;
        kernel->base.workspace = 0;
    }
    return status;
}

/* What was asked for, or else what was found fastest before, or else what the cost model takes. */
static tl_status choose(cpu_kernel *kernel, const cpu_asked *asked) {
    const cpu_asked tuned = {asked ? NULL : tl__cpu_tuned(kernel), true};
    tl_status status = tuned.name ? try_list(kernel, &tuned) : TL_UNSUPPORTED;
    if (status == TL_UNSUPPORTED)
        status = try_list(kernel, asked);
    for (uint32_t i = 0; status == TL_OK && i < kernel->count; i++)
        if (cpu_is_constant(kernel, (int)i) && !(kernel->derived & 1u << i))
            status = tl__cpu_constant_copy(kernel, (int)i);
    return status;
}

tl_status tl__cpu_prepare(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands,
                          uint32_t input_count, uint32_t output_count, tl_backend_kernel **out) {
    return tl__cpu_prepare_as(base, op, operands, input_count, output_count, NULL, out);
}

tl_status tl__cpu_prepare_as(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands,
                             uint32_t input_count, uint32_t output_count, const cpu_asked *asked,
                             tl_backend_kernel **out) {
    cpu_device *device = (cpu_device *)base;
    if (op->op >= TL_OP_COUNT)
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: operation %u is not known", (unsigned)op->op);
    char text[256];
    const char *const lists[2] = {table[op->op].inputs, table[op->op].outputs};
    const uint32_t counts[2] = {input_count, output_count};
    if (!form_fits(table[op->op].stem, lists, operands, counts, text, sizeof(text)))
        return tl__cpu_fail(device, TL_ERROR_INTERNAL, "cpu: %s", text);
    cpu_kernel *kernel = tl__cpu_allocate(device, sizeof(*kernel));
    if (!kernel)
        return TL_ERROR_MEMORY;
    *kernel = (cpu_kernel){.base.ops = &kernel_ops, .device = device, .count = input_count + output_count};
    memcpy(&kernel->op, op, op->size < sizeof(*op) ? op->size : sizeof(*op));
    memcpy(kernel->operands, operands, kernel->count * sizeof(*operands));
    tl_status status = choose(kernel, asked);
    if (status != TL_OK) {
        release(&kernel->base);
        return status;
    }
    for (uint32_t i = 0; i < kernel->count; i++)
        kernel->operands[i].constant = NULL;
    *out = &kernel->base;
    return TL_OK;
}
