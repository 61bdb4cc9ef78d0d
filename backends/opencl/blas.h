/* blas.h: matrix products by CLBlast. blas.c is the only file that calls it, because it takes care to call:
 *
 * - It is not thread-safe when it first compiles a kernel: every call is made under one lock of the process.
 * - Where it fails to allocate memory of its own, it ends the process. Its temporary memory is part of the kernel's
 *   workspace here, asked for before: the planner knows of it, and running allocates nothing.
 * - It keeps programs of contexts that are gone, until its cache is cleared when a device is closed.
 * - Its routines count elements in 32 bits.
 * - It is as right as the device's compiler and the parameters it has for the device: before the first product of a
 *   device is prepared, a product of each of its two ways is compared with plain C (canary.c).
 *
 * Where libtl was built without CLBlast, or the device computes wrongly with it, everything here says TL_UNSUPPORTED. */
#ifndef TL_OPENCL_BLAS_H
#define TL_OPENCL_BLAS_H

#include "backends/opencl/opencl.h"

/* A matrix of a product, row-major. */
typedef struct opencl_matrix {
    int operand;                     /* of the kernel; its count: the workspace */
    const opencl_constant *constant; /* this instead of an operand; NULL: the operand */
    int64_t at;                      /* elements (of the workspace: floats) further on than where that begins */
    int64_t leading;                 /* elements from one row in memory to the next */
    int64_t step;                    /* elements from one product's matrix to the next one's; 0: the same for all */
    bool transposed;                 /* memory holds the transposed matrix; not for c */
} opencl_matrix;

/* c = alpha * a * b + beta * c, `count` times over; a is [m,k], b [k,n], c [m,n]. With beta 0, c is not read. */
typedef struct opencl_gemm {
    int64_t m, n, k, count;
    float alpha, beta;
    opencl_matrix a, b, c;
} opencl_gemm;

/* Adds it to the kernel's work, after what was added before. TL_UNSUPPORTED with a reason, or another failure. */
tl_status tl__opencl_gemm(opencl_kernel *kernel, const opencl_gemm *gemm);

/* Parameters of one of CLBlast's kernels ("Xgemm", "XgemmDirect", "GemmRoutine") for the device, for float; to be set
 * before products are prepared. They hold for the process, for all devices of that name. */
tl_status tl__opencl_blas_override(opencl_device *device, const char *kernel, size_t count, const char *const *names,
                                   const size_t *values);

/* After the device's context was released. */
void tl__opencl_blas_close(opencl_device *device);

/* ---- for canary.c ---- */

/* Runs a product at once, without any look at whether the device is right: offset 0, nothing transposed, alpha 1,
 * beta 0, rows without gaps. `temporary` has the bytes of tl__opencl_blas_temporary, or is NULL where that is 0. */
tl_status tl__opencl_blas_run(opencl_device *device, cl_command_queue queue, int64_t n, cl_mem a, cl_mem b, cl_mem c,
                              cl_mem temporary);
/* Bytes of temporary memory of that product; 0: it goes the direct way. */
tl_status tl__opencl_blas_temporary(opencl_device *device, int64_t n, size_t *bytes);

#endif
