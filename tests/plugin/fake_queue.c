/* fake_queue.c: buffers and queues of the fake backend. */
#include "tests/plugin/fake.h"

#include <string.h>

/* ---- buffers ---- */

tl_status fake_buffer_create(tl_backend_device *base, uint64_t bytes, tl_backend_buffer **out) {
    fake_device *device = (fake_device *)base;
    tl_status status;
    if (fake_faulty(device, "buffer", &status))
        return status;
    if (bytes > device->max_buffer)
        return fake_wrong(device, "a buffer beyond max_buffer was asked for");
    if (device->memory && bytes > device->memory - device->used)
        return fake_fail(device->host, TL_ERROR_MEMORY, "a buffer does not fit into its memory");
    tl_backend_buffer *buffer = fake_take(device, sizeof *buffer, 16);
    unsigned char *data = buffer ? fake_take(device, bytes, 4096) : NULL;
    if (!data) {
        device->host->release(device->host->user, buffer);
        return TL_ERROR_MEMORY;
    }
    memset(data, 0xff, bytes);
    *buffer = (tl_backend_buffer){data, bytes};
    device->buffers++;
    device->used += bytes;
    *out = buffer;
    return TL_OK;
}

void fake_buffer_destroy(tl_backend_device *base, tl_backend_buffer *buffer) {
    fake_device *device = (fake_device *)base;
    device->buffers--;
    device->used -= buffer->bytes;
    device->host->release(device->host->user, buffer->data);
    device->host->release(device->host->user, buffer);
}

void *fake_buffer_host(tl_backend_device *base, tl_backend_buffer *buffer) {
    (void)base;
    return buffer->data;
}

const char *fake_view_fault(const fake_device *device, const tl_view *view) {
    if (!view->buffer)
        return "a view has no buffer";
    if (view->offset % device->alignment)
        return "a view is off the alignment";
    if (view->offset > view->buffer->bytes || view->bytes > view->buffer->bytes - view->offset)
        return "a view reaches beyond its buffer";
    return NULL;
}

/* ---- queues ---- */

static void run_waiting(tl_backend_queue *queue) {
    for (int i = 0; i < queue->count; i++) {
        fake_kernel_run(queue->waiting[i]);
        queue->waiting[i]->waiting--;
    }
    queue->count = 0;
}

tl_status fake_queue_create(tl_backend_device *base, tl_backend_queue **out) {
    fake_device *device = (fake_device *)base;
    tl_status status;
    if (fake_faulty(device, "queue", &status))
        return status;
    tl_backend_queue *queue = fake_take(device, sizeof *queue, 16);
    if (!queue)
        return TL_ERROR_MEMORY;
    queue->device = device;
    queue->count = 0;
    device->queues++;
    *out = queue;
    return TL_OK;
}

void fake_queue_destroy(tl_backend_device *base, tl_backend_queue *queue) {
    fake_device *device = (fake_device *)base;
    if (queue->count)
        fake_wrong(device, "a queue is destroyed while work waits");
    device->queues--;
    device->host->release(device->host->user, queue);
}

static tl_status begin(tl_backend_queue *queue, const char *call, const tl_view *view) {
    tl_status status;
    if (fake_faulty(queue->device, call, &status))
        return status;
    const char *fault = view ? fake_view_fault(queue->device, view) : NULL;
    if (fault)
        return fake_wrong(queue->device, fault);
    run_waiting(queue);
    return TL_OK;
}

tl_status fake_queue_write(tl_backend_queue *queue, const tl_view *to, const void *data) {
    tl_status status = begin(queue, "write", to);
    if (status == TL_OK)
        memcpy(to->buffer->data + to->offset, data, to->bytes);
    return status;
}

tl_status fake_queue_read(tl_backend_queue *queue, const tl_view *from, void *data) {
    tl_status status = begin(queue, "read", from);
    if (status == TL_OK)
        memcpy(data, from->buffer->data + from->offset, from->bytes);
    return status;
}

tl_status fake_queue_zero(tl_backend_queue *queue, const tl_view *what) {
    tl_status status = begin(queue, "zero", what);
    if (status == TL_OK)
        memset(what->buffer->data + what->offset, 0, what->bytes);
    return status;
}

tl_status fake_queue_flush(tl_backend_queue *queue) {
    run_waiting(queue);
    return TL_OK;
}

/* A finish that fails has lost what waited. */
tl_status fake_queue_finish(tl_backend_queue *queue) {
    tl_status status = begin(queue, "finish", NULL);
    for (int i = 0; i < queue->count; i++)
        queue->waiting[i]->waiting--;
    queue->count = 0;
    return status;
}
