/* program.c: builds the sources in kernels/, once for a device, from the cache of binaries where it has them. */
#include <stdio.h>
#include <string.h>

#include "backends/opencl/cache.h"
#include "backends/opencl/opencl.h"

struct opencl_program {
    opencl_program *next;
    const char *stem;
    char options[256];
    cl_program program;
};

#define COMMON "common"

static const char *source_of(const char *stem) {
    const opencl_source *source = tl__opencl_sources;
    while (source->stem && strcmp(source->stem, stem) != 0)
        source++;
    return source->text;
}

/* What every program of the device is built with. Nothing that trades correctness for speed. */
static int full_options(const opencl_device *device, const char *more, char *text, size_t size) {
    return snprintf(text, size, "-cl-std=CL1.2%s -DTL_VECTORS=%d -DTL_LANES=%d%s%s",
                    device->correct_division ? " -cl-fp32-correctly-rounded-divide-sqrt" : "", device->vectors,
                    device->lanes, *more ? " " : "", more);
}

/* The first lines of what the compiler says, in one line. */
static tl_status build_failed(opencl_device *device, cl_program program, cl_int code, const char *stem) {
    char *log = NULL;
    size_t size = 0;
    if (clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) == CL_SUCCESS && size > 1)
        log = tl__opencl_allocate(device, size + 1);
    if (log && clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL) != CL_SUCCESS)
        log[0] = '\0';
    for (char *c = log; c && *c; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
    tl_status status = tl__opencl_fail(device, TL_ERROR_DEVICE, "%s.cl: clBuildProgram: %s (%d)%s%.300s", stem,
                                       tl__opencl_code_name(code), (int)code, log && *log ? ": " : "", log ? log : "");
    tl__opencl_release(device, log);
    return status;
}

static tl_status from_source(opencl_device *device, const char *stem, const char *options, cl_program *out) {
    const char *texts[2] = {source_of(COMMON), source_of(stem)};
    if (!texts[0] || !texts[1])
        return tl__opencl_fail(device, TL_ERROR_INTERNAL, "there is no %s.cl", stem);
    cl_int code;
    cl_program program = clCreateProgramWithSource(device->context, 2, texts, NULL, &code);
    if (code != CL_SUCCESS)
        return tl__opencl_check(device, code, "clCreateProgramWithSource", stem);
    code = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        tl_status status = build_failed(device, program, code, stem);
        clReleaseProgram(program);
        return status;
    }
    *out = program;
    return TL_OK;
}

/* False, and no word of it, where the driver does not take it: it is then built from source. */
static bool from_binary(opencl_device *device, const opencl_blob *blob, const char *options, cl_program *out) {
    cl_int code, taken;
    cl_program program = clCreateProgramWithBinary(device->context, 1, &device->id, &blob->bytes,
                                                   (const unsigned char **)&blob->data, &taken, &code);
    if (code != CL_SUCCESS)
        return false;
    if (taken == CL_SUCCESS && clBuildProgram(program, 1, &device->id, options, NULL, NULL) == CL_SUCCESS) {
        *out = program;
        return true;
    }
    clReleaseProgram(program);
    return false;
}

/* What cannot be kept is built again next time. */
static void keep(opencl_device *device, cl_program program, const opencl_key *key) {
    opencl_blob blob = {0};
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(blob.bytes), &blob.bytes, NULL) != CL_SUCCESS ||
        blob.bytes == 0)
        return;
    blob.data = tl__opencl_allocate(device, blob.bytes);
    if (!blob.data)
        return;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(blob.data), &blob.data, NULL) == CL_SUCCESS)
        tl__opencl_cache_write(device, key, &blob);
    tl__opencl_release(device, blob.data);
}

static tl_status build(opencl_device *device, const char *stem, const char *options, cl_program *program) {
    char text[512];
    if (full_options(device, options, text, sizeof(text)) >= (int)sizeof(text))
        return tl__opencl_fail(device, TL_ERROR_INTERNAL, "%s.cl: too many options", stem);
    opencl_key key;
    opencl_blob blob = {0};
    const char *parts[] = {source_of(COMMON), source_of(stem), text, device->identity};
    tl__opencl_cache_key(stem, parts, sizeof(parts) / sizeof(parts[0]), &key);
    if (device->binaries && tl__opencl_cache_read(device, &key, &blob)) {
        bool taken = from_binary(device, &blob, text, program);
        tl__opencl_release(device, blob.data);
        if (taken)
            return TL_OK;
    }
    tl_status status = from_source(device, stem, text, program);
    if (status == TL_OK && device->binaries)
        keep(device, *program, &key);
    return status;
}

static tl_status program_of(opencl_device *device, const char *stem, const char *options, cl_program *program) {
    for (opencl_program *p = device->programs; p; p = p->next)
        if (strcmp(p->stem, stem) == 0 && strcmp(p->options, options) == 0) {
            *program = p->program;
            return TL_OK;
        }
    opencl_program *made = tl__opencl_allocate(device, sizeof(*made));
    if (!made)
        return TL_ERROR_MEMORY;
    tl_status status = build(device, stem, options, &made->program);
    if (status != TL_OK) {
        tl__opencl_release(device, made);
        return status;
    }
    made->stem = stem;
    snprintf(made->options, sizeof(made->options), "%s", options);
    made->next = device->programs;
    device->programs = made;
    *program = made->program;
    return TL_OK;
}

tl_status tl__opencl_function(opencl_device *device, const char *stem, const char *options, const char *function,
                              cl_kernel *object) {
    cl_program program;
    tl_status status = tl__opencl_usable(device);
    if (status == TL_OK)
        status = program_of(device, stem, options, &program);
    if (status != TL_OK)
        return status;
    cl_int code;
    cl_kernel made = clCreateKernel(program, function, &code);
    if (code != CL_SUCCESS)
        return tl__opencl_check(device, code, "clCreateKernel", function);
    *object = made;
    return TL_OK;
}

void tl__opencl_programs_release(opencl_device *device) {
    while (device->programs) {
        opencl_program *p = device->programs;
        device->programs = p->next;
        if (tl__opencl_alive(device))
            clReleaseProgram(p->program);
        tl__opencl_release(device, p);
    }
}
