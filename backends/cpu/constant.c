/* constant.c: the device's store of what its kernels derived from constants. */
#include <string.h>

#include "backends/cpu/cpu.h"

struct cpu_constant {
    cpu_constant *next;
    uint64_t id, form;
    size_t bytes;
    unsigned users;
    void *data;
};

static cpu_constant *find(cpu_device *device, uint64_t id, uint64_t form, size_t bytes) {
    for (cpu_constant *c = device->constants; c; c = c->next)
        if (c->id == id && c->form == form && c->bytes == bytes)
            return c;
    return NULL;
}

static tl_status make(cpu_kernel *kernel, const tl_constant *source, uint64_t form, size_t bytes, cpu_fill *fill,
                      void *user, cpu_constant **made) {
    cpu_device *device = kernel->device;
    const void *from;
    tl_status status = source->read(source, &from);
    if (status != TL_OK)
        return status;
    cpu_constant *c = tl__cpu_allocate(device, sizeof(*c));
    if (!c)
        return TL_ERROR_MEMORY;
    *c = (cpu_constant){.id = source->id, .form = form, .bytes = bytes, .data = tl__cpu_allocate(device, bytes)};
    status = c->data ? fill(kernel, from, c->data, user) : TL_ERROR_MEMORY;
    if (status != TL_OK) {
        tl__cpu_release(device, c->data);
        tl__cpu_release(device, c);
        return status;
    }
    c->next = device->constants;
    device->constants = c;
    *made = c;
    return TL_OK;
}

tl_status tl__cpu_constant_derive(cpu_kernel *kernel, int operand, uint64_t form, size_t bytes, cpu_fill *fill,
                                  void *user, const void **data) {
    cpu_device *device = kernel->device;
    const tl_constant *source = kernel->operands[operand].constant;
    if (kernel->held_count == sizeof(kernel->held) / sizeof(kernel->held[0]))
        return tl__cpu_fail(device, TL_ERROR_INTERNAL, "a kernel derives too much from its constants");
    cpu_constant *c = find(device, source->id, form, bytes);
    if (!c) {
        tl_status status = make(kernel, source, form, bytes, fill, user, &c);
        if (status != TL_OK)
            return status;
    }
    c->users++;
    kernel->held[kernel->held_count++] = c;
    kernel->derived |= 1u << operand;
    *data = c->data;
    return TL_OK;
}

static tl_status fill_copy(cpu_kernel *kernel, const void *source, void *to, void *user) {
    (void)kernel;
    memcpy(to, source, *(size_t *)user);
    return TL_OK;
}

tl_status tl__cpu_constant_copy(cpu_kernel *kernel, int operand) {
    size_t bytes = (size_t)tl__cpu_bytes(kernel, operand);
    const void *data = NULL;
    tl_status status = tl__cpu_constant_derive(kernel, operand, 0, bytes, fill_copy, &bytes, &data);
    if (status == TL_OK)
        kernel->ptr[operand] = (void *)(uintptr_t)data;
    return status;
}

void tl__cpu_constants_release(cpu_kernel *kernel) {
    cpu_device *device = kernel->device;
    while (kernel->held_count > 0) {
        cpu_constant *c = kernel->held[--kernel->held_count];
        if (--c->users > 0)
            continue;
        cpu_constant **link = &device->constants;
        while (*link != c)
            link = &(*link)->next;
        *link = c->next;
        tl__cpu_release(device, c->data);
        tl__cpu_release(device, c);
    }
}
