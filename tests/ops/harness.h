/* harness.h: runs single operations on a device and compares what comes out with a slow, obvious reference.
 *
 * A test program is a table of cases. Each case fills a t_op, computes the expected result in f64 and calls t_case,
 * which runs it on every variant of the device (for the CPU: every instruction set that this machine has, with 1, 2
 * and 8 threads) and prints one TAP line a variant. Every run checks, besides the values:
 *   - outputs were poisoned with NaN before, and so was the workspace;
 *   - guard bands around every operand and the workspace are untouched (and NaN, so that what is read there shows);
 *   - inputs that are not updated in place are untouched;
 *   - constants are not looked at after prepare, and two kernels that share what is derived from them do not
 *     disturb each other;
 *   - a second run gives the same bits;
 *   - 2 and 8 threads give the bits that 1 thread gives.
 * It knows a backend by tl/backend.h alone. */
#ifndef TL_TEST_OPS_HARNESS_H
#define TL_TEST_OPS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tl/backend.h>

#define T_OPERANDS (TL_MAX_INPUTS + TL_MAX_OUTPUTS)
#define T_WHY 512
#define T_UNIT (1.0 / 16777216) /* f32's unit roundoff, 2^-24 */

typedef struct t_operand {
    tl_tensor_desc desc; /* dtype NONE: absent */
    void *data;          /* what the operand holds before; for outputs NULL */
    void *result;        /* what it holds after a run */
    bool constant;
    uint64_t id;
} t_operand;

typedef struct t_op {
    tl_op_desc desc;
    int inputs, outputs;
    t_operand operand[T_OPERANDS]; /* inputs, then outputs, as TL_OP_LIST has them */
    int shares[TL_MAX_OUTPUTS];    /* 1 + the number of the input whose view output i shares; 0: its own */
    int64_t products;              /* that one run sums; 0: it costs what its elements cost */
} t_op;

/* main of a test program: `cases` calls t_case. Options: --device NAME (cpu), --plugin FILE for a backend that is
 * not built in, --filter TEXT to run the cases whose name contains it, --equal cpu: the plugin's results must be the CPU
 * backend's, bit for bit; --most N: only cases of at most N products or elements, for devices that are very slow. */
extern bool t_every_isa; /* before t_main: variants of the CPU that differ in products of bf16 alone, too */
int t_main(int argc, char **argv, void (*cases)(void));
extern tl_backend_entry_fn t_builtin; /* a backend that this program links, instead of the CPU's; set before t_main */

/* Starts an operation: all operands absent, attributes 0. */
void t_begin(t_op *op, tl_op which);
/* Gives operand i a shape. For an input, room for its contents is returned (zeroed); for an output NULL. */
void *t_give(t_op *op, int i, int dtype, int rank, const int64_t *shape);
#define T_SHAPE(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}
void t_end(t_op *op); /* frees what t_give allocated */

/* Looks at op->operand[].result; false with the reason in why[T_WHY] where it is not as expected. */
typedef bool t_verify(const t_op *op, void *user, char *why);
void t_case(t_op *op, t_verify *verify, void *user, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* One TAP line of its own. */
void t_ok(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
void t_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A device for tests that need more than t_case: isa NULL is the best, threads 0 the default. NULL: it does not
 * open, t_failure says why. t_device_close returns the number of allocations that were not given back. */
typedef struct t_device t_device;
const tl_backend *t_backend_load(const char *plugin); /* from a shared object; NULL: it is none */
t_device *t_device_open(const tl_backend *backend, uint32_t index, const char *isa, int threads);
long t_device_close(t_device *device);
tl_backend_device *t_device_handle(const t_device *device);
const char *t_failure(void);
tl_status t_failure_status(void);
void t_allocations_fail_after(long count); /* the allocation after `count` more fails, once; -1: none */
bool t_allocation_failed(void);            /* whether one did since */
const tl_host *t_host(void);
/* Prepares the op and releases it again. */
tl_status t_prepare_only(t_device *device, const t_op *op);
/* The same, for the name of what would compute it; NULL: it does not prepare. */
const char *t_implementation(t_device *device, const t_op *op);

/* Values. */
int64_t t_count(const tl_tensor_desc *desc);
size_t t_size(int dtype);
uint32_t t_random(void);
double t_uniform(double low, double high);
void t_fill(float *x, int64_t count, double low, double high);
void t_fill_integers(float *x, int64_t count, int low, int high);
void *t_allocate(size_t bytes); /* zeroed; ends the program where there is none */
double *t_f64(const float *x, int64_t count); /* NULL gives NULL */
double *t_zeros(int64_t count);

/* got[i] must be within tolerance[i] of want[i], NaN where want is NaN, the same infinity where it is one. */
bool t_close(char *why, const char *label, const float *got, const double *want, const double *tolerance,
             int64_t count);

#endif
