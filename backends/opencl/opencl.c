/* opencl.c: the OpenCL backend: its entry and its device. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/opencl/opencl.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

static tl_status properties(tl_backend_device *base, tl_device_properties *out) {
    const opencl_device *device = (const opencl_device *)base;
    tl_device_properties all = {
        .size = out->size,
        .kind = device->kind,
        .memory = device->memory,
        .max_buffer = device->max_buffer,
        .alignment = OPENCL_ALIGNMENT,
        .units = device->units,
        .description = device->description,
        .identity = device->identity,
    };
    memcpy(out, &all, out->size < sizeof(all) ? out->size : sizeof(all));
    return TL_OK;
}

static void device_close(tl_backend_device *base) {
    opencl_device *device = (opencl_device *)base;
    if (!device)
        return;
    if (tl__opencl_usable(device) == TL_OK) {
        tl__opencl_programs_release(device);
        if (device->context)
            clReleaseContext(device->context);
    }
    device->host->release(device->host->user, device);
}

static const tl_device_ops device_ops = {
    .size = sizeof(device_ops),
    .properties = properties,
    .close = device_close,
    .buffer_create = tl__opencl_buffer_create,
    .buffer_destroy = tl__opencl_buffer_destroy,
    .queue_create = tl__opencl_queue_create,
    .queue_destroy = tl__opencl_queue_destroy,
    .queue_write = tl__opencl_queue_write,
    .queue_read = tl__opencl_queue_read,
    .queue_zero = tl__opencl_queue_zero,
    .queue_flush = tl__opencl_queue_flush,
    .queue_finish = tl__opencl_queue_finish,
    .prepare = tl__opencl_prepare,
};

/* ---- what the driver says of a device ---- */

static uint64_t number(cl_device_id id, cl_device_info what, size_t size) {
    union {
        cl_uint word;
        cl_ulong number;
        size_t size;
    } value = {0};
    if (clGetDeviceInfo(id, what, size, &value, NULL) != CL_SUCCESS)
        return 0;
    return size == sizeof(cl_uint) ? value.word : value.number;
}

static int lanes_of(cl_device_id id) {
    uint64_t lanes = number(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof(cl_uint));
    return lanes >= 16 ? 16 : lanes >= 8 ? 8 : 4;
}

/* What the device is taken for: the option "vectors", yes or no, for drivers that call themselves what they are not. */
static tl_status option_vectors(opencl_device *device) {
    const char *text = device->host->option(device->host->user, "vectors");
    device->vectors = device->kind == TL_DEVICE_CPU;
    if (text && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return tl__opencl_fail(device, TL_ERROR_ARGUMENT, "vectors = %.40s: it takes yes or no", text);
    if (text)
        device->vectors = strcmp(text, "yes") == 0;
    device->lanes = device->vectors ? lanes_of(device->id) : 1;
    return TL_OK;
}

static void ask(opencl_device *device) {
    cl_device_id id = device->id;
    cl_device_type type = 0;
    char version[128];
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL);
    device->kind = type & CL_DEVICE_TYPE_GPU ? TL_DEVICE_GPU : type & CL_DEVICE_TYPE_CPU ? TL_DEVICE_CPU : TL_DEVICE_OTHER;
    device->units = (uint32_t)number(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
    device->memory = number(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong));
    device->max_buffer = number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong));
    device->local_memory = number(id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong));
    device->max_group = (size_t)number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
    device->correct_division =
        number(id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof(cl_ulong)) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT;
    tl__opencl_text(id, CL_DEVICE_NAME, device->name, sizeof(device->name));
    tl__opencl_text(id, CL_DRIVER_VERSION, device->driver, sizeof(device->driver));
    tl__opencl_text(id, CL_DEVICE_VERSION, version, sizeof(version));
    snprintf(device->description, sizeof(device->description), "%.100s, %u units", device->name, (unsigned)device->units);
    snprintf(device->identity, sizeof(device->identity), "libtl %s|%s|%s|%s", PACKAGE_VERSION, device->name,
             device->driver, version);
}

static tl_status start(opencl_device *device, uint32_t index) {
    tl_status status = tl__opencl_find(device->host, index, &device->platform, &device->id);
    if (status != TL_OK)
        return status;
    ask(device);
    status = option_vectors(device);
    if (status != TL_OK)
        return status;
    cl_int code;
    cl_context_properties which[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
    cl_context context = clCreateContext(which, 1, &device->id, NULL, NULL, &code);
    if (code != CL_SUCCESS)
        return tl__opencl_check(device, code, "clCreateContext", NULL);
    device->context = context;
    return TL_OK;
}

static tl_status device_open(const tl_host *host, uint32_t index, tl_backend_device **out) {
    opencl_device *device = host->allocate(host->user, sizeof(*device), 64);
    if (!device)
        return host->fail(host->user, TL_ERROR_MEMORY, "opencl: no memory for the device");
    *device = (opencl_device){.base.ops = &device_ops, .host = host, .pid = getpid()};
    tl_status status = start(device, index);
    if (status != TL_OK) {
        device_close(&device->base);
        return status;
    }
    *out = &device->base;
    return TL_OK;
}

static const tl_backend backend = {
    .size = sizeof(backend),
    .abi = TL_BACKEND_ABI,
    .name = "opencl",
    .version = PACKAGE_VERSION,
    .priority = 0,
    .probe = tl__opencl_probe,
    .open = device_open,
};

TL_BACKEND_ENTRY(opencl);

TL_BACKEND_ENTRY(opencl) {
    return abi == TL_BACKEND_ABI && host->size >= sizeof(*host) ? &backend : NULL;
}
