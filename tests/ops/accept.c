/* accept.c: the device accepts every operation of TL_OP_LIST in every form: each operand that may be absent there
 * and not, each constant and not. What is malformed is refused; a failed allocation is reported and leaks nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/device.h"
#include "tests/ops/harness.h"

static const struct {
    const char *stem, *inputs, *outputs;
} list[TL_OP_COUNT] = {
#define T_ROW(NAME, stem, inputs, outputs) [TL_OP_##NAME] = {#stem, inputs, outputs},
    TL_OP_LIST(T_ROW)
#undef T_ROW
};

/* An operand's shape in the example of an operation, by letter: X [2,6,6,4], Y [2,3,3,6], R the maps of a pooling by
 * 2 [2,3,3,4], W [6,3,3,4], H [2,6,6,2], c [4], o [6], t [4,256], l [2,6,6], 4 [4], p [10], s [3], a [2,8], 2 [2], d [3,4]. And the types that are
 * not f32 after it: b u8, i i32, q i64. One string an operation, so that a new one without an example is seen. */
static const char *const examples[TL_OP_COUNT] = {
    [TL_OP_NORMALIZE] = "Xb t X",
    [TL_OP_CONV2D] = "X W o Y Y",
    [TL_OP_CONV2D_GRAD_INPUT] = "Y W X X X",
    [TL_OP_CONV2D_GRAD_WEIGHT] = "X Y W o",
    [TL_OP_BATCHNORM] = "X c c c c X X c c",
    [TL_OP_BATCHNORM_GRAD] = "X X c c c X X c c",
    [TL_OP_RELU] = "X X",
    [TL_OP_RELU_GRAD] = "X X X",
    [TL_OP_ADD] = "X X X",
    [TL_OP_MAXPOOL2D] = "X R Rb",
    [TL_OP_MAXPOOL2D_GRAD] = "R Rb X",
    [TL_OP_AVGPOOL2D] = "X R",
    [TL_OP_AVGPOOL2D_GRAD] = "R X",
    [TL_OP_DROPOUT] = "X 4i X",
    [TL_OP_CROSS_ENTROPY] = "X li c 4",
    [TL_OP_CROSS_ENTROPY_GRAD] = "X li c 4 X",
    [TL_OP_ADAM] = "p p p p sq a",
    [TL_OP_CONCAT] = "X X X X X X X",
    [TL_OP_SLICE] = "X H",
    [TL_OP_UPSAMPLE2D] = "R X",
    [TL_OP_UPSAMPLE2D_GRAD] = "X R",
    [TL_OP_DICE] = "X li 2 d",
    [TL_OP_DICE_GRAD] = "X li d X",
};

static void give(t_op *op, int i, const char *letters) {
    int dtype = letters[1] == 'b'   ? TL_DTYPE_U8
                : letters[1] == 'i' ? TL_DTYPE_I32
                : letters[1] == 'q' ? TL_DTYPE_I64
                                    : TL_DTYPE_F32;
    static const struct {
        char letter;
        int rank;
        int64_t shape[4];
    } shapes[] = {{'X', 4, {2, 6, 6, 4}}, {'Y', 4, {2, 3, 3, 6}}, {'R', 4, {2, 3, 3, 4}}, {'W', 4, {6, 3, 3, 4}}, {'H', 4, {2, 6, 6, 2}},
                  {'c', 1, {4}},          {'o', 1, {6}},          {'t', 2, {4, 256}},     {'l', 3, {2, 6, 6}},
                  {'4', 1, {4}},          {'p', 1, {10}},         {'s', 1, {3}},          {'a', 2, {2, 8}},
                  {'2', 1, {2}},          {'d', 2, {3, 4}}};
    for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++)
        if (shapes[k].letter == letters[0])
            t_give(op, i, dtype, shapes[k].rank, shapes[k].shape);
}

static void attributes(tl_op_desc *d) {
    bool pool = d->op == TL_OP_MAXPOOL2D || d->op == TL_OP_MAXPOOL2D_GRAD;
    for (int i = 0; i < 2; i++) {
        d->kernel[i] = pool ? 2 : 3;
        d->stride[i] = 2;
        d->pad[i] = pool ? 0 : 1;
        d->dilation[i] = 1;
    }
    d->groups = 1;
    d->eps = 1e-5f;
    d->p = 0.5f;
    d->count = 2;
}

/* Bit i: operand i may be absent; and which are inputs. */
static unsigned optional_of(int which, int *inputs, int *count) {
    const char *parts[2] = {list[which].inputs, list[which].outputs};
    unsigned mask = 0;
    *count = 0;
    for (int p = 0; p < 2; p++) {
        for (const char *word = parts[p]; *word; ++*count) {
            size_t length = strcspn(word, " ");
            if (word[strcspn(word, " ?")] == '?')
                mask |= 1u << *count;
            word += length + (word[length] == ' ');
        }
        if (p == 0)
            *inputs = *count;
    }
    return mask;
}

/* Every operand of the example that is not in `absent`; inputs in `constant` are constants. */
static void make(t_op *op, int which, unsigned absent, unsigned constant) {
    t_begin(op, (tl_op)which);
    attributes(&op->desc);
    const char *letters = examples[which];
    for (int i = 0; i < op->inputs + op->outputs; i++) {
        if (!(absent & 1u << i)) {
            give(op, i, letters);
            op->operand[i].constant = i < op->inputs && (constant & 1u << i);
        }
        letters += strcspn(letters, " ");
        letters += *letters == ' ';
    }
    if (which == TL_OP_CONCAT && !(absent & 1u << op->inputs)) { /* as many channels as are there */
        int64_t channels = 0;
        for (int i = 0; i < op->inputs; i++)
            channels += op->operand[i].desc.dtype ? op->operand[i].desc.shape[3] : 0;
        free(op->operand[op->inputs].result);
        t_give(op, op->inputs, TL_DTYPE_F32, T_SHAPE(2, 6, 6, channels));
    }
}

/* Every allocation on the way fails once: the failure is reported as such. */
static bool survives_failures(t_device *device, const t_op *op, char *why) {
    for (long n = 0; n < 100; n++) {
        t_allocations_fail_after(n);
        tl_status status = t_prepare_only(device, op);
        bool hit = t_allocation_failed();
        t_allocations_fail_after(-1);
        if (!hit)
            return status == TL_OK;
        if (status != TL_ERROR_MEMORY || t_failure_status() != TL_ERROR_MEMORY) {
            snprintf(why, T_WHY, "allocation %ld failed, prepare returned %d", n, (int)status);
            return false;
        }
    }
    snprintf(why, T_WHY, "prepare never ends");
    return false;
}

static bool accepts(t_device *device, int which, char *why) {
    int inputs, count;
    unsigned optional = optional_of(which, &inputs, &count);
    if (!examples[which]) {
        snprintf(why, T_WHY, "there is no example of it");
        return false;
    }
    unsigned all = 1u << count, inputs_mask = (1u << inputs) - 1;
    for (unsigned absent = 0; absent < all; absent++) {
        if (absent & ~optional)
            continue;
        for (int form = 0; form < 8; form++) {
            t_op op;
            make(&op, which, absent, form & 4 ? inputs_mask & ~1u : 0);
            op.desc.relu = form & 1;
            op.desc.statistics = form >> 1 & 1;
            bool ok = t_prepare_only(device, &op) == TL_OK;
            if (!ok)
                snprintf(why, T_WHY, "without operands %x, form %d: %s", absent, form, t_failure());
            ok = ok && survives_failures(device, &op, why);
            t_end(&op);
            if (!ok)
                return false;
        }
    }
    return true;
}

/* A needed operand missing, another type, too many operands. */
static bool refuses(t_device *device, int which, char *why) {
    int inputs, count;
    unsigned optional = optional_of(which, &inputs, &count);
    for (int i = 0; i < count; i++) {
        t_op op;
        make(&op, which, optional & 1u << i ? 0 : 1u << i, 0);
        if (optional & 1u << i)
            op.operand[i].desc.dtype = TL_DTYPE_F64;
        tl_status status = t_prepare_only(device, &op);
        t_end(&op);
        if (status == TL_OK) {
            snprintf(why, T_WHY, "operand %d is wrong and was accepted", i);
            return false;
        }
    }
    t_op op;
    make(&op, which, 0, 0);
    op.operand[0].desc.dtype = TL_DTYPE_F64;
    bool ok = t_prepare_only(device, &op) == TL_UNSUPPORTED;
    op.operand[0].desc.dtype = op.desc.op == TL_OP_NORMALIZE ? TL_DTYPE_U8 : TL_DTYPE_F32;
    op.outputs += op.inputs + op.outputs < T_OPERANDS ? 1 : -1;
    ok = ok && t_prepare_only(device, &op) != TL_OK;
    if (!ok)
        snprintf(why, T_WHY, "another type or number of operands was not refused");
    t_end(&op);
    return ok;
}

static bool refuses_unknown(t_device *device) {
    t_op op;
    make(&op, TL_OP_RELU, 0, 0);
    op.desc.op = TL_OP_COUNT;
    bool ok = t_prepare_only(device, &op) == TL_UNSUPPORTED;
    t_end(&op);
    return ok;
}

static void cases(void) {
    for (int v = 0; v < t_variant_count(); v++) {
        t_variants *variant = t_variant(v);
        t_device *device = variant->teams[variant->team_count - 1];
        for (int which = 0; which < TL_OP_COUNT; which++) {
            char why[T_WHY] = "";
            bool ok = accepts(device, which, why) && refuses(device, which, why);
            t_ok(ok, "%s %s", list[which].stem, variant->name ? variant->name : "");
            if (!ok)
                t_note("%s", why);
        }
        t_ok(refuses_unknown(device), "an unknown operation is refused %s", variant->name ? variant->name : "");
    }
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
