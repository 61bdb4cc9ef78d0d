#include <config.h>

#include "core/registry.h"

#include <string.h>

static void begin(tl_device *device) {
    device->host.text[0] = '\0';
    device->host.status = TL_OK;
}

static tl_status end(tl_device *device, tl_status status, const char *call) {
    return tl__host_result(&device->host, status, call);
}

static tl_status nothing_given(tl_device *device, const char *call) {
    return tl__fail(device->context, TL_ERROR_DEVICE, "%s: %s said that it succeeded but gave nothing", device->name,
                    call);
}

/* ---- buffers ---- */

tl_status tl__device_buffer_create(tl_device *device, uint64_t bytes, tl_backend_buffer **out) {
    if (bytes > device->properties.max_buffer)
        return tl__fail(device->context, TL_ERROR_LIMIT, "%s: a buffer of %llu bytes is more than it allows: %llu",
                        device->name, (unsigned long long)bytes, (unsigned long long)device->properties.max_buffer);
    tl_backend_buffer *buffer = NULL;
    begin(device);
    TL__TRY(end(device, device->ops.buffer_create(device->handle, bytes ? bytes : 1, &buffer), "buffer_create"));
    if (!buffer)
        return nothing_given(device, "buffer_create");
    *out = buffer;
    return TL_OK;
}

void tl__device_buffer_destroy(tl_device *device, tl_backend_buffer *buffer) {
    if (buffer)
        device->ops.buffer_destroy(device->handle, buffer);
}

void *tl__device_buffer_host(tl_device *device, tl_backend_buffer *buffer) {
    return device->properties.host_visible ? device->ops.buffer_host(device->handle, buffer) : NULL;
}

/* ---- queues ---- */

tl_status tl__device_queue_create(tl_device *device, tl_backend_queue **out) {
    tl_backend_queue *queue = NULL;
    begin(device);
    TL__TRY(end(device, device->ops.queue_create(device->handle, &queue), "queue_create"));
    if (!queue)
        return nothing_given(device, "queue_create");
    *out = queue;
    return TL_OK;
}

void tl__device_queue_destroy(tl_device *device, tl_backend_queue *queue) {
    if (queue)
        device->ops.queue_destroy(device->handle, queue);
}

tl_status tl__device_queue_write(tl_device *device, tl_backend_queue *queue, const tl_view *to, const void *data) {
    begin(device);
    return to->bytes ? end(device, device->ops.queue_write(queue, to, data), "queue_write") : TL_OK;
}

tl_status tl__device_queue_read(tl_device *device, tl_backend_queue *queue, const tl_view *from, void *data) {
    begin(device);
    return from->bytes ? end(device, device->ops.queue_read(queue, from, data), "queue_read") : TL_OK;
}

tl_status tl__device_queue_zero(tl_device *device, tl_backend_queue *queue, const tl_view *what) {
    begin(device);
    return what->bytes ? end(device, device->ops.queue_zero(queue, what), "queue_zero") : TL_OK;
}

tl_status tl__device_queue_flush(tl_device *device, tl_backend_queue *queue) {
    begin(device);
    return end(device, device->ops.queue_flush(queue), "queue_flush");
}

tl_status tl__device_queue_finish(tl_device *device, tl_backend_queue *queue) {
    begin(device);
    return end(device, device->ops.queue_finish(queue), "queue_finish");
}

void tl__device_queue_settle(tl_device *device, tl_backend_queue *queue) {
    device->ops.queue_finish(queue);
}

/* ---- kernels ---- */

/* A kernel that lacks something is released where that much is there. */
static tl_status check_kernel(tl_device *device, tl_backend_kernel *kernel) {
    const tl_kernel_ops *ops = kernel->ops;
    tl_kernel_ops known = {0};
    if (ops)
        TL__TABLE_COPY(&known, ops);
    if (known.bind && known.enqueue && known.release)
        return TL_OK;
    if (known.release)
        known.release(kernel);
    return tl__fail(device->context, TL_ERROR_ABI, "%s: prepare gave a kernel without %s", device->name,
                    !ops ? "functions" : !known.bind ? "bind" : !known.enqueue ? "enqueue" : "release");
}

tl_status tl__device_prepare(tl_device *device, const tl_op_desc *op, const tl_operand *operands,
                             uint32_t input_count, uint32_t output_count, tl_backend_kernel **out) {
    tl_op_desc desc = *op;
    desc.size = sizeof desc;
    tl_backend_kernel *kernel = NULL;
    /* prepare may fail because libtl could not read a constant: then libtl's own words are the better ones. An empty
     * message shows whether there are any. */
    char *message = device->context->message, before = message[0];
    begin(device);
    message[0] = '\0';
    tl_status status = device->ops.prepare(device->handle, &desc, operands, input_count, output_count, &kernel);
    bool own_words = message[0] != '\0';
    if (!own_words)
        message[0] = before;
    if (status != TL_OK && own_words && device->host.status != status)
        return tl__fail_at(device->context, status, "%s", device->name);
    TL__TRY(end(device, status, "prepare"));
    if (!kernel)
        return nothing_given(device, "prepare");
    TL__TRY(check_kernel(device, kernel));
    *out = kernel;
    return TL_OK;
}

double tl__device_peak(tl_device *device, int32_t dtype) {
    double flops = 0;
    begin(device);
    return device->ops.peak && device->ops.peak(device->handle, dtype, &flops) == TL_OK && flops > 0 ? flops : 0;
}

tl_status tl__device_tune(tl_device *device, const tl_op_desc *op, const tl_operand *operands, uint32_t input_count,
                          uint32_t output_count, const tl_tuning *tuning) {
    tl_op_desc desc = *op;
    desc.size = sizeof desc;
    if (!device->ops.tune)
        return tl__fail(device->context, TL_UNSUPPORTED, "%s: its backend has nothing to choose", device->name);
    begin(device);
    return end(device, device->ops.tune(device->handle, &desc, operands, input_count, output_count, tuning), "tune");
}

tl_status tl__device_bind(tl_device *device, tl_backend_kernel *kernel, const tl_view *views) {
    begin(device);
    return end(device, kernel->ops->bind(kernel, views), "bind");
}

tl_status tl__device_enqueue(tl_device *device, tl_backend_kernel *kernel, tl_backend_queue *queue) {
    begin(device);
    return end(device, kernel->ops->enqueue(kernel, queue), "enqueue");
}

void tl__device_release(tl_device *device, tl_backend_kernel *kernel) {
    (void)device;
    if (kernel)
        kernel->ops->release(kernel);
}

const char *tl__kernel_implementation(const tl_backend_kernel *kernel) {
    return kernel->implementation ? kernel->implementation : "";
}
