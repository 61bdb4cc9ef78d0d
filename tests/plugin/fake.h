/* plugin/fake.h: the parts of the fake backend. */
#ifndef FAKE_H
#define FAKE_H

#include <stdbool.h>
#include <tl/backend.h>

#define FAKE_MAX_OPERANDS (TL_MAX_INPUTS + TL_MAX_OUTPUTS)

/* An operation as its arithmetic sees it: data[i] belongs to desc[i], NULL where the operand is absent; inputs first,
 * outputs from data[inputs]. */
typedef struct fake_call {
    const tl_op_desc *op;
    tl_tensor_desc desc[FAKE_MAX_OPERANDS];
    void *data[FAKE_MAX_OPERANDS];
    uint32_t inputs, outputs;
} fake_call;

typedef void (*fake_arithmetic)(const fake_call *call);

/* Slow and obvious arithmetic for this form, or NULL with the reason why there is none. */
fake_arithmetic fake_find(const tl_op_desc *op, const tl_operand *operands, uint32_t inputs, uint32_t outputs,
                          const char **reason);

/* The stem of an operation, "conv2d"; "unknown" for others. */
const char *fake_stem(uint32_t op);

#endif
