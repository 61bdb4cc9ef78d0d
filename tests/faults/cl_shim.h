/* cl_shim.h: stands between the OpenCL backend (and CLBlast) and the ICD loader, counts calls and makes one fail. Linked
 * into a program with -export-dynamic, or preloaded as cl_shim.so, which takes its orders from the environment:
 * CL_SHIM_FAIL_AT, CL_SHIM_CODE, and CL_SHIM_REPORT, a file that gets the counts when the program ends. */
#ifndef TEST_FAULTS_CL_SHIM_H
#define TEST_FAULTS_CL_SHIM_H

#include <stdbool.h>
#include <stddef.h>

/* C: gives its code. O: gives an object, and its code through a pointer. R: gives something back, which is done even
 * where it fails. T: moves memory between host and device. */
#define CL_SHIM_FUNCTIONS(C, O, R, T)                                                                                  \
    C(clGetPlatformIDs, (cl_uint a, cl_platform_id * b, cl_uint * c), (a, b, c))                                       \
    C(clGetPlatformInfo, (cl_platform_id a, cl_platform_info b, size_t c, void *d, size_t *e), (a, b, c, d, e))        \
    C(clGetDeviceIDs, (cl_platform_id a, cl_device_type b, cl_uint c, cl_device_id * d, cl_uint * e), (a, b, c, d, e)) \
    C(clGetDeviceInfo, (cl_device_id a, cl_device_info b, size_t c, void *d, size_t *e), (a, b, c, d, e))              \
    O(cl_context, clCreateContext,                                                                                     \
      (const cl_context_properties *a, cl_uint b, const cl_device_id *c,                                               \
       void(CL_CALLBACK * d)(const char *, const void *, size_t, void *), void *e, cl_int *code),                      \
      (a, b, c, d, e, code))                                                                                           \
    O(cl_command_queue, clCreateCommandQueue, (cl_context a, cl_device_id b, cl_command_queue_properties c, cl_int * code), \
      (a, b, c, code))                                                                                                 \
    C(clGetCommandQueueInfo, (cl_command_queue a, cl_command_queue_info b, size_t c, void *d, size_t *e), (a, b, c, d, e)) \
    O(cl_mem, clCreateBuffer, (cl_context a, cl_mem_flags b, size_t c, void *d, cl_int *code), (a, b, c, d, code))     \
    O(cl_mem, clCreateSubBuffer,                                                                                       \
      (cl_mem a, cl_mem_flags b, cl_buffer_create_type c, const void *d, cl_int *code), (a, b, c, d, code))            \
    C(clGetMemObjectInfo, (cl_mem a, cl_mem_info b, size_t c, void *d, size_t *e), (a, b, c, d, e))                    \
    O(cl_program, clCreateProgramWithSource,                                                                           \
      (cl_context a, cl_uint b, const char **c, const size_t *d, cl_int *code), (a, b, c, d, code))                    \
    O(cl_program, clCreateProgramWithBinary,                                                                           \
      (cl_context a, cl_uint b, const cl_device_id *c, const size_t *d, const unsigned char **e, cl_int *f, cl_int *code), \
      (a, b, c, d, e, f, code))                                                                                        \
    C(clBuildProgram,                                                                                                  \
      (cl_program a, cl_uint b, const cl_device_id *c, const char *d, void(CL_CALLBACK * e)(cl_program, void *), void *f), \
      (a, b, c, d, e, f))                                                                                              \
    C(clGetProgramInfo, (cl_program a, cl_program_info b, size_t c, void *d, size_t *e), (a, b, c, d, e))              \
    C(clGetProgramBuildInfo, (cl_program a, cl_device_id b, cl_program_build_info c, size_t d, void *e, size_t *f),    \
      (a, b, c, d, e, f))                                                                                              \
    O(cl_kernel, clCreateKernel, (cl_program a, const char *b, cl_int *code), (a, b, code))                            \
    C(clGetKernelWorkGroupInfo, (cl_kernel a, cl_device_id b, cl_kernel_work_group_info c, size_t d, void *e, size_t *f), \
      (a, b, c, d, e, f))                                                                                              \
    C(clSetKernelArg, (cl_kernel a, cl_uint b, size_t c, const void *d), (a, b, c, d))                                 \
    C(clEnqueueNDRangeKernel,                                                                                          \
      (cl_command_queue a, cl_kernel b, cl_uint c, const size_t *d, const size_t *e, const size_t *f, cl_uint g,       \
       const cl_event *h, cl_event *i),                                                                                \
      (a, b, c, d, e, f, g, h, i))                                                                                     \
    T(clEnqueueWriteBuffer,                                                                                            \
      (cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e, const void *f, cl_uint g, const cl_event *h,       \
       cl_event *i),                                                                                                   \
      (a, b, c, d, e, f, g, h, i))                                                                                     \
    T(clEnqueueReadBuffer,                                                                                             \
      (cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e, void *f, cl_uint g, const cl_event *h, cl_event *i), \
      (a, b, c, d, e, f, g, h, i))                                                                                     \
    C(clEnqueueFillBuffer,                                                                                             \
      (cl_command_queue a, cl_mem b, const void *c, size_t d, size_t e, size_t f, cl_uint g, const cl_event *h,        \
       cl_event *i),                                                                                                   \
      (a, b, c, d, e, f, g, h, i))                                                                                     \
    C(clEnqueueCopyBuffer,                                                                                             \
      (cl_command_queue a, cl_mem b, cl_mem c, size_t d, size_t e, size_t f, cl_uint g, const cl_event *h, cl_event *i), \
      (a, b, c, d, e, f, g, h, i))                                                                                     \
    C(clFlush, (cl_command_queue a), (a))                                                                              \
    C(clFinish, (cl_command_queue a), (a))                                                                             \
    C(clWaitForEvents, (cl_uint a, const cl_event *b), (a, b))                                                         \
    R(clReleaseEvent, (cl_event a), (a))                                                                               \
    R(clReleaseKernel, (cl_kernel a), (a))                                                                             \
    R(clReleaseProgram, (cl_program a), (a))                                                                           \
    R(clReleaseMemObject, (cl_mem a), (a))                                                                             \
    R(clReleaseCommandQueue, (cl_command_queue a), (a))                                                                \
    R(clReleaseContext, (cl_context a), (a))

enum {
#define CL_SHIM_ENUM(name, ...) CL_SHIM_##name,
#define CL_SHIM_ENUM_O(type, name, ...) CL_SHIM_##name,
    CL_SHIM_FUNCTIONS(CL_SHIM_ENUM, CL_SHIM_ENUM_O, CL_SHIM_ENUM, CL_SHIM_ENUM)
    CL_SHIM_COUNT
};

typedef struct cl_shim {
    long calls, count[CL_SHIM_COUNT]; /* since they were last set to 0 */
    long fail_at;                     /* the call that fails, counting from 1; 0: none */
    int code;                         /* how */
    int failed;                       /* the function that did; -1: none since this was set */
    long spoil_at;                    /* what this read brings has a byte changed, counting from 1; 0: none */
    size_t spoil_byte;                /* which */
    void (*each)(int function, size_t bytes); /* told of every call; bytes of reads and writes */
} cl_shim;
extern cl_shim cl_shim_state;
extern const char *const cl_shim_names[CL_SHIM_COUNT];

#endif
