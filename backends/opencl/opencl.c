/* opencl.c: the OpenCL backend: its entry and its device. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/opencl/blas.h"
#include "backends/opencl/canary.h"
#include "backends/opencl/conv2d_winograd.h"
#include "backends/opencl/tune.h"

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
        .identity = device->results,
    };
    memcpy(out, &all, out->size < sizeof(all) ? out->size : sizeof(all));
    return TL_OK;
}

/* A lost device keeps what the driver gave it: no call is safe any more. Memory of the host is given back all the same. */
static void device_close(tl_backend_device *base) {
    opencl_device *device = (opencl_device *)base;
    if (!device)
        return;
    tl__opencl_programs_release(device);
    tl__opencl_tuned_release(device);
    if (tl__opencl_alive(device)) {
        if (device->blas_queue)
            clReleaseCommandQueue(device->blas_queue);
        if (device->context)
            clReleaseContext(device->context);
        tl__opencl_blas_close(device);
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
    .tune = tl__opencl_tune,
};

/* ---- what the driver says of a device ---- */

/* *code stays what it is where it is a failure already. */
static uint64_t number(cl_device_id id, cl_device_info what, size_t size, cl_int *code) {
    union {
        cl_uint word;
        cl_ulong number;
        size_t size;
    } value = {0};
    cl_int own = clGetDeviceInfo(id, what, size, &value, NULL);
    *code = *code == CL_SUCCESS ? own : *code;
    return own != CL_SUCCESS ? 0 : size == sizeof(cl_uint) ? value.word : value.number;
}

static void text_of(cl_device_id id, cl_device_info what, char *to, size_t size, cl_int *code) {
    cl_int own = tl__opencl_text(id, what, to, size);
    *code = *code == CL_SUCCESS ? own : *code;
}

static int lanes_of(cl_device_id id) {
    cl_int code = CL_SUCCESS;
    uint64_t lanes = number(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof(cl_uint), &code);
    return lanes >= 16 ? 16 : lanes >= 8 ? 8 : 4;
}

/* The option is yes or no, for drivers that call themselves what they are not. Mesa's llvmpipe is a CPU that takes work-items
 * for lanes; a work-item that does a thread's work gives wrong results there (measured with Mesa 22.3: convolutions; its
 * limit on rounds of a loop may be why). */
bool tl__opencl_is_vectors(int kind, const char *name, const char *option) {
    return option ? strcmp(option, "yes") == 0 : kind == TL_DEVICE_CPU && strncmp(name, "llvmpipe", 8) != 0;
}

static tl_status option_vectors(opencl_device *device) {
    const char *text = device->host->option(device->host->user, "vectors");
    if (text && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return tl__opencl_fail(device, TL_ERROR_ARGUMENT, "vectors = %.40s: it takes yes or no", text);
    device->vectors = tl__opencl_is_vectors(device->kind, device->name, text);
    device->lanes = device->vectors ? lanes_of(device->id) : 1;
    return TL_OK;
}

/* Asked for a binary, PoCL compiles every kernel in a general form that nothing then uses: half of a cold start. It keeps
 * what it did compile in a cache of its own. The option "binaries", yes or no, says otherwise. */
static tl_status option_binaries(opencl_device *device) {
    const char *text = device->host->option(device->host->user, "binaries");
    if (text && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return tl__opencl_fail(device, TL_ERROR_ARGUMENT, "binaries = %.40s: it takes yes or no", text);
    device->binaries = text ? strcmp(text, "yes") == 0 : strstr(device->identity, "PoCL") == NULL;
    return TL_OK;
}

/* Where Winograd's algorithm is used; it overrules what operations say. Features that were computed with other sums than
 * they would be computed with now are not to be found again. */
static tl_status option_winograd(opencl_device *device) {
    static const char *const uses[] = {[OPENCL_WINOGRAD_NEVER] = "nowhere", [OPENCL_WINOGRAD_AUTO] = "where it may be",
                                       [OPENCL_WINOGRAD_ALWAYS] = "everywhere"};
    const char *text = device->host->option(device->host->user, "winograd");
    device->winograd = !text ? OPENCL_WINOGRAD_AUTO : strcmp(text, "1") == 0 ? OPENCL_WINOGRAD_ALWAYS
                                                                            : OPENCL_WINOGRAD_NEVER;
    if (text && strcmp(text, "1") != 0 && strcmp(text, "0") != 0)
        return tl__opencl_fail(device, TL_ERROR_ARGUMENT, "winograd = %.40s: it takes 0 or 1", text);
    snprintf(device->results, sizeof(device->results), "%s|Winograd %s", device->identity, uses[device->winograd]);
    return TL_OK;
}

static tl_status ask(opencl_device *device) {
    cl_device_id id = device->id;
    cl_int code = CL_SUCCESS;
    char version[128];
    cl_device_type type = number(id, CL_DEVICE_TYPE, sizeof(type), &code);
    device->kind = type & CL_DEVICE_TYPE_GPU ? TL_DEVICE_GPU : type & CL_DEVICE_TYPE_CPU ? TL_DEVICE_CPU : TL_DEVICE_OTHER;
    device->units = (uint32_t)number(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint), &code);
    device->memory = number(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong), &code);
    device->max_buffer = number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong), &code);
    device->local_memory = number(id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong), &code);
    device->base_alignment = number(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(cl_uint), &code) / 8;
    if (device->base_alignment < OPENCL_ALIGNMENT)
        device->base_alignment = OPENCL_ALIGNMENT;
    device->max_group = (size_t)number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t), &code);
    device->correct_division =
        number(id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof(cl_ulong), &code) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT;
    text_of(id, CL_DEVICE_NAME, device->name, sizeof(device->name), &code);
    text_of(id, CL_DRIVER_VERSION, device->driver, sizeof(device->driver), &code);
    text_of(id, CL_DEVICE_VERSION, version, sizeof(version), &code);
    snprintf(device->description, sizeof(device->description), "%.100s, %u units", device->name, (unsigned)device->units);
    snprintf(device->identity, sizeof(device->identity), "libtl %s|%s|%s|%s", PACKAGE_VERSION, device->name,
             device->driver, version);
    return tl__opencl_check(device, code, "clGetDeviceInfo", NULL);
}

tl_status tl__opencl_identify(opencl_device *device, uint32_t index) {
    tl_status status = tl__opencl_find(device->host, index, &device->platform, &device->id);
    return status == TL_OK ? ask(device) : status;
}

static tl_status start(opencl_device *device, uint32_t index) {
    tl_status status = tl__opencl_identify(device, index);
    if (status == TL_OK)
        status = option_vectors(device);
    if (status == TL_OK)
        status = option_binaries(device);
    if (status == TL_OK)
        status = option_winograd(device);
    if (status != TL_OK)
        return status;
    cl_int code;
    cl_context_properties which[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
    cl_context context = clCreateContext(which, 1, &device->id, NULL, NULL, &code);
    if (code != CL_SUCCESS)
        return tl__opencl_check(device, code, "clCreateContext", NULL);
    device->context = context;
    /* A GPU is looked at whole before anything is planned on it: what `auto` opens must be right, or the next one is
     * taken. Devices like CPUs are only opened where they are asked for, and are looked at as operations are prepared. */
    return device->vectors ? TL_OK : tl__opencl_canary_all(device);
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
    .tuned = tl__opencl_tuned_each,
};

TL_BACKEND_ENTRY(opencl);

TL_BACKEND_ENTRY(opencl) {
    return abi == TL_BACKEND_ABI && host->size >= sizeof(*host) ? &backend : NULL;
}
