/* constant.c: the device's store of what its kernels derived from constants. */
#include "backends/opencl/opencl.h"

struct opencl_constant {
    opencl_constant *next;
    uint64_t id, form; /* both 0: a kernel's own */
    size_t bytes;
    unsigned users;
    cl_mem memory;
};

static opencl_constant *find(opencl_device *device, uint64_t id, uint64_t form, size_t bytes) {
    for (opencl_constant *c = device->constants; c; c = c->next)
        if (c->id == id && c->form == form && c->bytes == bytes)
            return c;
    return NULL;
}

static tl_status add(opencl_device *device, uint64_t id, uint64_t form, size_t bytes, const void *data,
                     opencl_constant **made) {
    tl_status status = tl__opencl_usable(device);
    if (status != TL_OK)
        return status;
    if (bytes > device->max_buffer)
        return tl__opencl_fail(device, TL_ERROR_LIMIT, "a constant of %zu bytes is more than the device allows: %llu",
                               bytes, (unsigned long long)device->max_buffer);
    opencl_constant *c = tl__opencl_allocate(device, sizeof(*c));
    if (!c)
        return TL_ERROR_MEMORY;
    cl_int code;
    *c = (opencl_constant){.id = id, .form = form, .bytes = bytes};
    c->memory = clCreateBuffer(device->context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, bytes,
                               (void *)(uintptr_t)data, &code);
    if (code != CL_SUCCESS) {
        tl__opencl_release(device, c);
        return tl__opencl_check(device, code, "clCreateBuffer", "a constant");
    }
    c->next = device->constants;
    device->constants = c;
    *made = c;
    return TL_OK;
}

static tl_status derive(opencl_kernel *kernel, const tl_constant *source, uint64_t form, size_t bytes, opencl_fill *fill,
                        void *user, opencl_constant **made) {
    opencl_device *device = kernel->device;
    const void *from;
    tl_status status = source->read(source, &from);
    if (status != TL_OK || !fill)
        return status != TL_OK ? status : add(device, source->id, form, bytes, from, made);
    void *data = tl__opencl_allocate(device, bytes);
    if (!data)
        return TL_ERROR_MEMORY;
    status = fill(kernel, from, data, user);
    if (status == TL_OK)
        status = add(device, source->id, form, bytes, data, made);
    tl__opencl_release(device, data);
    return status;
}

static tl_status has_room(opencl_kernel *kernel) {
    if (kernel->held_count < sizeof(kernel->held) / sizeof(kernel->held[0]))
        return TL_OK;
    return tl__opencl_fail(kernel->device, TL_ERROR_INTERNAL, "a kernel derives too much from its constants");
}

static void hold(opencl_kernel *kernel, opencl_constant *c, opencl_constant **constant) {
    c->users++;
    kernel->held[kernel->held_count++] = c;
    *constant = c;
}

tl_status tl__opencl_constant_derive(opencl_kernel *kernel, int operand, uint64_t form, size_t bytes, opencl_fill *fill,
                                     void *user, opencl_constant **constant) {
    const tl_constant *source = kernel->operands[operand].constant;
    tl_status status = has_room(kernel);
    opencl_constant *c = find(kernel->device, source->id, form, bytes);
    if (status == TL_OK && !c)
        status = derive(kernel, source, form, bytes, fill, user, &c);
    if (status != TL_OK)
        return status;
    hold(kernel, c, constant);
    kernel->derived |= 1u << operand;
    return TL_OK;
}

tl_status tl__opencl_constant_make(opencl_kernel *kernel, size_t bytes, const void *data, opencl_constant **constant) {
    opencl_constant *c = NULL;
    tl_status status = has_room(kernel);
    if (status == TL_OK)
        status = add(kernel->device, 0, 0, bytes, data, &c);
    if (status == TL_OK)
        hold(kernel, c, constant);
    return status;
}

tl_status tl__opencl_constant_copy(opencl_kernel *kernel, int operand) {
    size_t bytes = (size_t)form_bytes(&kernel->operands[operand]);
    uint32_t derived = kernel->derived;
    tl_status status = tl__opencl_constant_derive(kernel, operand, 0, bytes, NULL, NULL, &kernel->copies[operand]);
    kernel->derived = derived;
    return status;
}

cl_mem tl__opencl_constant_memory(const opencl_constant *constant) {
    return constant->memory;
}

void tl__opencl_constants_release(opencl_kernel *kernel) {
    opencl_device *device = kernel->device;
    while (kernel->held_count > 0) {
        opencl_constant *c = kernel->held[--kernel->held_count];
        if (--c->users > 0)
            continue;
        opencl_constant **link = &device->constants;
        while (*link != c)
            link = &(*link)->next;
        *link = c->next;
        if (tl__opencl_alive(device))
            clReleaseMemObject(c->memory);
        tl__opencl_release(device, c);
    }
    for (int i = 0; i < OPENCL_OPERANDS; i++)
        kernel->copies[i] = NULL;
}
