/* launch.h: how the frame keeps what tl__opencl_launch and tl__opencl_call described. */
#ifndef TL_OPENCL_LAUNCH_H
#define TL_OPENCL_LAUNCH_H

#include "backends/opencl/opencl.h"

#define OPENCL_MAX_BOUND 16

/* An argument that is known only when memory is bound. */
typedef struct opencl_bound {
    cl_uint argument;  /* the memory; the offset is the next one */
    int operand;       /* the count of operands: the workspace */
    int64_t elements;  /* further on than where it begins */
    uint64_t size;     /* bytes of an element */
} opencl_bound;

struct opencl_launch {
    opencl_launch *next;
    const char *name;
    cl_kernel object; /* NULL: a call */
    opencl_range range;
    cl_uint dimensions;
    uint32_t bound_count;
    opencl_bound bound[OPENCL_MAX_BOUND];
    opencl_call *call;
    tl_status (*bind)(opencl_kernel *kernel, void *data);
    void (*unbind)(opencl_kernel *kernel, void *data);
    void *data;
};

/* The kernel's memory as it is bound, in launch.c. */
tl_status tl__opencl_launches_bind(opencl_kernel *kernel);
tl_status tl__opencl_launches_enqueue(opencl_kernel *kernel, tl_backend_queue *queue);
void tl__opencl_launches_release(opencl_kernel *kernel);

#endif
