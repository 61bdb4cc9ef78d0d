/* opencl.h: the OpenCL backend's frame: its device, its kernels, and what an operation's file is given to work with.
 *
 * The backend uses tl/backend.h and nothing else of libtl. It asks for OpenCL 1.2 and nothing optional.
 *
 * An operation `stem` of TL_OP_LIST is two files: <stem>.c, which defines tl__opencl_<stem>_implementations (a list in
 * order of preference, of which the first that accepts is taken), and kernels/<stem>.cl, which is built when the first
 * kernel from it is asked for. `prepare` describes the work as launches: which function over which range with which
 * arguments. The frame sets the arguments when buffers are bound, and enqueues.
 *
 * Two kinds of devices: where `device->vectors` is set (PoCL, Intel's CPU runtime) a work-item is a thread of the host,
 * wide vectors are fast, local memory and barriers are slow; otherwise it is one lane of a GPU. Kernels may be written
 * for one of them or for both; an implementation refuses the kind that it is not for.
 *
 * Buffers. A kernel sees each as a pointer and an offset in elements, in two arguments; see kernels/common.cl. No
 * sub-buffers: nothing need be made when memory is bound, and views may overlap. */
#ifndef TL_OPENCL_H
#define TL_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <tl/backend.h>

#include "backends/form.h"

#define OPENCL_OPERANDS (TL_MAX_INPUTS + TL_MAX_OUTPUTS)
#define OPENCL_ALIGNMENT 256 /* of views and of parts of a workspace, in bytes */

typedef struct opencl_program opencl_program;
typedef struct opencl_constant opencl_constant;
typedef struct opencl_kernel opencl_kernel;

typedef struct opencl_device {
    tl_backend_device base;
    const tl_host *host;
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    int kind;                 /* tl_device_kind */
    bool vectors;             /* a CPU's cores behind OpenCL */
    int lanes;                /* floats of a vector that the hardware has: 4, 8 or 16; 1: no vectors */
    int winograd;             /* opencl_winograd_use */
    uint32_t units;
    uint64_t memory, max_buffer, local_memory;
    size_t max_group;         /* work-items in a group; a kernel may allow fewer */
    uint64_t base_alignment;  /* of sub-buffers, in bytes */
    bool correct_division;    /* division and square root are correctly rounded on request */
    char name[128], driver[128], description[192];
    char identity[512];       /* of device and driver, for what is kept on disk */
    char results[560];        /* that, and the options that change results */
    char failure[256];        /* what tl__opencl_fail said last */
    pid_t pid;                /* of the process that opened it: drivers do not survive fork */
    bool binaries;            /* programs are kept on disk; PoCL does so itself */
    bool lost;                /* it failed in a way after which no call may be made any more */
    opencl_program *programs;
    opencl_constant *constants;
    uint64_t looked_at[8];       /* canary.c's: a bit for each operation, of each class */
    cl_command_queue blas_queue; /* blas.c's, with what follows */
    bool blas_used;
    int blas_trust;              /* opencl_trust */
    struct tuned_store *tuned;   /* tune_store.c's; NULL: the file was not looked for */
} opencl_device;

struct tl_backend_buffer {
    cl_mem memory;
    uint64_t bytes;
};

struct tl_backend_queue {
    opencl_device *device;
    cl_command_queue commands;
    unsigned waiting; /* kernels since the last flush */
};

/* ---- cl.c: failures ---- */

tl_status tl__opencl_fail(opencl_device *device, tl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* TL_OK, or the failure that the code of an OpenCL (or CLBlast) call means, with the call's name and the code's. `what`
 * says what it was for, or is NULL. A code that means the device is gone marks it so. */
tl_status tl__opencl_check(opencl_device *device, cl_int code, const char *call, const char *what);
const char *tl__opencl_code_name(cl_int code);
/* Whether calls may be made: not on a lost device, nor in a child of the process that opened it. */
tl_status tl__opencl_usable(opencl_device *device);
bool tl__opencl_alive(const opencl_device *device); /* the same without a word, for what gives things back */

void *tl__opencl_allocate(opencl_device *device, size_t bytes); /* host memory, zeroed; NULL after recording it */
void tl__opencl_release(opencl_device *device, void *memory);   /* NULL is fine */

/* ---- buffer.c: buffers and queues ---- */

tl_status tl__opencl_buffer_create(tl_backend_device *device, uint64_t bytes, tl_backend_buffer **buffer);
void tl__opencl_buffer_destroy(tl_backend_device *device, tl_backend_buffer *buffer);
tl_status tl__opencl_queue_create(tl_backend_device *device, tl_backend_queue **queue);
void tl__opencl_queue_destroy(tl_backend_device *device, tl_backend_queue *queue);
tl_status tl__opencl_queue_write(tl_backend_queue *queue, const tl_view *to, const void *data);
tl_status tl__opencl_queue_read(tl_backend_queue *queue, const tl_view *from, void *data);
tl_status tl__opencl_queue_zero(tl_backend_queue *queue, const tl_view *what);
tl_status tl__opencl_queue_flush(tl_backend_queue *queue);
tl_status tl__opencl_queue_finish(tl_backend_queue *queue);
tl_status tl__opencl_queue_count(tl_backend_queue *queue); /* one more kernel waits: starts them now and then */

/* ---- program.c: sources, builds, the cache of binaries ----
 * A kernel object of `function` from kernels/<stem>.cl, built with `options` besides those of the device ("" for none:
 * every other string is one more program). The caller's, to be released. */
tl_status tl__opencl_function(opencl_device *device, const char *stem, const char *options, const char *function,
                              cl_kernel *object);
void tl__opencl_programs_release(opencl_device *device);

typedef struct opencl_source {
    const char *stem, *text;
} opencl_source;
extern const opencl_source tl__opencl_sources[]; /* ended by NULL; made from kernels/ when libtl is built */

/* ---- kernel.c: kernels ---- */

/* Work-items. `local` all 0 leaves the group's size to the driver; otherwise `global` is rounded up to its multiples, so
 * kernels look whether they are inside. A group too large for the device is made smaller unless `fixed` is set, because
 * the kernel was written for that very size. */
typedef struct opencl_range {
    size_t global[3], local[3]; /* 0 counts as 1 */
    bool fixed;
} opencl_range;

typedef struct opencl_launch opencl_launch;

/* A prepared operation. Operand numbers run over the inputs and then the outputs of TL_OP_LIST, absent ones included. */
struct opencl_kernel {
    tl_backend_kernel base;
    opencl_device *device;
    const char *stem;
    tl_op_desc op;
    uint32_t count;                       /* operands */
    tl_operand operands[OPENCL_OPERANDS]; /* .constant is only there until prepare returns */
    opencl_launch *first, **last;         /* in order */
    void *data;                           /* the implementation's own, from tl__opencl_allocate; released with the kernel */
    opencl_constant *copies[OPENCL_OPERANDS]; /* constants as they are */
    opencl_constant *held[2 * OPENCL_OPERANDS];
    uint32_t held_count;
    uint32_t derived;                     /* bit i: no launch needs operand i as it is */
    bool asked;                           /* the implementation was asked for by its name */
};

/* `prepare` looks at op and operands, adds launches and returns TL_OK, or returns TL_UNSUPPORTED after tl__opencl_fail,
 * which passes the question on to the next of the list; any other failure ends it. It need not clean up. */
typedef struct opencl_implementation {
    const char *name; /* NULL ends the list */
    tl_status (*prepare)(opencl_kernel *kernel);
} opencl_implementation;

#define OPENCL_DECLARE(NAME, stem, inputs, outputs) \
    extern const opencl_implementation tl__opencl_##stem##_implementations[];
TL_OP_LIST(OPENCL_DECLARE)
#undef OPENCL_DECLARE

/* Adds a launch. `arguments` has one letter for each argument of the function, whose values follow:
 *   o  int                 an operand: its memory (NULL where it is absent) and its offset in elements
 *   p  int, int64_t        the same, so many elements further on
 *   w  uint64_t            the workspace from that byte on (from tl__opencl_workspace), the offset in floats
 *   c  opencl_constant *   what was derived from a constant; offset 0
 *   i  int    l  int64_t   f  double, passed as float
 *   s  size_t              bytes of local memory
 * o, p, w and c are two arguments of the function, ARG(type, name) in kernels/common.cl. */
tl_status tl__opencl_launch(opencl_kernel *kernel, const char *stem, const char *options, const char *function,
                            const opencl_range *range, const char *arguments, ...);

/* Adds work that is not a kernel of ours, such as a call of CLBlast, which finds its memory with tl__opencl_memory when
 * it runs. `data` is from tl__opencl_allocate and is released with the kernel. */
typedef tl_status opencl_call(opencl_kernel *kernel, cl_command_queue queue, const void *data);
tl_status tl__opencl_call(opencl_kernel *kernel, const char *name, opencl_call *call, void *data);
/* The same with something of its own for each binding: `bind` is called when memory is bound, `unbind` before the kernel
 * is released, also where it was never bound. */
tl_status tl__opencl_call_bound(opencl_kernel *kernel, const char *name, opencl_call *call,
                                tl_status (*bind)(opencl_kernel *kernel, void *data),
                                void (*unbind)(opencl_kernel *kernel, void *data), void *data);
/* Where operand i (count: the workspace) is bound now. */
cl_mem tl__opencl_memory(const opencl_kernel *kernel, int operand, uint64_t *byte_offset);

/* Room in the workspace: where it begins, in bytes. */
uint64_t tl__opencl_workspace(opencl_kernel *kernel, uint64_t bytes);

tl_status tl__opencl_prepare(tl_backend_device *device, const tl_op_desc *op, const tl_operand *operands,
                             uint32_t input_count, uint32_t output_count, tl_backend_kernel **kernel);

/* The same with the implementation of that name and no other; NULL: with the best. */
tl_status tl__opencl_prepare_as(tl_backend_device *device, const tl_op_desc *op, const tl_operand *operands,
                                uint32_t input_count, uint32_t output_count, const char *name,
                                tl_backend_kernel **kernel);
const opencl_implementation *tl__opencl_implementations(uint32_t op);

/* TL_UNSUPPORTED unless every operand that is there has the type at its place in `types`, see form_misfit. */
tl_status tl__opencl_expect(opencl_kernel *kernel, const char *types);
/* The same where activations may be stored in 16 bits: 'x' stands for f32 or f16, the same for all of them, 'y' for one or
 * the other, too. *options is what kernels/common.cl is then built with. */
tl_status tl__opencl_expect_stored(opencl_kernel *kernel, const char *types, const char **options);
/* TL_UNSUPPORTED, with the reason, where an operand is stored in a type that the device is not given. */
tl_status tl__opencl_storable(opencl_device *device, const char *stem, const tl_operand *operands, uint32_t count);
static inline bool opencl_present(const opencl_kernel *kernel, int operand) {
    return form_present(&kernel->operands[operand]);
}
static inline bool opencl_is_constant(const opencl_kernel *kernel, int operand) {
    return kernel->operands[operand].constant != NULL;
}
static inline const int64_t *opencl_shape(const opencl_kernel *kernel, int operand) {
    return kernel->operands[operand].desc.shape;
}
static inline int64_t opencl_elements(const opencl_kernel *kernel, int operand) {
    return form_elements(&kernel->operands[operand]);
}
static inline int64_t opencl_round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

/* ---- constant.c: what is derived from constants, once for a device ----
 * Gives the device's copy of the `bytes` that `fill` writes from the bytes of constant operand `operand`. `form` names
 * the derivation: two kernels whose constant, form and bytes are the same share one copy, which lives as long as any of
 * them. `fill` is called only where there is no copy yet, on host memory; it may fail (after tl__opencl_fail). */
typedef tl_status opencl_fill(opencl_kernel *kernel, const void *source, void *to, void *user);
tl_status tl__opencl_constant_derive(opencl_kernel *kernel, int operand, uint64_t form, size_t bytes, opencl_fill *fill,
                                     void *user, opencl_constant **constant);
/* Memory of the kernel's own with such contents, for tables: not shared, no operand behind it. */
tl_status tl__opencl_constant_make(opencl_kernel *kernel, size_t bytes, const void *data, opencl_constant **constant);
tl_status tl__opencl_constant_copy(opencl_kernel *kernel, int operand); /* as it is, into copies[] */
cl_mem tl__opencl_constant_memory(const opencl_constant *constant);
void tl__opencl_constants_release(opencl_kernel *kernel);
#define OPENCL_FORM(letter, a, b, c) \
    ((uint64_t)(letter) << 56 | (uint64_t)(a) << 40 | (uint64_t)(b) << 20 | (uint64_t)(c))

/* ---- probe.c: which devices there are ---- */

tl_status tl__opencl_probe(const tl_host *host, tl_backend_device_info *infos, uint32_t capacity, uint32_t *count);
/* The index-th device of all platforms, in the order of probe. */
/* Whether a device is taken for a CPU's cores, `option` being the option "vectors" or NULL. */
bool tl__opencl_is_vectors(int kind, const char *name, const char *option);
/* Fills in an unopened device's identity; its host must be set. */
tl_status tl__opencl_identify(opencl_device *device, uint32_t index);
tl_status tl__opencl_find(const tl_host *host, uint32_t index, cl_platform_id *platform, cl_device_id *id);
/* One line of information about a device, "" where there is none; the code of the call. */
cl_int tl__opencl_text(cl_device_id id, cl_device_info what, char *text, size_t size);

#endif
