/* launch.c: launches: their arguments when they are described and when memory is bound, and their way to the queue. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backends/opencl/launch.h"

static opencl_launch *append(opencl_kernel *kernel, const char *name) {
    opencl_launch *launch = tl__opencl_allocate(kernel->device, sizeof(*launch));
    if (!launch)
        return NULL;
    launch->name = name;
    *kernel->last = launch;
    kernel->last = &launch->next;
    return launch;
}

static tl_status set(opencl_kernel *kernel, opencl_launch *launch, cl_uint index, size_t size, const void *value) {
    char what[128];
    cl_int code = clSetKernelArg(launch->object, index, size, value);
    if (code == CL_SUCCESS)
        return TL_OK;
    snprintf(what, sizeof(what), "%s: argument %u of %s", kernel->stem, (unsigned)index, launch->name);
    return tl__opencl_check(kernel->device, code, "clSetKernelArg", what);
}

static tl_status bound_later(opencl_kernel *kernel, opencl_launch *launch, cl_uint index, int operand, int64_t elements,
                             uint64_t size) {
    if (launch->bound_count == OPENCL_MAX_BOUND)
        return tl__opencl_fail(kernel->device, TL_ERROR_INTERNAL, "%s has too many operands", launch->name);
    launch->bound[launch->bound_count++] = (opencl_bound){index, operand, elements, size};
    return TL_OK;
}

/* Both arguments of memory that is known already. */
static tl_status set_memory(opencl_kernel *kernel, opencl_launch *launch, cl_uint index, cl_mem memory, cl_ulong offset) {
    tl_status status = set(kernel, launch, index, sizeof(cl_mem), memory ? &memory : NULL);
    return status == TL_OK ? set(kernel, launch, index + 1, sizeof(offset), &offset) : status;
}

static tl_status set_operand(opencl_kernel *kernel, opencl_launch *launch, cl_uint index, int operand, int64_t elements) {
    if (!opencl_present(kernel, operand))
        return set_memory(kernel, launch, index, NULL, 0);
    if (!opencl_is_constant(kernel, operand))
        return bound_later(kernel, launch, index, operand, elements,
                           form_dtype_size(kernel->operands[operand].desc.dtype));
    tl_status status = kernel->copies[operand] ? TL_OK : tl__opencl_constant_copy(kernel, operand);
    if (status != TL_OK)
        return status;
    return set_memory(kernel, launch, index, tl__opencl_constant_memory(kernel->copies[operand]), (cl_ulong)elements);
}

static tl_status set_arguments(opencl_kernel *kernel, opencl_launch *launch, const char *letters, va_list list) {
    tl_status status = TL_OK;
    cl_uint index = 0;
    for (; *letters && status == TL_OK; letters++, index++) {
        switch (*letters) {
        case 'o':
            status = set_operand(kernel, launch, index++, va_arg(list, int), 0);
            break;
        case 'p': {
            int operand = va_arg(list, int);
            status = set_operand(kernel, launch, index++, operand, va_arg(list, int64_t));
            break;
        }
        case 'w':
            status = bound_later(kernel, launch, index++, (int)kernel->count,
                                 (int64_t)(va_arg(list, uint64_t) / sizeof(float)), sizeof(float));
            break;
        case 'c':
            status = set_memory(kernel, launch, index++, tl__opencl_constant_memory(va_arg(list, opencl_constant *)), 0);
            break;
        case 'i': {
            cl_int value = va_arg(list, int);
            status = set(kernel, launch, index, sizeof(value), &value);
            break;
        }
        case 'l': {
            cl_long value = va_arg(list, int64_t);
            status = set(kernel, launch, index, sizeof(value), &value);
            break;
        }
        case 'f': {
            cl_float value = (cl_float)va_arg(list, double);
            status = set(kernel, launch, index, sizeof(value), &value);
            break;
        }
        case 's':
            status = set(kernel, launch, index, va_arg(list, size_t), NULL);
            break;
        default:
            return tl__opencl_fail(kernel->device, TL_ERROR_INTERNAL, "%s: no argument is a '%c'", launch->name, *letters);
        }
    }
    return status;
}

/* A group that the device or this kernel does not allow is halved, its longest side first. */
static tl_status fit_group(opencl_kernel *kernel, opencl_launch *launch) {
    opencl_device *device = kernel->device;
    size_t most = 0, *local = launch->range.local;
    cl_int code = clGetKernelWorkGroupInfo(launch->object, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof(most), &most,
                                           NULL);
    if (code != CL_SUCCESS)
        return tl__opencl_check(device, code, "clGetKernelWorkGroupInfo", launch->name);
    if (most > device->max_group || most == 0)
        most = device->max_group;
    while (local[0] * local[1] * local[2] > most) {
        if (launch->range.fixed)
            return tl__opencl_fail(device, TL_UNSUPPORTED, "%s needs groups of %zu, the device allows %zu", launch->name,
                                   local[0] * local[1] * local[2], most);
        int longest = local[0] >= local[1] ? local[0] >= local[2] ? 0 : 2 : local[1] >= local[2] ? 1 : 2;
        local[longest] = (local[longest] + 1) / 2;
    }
    return TL_OK;
}

static tl_status set_range(opencl_kernel *kernel, opencl_launch *launch, const opencl_range *range) {
    opencl_range *r = &launch->range;
    *r = *range;
    for (int d = 0; d < 3; d++) {
        r->global[d] += r->global[d] == 0;
        launch->dimensions = r->global[d] > 1 || r->local[d] > 1 ? (cl_uint)d + 1 : launch->dimensions;
    }
    launch->dimensions += launch->dimensions == 0;
    if (r->local[0] == 0)
        return TL_OK;
    for (int d = 1; d < 3; d++)
        r->local[d] += r->local[d] == 0;
    return fit_group(kernel, launch);
}

tl_status tl__opencl_launch(opencl_kernel *kernel, const char *stem, const char *options, const char *function,
                            const opencl_range *range, const char *arguments, ...) {
    opencl_launch *launch = append(kernel, function);
    if (!launch)
        return TL_ERROR_MEMORY;
    tl_status status = tl__opencl_function(kernel->device, stem, options, function, &launch->object);
    if (status == TL_OK)
        status = set_range(kernel, launch, range);
    if (status != TL_OK)
        return status;
    va_list list;
    va_start(list, arguments);
    status = set_arguments(kernel, launch, arguments, list);
    va_end(list);
    return status;
}

tl_status tl__opencl_call_bound(opencl_kernel *kernel, const char *name, opencl_call *call,
                                tl_status (*bind)(opencl_kernel *kernel, void *data),
                                void (*unbind)(opencl_kernel *kernel, void *data), void *data) {
    opencl_launch *launch = append(kernel, name);
    if (!launch) {
        tl__opencl_release(kernel->device, data);
        return TL_ERROR_MEMORY;
    }
    launch->call = call;
    launch->bind = bind;
    launch->unbind = unbind;
    launch->data = data;
    return TL_OK;
}

tl_status tl__opencl_call(opencl_kernel *kernel, const char *name, opencl_call *call, void *data) {
    return tl__opencl_call_bound(kernel, name, call, NULL, NULL, data);
}

tl_status tl__opencl_launches_bind(opencl_kernel *kernel) {
    tl_status status = TL_OK;
    for (opencl_launch *launch = kernel->first; launch && status == TL_OK; launch = launch->next) {
        for (uint32_t i = 0; i < launch->bound_count && status == TL_OK; i++) {
            const opencl_bound *b = &launch->bound[i];
            uint64_t offset;
            cl_mem memory = tl__opencl_memory(kernel, b->operand, &offset);
            status = set_memory(kernel, launch, b->argument, memory, offset / b->size + (cl_ulong)b->elements);
        }
        if (launch->bind && status == TL_OK)
            status = launch->bind(kernel, launch->data);
    }
    return status;
}

/* Some drivers promise groups that they then refuse: smaller ones are tried, and stay. */
static cl_int enqueue_range(opencl_launch *launch, cl_command_queue commands) {
    opencl_range *r = &launch->range;
    for (;;) {
        size_t global[3];
        for (int d = 0; d < 3; d++)
            global[d] = r->local[0] ? (r->global[d] + r->local[d] - 1) / r->local[d] * r->local[d] : r->global[d];
        cl_int code = clEnqueueNDRangeKernel(commands, launch->object, launch->dimensions, NULL, global,
                                             r->local[0] ? r->local : NULL, 0, NULL, NULL);
        bool group = code == CL_OUT_OF_RESOURCES || code == CL_INVALID_WORK_GROUP_SIZE || code == CL_INVALID_WORK_ITEM_SIZE;
        if (!group || r->fixed || r->local[0] * r->local[1] * r->local[2] <= 1)
            return code;
        int longest = r->local[0] >= r->local[1] ? r->local[0] >= r->local[2] ? 0 : 2 : r->local[1] >= r->local[2] ? 1 : 2;
        r->local[longest] = (r->local[longest] + 1) / 2;
    }
}

tl_status tl__opencl_launches_enqueue(opencl_kernel *kernel, tl_backend_queue *queue) {
    tl_status status = tl__opencl_usable(kernel->device);
    for (opencl_launch *launch = kernel->first; launch && status == TL_OK; launch = launch->next) {
        if (launch->call) {
            status = launch->call(kernel, queue->commands, launch->data);
        } else {
            cl_int code = enqueue_range(launch, queue->commands);
            if (code != CL_SUCCESS)
                status = tl__opencl_check(kernel->device, code, "clEnqueueNDRangeKernel", launch->name);
        }
        if (status == TL_OK)
            status = tl__opencl_queue_count(queue);
    }
    return status;
}

void tl__opencl_launches_release(opencl_kernel *kernel) {
    bool usable = tl__opencl_alive(kernel->device);
    while (kernel->first) {
        opencl_launch *launch = kernel->first;
        kernel->first = launch->next;
        if (launch->object && usable)
            clReleaseKernel(launch->object);
        if (launch->unbind)
            launch->unbind(kernel, launch->data);
        tl__opencl_release(kernel->device, launch->data);
        tl__opencl_release(kernel->device, launch);
    }
    kernel->last = &kernel->first;
}
