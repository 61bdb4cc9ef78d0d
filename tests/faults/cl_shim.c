/* cl_shim.c: see cl_shim.h. */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include "tests/faults/cl_shim.h"

#include <CL/cl.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

cl_shim cl_shim_state = {.failed = -1};
#define CL_SHIM_NAME(name, ...) #name,
#define CL_SHIM_NAME_O(type, name, ...) #name,
const char *const cl_shim_names[CL_SHIM_COUNT] = {CL_SHIM_FUNCTIONS(CL_SHIM_NAME, CL_SHIM_NAME_O, CL_SHIM_NAME, CL_SHIM_NAME)};

static void *real(const char *name) {
    static void *loader;
    if (!loader)
        loader = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    void *function = loader ? dlsym(loader, name) : NULL;
    if (!function) {
        fprintf(stderr, "cl_shim: there is no %s\n", name);
        abort();
    }
    return function;
}

/* True: this call fails. */
static bool called(int function, size_t bytes) {
    cl_shim *s = &cl_shim_state;
    s->calls++;
    s->count[function]++;
    if (s->each)
        s->each(function, bytes);
    if (s->calls != s->fail_at)
        return false;
    s->failed = function;
    return true;
}

#define NEXT(name, type, parameters)       \
    static type(*next) parameters;         \
    if (!next)                             \
        *(void **)&next = real(#name)

#define DEFINE_C(name, parameters, arguments)                                   \
    EXPORT cl_int name parameters {                                             \
        NEXT(name, cl_int, parameters);                                         \
        return called(CL_SHIM_##name, 0) ? cl_shim_state.code : next arguments; \
    }

#define DEFINE_R(name, parameters, arguments)       \
    EXPORT cl_int name parameters {                 \
        NEXT(name, cl_int, parameters);             \
        bool fails = called(CL_SHIM_##name, 0);     \
        cl_int result = next arguments;             \
        return fails ? cl_shim_state.code : result; \
    }

#define DEFINE_O(type, name, parameters, arguments) \
    EXPORT type name parameters {                   \
        NEXT(name, type, parameters);               \
        if (!called(CL_SHIM_##name, 0))             \
            return next arguments;                  \
        if (code)                                   \
            *code = cl_shim_state.code;             \
        return NULL;                                \
    }

/* e: bytes, f: the host's memory */
#define DEFINE_T(name, parameters, arguments)                                       \
    EXPORT cl_int name parameters {                                                 \
        NEXT(name, cl_int, parameters);                                             \
        if (called(CL_SHIM_##name, e))                                              \
            return cl_shim_state.code;                                              \
        cl_int result = next arguments;                                             \
        if (CL_SHIM_##name == CL_SHIM_clEnqueueReadBuffer &&                        \
            cl_shim_state.count[CL_SHIM_##name] == cl_shim_state.spoil_at && e > 0) \
            ((unsigned char *)(uintptr_t)f)[cl_shim_state.spoil_byte % e] ^= 0x40;  \
        return result;                                                              \
    }

CL_SHIM_FUNCTIONS(DEFINE_C, DEFINE_O, DEFINE_R, DEFINE_T)

/* ---- preloaded ---- */

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void take_orders(void) {
    cl_shim_state.fail_at = number("CL_SHIM_FAIL_AT");
    cl_shim_state.code = (int)number("CL_SHIM_CODE");
    cl_shim_state.spoil_at = number("CL_SHIM_SPOIL_AT");
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("CL_SHIM_REPORT");
    FILE *file = path ? fopen(path, "w") : NULL;
    for (int i = 0; file && i < CL_SHIM_COUNT; i++)
        fprintf(file, "%s %ld\n", cl_shim_names[i], cl_shim_state.count[i]);
    if (file)
        fclose(file);
}
