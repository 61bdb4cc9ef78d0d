/* blas.c: see blas.h. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <limits.h>
#include <pthread.h>

#include "backends/opencl/blas.h"
#include "backends/opencl/canary.h"
#include "backends/opencl/launch.h"

#ifdef HAVE_CLBLAST

#include <clblast_c.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

typedef struct product {
    opencl_gemm gemm;
    size_t temporary;   /* bytes; 0: none */
    uint64_t workspace; /* where there is room for it, aligned or not */
    cl_mem part;        /* of the memory that the workspace is bound to */
} product;

/* CLBlast asks a queue for its device where it needs no queue. */
static tl_status asking_queue(opencl_device *device, cl_command_queue *queue) {
    if (!device->blas_queue) {
        cl_int code;
        cl_command_queue made = clCreateCommandQueue(device->context, device->id, 0, &code);
        if (code != CL_SUCCESS)
            return tl__opencl_check(device, code, "clCreateCommandQueue", "for CLBlast");
        device->blas_queue = made;
    }
    *queue = device->blas_queue;
    return TL_OK;
}

static CLBlastTranspose transpose_of(const opencl_matrix *matrix) {
    return matrix->transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
}

/* An offset that is not 0 needs the more memory, and where the operands will lie is not known yet. */
static tl_status temporary_of(opencl_device *device, const opencl_gemm *g, size_t offset, size_t *bytes) {
    cl_command_queue queue;
    tl_status status = asking_queue(device, &queue);
    if (status != TL_OK)
        return status;
    size_t needed = 0;
    pthread_mutex_lock(&lock);
    device->blas_used = true;
    CLBlastStatusCode code = CLBlastSGemmTempBufferSize(
        CLBlastLayoutRowMajor, transpose_of(&g->a), transpose_of(&g->b), (size_t)g->m, (size_t)g->n, (size_t)g->k, offset,
        (size_t)g->a.leading, offset, (size_t)g->b.leading, offset, (size_t)g->c.leading, &queue, &needed);
    pthread_mutex_unlock(&lock);
    if (code != CLBlastSuccess)
        return tl__opencl_check(device, code, "CLBlastSGemmTempBufferSize", NULL);
    *bytes = needed;
    return TL_OK;
}

static tl_status call(opencl_device *device, cl_command_queue queue, const opencl_gemm *g, const cl_mem memory[3],
                      const size_t offset[3], cl_mem temporary) {
    pthread_mutex_lock(&lock);
    device->blas_used = true;
    CLBlastStatusCode code = CLBlastSgemmWithTempBuffer(
        CLBlastLayoutRowMajor, transpose_of(&g->a), transpose_of(&g->b), (size_t)g->m, (size_t)g->n, (size_t)g->k,
        g->alpha, memory[0], offset[0], (size_t)g->a.leading, memory[1], offset[1], (size_t)g->b.leading, g->beta,
        memory[2], offset[2], (size_t)g->c.leading, &queue, NULL, temporary);
    pthread_mutex_unlock(&lock);
    return tl__opencl_check(device, code, "CLBlastSgemmWithTempBuffer", NULL);
}

/* ---- as part of a kernel ---- */

static const opencl_matrix *matrix_of(const opencl_gemm *g, int i) {
    return i == 0 ? &g->a : i == 1 ? &g->b : &g->c;
}

static cl_mem memory_of(const opencl_kernel *kernel, const opencl_matrix *matrix, int64_t *at) {
    uint64_t bytes = 0;
    cl_mem memory = matrix->constant ? tl__opencl_constant_memory(matrix->constant)
                                     : tl__opencl_memory(kernel, matrix->operand, &bytes);
    *at = (int64_t)(bytes / sizeof(float)) + matrix->at;
    return memory;
}

static void unbind(opencl_kernel *kernel, void *data) {
    product *p = data;
    if (p->part && tl__opencl_alive(kernel->device))
        clReleaseMemObject(p->part);
    p->part = NULL;
}

/* Elements of a matrix from its first to behind its last. */
static int64_t extent_of(const opencl_gemm *g, int i) {
    const opencl_matrix *matrix = matrix_of(g, i);
    int64_t rows = i == 1 ? g->k : g->m, columns = i == 0 ? g->k : g->n;
    if (matrix->transposed) {
        int64_t swap = rows;
        rows = columns;
        columns = swap;
    }
    return (g->count - 1) * matrix->step + (rows - 1) * matrix->leading + columns;
}

static tl_status bind(opencl_kernel *kernel, void *data) {
    product *p = data;
    opencl_device *device = kernel->device;
    unbind(kernel, p);
    for (int i = 0; i < 3; i++) {
        int64_t at;
        memory_of(kernel, matrix_of(&p->gemm, i), &at);
        if (at + extent_of(&p->gemm, i) > INT_MAX)
            return tl__opencl_fail(device, TL_ERROR_LIMIT, "%s: CLBlast reaches the first 8 GiB of a buffer only; use a "
                                   "smaller batch", kernel->stem);
    }
    if (p->temporary == 0)
        return TL_OK;
    uint64_t base;
    cl_mem memory = tl__opencl_memory(kernel, (int)kernel->count, &base);
    cl_int code;
    cl_buffer_region region = {.origin = (size_t)opencl_round_up((int64_t)(base + p->workspace), (int64_t)device->base_alignment),
                               .size = p->temporary};
    cl_mem part = clCreateSubBuffer(memory, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    if (code != CL_SUCCESS)
        return tl__opencl_check(device, code, "clCreateSubBuffer", kernel->stem);
    p->part = part;
    return TL_OK;
}

static tl_status run(opencl_kernel *kernel, cl_command_queue queue, const void *data) {
    const product *p = data;
    cl_mem memory[3];
    int64_t at[3];
    tl_status status = TL_OK;
    for (int i = 0; i < 3; i++)
        memory[i] = memory_of(kernel, matrix_of(&p->gemm, i), &at[i]);
    for (int64_t which = 0; which < p->gemm.count && status == TL_OK; which++) {
        size_t offset[3];
        for (int i = 0; i < 3; i++)
            offset[i] = (size_t)(at[i] + which * matrix_of(&p->gemm, i)->step);
        status = call(kernel->device, queue, &p->gemm, memory, offset, p->part);
    }
    return status;
}

/* Asks the canary once for a device: later its word holds. */
static tl_status trusted(opencl_device *device, size_t temporary) {
    if (device->blas_trust == OPENCL_TRUST_UNASKED) {
        tl_status status = tl__opencl_canary_blas(device, &device->blas_trust);
        if (status != TL_OK)
            return status;
    }
    if (device->blas_trust == OPENCL_TRUST_ALL || (device->blas_trust == OPENCL_TRUST_DIRECT && temporary == 0))
        return TL_OK;
    return tl__opencl_fail(device, TL_UNSUPPORTED, "CLBlast is not used: its check on this device failed");
}

tl_status tl__opencl_gemm(opencl_kernel *kernel, const opencl_gemm *gemm) {
    opencl_device *device = kernel->device;
    for (int i = 0; i < 3; i++)
        if (extent_of(gemm, i) > INT_MAX)
            return tl__opencl_fail(device, TL_UNSUPPORTED, "a matrix product of %lld x %lld x %lld is more than CLBlast "
                                   "can count", (long long)gemm->m, (long long)gemm->n, (long long)gemm->k);
    size_t temporary = 0;
    tl_status status = temporary_of(device, gemm, 1, &temporary);
    if (status == TL_OK)
        status = trusted(device, temporary);
    if (status == TL_OK && temporary / sizeof(float) > INT_MAX)
        status = tl__opencl_fail(device, TL_UNSUPPORTED, "CLBlast would need %zu bytes of temporary memory", temporary);
    if (status != TL_OK)
        return status;
    product *p = tl__opencl_allocate(device, sizeof(*p));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = (product){.gemm = *gemm, .temporary = temporary};
    if (temporary)
        p->workspace = tl__opencl_workspace(kernel, temporary + device->base_alignment);
    return tl__opencl_call_bound(kernel, "gemm", run, bind, unbind, p);
}

/* ---- for canary.c and at the end ---- */

static opencl_gemm plain(int64_t n) {
    opencl_matrix matrix = {.leading = n};
    return (opencl_gemm){.m = n, .n = n, .k = n, .count = 1, .alpha = 1.0f, .a = matrix, .b = matrix, .c = matrix};
}

tl_status tl__opencl_blas_temporary(opencl_device *device, int64_t n, size_t *bytes) {
    opencl_gemm gemm = plain(n);
    return temporary_of(device, &gemm, 1, bytes);
}

tl_status tl__opencl_blas_run(opencl_device *device, cl_command_queue queue, int64_t n, cl_mem a, cl_mem b, cl_mem c,
                              cl_mem temporary) {
    opencl_gemm gemm = plain(n);
    return call(device, queue, &gemm, (cl_mem[]){a, b, c}, (size_t[]){0, 0, 0}, temporary);
}

tl_status tl__opencl_blas_override(opencl_device *device, const char *kernel, size_t count, const char *const *names,
                                   const size_t *values) {
    tl_status status = tl__opencl_usable(device);
    if (status != TL_OK)
        return status;
    pthread_mutex_lock(&lock);
    device->blas_used = true;
    CLBlastStatusCode code = CLBlastOverrideParameters(device->id, kernel, CLBlastPrecisionSingle, count,
                                                       (const char **)(uintptr_t)names, values);
    pthread_mutex_unlock(&lock);
    return tl__opencl_check(device, code, "CLBlastOverrideParameters", kernel);
}

void tl__opencl_blas_close(opencl_device *device) {
    if (!device->blas_used)
        return;
    pthread_mutex_lock(&lock);
    CLBlastClearCache();
    pthread_mutex_unlock(&lock);
}

#else

static tl_status absent(opencl_device *device) {
    return tl__opencl_fail(device, TL_UNSUPPORTED, "libtl was built without CLBlast");
}

tl_status tl__opencl_gemm(opencl_kernel *kernel, const opencl_gemm *gemm) {
    (void)gemm;
    return absent(kernel->device);
}

tl_status tl__opencl_blas_override(opencl_device *device, const char *kernel, size_t count, const char *const *names,
                                   const size_t *values) {
    (void)kernel, (void)count, (void)names, (void)values;
    return absent(device);
}

tl_status tl__opencl_blas_temporary(opencl_device *device, int64_t n, size_t *bytes) {
    (void)n, (void)bytes;
    return absent(device);
}

tl_status tl__opencl_blas_run(opencl_device *device, cl_command_queue queue, int64_t n, cl_mem a, cl_mem b, cl_mem c,
                              cl_mem temporary) {
    (void)queue, (void)n, (void)a, (void)b, (void)c, (void)temporary;
    return absent(device);
}

void tl__opencl_blas_close(opencl_device *device) {
    (void)device;
}

#endif
