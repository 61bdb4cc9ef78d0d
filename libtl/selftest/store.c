/* Trials whose activations are stored in 16 or 8 bits, as a plan stores those of a frozen part. The reference computes with
 * the same values rounded to 16 bits in f32, with bytes as they are. */
#include <math.h>
#include <string.h>

#include "selftest/trial.h"

bool tl__trial_storable(uint32_t op) {
    static const uint32_t forward[] = {TL_OP_NORMALIZE, TL_OP_CONV2D,    TL_OP_BATCHNORM, TL_OP_RELU,  TL_OP_ADD,
                                       TL_OP_MAXPOOL2D, TL_OP_AVGPOOL2D, TL_OP_CONCAT,    TL_OP_SLICE, TL_OP_UPSAMPLE2D};
    for (size_t i = 0; i < TL__COUNT(forward); i++)
        if (op == forward[i])
            return true;
    return false;
}

/* Activations have four dimensions, and so have the weights of a convolution, which stay. */
static bool is_activation(const tl__trial *trial, int i) {
    return trial->desc[i].dtype == TL_DTYPE_F32 && trial->desc[i].rank == 4 && !(trial->op.op == TL_OP_CONV2D && i == 1);
}

static uint16_t narrow(int dtype, float x) {
    return dtype == TL_DTYPE_BF16 ? tl__f32_to_bf16(x) : tl__f32_to_f16(x);
}

static float widen(int dtype, uint16_t x) {
    return dtype == TL_DTYPE_BF16 ? tl__bf16_to_f32(x) : tl__f16_to_f32(x);
}

static tl_status store_input(tl__trial *trial, int i, tl_dtype dtype, tl__trial *stored) {
    float *from = trial->data[i];
    uint16_t *to = tl__alloc(trial->context, (size_t)tl__desc_count(&trial->desc[i]) * sizeof *to);
    if (!to)
        return TL_ERROR_MEMORY;
    for (int64_t k = 0; k < tl__desc_count(&trial->desc[i]); k++) {
        to[k] = narrow(dtype, from[k]);
        from[k] = widen(dtype, to[k]);
    }
    stored->data[i] = to;
    stored->desc[i].dtype = dtype;
    return TL_OK;
}

tl_status tl__trial_store(tl__trial *trial, tl_dtype dtype, bool output_too, tl__trial *stored) {
    const tl__op_rule *rule = trial->rule;
    bool any = false;
    *stored = *trial;
    for (int i = 0; i < tl__trial_operands(trial); i++) {
        if (!is_activation(trial, i))
            continue;
        if (i < rule->input_count)
            TL__TRY(store_input(trial, i, dtype, stored));
        else if (output_too || !any)
            stored->desc[i].dtype = dtype;
        any = true;
    }
    for (int o = 0; o < rule->output_count; o++)
        if (trial->shares[o] >= 0 &&
            !tl__desc_equal(&stored->desc[trial->shares[o]], &stored->desc[rule->input_count + o]))
            trial->shares[o] = stored->shares[o] = -1;
    return TL_OK;
}

/* ---- in 8 bits ---- */

/* Most numbers fit, and some are beyond both ends. */
static void set_quantum(tl__trial *stored, int i) {
    const int64_t *w = stored->desc[1].shape;
    const bool sums = stored->op.op == TL_OP_CONV2D && i >= stored->rule->input_count;
    stored->op.step[i] = sums ? 0.008f * sqrtf((float)(w[1] * w[2] * w[3])) : 0.008f;
    stored->op.zero[i] = sums && stored->op.relu ? 0 : 117;
}

static tl_status quantise_input(const tl__trial *trial, int i, tl__trial *stored) {
    const float *from = trial->data[i];
    const int64_t count = tl__desc_count(&trial->desc[i]);
    uint8_t *to = tl__alloc(trial->context, (size_t)count);
    if (!to)
        return TL_ERROR_MEMORY;
    for (int64_t k = 0; k < count; k++) {
        const float x = rintf(from[k] / stored->op.step[i]) + (float)stored->op.zero[i];
        to[k] = (uint8_t)(x > 0 ? x < 255 ? x : 255 : 0);
    }
    stored->data[i] = to;
    return TL_OK;
}

tl_status tl__trial_quantise(const tl__trial *trial, bool output_too, tl__trial *stored) {
    const tl__op_rule *rule = trial->rule;
    *stored = *trial;
    for (int i = 0; i < tl__trial_operands(trial); i++) {
        const bool input = i < rule->input_count;
        if (is_activation(trial, i) && (input || output_too || trial->op.op == TL_OP_NORMALIZE)) {
            set_quantum(stored, i);
            if (input)
                TL__TRY(quantise_input(trial, i, stored));
            stored->desc[i].dtype = TL_DTYPE_U8;
        } else if (input && tl__trial_may_be_constant(trial->op.op, i)) {
            stored->constant[i] = trial->data[i] != NULL;
        } else if (!input && (rule->optional_outputs >> (i - rule->input_count) & 1)) {
            stored->desc[i] = (tl_tensor_desc){0};
        }
    }
    for (int o = 0; o < rule->output_count; o++)
        if (stored->shares[o] >= 0 &&
            !tl__desc_equal(&stored->desc[stored->shares[o]], &stored->desc[rule->input_count + o]))
            stored->shares[o] = -1;
    return TL_OK;
}

void tl__trial_unstore(const tl__trial *trial, tl__trial *stored) {
    for (int i = 0; i < TL_MAX_INPUTS; i++)
        if (stored->data[i] != trial->data[i])
            tl__free(trial->context, stored->data[i]);
}

void tl__trial_result_widen(const tl__trial *stored, tl__trial_result *result) {
    for (int i = 0; i < tl__trial_operands(stored); i++) {
        int dtype = stored->desc[i].dtype;
        if (!result->data[i] || (dtype != TL_DTYPE_BF16 && dtype != TL_DTYPE_F16))
            continue;
        char *data = result->data[i]; /* from the end: what is wider overwrites only what was read */
        for (int64_t k = tl__desc_count(&stored->desc[i]) - 1; k >= 0; k--) {
            uint16_t half;
            memcpy(&half, data + 2 * k, sizeof half);
            float x = widen(dtype, half);
            memcpy(data + 4 * k, &x, sizeof x);
        }
    }
}

/* Half a unit in the last place, which is what rounding to nearest is off by. */
static double half_unit(int dtype, double x) {
    int exponent, bits = dtype == TL_DTYPE_BF16 ? 8 : 11, least = dtype == TL_DTYPE_BF16 ? -125 : -13;
    if (x == 0 || !isfinite(x))
        return 0;
    frexp(x, &exponent);
    return ldexp(1, (exponent > least ? exponent : least) - bits - 1);
}

void tl__trial_bound_store(const tl__trial *stored, const tl__trial_result *wanted, tl__trial_result *bound) {
    for (int i = stored->rule->input_count; i < tl__trial_operands(stored); i++) {
        int dtype = stored->desc[i].dtype;
        if (!bound->data[i] || (dtype != TL_DTYPE_BF16 && dtype != TL_DTYPE_F16))
            continue;
        double *b = bound->data[i];
        const float *x = wanted->data[i];
        for (int64_t k = 0; k < tl__desc_count(&stored->desc[i]); k++)
            if (b[k] > 0 || widen(dtype, narrow(dtype, x[k])) != x[k])
                b[k] += half_unit(dtype, fabs((double)x[k]) + b[k]);
    }
}
