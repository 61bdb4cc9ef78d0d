/* sleepy.c: the smallest backend for libtl that does something. It takes one operation, relu, in the host's memory;
 * libtl runs the rest on the CPU. Start from here for a device of your own: what each function owes is in
 * tl/backend.h, which, with tl/context.h and tl/status.h, is all of libtl that a backend sees.
 *
 * Build: make. Try: TL_BACKEND_PATH=$PWD tl devices */
#include <stdlib.h>
#include <string.h>

#include <tl/backend.h>

typedef struct device {
    tl_backend_device base; /* first, always */
    const tl_host *host;
} device;

struct tl_backend_buffer {
    unsigned char *data;
};

struct tl_backend_queue {
    device *owner;
};

typedef struct kernel {
    tl_backend_kernel base; /* first, always */
    device *owner;
    size_t count;
    const float *x;
    float *y;
} kernel;

/* ---- buffers ---- */

static tl_status buffer_create(tl_backend_device *base, uint64_t bytes, tl_backend_buffer **out) {
    const tl_host *host = ((device *)base)->host;
    tl_backend_buffer *buffer = host->allocate(host->user, sizeof *buffer, 16);
    unsigned char *data = buffer ? host->allocate(host->user, (size_t)bytes, 64) : NULL;
    if (!data) {
        host->release(host->user, buffer);
        return TL_ERROR_MEMORY;
    }
    buffer->data = data;
    *out = buffer;
    return TL_OK;
}

static void buffer_destroy(tl_backend_device *base, tl_backend_buffer *buffer) {
    const tl_host *host = ((device *)base)->host;
    host->release(host->user, buffer->data);
    host->release(host->user, buffer);
}

static void *buffer_host(tl_backend_device *base, tl_backend_buffer *buffer) {
    (void)base;
    return buffer->data;
}

/* ---- the queue: everything is done at once, so there is nothing to start or to wait for ---- */

static tl_status queue_create(tl_backend_device *base, tl_backend_queue **out) {
    device *owner = (device *)base;
    tl_backend_queue *queue = owner->host->allocate(owner->host->user, sizeof *queue, 16);
    if (!queue)
        return TL_ERROR_MEMORY;
    queue->owner = owner;
    *out = queue;
    return TL_OK;
}

static void queue_destroy(tl_backend_device *base, tl_backend_queue *queue) {
    const tl_host *host = ((device *)base)->host;
    host->release(host->user, queue);
}

static tl_status queue_write(tl_backend_queue *queue, const tl_view *to, const void *data) {
    (void)queue;
    memcpy(to->buffer->data + to->offset, data, (size_t)to->bytes);
    return TL_OK;
}

static tl_status queue_read(tl_backend_queue *queue, const tl_view *from, void *data) {
    (void)queue;
    memcpy(data, from->buffer->data + from->offset, (size_t)from->bytes);
    return TL_OK;
}

static tl_status queue_zero(tl_backend_queue *queue, const tl_view *what) {
    (void)queue;
    memset(what->buffer->data + what->offset, 0, (size_t)what->bytes);
    return TL_OK;
}

static tl_status queue_done(tl_backend_queue *queue) {
    (void)queue;
    return TL_OK;
}

/* ---- kernels ---- */

static tl_status kernel_bind(tl_backend_kernel *base, const tl_view *views) {
    kernel *k = (kernel *)base;
    k->x = (const float *)(views[0].buffer->data + views[0].offset);
    k->y = (float *)(views[1].buffer->data + views[1].offset);
    return TL_OK;
}

static tl_status kernel_enqueue(tl_backend_kernel *base, tl_backend_queue *queue) {
    kernel *k = (kernel *)base;
    (void)queue;
    for (size_t i = 0; i < k->count; i++)
        k->y[i] = k->x[i] < 0 ? 0 : k->x[i]; /* NaN stays NaN */
    return TL_OK;
}

static void kernel_release(tl_backend_kernel *base) {
    const tl_host *host = ((kernel *)base)->owner->host;
    host->release(host->user, base);
}

static const tl_kernel_ops kernel_ops = {sizeof kernel_ops, kernel_bind, kernel_enqueue, kernel_release};

static tl_status prepare(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands, uint32_t inputs,
                         uint32_t outputs, tl_backend_kernel **out) {
    device *owner = (device *)base;
    const tl_host *host = owner->host;
    const tl_tensor_desc *x = &operands[0].desc;
    (void)inputs;
    (void)outputs;
    if (op->op != TL_OP_RELU || x->dtype != TL_DTYPE_F32 || operands[0].constant)
        return host->fail(host->user, TL_UNSUPPORTED, "relu of f32 is all it does");
    kernel *k = host->allocate(host->user, sizeof *k, 16);
    if (!k)
        return TL_ERROR_MEMORY;
    *k = (kernel){.base = {.ops = &kernel_ops, .implementation = "loop"}, .owner = owner, .count = 1};
    for (int i = 0; i < x->rank; i++)
        k->count *= (size_t)x->shape[i];
    *out = &k->base;
    return TL_OK;
}

/* ---- the device ---- */

static tl_status properties(tl_backend_device *base, tl_device_properties *out) {
    (void)base;
    tl_device_properties all = {
        .size = out->size,
        .kind = TL_DEVICE_OTHER,
        .host_visible = 1,
        .max_buffer = SIZE_MAX / 2,
        .alignment = 64,
        .units = 1,
        .description = "one loop",
    };
    /* libtl may be older than this file's header: no more than it has room for. */
    memcpy(out, &all, out->size < sizeof all ? out->size : sizeof all);
    return TL_OK;
}

static void device_close(tl_backend_device *base) {
    const tl_host *host = ((device *)base)->host;
    host->release(host->user, base);
}

static const tl_device_ops device_ops = {
    .size = sizeof device_ops,
    .properties = properties,
    .close = device_close,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .buffer_host = buffer_host,
    .queue_create = queue_create,
    .queue_destroy = queue_destroy,
    .queue_write = queue_write,
    .queue_read = queue_read,
    .queue_zero = queue_zero,
    .queue_flush = queue_done,
    .queue_finish = queue_done,
    .prepare = prepare,
};

static tl_status device_open(const tl_host *host, uint32_t index, tl_backend_device **out) {
    (void)index; /* 0: there is one */
    device *made = host->allocate(host->user, sizeof *made, 16);
    if (!made)
        return TL_ERROR_MEMORY;
    *made = (device){{&device_ops}, host};
    *out = &made->base;
    return TL_OK;
}

static tl_status probe(const tl_host *host, tl_backend_device_info *infos, uint32_t capacity, uint32_t *count) {
    (void)host;
    if (capacity > 0) {
        tl_backend_device_info info = {
            .size = infos->size,
            .kind = TL_DEVICE_OTHER,
            .usable = 1,
            .name = "A loop that takes relu",
            .driver = "none",
            .units = 1,
        };
        memcpy(infos, &info, infos->size < sizeof info ? infos->size : sizeof info);
    }
    *count = 1;
    return TL_OK;
}

/* ---- the one symbol ---- */

TL_BACKEND_ENTRY(sleepy);

TL_BACKEND_ENTRY(sleepy) {
    static const tl_backend table = {
        .size = sizeof table,
        .abi = TL_BACKEND_ABI,
        .name = "sleepy",
        .version = "1",
        .probe = probe,
        .open = device_open,
    };
    (void)host;
    return abi == TL_BACKEND_ABI ? &table : NULL;
}
