/* buffer.c: buffers and queues. */
#include "backends/opencl/opencl.h"

/* A GPU that also drives a display gets its work in portions, so that nothing waits seconds for its turn. */
#define FLUSH_AFTER 32

tl_status tl__opencl_buffer_create(tl_backend_device *base, uint64_t bytes, tl_backend_buffer **out) {
    opencl_device *device = (opencl_device *)base;
    tl_status status = tl__opencl_usable(device);
    if (status != TL_OK)
        return status;
    if (bytes > device->max_buffer)
        return tl__opencl_fail(device, TL_ERROR_LIMIT, "a buffer of %llu bytes is more than the device allows: %llu",
                               (unsigned long long)bytes, (unsigned long long)device->max_buffer);
    tl_backend_buffer *buffer = tl__opencl_allocate(device, sizeof(*buffer));
    if (!buffer)
        return TL_ERROR_MEMORY;
    cl_int code;
    buffer->bytes = bytes;
    buffer->memory = clCreateBuffer(device->context, CL_MEM_READ_WRITE, (size_t)bytes, NULL, &code);
    if (code != CL_SUCCESS) {
        char what[64];
        snprintf(what, sizeof(what), "%llu bytes", (unsigned long long)bytes);
        tl__opencl_release(device, buffer);
        return tl__opencl_check(device, code, "clCreateBuffer", what);
    }
    *out = buffer;
    return TL_OK;
}

void tl__opencl_buffer_destroy(tl_backend_device *base, tl_backend_buffer *buffer) {
    opencl_device *device = (opencl_device *)base;
    if (!buffer)
        return;
    if (tl__opencl_alive(device))
        clReleaseMemObject(buffer->memory);
    tl__opencl_release(device, buffer);
}

tl_status tl__opencl_queue_create(tl_backend_device *base, tl_backend_queue **out) {
    opencl_device *device = (opencl_device *)base;
    tl_status status = tl__opencl_usable(device);
    if (status != TL_OK)
        return status;
    tl_backend_queue *queue = tl__opencl_allocate(device, sizeof(*queue));
    if (!queue)
        return TL_ERROR_MEMORY;
    cl_int code;
    queue->device = device;
    queue->commands = clCreateCommandQueue(device->context, device->id, 0, &code);
    if (code != CL_SUCCESS) {
        tl__opencl_release(device, queue);
        return tl__opencl_check(device, code, "clCreateCommandQueue", NULL);
    }
    *out = queue;
    return TL_OK;
}

void tl__opencl_queue_destroy(tl_backend_device *base, tl_backend_queue *queue) {
    opencl_device *device = (opencl_device *)base;
    if (!queue)
        return;
    if (tl__opencl_alive(device))
        clReleaseCommandQueue(queue->commands);
    tl__opencl_release(device, queue);
}

static tl_status check_view(tl_backend_queue *queue, const tl_view *view) {
    tl_status status = tl__opencl_usable(queue->device);
    if (status == TL_OK && (view->offset > view->buffer->bytes || view->bytes > view->buffer->bytes - view->offset))
        status = tl__opencl_fail(queue->device, TL_ERROR_INTERNAL, "a view reaches beyond its buffer");
    return status;
}

tl_status tl__opencl_queue_write(tl_backend_queue *queue, const tl_view *to, const void *data) {
    tl_status status = check_view(queue, to);
    if (status != TL_OK)
        return status;
    cl_int code = clEnqueueWriteBuffer(queue->commands, to->buffer->memory, CL_TRUE, (size_t)to->offset,
                                       (size_t)to->bytes, data, 0, NULL, NULL);
    return tl__opencl_check(queue->device, code, "clEnqueueWriteBuffer", NULL);
}

tl_status tl__opencl_queue_read(tl_backend_queue *queue, const tl_view *from, void *data) {
    tl_status status = check_view(queue, from);
    if (status != TL_OK)
        return status;
    queue->waiting = 0;
    cl_int code = clEnqueueReadBuffer(queue->commands, from->buffer->memory, CL_TRUE, (size_t)from->offset,
                                      (size_t)from->bytes, data, 0, NULL, NULL);
    return tl__opencl_check(queue->device, code, "clEnqueueReadBuffer", NULL);
}

/* The pattern's size must divide offset and length: a byte always does, but wide patterns are faster. */
tl_status tl__opencl_queue_zero(tl_backend_queue *queue, const tl_view *what) {
    static const uint64_t zero = 0;
    tl_status status = check_view(queue, what);
    if (status != TL_OK || what->bytes == 0)
        return status;
    size_t pattern = (what->offset | what->bytes) % 8 == 0 ? 8 : (what->offset | what->bytes) % 4 == 0 ? 4 : 1;
    cl_int code = clEnqueueFillBuffer(queue->commands, what->buffer->memory, &zero, pattern, (size_t)what->offset,
                                      (size_t)what->bytes, 0, NULL, NULL);
    return tl__opencl_check(queue->device, code, "clEnqueueFillBuffer", NULL);
}

tl_status tl__opencl_queue_flush(tl_backend_queue *queue) {
    tl_status status = tl__opencl_usable(queue->device);
    queue->waiting = 0;
    return status == TL_OK ? tl__opencl_check(queue->device, clFlush(queue->commands), "clFlush", NULL) : status;
}

tl_status tl__opencl_queue_finish(tl_backend_queue *queue) {
    tl_status status = tl__opencl_usable(queue->device);
    queue->waiting = 0;
    return status == TL_OK ? tl__opencl_check(queue->device, clFinish(queue->commands), "clFinish", NULL) : status;
}

tl_status tl__opencl_queue_count(tl_backend_queue *queue) {
    if (queue->device->vectors || ++queue->waiting < FLUSH_AFTER)
        return TL_OK;
    return tl__opencl_queue_flush(queue);
}
