/* cl.c: what the codes of OpenCL and CLBlast mean, and host memory. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/opencl/opencl.h"

/* Of CL/cl.h, of the ICD loader, and CLBlast's own. */
#define CODES(X)                                                                                                    \
    X(CL_SUCCESS, 0) X(CL_DEVICE_NOT_FOUND, -1) X(CL_DEVICE_NOT_AVAILABLE, -2) X(CL_COMPILER_NOT_AVAILABLE, -3)      \
    X(CL_MEM_OBJECT_ALLOCATION_FAILURE, -4) X(CL_OUT_OF_RESOURCES, -5) X(CL_OUT_OF_HOST_MEMORY, -6)                  \
    X(CL_PROFILING_INFO_NOT_AVAILABLE, -7) X(CL_MEM_COPY_OVERLAP, -8) X(CL_BUILD_PROGRAM_FAILURE, -11)               \
    X(CL_MAP_FAILURE, -12) X(CL_MISALIGNED_SUB_BUFFER_OFFSET, -13)                                                   \
    X(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, -14) X(CL_COMPILE_PROGRAM_FAILURE, -15)                          \
    X(CL_LINKER_NOT_AVAILABLE, -16) X(CL_LINK_PROGRAM_FAILURE, -17) X(CL_INVALID_VALUE, -30)                         \
    X(CL_INVALID_DEVICE_TYPE, -31) X(CL_INVALID_PLATFORM, -32) X(CL_INVALID_DEVICE, -33) X(CL_INVALID_CONTEXT, -34)  \
    X(CL_INVALID_QUEUE_PROPERTIES, -35) X(CL_INVALID_COMMAND_QUEUE, -36) X(CL_INVALID_HOST_PTR, -37)                 \
    X(CL_INVALID_MEM_OBJECT, -38) X(CL_INVALID_BINARY, -42) X(CL_INVALID_BUILD_OPTIONS, -43)                         \
    X(CL_INVALID_PROGRAM, -44) X(CL_INVALID_PROGRAM_EXECUTABLE, -45) X(CL_INVALID_KERNEL_NAME, -46)                  \
    X(CL_INVALID_KERNEL_DEFINITION, -47) X(CL_INVALID_KERNEL, -48) X(CL_INVALID_ARG_INDEX, -49)                      \
    X(CL_INVALID_ARG_VALUE, -50) X(CL_INVALID_ARG_SIZE, -51) X(CL_INVALID_KERNEL_ARGS, -52)                          \
    X(CL_INVALID_WORK_DIMENSION, -53) X(CL_INVALID_WORK_GROUP_SIZE, -54) X(CL_INVALID_WORK_ITEM_SIZE, -55)           \
    X(CL_INVALID_GLOBAL_OFFSET, -56) X(CL_INVALID_EVENT_WAIT_LIST, -57) X(CL_INVALID_EVENT, -58)                     \
    X(CL_INVALID_OPERATION, -59) X(CL_INVALID_BUFFER_SIZE, -61) X(CL_INVALID_GLOBAL_WORK_SIZE, -63)                  \
    X(CL_INVALID_PROPERTY, -64) X(CL_PLATFORM_NOT_FOUND_KHR, -1001) X(CLBLAST_NOT_IMPLEMENTED, -1024)                \
    X(CLBLAST_INVALID_MATRIX_A, -1022) X(CLBLAST_INVALID_MATRIX_B, -1021) X(CLBLAST_INVALID_MATRIX_C, -1020)         \
    X(CLBLAST_INVALID_VECTOR_X, -1019) X(CLBLAST_INVALID_VECTOR_Y, -1018) X(CLBLAST_INVALID_DIMENSION, -1017)        \
    X(CLBLAST_INVALID_LEAD_DIM_A, -1016) X(CLBLAST_INVALID_LEAD_DIM_B, -1015) X(CLBLAST_INVALID_LEAD_DIM_C, -1014)   \
    X(CLBLAST_INSUFFICIENT_MEMORY_A, -1011) X(CLBLAST_INSUFFICIENT_MEMORY_B, -1010)                                  \
    X(CLBLAST_INSUFFICIENT_MEMORY_C, -1009) X(CLBLAST_INSUFFICIENT_MEMORY_TEMP, -2050)                               \
    X(CLBLAST_INVALID_BATCH_COUNT, -2049) X(CLBLAST_INVALID_OVERRIDE_KERNEL, -2048)                                  \
    X(CLBLAST_MISSING_OVERRIDE_PARAMETER, -2047) X(CLBLAST_INVALID_LOCAL_MEM_USAGE, -2046)                           \
    X(CLBLAST_NO_HALF_PRECISION, -2045) X(CLBLAST_NO_DOUBLE_PRECISION, -2044)                                        \
    X(CLBLAST_DATABASE_ERROR, -2041) X(CLBLAST_UNKNOWN_ERROR, -2040) X(CLBLAST_UNEXPECTED_ERROR, -2039)

const char *tl__opencl_code_name(cl_int code) {
    switch (code) {
#define CODE_CASE(name, value) \
    case value:                \
        return #name;
        CODES(CODE_CASE)
#undef CODE_CASE
    default:
        return "an unknown code";
    }
}

tl_status tl__opencl_fail(opencl_device *device, tl_status status, const char *format, ...) {
    char text[512] = "opencl: ";
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof(text) - used, format, arguments);
    va_end(arguments);
    snprintf(device->failure, sizeof(device->failure), "%.255s", text + used);
    return device->host->fail(device->host->user, status, text);
}

static tl_status status_of(cl_int code) {
    switch (code) {
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_HOST_MEMORY:
        return TL_ERROR_MEMORY;
    case CL_INVALID_BUFFER_SIZE:
        return TL_ERROR_LIMIT;
    default:
        return TL_ERROR_DEVICE;
    }
}

tl_status tl__opencl_check(opencl_device *device, cl_int code, const char *call, const char *what) {
    if (code == CL_SUCCESS)
        return TL_OK;
    device->lost |= code == CL_DEVICE_NOT_AVAILABLE || code == CL_INVALID_COMMAND_QUEUE || code == CL_INVALID_CONTEXT ||
                    code == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
    return tl__opencl_fail(device, status_of(code), "%s%s%s: %s (%d)%s", what ? what : "", what ? ": " : "", call,
                           tl__opencl_code_name(code), (int)code,
                           device->lost ? "; the device is lost: close it and open it again" : "");
}

bool tl__opencl_alive(const opencl_device *device) {
    return !device->lost && device->pid == getpid();
}

tl_status tl__opencl_usable(opencl_device *device) {
    if (device->lost)
        return tl__opencl_fail(device, TL_ERROR_DEVICE, "the device is lost: close it and open it again");
    if (device->pid != getpid())
        return tl__opencl_fail(device, TL_ERROR_DEVICE, "the device was opened by another process: drivers do not "
                                                        "survive fork");
    return TL_OK;
}

void *tl__opencl_allocate(opencl_device *device, size_t bytes) {
    void *memory = device->host->allocate(device->host->user, bytes ? bytes : 1, 64);
    if (memory)
        memset(memory, 0, bytes);
    else
        tl__opencl_fail(device, TL_ERROR_MEMORY, "no memory for %zu bytes", bytes);
    return memory;
}

void tl__opencl_release(opencl_device *device, void *memory) {
    if (memory)
        device->host->release(device->host->user, memory);
}
