/* fake_kernel.c: kernels of the fake backend: which it takes, and what it does with them. */
#include "tests/plugin/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is `word` one of "a,b,c"? */
static bool listed(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *c = list; c && *c; c = strchr(c, ','), c = c ? c + 1 : NULL)
        if (strncmp(c, word, length) == 0 && (c[length] == ',' || c[length] == '\0'))
            return true;
    return false;
}

/* ---- kernels ---- */

static uint64_t desc_bytes(const tl_tensor_desc *desc) {
    static const uint8_t sizes[] = {0, 4, 2, 2, 8, 1, 1, 4, 8};
    uint64_t bytes = desc->dtype >= 0 && desc->dtype < (int)sizeof sizes ? sizes[desc->dtype] : 0;
    for (int i = 0; i < desc->rank; i++)
        bytes *= (uint64_t)desc->shape[i];
    return bytes;
}

static uint64_t stored_bytes(const fake_kernel *kernel, uint32_t i) {
    const uint64_t bytes = desc_bytes(&kernel->call.desc[i]);
    return kernel->stored[i] ? bytes / sizeof(float) * (uint64_t)kernel->stored[i] : bytes;
}

tl_status fake_kernel_bind(tl_backend_kernel *base, const tl_view *views) {
    fake_kernel *kernel = (fake_kernel *)base;
    fake_device *device = kernel->device;
    tl_status status;
    if (fake_faulty(device, "bind", &status))
        return status;
    if (kernel->waiting)
        return fake_wrong(device, "a kernel is bound while it waits");
    for (uint32_t i = 0; i < kernel->call.inputs + kernel->call.outputs; i++) {
        if (kernel->constant[i] || kernel->call.desc[i].dtype == TL_DTYPE_NONE)
            continue;
        const char *fault = fake_view_fault(device, &views[i]);
        uint64_t bytes = stored_bytes(kernel, i);
        if (!fault && views[i].bytes < bytes)
            fault = "a view is smaller than its operand";
        if (fault)
            return fake_wrong(device, fault);
        if (kernel->stored[i])
            kernel->narrow[i] = views[i].buffer->data + views[i].offset;
        else
            kernel->call.data[i] = views[i].buffer->data + views[i].offset;
    }
    kernel->bound = true;
    return TL_OK;
}

tl_status fake_kernel_enqueue(tl_backend_kernel *base, tl_backend_queue *queue) {
    fake_kernel *kernel = (fake_kernel *)base;
    tl_status status;
    if (fake_faulty(kernel->device, "enqueue", &status))
        return status;
    if (!kernel->bound)
        return fake_wrong(kernel->device, "a kernel is enqueued before it was bound");
    if (queue->count == FAKE_MAX_WAITING)
        fake_queue_flush(queue);
    kernel->waiting++;
    queue->waiting[queue->count++] = kernel;
    return TL_OK;
}

void fake_kernel_release(tl_backend_kernel *base) {
    fake_kernel *kernel = (fake_kernel *)base;
    fake_device *device = kernel->device;
    if (kernel->waiting)
        fake_wrong(device, "a kernel is released while it waits");
    for (int i = 0; i < FAKE_MAX_OPERANDS; i++)
        if (kernel->constant[i] || kernel->stored[i])
            device->host->release(device->host->user, kernel->call.data[i]);
    device->kernels--;
    device->host->release(device->host->user, kernel);
}

static void spoil(fake_kernel *kernel) {
    const fake_call *call = &kernel->call;
    unsigned char *data = call->data[call->inputs];
    uint64_t bytes = desc_bytes(&call->desc[call->inputs]);
    float *middle = (float *)data + bytes / 8;
    if (strcmp(kernel->wrong, "value") == 0)
        *middle += 0.01f;
    if (strcmp(kernel->wrong, "slightly") == 0)
        *middle *= 1.00001f;
    if (strcmp(kernel->wrong, "nothing") == 0)
        memset(data, 0xff, bytes);
    if (strcmp(kernel->wrong, "beyond") == 0 && !kernel->stored[call->inputs])
        data[bytes + 3] ^= 1;
    else if (strcmp(kernel->wrong, "beyond") == 0)
        ((unsigned char *)kernel->narrow[call->inputs] + stored_bytes(kernel, call->inputs))[3] ^= 1;
    if (strcmp(kernel->wrong, "unsteady") == 0 && kernel->runs % 2)
        *middle = 0;
}

/* bf16 is the upper half of f32; to the nearest, of two the even one. */
static uint16_t narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widen(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint8_t narrow_byte(float x, const tl_op_desc *op, uint32_t i) {
    const float y = x / op->step[i] + (float)op->zero[i];
    return (uint8_t)(y > 0 ? y < 255 ? y + 0.5f : 255 : 0);
}

static void exchange(fake_kernel *kernel, bool back) {
    const tl_op_desc *op = &kernel->op;
    for (uint32_t i = 0; i < kernel->call.inputs + kernel->call.outputs; i++) {
        uint16_t *half = kernel->narrow[i];
        uint8_t *byte = kernel->narrow[i];
        float *x = kernel->call.data[i];
        if (!half || (i < kernel->call.inputs) == back)
            continue;
        for (uint64_t n = 0; n < desc_bytes(&kernel->call.desc[i]) / sizeof *x; n++)
            if (kernel->stored[i] == 1 && back)
                byte[n] = narrow_byte(x[n], op, i);
            else if (kernel->stored[i] == 1)
                x[n] = (float)(byte[n] - op->zero[i]) * op->step[i];
            else if (back)
                half[n] = narrow(x[n]);
            else
                x[n] = widen(half[n]);
    }
}

void fake_kernel_run(fake_kernel *kernel) {
    exchange(kernel, false);
    kernel->run(&kernel->call);
    if (kernel->wrong[0])
        spoil(kernel);
    exchange(kernel, true);
    kernel->runs++;
    kernel->device->runs++;
}

static tl_status keep_constant(fake_kernel *kernel, uint32_t i, const tl_constant *constant) {
    const void *data = NULL;
    tl_status status = constant->read(constant, &data);
    if (status != TL_OK)
        return status;
    uint64_t bytes = desc_bytes(&kernel->call.desc[i]);
    kernel->call.data[i] = fake_take(kernel->device, bytes, 64);
    if (!kernel->call.data[i])
        return TL_ERROR_MEMORY;
    memcpy(kernel->call.data[i], data, bytes);
    kernel->constant[i] = true;
    return TL_OK;
}

static bool is_fused(const tl_op_desc *op, const tl_operand *operands) {
    if (op->op == TL_OP_CONV2D)
        return op->relu || operands[2].desc.dtype || operands[3].desc.dtype;
    if (op->op == TL_OP_BATCHNORM)
        return op->relu || operands[5].desc.dtype;
    return op->op == TL_OP_ADD && op->relu;
}

static tl_status unsupported(const fake_device *device, const char *stem, const char *reason) {
    char text[160];
    snprintf(text, sizeof text, "%s: %s", stem, reason);
    return fake_fail(device->host, TL_UNSUPPORTED, text);
}

static tl_status odd_kernel(fake_device *device, fake_kernel *kernel, tl_backend_kernel **out) {
    const char *what = fake_option(device->host, "kernel", "");
    kernel->base.ops = strcmp(what, "noops") == 0 ? NULL : &device->kernel_ops;
    if (strcmp(what, "nobind") == 0)
        device->kernel_ops.bind = NULL;
    if (strcmp(what, "noenqueue") == 0)
        device->kernel_ops.size = offsetof(tl_kernel_ops, enqueue);
    if (strcmp(what, "norelease") == 0)
        device->kernel_ops.release = NULL;
    if (strcmp(what, "nothing") == 0 || strcmp(what, "status") == 0)
        fake_kernel_release(&kernel->base);
    else
        *out = &kernel->base;
    return strcmp(what, "status") == 0 ? (tl_status)7 : TL_OK;
}

static tl_status keep_operand(fake_kernel *kernel, uint32_t i, const tl_operand *operand, int stored) {
    kernel->call.desc[i] = operand->desc;
    if (operand->constant)
        return keep_constant(kernel, i, operand->constant);
    if (!stored)
        return TL_OK;
    kernel->call.data[i] = fake_take(kernel->device, desc_bytes(&operand->desc), 64);
    kernel->stored[i] = kernel->call.data[i] ? stored : 0;
    return kernel->stored[i] ? TL_OK : TL_ERROR_MEMORY;
}

/* The operands as the arithmetic sees them, where the device stores bf16 or bytes; stored: how wide those are. */
static void widen_descs(const fake_device *device, const tl_op_desc *op, tl_operand *operands, uint32_t count,
                        int *stored) {
    for (uint32_t i = 0; i < count; i++) {
        const int32_t dtype = operands[i].desc.dtype;
        if (dtype == TL_DTYPE_BF16 && fake_option_is(device->host, "bf16", "1"))
            stored[i] = 2;
        else if (dtype == TL_DTYPE_U8 && op->step[i] > 0 && op->op == TL_OP_MAXPOOL2D &&
                 fake_option_is(device->host, "int8", "1"))
            stored[i] = 1;
        if (stored[i])
            operands[i].desc.dtype = TL_DTYPE_F32;
    }
}

tl_status fake_prepare(tl_backend_device *base, const tl_op_desc *op, const tl_operand *given, uint32_t inputs,
                       uint32_t outputs, tl_backend_kernel **out) {
    fake_device *device = (fake_device *)base;
    const char *stem = fake_stem(op->op), *only = fake_option(device->host, "only", NULL), *reason;
    tl_operand operands[FAKE_MAX_OPERANDS];
    int stored[FAKE_MAX_OPERANDS] = {0};
    tl_status status;
    if (fake_faulty(device, "prepare", &status))
        return status;
    if (inputs + outputs > FAKE_MAX_OPERANDS)
        return unsupported(device, stem, "it has too many operands");
    memcpy(operands, given, (inputs + outputs) * sizeof *given);
    widen_descs(device, op, operands, inputs + outputs, stored);
    fake_arithmetic run = fake_find(op, operands, inputs, outputs, &reason);
    if (!run)
        return unsupported(device, stem, reason);
    if ((only && !listed(only, stem)) || listed(fake_option(device->host, "refuse", ""), stem))
        return unsupported(device, stem, "refused on demand");
    if (fake_option_is(device->host, "refuse_fused", "1") && is_fused(op, operands))
        return unsupported(device, stem, "fused forms are refused on demand");
    fake_kernel *kernel = fake_take(device, sizeof *kernel, 16);
    if (!kernel)
        return TL_ERROR_MEMORY;
    *kernel = (fake_kernel){
        .base = {.ops = &device->kernel_ops, .implementation = "slow"}, .device = device, .run = run, .op = *op};
    kernel->call = (fake_call){.op = &kernel->op, .inputs = inputs, .outputs = outputs};
    const char *wrong = fake_option(device->host, "wrong", "");
    size_t length = strcspn(wrong, ":");
    if (strlen(stem) == length && strncmp(wrong, stem, length) == 0 && wrong[length])
        snprintf(kernel->wrong, sizeof kernel->wrong, "%s", wrong + length + 1);
    device->kernels++;
    for (uint32_t i = 0; i < inputs + outputs; i++) {
        status = keep_operand(kernel, i, &operands[i], stored[i]);
        if (status != TL_OK) {
            fake_kernel_release(&kernel->base);
            return status;
        }
    }
    return odd_kernel(device, kernel, out);
}
