/* selftest/trial.h: single operations with made-up operands, run on a device. */
#ifndef TL__TRIAL_H
#define TL__TRIAL_H

#include "core/registry.h"
#include "graph/graph.h"

#define TL__TRIAL_OPERANDS (TL_MAX_INPUTS + TL_MAX_OUTPUTS)

/* Operands in the order of TL_OP_LIST, inputs first. */
typedef struct tl__trial {
    tl_context *context;
    tl_op_desc op;
    const tl__op_rule *rule;
    int shape;     /* which one of the operation's */
    bool integers; /* no sum rounds */
    tl_tensor_desc desc[TL__TRIAL_OPERANDS];
    void *data[TL_MAX_INPUTS]; /* what inputs hold */
    bool constant[TL_MAX_INPUTS];
    int shares[TL_MAX_OUTPUTS]; /* the input whose place an output takes; -1: its own */
} tl__trial;

/* ---- trials.c, fill.c ---- */

int tl__trial_count(uint32_t op);
/* Trial number `index` of an operation, the same every time; to be freed in any case. TL_ERROR_MEMORY. */
tl_status tl__trial_make(tl_context *context, uint32_t op, int index, tl__trial *trial);
void tl__trial_free(tl__trial *trial);
bool tl__trial_may_be_constant(uint32_t op, int input);
/* Gives input i its contents; `letter` says of which kind, as the table in trials.c explains. */
void tl__trial_fill(tl__trial *trial, int i, char letter, tl__random *random);
/* "x f32 [1,9,9,16], w f32 [24,3,3,16] constant, y over residual; stride 2,2" into text[size]. */
const char *tl__trial_text(const tl__trial *trial, char *text, size_t size);

static inline int tl__trial_operands(const tl__trial *trial) {
    return trial->rule->input_count + trial->rule->output_count;
}

/* Does a run write operand i? */
static inline bool tl__trial_writes(const tl__trial *trial, int i) {
    return trial->desc[i].dtype && (i >= trial->rule->input_count || (trial->rule->updated_inputs >> i & 1));
}

static inline const char *tl__trial_name(const tl__trial *trial, int i) {
    return i < trial->rule->input_count ? trial->rule->inputs[i] : trial->rule->outputs[i - trial->rule->input_count];
}

/* ---- trial_run.c ---- */

typedef struct tl__trial_result {
    void *data[TL__TRIAL_OPERANDS]; /* of the operands that a run writes, allocated by tl__trial_result_create */
    char implementation[48];
    char fault[128]; /* "it gives other results in a second run"; "" if nothing but values can be wrong */
} tl__trial_result;
tl_status tl__trial_result_create(const tl__trial *trial, tl__trial_result *result); /* to be freed in any case */
void tl__trial_result_free(const tl__trial *trial, tl__trial_result *result);

/* TL_UNSUPPORTED: the device refuses it. Anything else: it failed. The message says why. */
tl_status tl__trial_run(tl_device *device, tl_backend_queue *queue, const tl__trial *trial, tl__trial_result *result);

/* ---- store.c ---- */

/* Whether its activations can be stored in 16 or 8 bits: operations of a frozen part. */
bool tl__trial_storable(uint32_t op);
/* *stored becomes the trial with its activations in such a type, the output only with `output_too` or where
 * no input is one; the trial's own values are rounded to what that type holds. To be ended by tl__trial_unstore in any case. TL_ERROR_MEMORY. */
tl_status tl__trial_store(tl__trial *trial, tl_dtype dtype, bool output_too, tl__trial *stored);
/* The same in 8 bits, without outputs that only training needs, and with constants wherever an operand may be one. */
tl_status tl__trial_quantise(const tl__trial *trial, bool output_too, tl__trial *stored);
void tl__trial_unstore(const tl__trial *trial, tl__trial *stored);
void tl__trial_result_widen(const tl__trial *stored, tl__trial_result *result); /* 16 bits to f32, in place */
/* Lets the bounds grow by what storing `wanted` rounds. */
void tl__trial_bound_weights(const tl__trial *stored, tl__trial_result *bound); /* for weights in 16 bits, before */
void tl__trial_bound_store(const tl__trial *stored, const tl__trial_result *wanted, tl__trial_result *bound);

/* ---- bound.c ---- */

/* How far apart two devices may be, for every element of operand i of those that a run writes and that are f32:
 * bound->data[i] holds doubles. `reference` and `queue` run the operation over absolute values. */
tl_status tl__trial_bound(tl_device *reference, tl_backend_queue *queue, const tl__trial *trial,
                          tl__trial_result *bound);

#endif
