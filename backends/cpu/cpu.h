/* cpu.h: the CPU backend's frame: its device, its kernels, and what an operation's file is given to work with.
 *
 * The backend uses tl/backend.h and nothing else of libtl. Buffers are host memory, queues execute at once.
 *
 * An operation `stem` of TL_OP_LIST is one file, <stem>.c, that defines tl__cpu_<stem>_implementations: a list in
 * order of preference, of which the first that accepts is taken. The inner loops that profit from an instruction
 * set are not there but in files that are compiled once per instruction set; see kernels.h. */
#ifndef TL_CPU_H
#define TL_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tl/backend.h>

#define CPU_OPERANDS (TL_MAX_INPUTS + TL_MAX_OUTPUTS)
#define CPU_ALIGNMENT 64      /* of buffers, views, packed constants and workspaces */
#define CPU_PADDING 64        /* readable bytes behind every buffer and packed constant, for the last vector load */
#define CPU_MAX_THREADS 1024

struct cpu_kernels;

/* Where convolutions may use Winograd's algorithm: nowhere, where the operation need not be exact, everywhere. */
typedef enum cpu_winograd_use { CPU_WINOGRAD_NEVER, CPU_WINOGRAD_AUTO, CPU_WINOGRAD_ALWAYS } cpu_winograd_use;

/* The later two are AVX-512 with instructions for products of bf16. */
typedef enum cpu_isa {
    CPU_ISA_BASELINE,
    CPU_ISA_AVX2,
    CPU_ISA_AVX512,
    CPU_ISA_NEON,
    CPU_ISA_AVX512BF16,
    CPU_ISA_AMX,
    CPU_ISA_COUNT
} cpu_isa;

/* ---- isa.c: what the machine is ---- */

bool tl__cpu_isa_available(cpu_isa isa); /* built in, and this machine runs it */
cpu_isa tl__cpu_isa_best(void);
const char *tl__cpu_isa_name(cpu_isa isa);  /* "avx512": what the option takes */
const char *tl__cpu_isa_title(cpu_isa isa); /* "AVX-512" */
const struct cpu_kernels *tl__cpu_isa_kernels(cpu_isa isa);
unsigned tl__cpu_thread_count(void); /* hardware threads that this process may use */
uint64_t tl__cpu_memory(void);       /* bytes; 0 if unknown */
size_t tl__cpu_cache_size(int level); /* data cache of level 1, 2 or 3 in bytes; a usual value if unknown */
void tl__cpu_model(char *name, size_t size);

/* ---- the device ---- */

typedef struct cpu_constant cpu_constant;
typedef struct cpu_team cpu_team;

typedef struct cpu_device {
    tl_backend_device base;
    const tl_host *host;
    int threads;
    cpu_isa isa;
    cpu_winograd_use winograd;
    const struct cpu_kernels *kernels; /* of that instruction set */
    size_t l1, l2, l3;                 /* cache sizes in bytes */
    uint64_t memory;
    char description[64], identity[96];
    cpu_constant *constants;
    struct cpu_tuning *tuning; /* tune.c's; NULL: nothing is to be chosen */
    cpu_team *team; /* NULL for one thread */
} cpu_device;

struct tl_backend_buffer {
    uint8_t *data;
    uint64_t bytes;
};

/* Memory of the host, aligned to CPU_ALIGNMENT and padded by CPU_PADDING. NULL after recording the failure. */
void *tl__cpu_allocate(cpu_device *device, size_t bytes);
void tl__cpu_release(cpu_device *device, void *memory); /* NULL is fine */
tl_status tl__cpu_fail(const cpu_device *device, tl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- cpu.c ---- */

tl_status tl__cpu_option_isa(const tl_host *host, cpu_isa *isa);
/* Says what results depend on, in device->identity: again where that has changed. */
void tl__cpu_identify(cpu_device *device);

/* ---- measure.c: a clock that never goes back, and peak of tl/backend.h ---- */

double tl__cpu_seconds(void);
tl_status tl__cpu_peak(tl_backend_device *base, int32_t dtype, double *flops);

/* ---- parallel.c: the team ----
 * Runs `body` on contiguous ranges of 0 .. count - 1, of at least `grain` items (so that little work stays on the calling
 * thread), and returns when all are done. A thread may get several ranges, one after another; `thread` is its number,
 * below device->threads, and nobody else has it meanwhile. Where the ranges begin depends on the team and on chance, so
 * results must not: write disjoint outputs, or sum into chunks of a fixed size and add those up in order. */
typedef void cpu_range(void *user, int64_t first, int64_t last, int thread);
void tl__cpu_parallel(const cpu_device *device, int64_t count, int64_t grain, cpu_range *body, void *user);
cpu_team *tl__cpu_team_create(cpu_device *device, int threads); /* NULL for want of memory; its threads begin when needed */
void tl__cpu_team_destroy(cpu_device *device, cpu_team *team);

/* ---- kernel.c: kernels ---- */

/* A prepared operation. Operand numbers run over the inputs and then the outputs of TL_OP_LIST, absent ones
 * included: conv2d has x 0, w 1, bias 2, residual 3, y 4. */
typedef struct cpu_kernel {
    tl_backend_kernel base;
    cpu_device *device;
    tl_op_desc op;
    uint32_t count;                     /* operands */
    tl_operand operands[CPU_OPERANDS];  /* .constant is only there until prepare returns */
    void *ptr[CPU_OPERANDS];            /* where each operand is, NULL if absent; set before run */
    void *workspace;                    /* base.workspace bytes, set before run */

    /* What an implementation sets: */
    void (*run)(struct cpu_kernel *kernel);
    void *data;                            /* its own, from tl__cpu_allocate; released with the kernel */

    cpu_constant *held[2 * CPU_OPERANDS];
    uint32_t held_count;
    uint32_t derived;                   /* bit i: operand i is a constant that the implementation needs no copy of */
    bool asked;                         /* for this implementation, whether it is thought to be the fastest or not */
} cpu_kernel;

/* `prepare` looks at op and operands and either sets run (with base.workspace and data where needed; or run stays
 * NULL where there is nothing to do) and returns TL_OK, or returns TL_UNSUPPORTED after tl__cpu_fail, which passes
 * the question on to the next of the list; any other failure ends it. It need not clean up. A constant operand has
 * a copy of its bytes in ptr at run time, unless tl__cpu_constant_derive was called for it. */
typedef struct cpu_implementation {
    const char *name; /* NULL ends the list */
    tl_status (*prepare)(cpu_kernel *kernel);
} cpu_implementation;

#define CPU_DECLARE(NAME, stem, inputs, outputs) extern const cpu_implementation tl__cpu_##stem##_implementations[];
TL_OP_LIST(CPU_DECLARE)
#undef CPU_DECLARE

tl_status tl__cpu_prepare(tl_backend_device *device, const tl_op_desc *op, const tl_operand *operands,
                          uint32_t input_count, uint32_t output_count, tl_backend_kernel **kernel);

/* An implementation by name; `asked`: even where the cost model thinks that it would be slower. */
typedef struct cpu_asked {
    const char *name;
    bool asked;
} cpu_asked;
/* NULL: what was measured to be the fastest, or else what the cost model takes. */
tl_status tl__cpu_prepare_as(tl_backend_device *device, const tl_op_desc *op, const tl_operand *operands,
                             uint32_t input_count, uint32_t output_count, const cpu_asked *asked,
                             tl_backend_kernel **kernel);
const cpu_implementation *tl__cpu_implementations(uint32_t op);

static inline bool cpu_present(const cpu_kernel *kernel, int operand) {
    return kernel->operands[operand].desc.dtype != TL_DTYPE_NONE;
}
static inline bool cpu_is_constant(const cpu_kernel *kernel, int operand) {
    return kernel->operands[operand].constant != NULL;
}
static inline const int64_t *cpu_shape(const cpu_kernel *kernel, int operand) {
    return kernel->operands[operand].desc.shape;
}
int64_t tl__cpu_elements(const cpu_kernel *kernel, int operand); /* 1 for a scalar, 0 if absent */
uint64_t tl__cpu_bytes(const cpu_kernel *kernel, int operand);
/* TL_UNSUPPORTED unless every operand that is there has the type at its place in `types`: one letter each,
 * f f32, h bf16, a either of the two, b u8, i i32, l i64; absent operands count too. */
tl_status tl__cpu_expect(cpu_kernel *kernel, const char *types);
static inline int64_t cpu_round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

/* Whether an output of so many bytes is better stored past the caches: it would only drive out what is in use. An eighth
 * of the last cache, which others use too, is kept for what the next operation reads: with one of 480 MB that is 1 to 2 %
 * of a ResNet-50. */
static inline bool cpu_streams(const cpu_device *device, uint64_t bytes) {
    const uint64_t kept = device->l3 / 8, least = (uint64_t)4 << 20;
    return bytes >= (kept > least ? kept : least);
}

/* ---- constant.c: what is derived from constants, once for a device ----
 * Gives in *data the `bytes` that `fill` writes from the bytes of constant operand `operand`: packed weights, say.
 * `form` names the derivation: two kernels whose constant, form and bytes are the same share one copy, which lives
 * as long as any of them. `fill` is called only where there is no copy yet; it may fail (after tl__cpu_fail). It
 * may use the team. The operand then has no plain copy of its own. Make forms with CPU_FORM from a letter of the
 * operation's choice and what the layout depends on. */
typedef tl_status cpu_fill(cpu_kernel *kernel, const void *source, void *to, void *user);
tl_status tl__cpu_constant_derive(cpu_kernel *kernel, int operand, uint64_t form, size_t bytes, cpu_fill *fill,
                                  void *user, const void **data);
tl_status tl__cpu_constant_copy(cpu_kernel *kernel, int operand); /* the bytes as they are, into ptr */
void tl__cpu_constants_release(cpu_kernel *kernel);
#define CPU_FORM(letter, a, b, c) \
    ((uint64_t)(letter) << 56 | (uint64_t)(a) << 40 | (uint64_t)(b) << 20 | (uint64_t)(c))

#endif
