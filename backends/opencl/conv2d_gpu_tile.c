/* conv2d_gpu_tile.c: which tile of conv2d_gpu.cl or conv2d_gpu_weight.cl a product is cut into. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/opencl/conv2d_gpu.h"

/* Large ones read least for each multiplication but leave parts of a large device idle in small products. Groups of 256
 * are the most that AMD takes; 64 are a whole wavefront there, and what ARM and Qualcomm advise. */
const opencl_tile tl__opencl_tiles[OPENCL_TILES] = {
    {"implicit 128x128", 128, 128, 16, 8, 8}, {"implicit 128x64", 128, 64, 16, 8, 4},
    {"implicit 64x64", 64, 64, 16, 4, 4},     {"implicit 64x64 by 64", 64, 64, 16, 8, 8},
    {"implicit 32x32", 32, 32, 16, 4, 4},     {"implicit direct", 0, 0, 0, 4, 4},
};

/* What a tile is guessed to reach of the device's peak in a product that it fills: multiplications for each float read
 * from local memory, and work-items that are left to hide the latency. Where local memory is but a part of the caches
 * (Mali, and CPUs that are taken for GPUs) it costs and gains nothing. */
static const double guesses[OPENCL_TILES][2] = {
    {0.90, 0.2}, {0.90, 0.2}, {0.80, 0.2}, {0.80, 0.2}, {0.50, 0.2}, {0.25, 0.5},
};

static double guess(const opencl_device *device, int which, bool shared, int64_t rows, int64_t columns, int64_t groups) {
    const opencl_tile *t = &tl__opencl_tiles[which];
    const int64_t m = t->m ? t->m : t->rows, n = t->m ? t->n : t->columns;
    double tiles = (double)((rows + m - 1) / m) * (double)((columns + n - 1) / n) * (double)groups;
    double work = tiles * (double)m * (double)n; /* with what lies beyond the edges */
    double busy = tiles * opencl_tile_items(t) / (t->m ? 1 : 64) / (256.0 * device->units);
    return work / guesses[which][shared ? 0 : 1] / (busy < 1 ? busy : 1);
}

static tl_status build(opencl_kernel *kernel, const opencl_tile *t, const char *matrix, const int reads[2], bool along,
                       char options[128], const char **function) {
    const bool weight = strncmp(matrix, "WEIGHT", 6) == 0;
    int length = snprintf(options, 128, "%s-DTM=%d -DTN=%d -DTK=%d -DRM=%d -DRN=%d -DVA=%d -DVB=%d -DALONG=%d%s",
                          t->m ? "-DTILED " : "", t->m, t->n, t->k, t->rows, t->columns, reads[0], reads[1], along,
                          matrix + strcspn(matrix, " "));
    if (length < 0 || length >= 128)
        return tl__opencl_fail(kernel->device, TL_ERROR_INTERNAL, "%s: too many options", kernel->stem);
    *function = weight ? t->m ? "conv2d_gpu_weight_tiled" : "conv2d_gpu_weight_direct"
                       : t->m ? "conv2d_gpu_tiled" : "conv2d_gpu_direct";
    opencl_device *device = kernel->device;
    cl_kernel object;
    tl_status status = tl__opencl_function(device, weight ? "conv2d_gpu_weight" : "conv2d_gpu", options, *function, &object);
    if (status != TL_OK)
        return status;
    size_t most = 0;
    cl_ulong local = 0;
    cl_int code = clGetKernelWorkGroupInfo(object, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof(most), &most, NULL);
    if (code == CL_SUCCESS)
        code = clGetKernelWorkGroupInfo(object, device->id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof(local), &local, NULL);
    clReleaseKernel(object);
    if (code != CL_SUCCESS)
        return tl__opencl_check(device, code, "clGetKernelWorkGroupInfo", *function);
    if (!t->m)
        return TL_OK;
    if (most < (size_t)opencl_tile_items(t) || local > device->local_memory)
        return tl__opencl_fail(device, TL_UNSUPPORTED, "%s: tiles of %s need groups of %d and %llu bytes of local memory, "
                               "the device allows %zu and %llu", kernel->stem, t->name, opencl_tile_items(t),
                               (unsigned long long)local, most, (unsigned long long)device->local_memory);
    return TL_OK;
}

/* Before anything is compiled: what can be known of the device alone. */
static bool possible(const opencl_device *device, const opencl_tile *t) {
    return !t->m || ((size_t)opencl_tile_items(t) <= device->max_group &&
           (uint64_t)(t->m + t->n + 8) * (uint64_t)t->k * sizeof(float) <= device->local_memory);
}

opencl_range tl__opencl_gpu_range(const opencl_tile *t, int64_t rows, int64_t columns, int64_t groups) {
    if (t->m)
        return (opencl_range){
            .global = {(size_t)((columns + t->n - 1) / t->n * opencl_tile_items(t)), (size_t)((rows + t->m - 1) / t->m),
                       (size_t)groups},
            .local = {(size_t)opencl_tile_items(t), 1, 1},
            .fixed = true,
        };
    return (opencl_range){.global = {(size_t)((columns + 3) / 4), (size_t)((rows + t->rows - 1) / t->rows), (size_t)groups},
                          .local = {columns > 32 ? 8 : 1, columns > 32 ? 8 : 64, 1}};
}

tl_status tl__opencl_gpu_tile(opencl_kernel *kernel, const char *matrix, int64_t rows, int64_t columns, int64_t groups,
                              const int reads[2], bool along, const opencl_tile **tile, char options[128],
                              const char **function) {
    const opencl_device *device = kernel->device;
    const char *asked = kernel->base.implementation;
    const bool any = strchr(asked, ' ') == NULL;
    cl_device_local_mem_type type = CL_GLOBAL;
    clGetDeviceInfo(device->id, CL_DEVICE_LOCAL_MEM_TYPE, sizeof(type), &type, NULL);
    bool tried[OPENCL_TILES] = {false};
    tl_status status = TL_UNSUPPORTED;
    for (int i = 0; i < OPENCL_TILES; i++) {
        int best = -1;
        double cost = 0;
        for (int t = 0; t < OPENCL_TILES; t++) {
            if (tried[t] || (!any && strcmp(asked, tl__opencl_tiles[t].name) != 0) ||
                !possible(device, &tl__opencl_tiles[t]))
                continue;
            double this = guess(device, t, type == CL_LOCAL, rows, columns, groups);
            if (best < 0 || this < cost) {
                best = t;
                cost = this;
            }
        }
        if (best < 0)
            break;
        tried[best] = true;
        /* Drivers refuse to compile, too, what takes more than they have. */
        status = build(kernel, &tl__opencl_tiles[best], matrix, reads, along, options, function);
        if (status == TL_ERROR_MEMORY || device->lost)
            return status;
        if (status == TL_OK) {
            *tile = &tl__opencl_tiles[best];
            kernel->base.implementation = tl__opencl_tiles[best].name;
            return TL_OK;
        }
    }
    if (status != TL_UNSUPPORTED)
        return status;
    return tl__opencl_fail(kernel->device, TL_UNSUPPORTED, "%s: the device allows no groups as %s needs", kernel->stem,
                           asked);
}

int64_t tl__opencl_gpu_launch_limit(const opencl_device *device) {
    const char *text = device->host->option(device->host->user, "launch");
    double asked = text ? strtod(text, NULL) : 0;
    return asked >= 1 && asked <= 1e18 ? (int64_t)asked : 12500000000; /* 50 GFLOP/s for half a second */
}
