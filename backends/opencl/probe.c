/* probe.c: platforms and devices, in the order in which the ICD loader names them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/opencl/opencl.h"

#define MAX_PLATFORMS 32
#define MAX_DEVICES 64

void tl__opencl_text(cl_device_id id, cl_device_info what, char *text, size_t size) {
    char all[1024] = "";
    if (clGetDeviceInfo(id, what, sizeof(all) - 1, all, NULL) != CL_SUCCESS)
        all[0] = '\0';
    const char *from = all;
    while (*from == ' ')
        from++;
    snprintf(text, size, "%s", from);
    for (size_t n = strlen(text); n > 0 && text[n - 1] == ' '; n--)
        text[n - 1] = '\0';
}

typedef struct found {
    cl_platform_id platform;
    cl_device_id id;
} found;

static uint32_t list(found *all, uint32_t capacity) {
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint platform_count = 0;
    uint32_t count = 0;
    if (clGetPlatformIDs(MAX_PLATFORMS, platforms, &platform_count) != CL_SUCCESS)
        return 0;
    for (cl_uint p = 0; p < platform_count && p < MAX_PLATFORMS; p++) {
        cl_device_id ids[MAX_DEVICES];
        cl_uint device_count = 0;
        if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &device_count) != CL_SUCCESS)
            continue;
        for (cl_uint d = 0; d < device_count && d < MAX_DEVICES && count < capacity; d++)
            all[count++] = (found){platforms[p], ids[d]};
    }
    return count;
}

/* What cannot be used, and why; "" if it can. */
static const char *refusal(cl_device_id id) {
    char version[128];
    cl_bool available = CL_FALSE, compiler = CL_FALSE, little = CL_FALSE;
    int major = 0, minor = 0;
    tl__opencl_text(id, CL_DEVICE_VERSION, version, sizeof(version));
    clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof(available), &available, NULL);
    clGetDeviceInfo(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof(compiler), &compiler, NULL);
    clGetDeviceInfo(id, CL_DEVICE_ENDIAN_LITTLE, sizeof(little), &little, NULL);
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 || major * 10 + minor < 12)
        return "it offers less than OpenCL 1.2";
    if (!available)
        return "its driver says that it is not available";
    if (!compiler)
        return "its driver has no compiler";
    return little ? "" : "its bytes are in big-endian order";
}

static tl_device_kind kind_of(cl_device_id id) {
    cl_device_type type = 0;
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL);
    return type & CL_DEVICE_TYPE_GPU ? TL_DEVICE_GPU : type & CL_DEVICE_TYPE_CPU ? TL_DEVICE_CPU : TL_DEVICE_OTHER;
}

static tl_backend_device_info describe(const found *f, uint32_t size) {
    tl_backend_device_info info = {.size = size, .kind = kind_of(f->id)};
    cl_ulong memory = 0;
    cl_uint units = 0;
    char driver[64], version[96], platform[96] = "";
    tl__opencl_text(f->id, CL_DEVICE_NAME, info.name, sizeof(info.name));
    tl__opencl_text(f->id, CL_DRIVER_VERSION, driver, sizeof(driver));
    tl__opencl_text(f->id, CL_DEVICE_VERSION, version, sizeof(version));
    clGetPlatformInfo(f->platform, CL_PLATFORM_NAME, sizeof(platform) - 1, platform, NULL);
    clGetDeviceInfo(f->id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory, NULL);
    clGetDeviceInfo(f->id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units, NULL);
    version[strcspn(version, " ") + 4 < sizeof(version) ? strcspn(version, " ") + 4 : 0] = '\0';
    snprintf(info.driver, sizeof(info.driver), "%.60s %.40s, %.16s", platform, driver, version);
    snprintf(info.note, sizeof(info.note), "%s", refusal(f->id));
    info.usable = !info.note[0];
    info.memory = memory;
    info.units = units;
    return info;
}

tl_status tl__opencl_probe(const tl_host *host, tl_backend_device_info *infos, uint32_t capacity, uint32_t *count) {
    found all[MAX_DEVICES];
    (void)host;
    *count = list(all, MAX_DEVICES);
    for (uint32_t i = 0; i < *count && i < capacity; i++) {
        tl_backend_device_info *to = (tl_backend_device_info *)((char *)infos + i * (size_t)infos->size);
        tl_backend_device_info info = describe(&all[i], to->size);
        memcpy(to, &info, info.size < sizeof(info) ? info.size : sizeof(info));
    }
    return TL_OK;
}

tl_status tl__opencl_find(const tl_host *host, uint32_t index, cl_platform_id *platform, cl_device_id *id) {
    found all[MAX_DEVICES];
    uint32_t count = list(all, MAX_DEVICES);
    if (index >= count)
        return host->fail(host->user, TL_ERROR_NOT_FOUND, "opencl: there is no such device");
    *platform = all[index].platform;
    *id = all[index].id;
    return TL_OK;
}
