/* canary.h: is the device right? Small operations whose results are compared with plain C, because compilers of drivers
 * are wrong now and then and nothing else would tell. What was found right is kept in the cache of binaries, keyed by
 * device, driver, libtl's version and sources, so that a device is looked at once. */
#ifndef TL_OPENCL_CANARY_H
#define TL_OPENCL_CANARY_H

#include "backends/opencl/opencl.h"

typedef enum opencl_trust {
    OPENCL_TRUST_UNASKED,
    OPENCL_TRUST_NONE,
    OPENCL_TRUST_DIRECT, /* CLBlast's small products alone: no larger one could be looked at */
    OPENCL_TRUST_ALL,
} opencl_trust;

/* Convolutions are looked at by what makes another kernel of them, because every form costs its compilation. Activations
 * stored in 16 bits are a class of their own in every operation. */
enum { CANARY_GROUPS = 1, CANARY_CONSTANT = 2, CANARY_STORED = 4, CANARY_CLASSES = 8 };

/* An operation, in the forms of canary_ops.c of that class: called before the first such kernel is prepared, on GPUs when
 * they are opened (but for CANARY_STORED, which few ask for). TL_ERROR_DEVICE: a result is wrong, and the message says
 * which; where the option "trust" is yes, that is a warning. Other failures are those of the calls. Forms that the device
 * does not offer are passed over. */
tl_status tl__opencl_canary(opencl_device *device, uint32_t op, int which);
int tl__opencl_canary_class(const tl_op_desc *op, const tl_operand *operands, uint32_t count);
tl_status tl__opencl_canary_all(opencl_device *device);

/* CLBlast's products, direct and indirect. Where they are wrong or fail, that is logged as a warning and *trust is less
 * than OPENCL_TRUST_ALL; a failure is returned only where no memory is left or the device is lost. */
tl_status tl__opencl_canary_blas(opencl_device *device, int *trust);

/* Whether `what` was found right before; and that it was. */
bool tl__opencl_canary_stamped(opencl_device *device, const char *what);
void tl__opencl_canary_stamp(opencl_device *device, const char *what);

/* The option "trust": yes, and a mismatch is a warning. */
bool tl__opencl_canary_trusting(const opencl_device *device);

/* ---- between canary.c and canary_ops.c ---- */

#define CANARY_ARRAYS (3 * OPENCL_OPERANDS)

/* One run of one operation, with what must come of it. */
typedef struct opencl_check {
    opencl_device *device;
    tl_op_desc desc;
    uint32_t inputs, outputs;
    tl_operand operands[OPENCL_OPERANDS]; /* inputs, then outputs; absent as they are at first */
    void *values[OPENCL_OPERANDS];        /* before the run; of outputs NULL */
    bool constant[OPENCL_OPERANDS];
    const char *implementation;           /* the one to look at; NULL: the best */
    double *want[OPENCL_OPERANDS];        /* floats, or halves, after the run, and how far off they may be; NULL: not looked at */
    double *tolerance[OPENCL_OPERANDS];
    char what[96];                        /* "conv2d 3x3, stride 2" */
    void *arrays[CANARY_ARRAYS];          /* all of the above, for the end */
    uint32_t array_count;
    bool starved;                         /* there was no memory for some */
} opencl_check;

/* Memory of the check, zeroed; never NULL while !starved. */
void *tl__opencl_check_array(opencl_check *check, size_t bytes);
/* Gives operand i a type and a shape; room for its values, or NULL for an output. */
void *tl__opencl_check_give(opencl_check *check, int i, int dtype, int rank, const int64_t *shape);
/* Has operand i looked at after the run: `want` and `tolerance` get room for its elements. */
void tl__opencl_check_expect(opencl_check *check, int i);

/* Describes form `form` of an operation's class; false: there are no more. */
bool tl__opencl_canary_form(opencl_check *check, uint32_t op, int which, int form);

#endif
