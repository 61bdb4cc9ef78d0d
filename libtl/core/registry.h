/* core/registry.h: the backends of a context, and their devices with every check in one place. */
#ifndef TL__REGISTRY_H
#define TL__REGISTRY_H

#include <tl/device.h>

#include "core/core.h"

/* What a context knows of backends: NULL until a device is asked for. NULL is fine. */
void tl__registry_destroy(tl_context *context, struct tl__registry *registry);

struct tl_device {
    tl_context *context;
    char *name; /* "cpu", "opencl:1" */
    const tl_backend *backend;
    tl_backend_device *handle;
    tl_device_properties properties;
    tl_host host;
    tl_device_options options;
    char threads[16]; /* options as text, for host.option */
    char *isa;
};

/* The built-in CPU backend's device, for what another device refuses. `options` may be NULL. */
tl_status tl__device_open_cpu(tl_context *context, const tl_device_options *options, tl_device **out);

/* The device's functions (tl/backend.h), for the rest of libtl: those that a backend lacks fail with TL_ERROR_ABI,
 * what it returns is checked, and messages begin with the device's name. destroy takes NULL. */
tl_status tl__device_buffer_create(tl_device *device, uint64_t bytes, tl_backend_buffer **buffer);
void tl__device_buffer_destroy(tl_device *device, tl_backend_buffer *buffer);
void *tl__device_buffer_host(tl_device *device, tl_backend_buffer *buffer);
tl_status tl__device_queue_create(tl_device *device, tl_backend_queue **queue);
void tl__device_queue_destroy(tl_device *device, tl_backend_queue *queue);
tl_status tl__device_queue_write(tl_device *device, tl_backend_queue *queue, const tl_view *to, const void *data);
tl_status tl__device_queue_read(tl_device *device, tl_backend_queue *queue, const tl_view *from, void *data);
tl_status tl__device_queue_zero(tl_device *device, tl_backend_queue *queue, const tl_view *what);
tl_status tl__device_queue_flush(tl_device *device, tl_backend_queue *queue);
tl_status tl__device_queue_finish(tl_device *device, tl_backend_queue *queue);
tl_status tl__device_prepare(tl_device *device, const tl_op_desc *op, const tl_operand *operands, uint32_t input_count,
                             uint32_t output_count, tl_backend_kernel **kernel);

#endif
