/* kernel.c: prepares kernels, and the life of a prepared one. */
#include <string.h>

#include "backends/opencl/canary.h"
#include "backends/opencl/launch.h"
#include "backends/opencl/tune.h"

/* What TL_OP_LIST says of each operation. Every operation must have its list of implementations, or this file does
 * not link. */
static const struct {
    const char *stem, *inputs, *outputs;
    const opencl_implementation *implementations;
} table[TL_OP_COUNT] = {
#define OPENCL_ROW(NAME, stem, inputs, outputs) \
    [TL_OP_##NAME] = {#stem, inputs, outputs, tl__opencl_##stem##_implementations},
    TL_OP_LIST(OPENCL_ROW)
#undef OPENCL_ROW
};

/* A kernel with the memory that it is bound to, which only calls ask for at run time. */
typedef struct bound_kernel {
    opencl_kernel kernel;
    tl_view views[OPENCL_OPERANDS + 1];
} bound_kernel;

tl_status tl__opencl_expect(opencl_kernel *kernel, const char *types) {
    int misfit = form_misfit(kernel->operands, kernel->count, types);
    if (misfit < 0)
        return TL_OK;
    return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: no implementation for the type of operand %d",
                           kernel->stem, misfit);
}

tl_status tl__opencl_expect_stored(opencl_kernel *kernel, const char *types, const char **options) {
    static const char *const built[2][2] = {{"", "-DHALF_OUT"}, {"-DHALF_IN", "-DHALF_IN -DHALF_OUT"}};
    char exact[OPENCL_OPERANDS + 1] = "";
    bool in = false, out = false;
    for (uint32_t i = 0; i < kernel->count; i++) {
        in |= types[i] == 'x' && kernel->operands[i].desc.dtype == TL_DTYPE_F16;
        out |= types[i] == 'y' && kernel->operands[i].desc.dtype == TL_DTYPE_F16;
    }
    for (uint32_t i = 0; i < kernel->count; i++)
        exact[i] = types[i] == 'x' ? in ? 'e' : 'f' : types[i] == 'y' ? out ? 'e' : 'f' : types[i];
    *options = built[in][out];
    return tl__opencl_expect(kernel, exact);
}

/* On a CPU half floats would save memory and cost time, and its kernels are written for floats. */
tl_status tl__opencl_storable(opencl_device *device, const char *stem, const tl_operand *operands, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (operands[i].desc.dtype == TL_DTYPE_F16 && device->vectors)
            return tl__opencl_fail(device, TL_UNSUPPORTED, "%s: fp16 storage is for GPUs, and this device is a CPU: take fp32",
                                   stem);
        if (operands[i].desc.dtype == TL_DTYPE_BF16)
            return tl__opencl_fail(device, TL_UNSUPPORTED, "%s: bf16 storage is the CPU backend's: take %s here", stem,
                                   device->vectors ? "fp32" : "fp16");
    }
    return TL_OK;
}

cl_mem tl__opencl_memory(const opencl_kernel *kernel, int operand, uint64_t *byte_offset) {
    const tl_view *view = &((const bound_kernel *)kernel)->views[operand];
    *byte_offset = view->offset;
    return view->buffer ? view->buffer->memory : NULL;
}

uint64_t tl__opencl_workspace(opencl_kernel *kernel, uint64_t bytes) {
    uint64_t at = kernel->base.workspace;
    kernel->base.workspace = at + (bytes + OPENCL_ALIGNMENT - 1) / OPENCL_ALIGNMENT * OPENCL_ALIGNMENT;
    return at;
}

/* ---- a kernel's life ---- */

static tl_status check_view(const opencl_kernel *kernel, const tl_view *views, uint32_t i) {
    const tl_view *view = &views[i];
    bool workspace = i == kernel->count;
    uint64_t bytes = workspace ? kernel->base.workspace : form_bytes(&kernel->operands[i]);
    bool needed = workspace ? bytes > 0 : form_present(&kernel->operands[i]) && !(kernel->derived & 1u << i);
    if (!view->buffer)
        return needed ? tl__opencl_fail(kernel->device, TL_ERROR_INTERNAL, "%s: operand %u is not bound", kernel->stem,
                                        (unsigned)i)
                      : TL_OK;
    if (view->offset > view->buffer->bytes || view->bytes > view->buffer->bytes - view->offset || bytes > view->bytes)
        return tl__opencl_fail(kernel->device, TL_ERROR_INTERNAL, "%s: operand %u is bound to too small a view",
                               kernel->stem, (unsigned)i);
    return TL_OK;
}

static tl_status bind(tl_backend_kernel *base, const tl_view *views) {
    bound_kernel *bound = (bound_kernel *)base;
    tl_status status = tl__opencl_usable(bound->kernel.device);
    for (uint32_t i = 0; i <= bound->kernel.count && status == TL_OK; i++)
        status = check_view(&bound->kernel, views, i);
    if (status != TL_OK)
        return status;
    memcpy(bound->views, views, (bound->kernel.count + 1) * sizeof(*views));
    return tl__opencl_launches_bind(&bound->kernel);
}

static tl_status enqueue(tl_backend_kernel *base, tl_backend_queue *queue) {
    return tl__opencl_launches_enqueue((opencl_kernel *)base, queue);
}

/* Everything that prepare made, so that the next implementation begins with nothing. */
static void empty(opencl_kernel *kernel) {
    tl__opencl_launches_release(kernel);
    tl__opencl_constants_release(kernel);
    tl__opencl_release(kernel->device, kernel->data);
    kernel->data = NULL;
    kernel->derived = 0;
    kernel->base.workspace = 0;
}

static void release(tl_backend_kernel *base) {
    opencl_kernel *kernel = (opencl_kernel *)base;
    empty(kernel);
    tl__opencl_release(kernel->device, kernel);
}

static const tl_kernel_ops kernel_ops = {sizeof(kernel_ops), bind, enqueue, release};

/* ---- prepare ---- */

/* The option "conv" names the one implementation that a convolution is to have. */
static const char *asked_for(const opencl_kernel *kernel) {
    bool convolution = kernel->op.op == TL_OP_CONV2D || kernel->op.op == TL_OP_CONV2D_GRAD_INPUT ||
                       kernel->op.op == TL_OP_CONV2D_GRAD_WEIGHT;
    return convolution ? kernel->device->host->option(kernel->device->host->user, "conv") : NULL;
}

const opencl_implementation *tl__opencl_implementations(uint32_t op) {
    return table[op].implementations;
}

/* The first of the list that accepts; with a name, that one alone. */
static tl_status try_list(opencl_kernel *kernel, const char *name) {
    const opencl_implementation *list = table[kernel->op.op].implementations;
    tl_status status = name ? tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: no implementation is called %.40s",
                                              kernel->stem, name)
                            : TL_UNSUPPORTED;
    kernel->asked = name != NULL;
    for (; list->name; list++) {
        if (name && strcmp(name, list->name) != 0)
            continue;
        kernel->base.implementation = list->name;
        status = list->prepare(kernel);
        if (status != TL_UNSUPPORTED)
            break;
        empty(kernel);
    }
    return status;
}

/* What was asked for, or else what was found fastest before, or else the best guess. */
static tl_status choose(opencl_kernel *kernel, const char *name) {
    const char *tuned = tl__opencl_tuned(kernel), *asked = name ? name : asked_for(kernel);
    tl_status status = tuned && !asked ? try_list(kernel, tuned) : TL_UNSUPPORTED;
    if (status == TL_UNSUPPORTED)
        status = try_list(kernel, asked);
    /* Constants are in launches already, or were derived from. */
    for (uint32_t i = 0; i < kernel->count; i++)
        if (opencl_is_constant(kernel, (int)i))
            kernel->derived |= 1u << i;
    return status;
}

tl_status tl__opencl_prepare(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands,
                             uint32_t input_count, uint32_t output_count, tl_backend_kernel **out) {
    return tl__opencl_prepare_as(base, op, operands, input_count, output_count, NULL, out);
}

tl_status tl__opencl_prepare_as(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands,
                                uint32_t input_count, uint32_t output_count, const char *name,
                                tl_backend_kernel **out) {
    opencl_device *device = (opencl_device *)base;
    tl_status status = tl__opencl_usable(device);
    if (status != TL_OK)
        return status;
    if (op->op >= TL_OP_COUNT)
        return tl__opencl_fail(device, TL_UNSUPPORTED, "operation %u is not known", (unsigned)op->op);
    char text[256];
    const char *const lists[2] = {table[op->op].inputs, table[op->op].outputs};
    const uint32_t counts[2] = {input_count, output_count};
    if (!form_fits(table[op->op].stem, lists, operands, counts, text, sizeof(text)))
        return tl__opencl_fail(device, TL_ERROR_INTERNAL, "%s", text);
    for (uint32_t i = 0; i < counts[0] + counts[1] && op->size > offsetof(tl_op_desc, step); i++)
        if (op->step[i] > 0)
            return tl__opencl_fail(device, TL_UNSUPPORTED, "%s: int8 storage is the CPU backend's: take %s here",
                                   table[op->op].stem, device->vectors ? "fp32" : "fp16 or fp32");
    status = tl__opencl_storable(device, table[op->op].stem, operands, counts[0] + counts[1]);
    if (status == TL_OK)
        status = tl__opencl_canary(device, op->op, tl__opencl_canary_class(op, operands, counts[0] + counts[1]));
    if (status != TL_OK)
        return status;
    bound_kernel *bound = tl__opencl_allocate(device, sizeof(*bound));
    if (!bound)
        return TL_ERROR_MEMORY;
    opencl_kernel *kernel = &bound->kernel;
    *kernel = (opencl_kernel){.base.ops = &kernel_ops, .device = device, .stem = table[op->op].stem,
                              .count = input_count + output_count, .last = &kernel->first};
    memcpy(&kernel->op, op, op->size < sizeof(*op) ? op->size : sizeof(*op));
    memcpy(kernel->operands, operands, kernel->count * sizeof(*operands));
    status = choose(kernel, name);
    if (status != TL_OK) {
        release(&kernel->base);
        return status;
    }
    for (uint32_t i = 0; i < kernel->count; i++)
        kernel->operands[i].constant = NULL;
    *out = &kernel->base;
    return TL_OK;
}
