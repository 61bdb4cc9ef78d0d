#include "selftest/trial.h"

#include <stdio.h>
#include <string.h>

#include "ops/ops.h"

/* What trials are drawn from; an operation uses what it has a meaning for. */
typedef struct shape {
    int n, h, w, c;
    int o, k[2], s[2], p[2], d[2], g; /* o: channels of y; k: kernel, or extent of an average */
} shape;

#define MAP(n, h, w, c) {n, h, w, c, 0, {0, 0}, {0, 0}, {0, 0}, {0, 0}, 0}

/* Channel counts around the widths of vectors and tiles, odd numbers of pixels. */
static const shape maps[] = {
    MAP(1, 1, 1, 1), MAP(1, 1, 2, 1), MAP(2, 1, 1, 3), MAP(5, 1, 1, 2), MAP(2, 3, 3, 7), MAP(1, 5, 7, 8),
    MAP(1, 7, 5, 15), MAP(3, 3, 5, 16), MAP(1, 9, 7, 17), MAP(2, 5, 3, 31), MAP(1, 7, 7, 32), MAP(1, 5, 5, 33),
    MAP(3, 4, 5, 63), MAP(1, 9, 9, 64), MAP(2, 7, 7, 65), MAP(1, 5, 5, 127), MAP(1, 3, 7, 128), MAP(2, 5, 5, 129),
    MAP(1, 5, 1, 255), MAP(3, 1, 1, 257), MAP(33, 1, 1, 10), MAP(4, 13, 11, 24), MAP(5, 3, 3, 512),
    MAP(3, 1, 1, 1000), MAP(2, 1, 1, 1025), MAP(1, 57, 55, 3),
};

#define K1(n, h, w, c, o, s) {n, h, w, c, o, {1, 1}, {s, s}, {0, 0}, {1, 1}, 1}
#define K3(n, h, w, c, o, s) {n, h, w, c, o, {3, 3}, {s, s}, {1, 1}, {1, 1}, 1}

static const shape convolutions[] = {
    K1(1, 1, 1, 1, 1, 1), K1(1, 3, 5, 3, 7, 1), K1(2, 5, 5, 7, 16, 1), K1(1, 7, 7, 63, 64, 1), K1(2, 7, 7, 65, 63, 1),
    K1(1, 5, 7, 128, 129, 1), K1(2, 9, 7, 16, 24, 2), K1(1, 14, 14, 64, 256, 1), K1(1, 1, 1, 513, 10, 1),
    K1(33, 1, 1, 20, 5, 1), K3(1, 1, 1, 1, 1, 1), K3(2, 7, 9, 3, 16, 1), K3(1, 8, 8, 16, 7, 1), K3(1, 7, 7, 63, 65, 1),
    K3(1, 14, 14, 64, 64, 1), K3(2, 9, 7, 64, 65, 2), K3(1, 5, 5, 129, 127, 1), K3(1, 3, 3, 640, 32, 1),
    K3(3, 7, 8, 7, 3, 2), K3(2, 23, 21, 32, 32, 1), K3(1, 14, 14, 128, 136, 1), K3(2, 13, 15, 130, 129, 1),
    {1, 9, 9, 4, 5, {1, 1}, {3, 3}, {0, 0}, {1, 1}, 1},  {2, 5, 6, 7, 9, {1, 1}, {1, 1}, {1, 2}, {1, 1}, 1},
    {1, 7, 7, 5, 6, {3, 3}, {1, 1}, {0, 0}, {1, 1}, 1},  {2, 9, 8, 6, 7, {3, 3}, {2, 1}, {1, 0}, {1, 1}, 1},
    {1, 9, 9, 16, 17, {3, 3}, {1, 1}, {2, 2}, {2, 2}, 1}, {2, 11, 8, 7, 16, {3, 3}, {1, 1}, {4, 4}, {4, 4}, 1},
    {1, 8, 9, 3, 4, {3, 2}, {1, 2}, {1, 3}, {3, 2}, 1},  {1, 9, 9, 64, 65, {3, 3}, {2, 2}, {2, 2}, {2, 2}, 1},
    {1, 32, 32, 3, 64, {7, 7}, {2, 2}, {3, 3}, {1, 1}, 1}, {1, 7, 7, 64, 10, {7, 7}, {1, 1}, {0, 0}, {1, 1}, 1},
    {1, 5, 9, 6, 7, {1, 7}, {1, 1}, {0, 3}, {1, 1}, 1},  {2, 11, 13, 7, 8, {5, 5}, {2, 2}, {2, 2}, {1, 1}, 1},
    {1, 6, 7, 4, 6, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 2},  {2, 7, 7, 32, 64, {1, 1}, {1, 1}, {0, 0}, {1, 1}, 2},
    {1, 7, 7, 128, 128, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 32}, {2, 9, 8, 64, 64, {3, 3}, {2, 2}, {1, 1}, {1, 1}, 16},
    {1, 8, 9, 33, 33, {3, 3}, {1, 1}, {1, 1}, {1, 1}, 33}, {1, 9, 9, 34, 38, {3, 3}, {1, 1}, {2, 2}, {2, 2}, 2},
};

#define POOL(n, h, w, c, k, s, p) {n, h, w, c, 0, {k, k}, {s, s}, {p, p}, {0, 0}, 0}

static const shape pools[] = {
    POOL(1, 1, 1, 1, 1, 1, 0), POOL(1, 4, 4, 3, 2, 2, 0), POOL(2, 9, 7, 16, 3, 2, 1), POOL(1, 8, 8, 17, 3, 2, 1),
    POOL(3, 5, 6, 63, 3, 1, 1), POOL(1, 7, 7, 65, 2, 2, 0), POOL(1, 14, 14, 64, 3, 2, 1), POOL(1, 6, 5, 127, 2, 2, 0),
    POOL(2, 3, 3, 129, 3, 2, 1), POOL(1, 20, 17, 2, 16, 1, 0), POOL(1, 5, 5, 5, 5, 1, 2), POOL(5, 2, 2, 8, 2, 1, 1),
    POOL(1, 15, 13, 4, 3, 3, 0), POOL(2, 16, 16, 31, 2, 2, 0), POOL(1, 28, 28, 9, 3, 2, 1), POOL(1, 7, 9, 33, 4, 2, 2),
    {1, 11, 10, 7, 0, {3, 2}, {2, 1}, {1, 0}, {0, 0}, 0}, {1, 13, 9, 5, 0, {5, 5}, {3, 2}, {2, 2}, {0, 0}, 0},
    {1, 6, 7, 24, 0, {2, 3}, {3, 4}, {0, 0}, {0, 0}, 0},  {2, 9, 12, 6, 0, {1, 4}, {1, 3}, {0, 1}, {0, 0}, 0},
    {1, 12, 5, 11, 0, {4, 1}, {2, 2}, {2, 0}, {0, 0}, 0},
};

#define TO(n, h, w, c, eh, ew) {n, h, w, c, 0, {eh, ew}, {0, 0}, {0, 0}, {0, 0}, 0}

static const shape averages[] = {
    TO(1, 1, 1, 1, 1, 1), TO(2, 7, 7, 64, 1, 1), TO(1, 7, 7, 65, 1, 1), TO(3, 5, 3, 17, 1, 1),
    TO(1, 2, 2, 512, 1, 1), TO(5, 4, 4, 129, 1, 1), TO(1, 14, 14, 16, 7, 7), TO(1, 7, 7, 31, 7, 7),
    TO(2, 3, 3, 8, 7, 7), TO(1, 1, 1, 33, 7, 7), TO(1, 10, 9, 5, 7, 7), TO(2, 6, 6, 3, 4, 4),
    TO(1, 13, 11, 7, 5, 3), TO(1, 5, 9, 63, 2, 4), TO(1, 8, 8, 24, 3, 3), TO(2, 9, 5, 2, 6, 6),
    TO(1, 17, 1, 12, 3, 1), TO(1, 1, 19, 15, 1, 4), TO(4, 3, 5, 127, 2, 2), TO(1, 28, 28, 4, 7, 7),
    TO(1, 23, 21, 1, 1, 1), TO(1, 4, 6, 257, 3, 5),
};

static const shape resizes[] = {
    TO(1, 1, 1, 1, 1, 1), TO(2, 1, 1, 17, 9, 7), TO(1, 2, 2, 3, 4, 4), TO(1, 8, 8, 21, 64, 64), TO(2, 7, 5, 16, 21, 15),
    TO(1, 4, 4, 64, 8, 8), TO(1, 3, 5, 65, 7, 11), TO(1, 5, 3, 2, 40, 24), TO(1, 7, 7, 31, 13, 14),
    TO(3, 2, 3, 8, 5, 5),
    TO(1, 6, 6, 33, 6, 6), TO(1, 9, 1, 7, 17, 1), TO(1, 1, 9, 5, 3, 20), TO(2, 3, 3, 128, 6, 9), TO(1, 4, 6, 129, 5, 7),
    TO(1, 16, 16, 4, 33, 31), TO(5, 2, 2, 10, 3, 3), TO(1, 10, 12, 3, 80, 96), TO(1, 5, 5, 255, 10, 10),
    TO(1, 8, 8, 12, 4, 4), TO(1, 11, 7, 9, 5, 3), TO(2, 3, 4, 63, 12, 16),
};

/* Inputs: the letter of a shape, that of their contents, '*' where they may be constants (parameters and tables).
 * Shapes: X [n,h,w,c], Y [n,oh,ow,o] of a convolution, W its weights, P the same of a pooling [n,ph,pw,c], A [n,k,c],
 * J [n,h,w,c/2+1], K [n,h,w,2c+1], C [c], O [o], T [c,256], L [n,h,w], 4 [4], F [n*h*w*c], S [segments+1],
 * R [segments,8], D [3,c].
 * Contents: r real, i integers where the trial is one of integers, o real around some offset, f with a few NaN and
 * infinities, m integers -1 to 1, p positive, g logits, b bytes, x indices of a pooling, t targets, w class weights,
 * l a loss, n a counter, s segments, a Adam's table, d sums of dice,
 * u mean of x and v invstd or variance of x. */
static const struct {
    const shape *shapes;
    size_t count;
    int forms; /* trials of each shape */
    const char *inputs;
} table[TL_OP_COUNT] = {
#define ROW(NAME, shapes, forms, inputs) [TL_OP_##NAME] = {shapes, TL__COUNT(shapes), forms, inputs}
    ROW(NORMALIZE, maps, 1, "Xb Tr*"),
    ROW(CONV2D, convolutions, 3, "Xi Wi* Oi* Yi"),
    ROW(CONV2D_GRAD_INPUT, convolutions, 3, "Yi Wi* Xi Xm"),
    ROW(CONV2D_GRAD_WEIGHT, convolutions, 2, "Xi Yi"),
    ROW(BATCHNORM, maps, 3, "Xo Cr* Cr* Co* Cp* Xr"),
    ROW(BATCHNORM_GRAD, maps, 3, "Xo Xr Cr* Cu* Cv* Xm"),
    ROW(RELU, maps, 1, "Xf"),
    ROW(RELU_GRAD, maps, 1, "Xr Xf"),
    ROW(ADD, maps, 2, "Xr Xr"),
    ROW(MAXPOOL2D, pools, 2, "Xf"),
    ROW(MAXPOOL2D_GRAD, pools, 1, "Pi Px"),
    ROW(AVGPOOL2D, averages, 1, "Xr"),
    ROW(AVGPOOL2D_GRAD, averages, 1, "Ar"),
    ROW(DROPOUT, maps, 2, "Xr 4n"),
    ROW(CROSS_ENTROPY, maps, 2, "Xg Lt Cw*"),
    ROW(CROSS_ENTROPY_GRAD, maps, 2, "Xg Lt Cw* 4l"),
    ROW(ADAM, maps, 2, "Fr Fr Fr Fp Sq* Ra"),
    ROW(CONCAT, maps, 2, "Xr Jr Kr Xr Jr Kr"),
    ROW(SLICE, maps, 1, "Xr"),
    ROW(UPSAMPLE2D, resizes, 1, "Xr"),
    ROW(UPSAMPLE2D_GRAD, resizes, 1, "Ar"),
    ROW(DICE, maps, 2, "Xg Lt"),
    ROW(DICE_GRAD, maps, 2, "Xg Lt Dd"),
#undef ROW
};

/* The letters of input i. */
static const char *letters_of(uint32_t op, int i) {
    const char *at = table[op].inputs;
    for (; i > 0; i--)
        at += strcspn(at, " ") + 1;
    return at;
}

bool tl__trial_may_be_constant(uint32_t op, int input) {
    return letters_of(op, input)[2] == '*';
}

int tl__trial_count(uint32_t op) {
    return (int)table[op].count * table[op].forms;
}

static tl_tensor_desc desc_of(const char *letters, const shape *s, int segments) {
    int64_t oh = s->s[0] ? tl__window_count(s->h, s->k[0], s->s[0], s->p[0], s->d[0] ? s->d[0] : 1) : 0;
    int64_t ow = s->s[1] ? tl__window_count(s->w, s->k[1], s->s[1], s->p[1], s->d[1] ? s->d[1] : 1) : 0;
    int64_t count = (int64_t)s->n * s->h * s->w * s->c;
    int dtype = strchr("bx", letters[1]) ? TL_DTYPE_U8 : strchr("tn", letters[1]) ? TL_DTYPE_I32
                : letters[1] == 'q' ? TL_DTYPE_I64 : TL_DTYPE_F32;
    switch (letters[0]) {
    case 'X': return tl__desc4(dtype, s->n, s->h, s->w, s->c);
    case 'Y': return tl__desc4(dtype, s->n, oh, ow, s->o);
    case 'W': return tl__desc4(dtype, s->o, s->k[0], s->k[1], s->c / s->g);
    case 'P': return tl__desc4(dtype, s->n, oh, ow, s->c);
    case 'A': return tl__desc4(dtype, s->n, s->k[0], s->k[1], s->c);
    case 'J': return tl__desc4(dtype, s->n, s->h, s->w, s->c / 2 + 1);
    case 'K': return tl__desc4(dtype, s->n, s->h, s->w, 2 * s->c + 1);
    case 'D': return tl__desc(dtype, 2, (const int64_t[]){3, s->c});
    case 'C': return tl__desc1(dtype, s->c);
    case 'O': return tl__desc1(dtype, s->o);
    case 'T': return tl__desc(dtype, 2, (const int64_t[]){s->c, 256});
    case 'L': return tl__desc(dtype, 3, (const int64_t[]){s->n, s->h, s->w});
    case '4': return tl__desc1(dtype, 4);
    case 'F': return tl__desc1(dtype, count);
    case 'S': return tl__desc1(dtype, segments + 1);
    default: return tl__desc(dtype, 2, (const int64_t[]){segments, 8});
    }
}

/* The first trial has nothing that is optional, the second everything; the others have it by chance. */
typedef struct dice {
    tl__random random;
    int index;
} dice;

static bool draw(dice *d) {
    return d->index == 0 ? false : d->index == 1 ? true : tl__random_u32(&d->random) >> 31;
}

static void set_attributes(tl__trial *trial, const shape *s, dice *d) {
    static const float rates[] = {0, 0.1f, 0.5f, 0.9f};
    tl_op_desc *op = &trial->op;
    bool forward = op->op == TL_OP_AVGPOOL2D || op->op == TL_OP_UPSAMPLE2D;
    bool resizing = forward || op->op == TL_OP_AVGPOOL2D_GRAD || op->op == TL_OP_UPSAMPLE2D_GRAD;
    for (int i = 0; i < 2; i++) {
        op->kernel[i] = resizing ? 0 : s->k[i];
        op->stride[i] = s->s[i];
        op->pad[i] = s->p[i];
        op->dilation[i] = s->d[i];
        if (forward)
            op->extent[i] = s->k[i];
        else if (op->op != TL_OP_CONV2D && op->op != TL_OP_MAXPOOL2D && s->k[0])
            op->extent[i] = i ? s->w : s->h;
    }
    op->groups = s->g;
    if (op->op == TL_OP_CONV2D || op->op == TL_OP_BATCHNORM || op->op == TL_OP_ADD)
        op->relu = draw(d);
    if (op->op == TL_OP_BATCHNORM || op->op == TL_OP_BATCHNORM_GRAD) {
        op->statistics = draw(d) && s->n * s->h * s->w > 1 ? TL_STATISTICS_BATCH : TL_STATISTICS_STORED;
        op->eps = 1e-5f;
        op->momentum = 0.1f;
    }
    if (op->op == TL_OP_SLICE) {
        op->first = (int32_t)tl__random_below(&d->random, (uint32_t)s->c);
        op->count = 1 + (int32_t)tl__random_below(&d->random, (uint32_t)(s->c - op->first));
    }
    if (op->op == TL_OP_DROPOUT) {
        op->p = rates[tl__random_below(&d->random, TL__COUNT(rates))];
        op->stream = tl__random_u32(&d->random);
    }
    if (op->op == TL_OP_CROSS_ENTROPY || op->op == TL_OP_CROSS_ENTROPY_GRAD) {
        op->ignore_index = draw(d) ? 255 : -100;
        op->smoothing = draw(d) ? 0.1f : 0;
        op->scale = draw(d) ? 0.5f : 1;
    }
    if (op->op == TL_OP_DICE || op->op == TL_OP_DICE_GRAD) {
        op->ignore_index = draw(d) ? 255 : -100;
        op->eps = draw(d) ? 0.01f : 1;
        op->scale = draw(d) ? 0.5f : 1;
    }
}

static tl_status give_inputs(tl__trial *trial, const shape *s, dice *d) {
    const tl__op_rule *rule = trial->rule;
    int segments = 1 + (int)tl__random_below(&d->random, 9);
    bool updates = trial->op.statistics == TL_STATISTICS_BATCH || trial->op.op == TL_OP_ADAM;
    for (int i = 0; i < rule->input_count; i++) {
        const char *letters = letters_of(trial->op.op, i);
        if ((rule->optional_inputs >> i & 1) && !draw(d))
            continue;
        trial->desc[i] = desc_of(letters, s, segments);
        trial->constant[i] = letters[2] == '*' && !(updates && (rule->updated_inputs >> i & 1)) && draw(d);
        trial->data[i] = tl__alloc(trial->context, tl__desc_bytes(&trial->desc[i]));
        if (!trial->data[i])
            return TL_ERROR_MEMORY;
        tl__trial_fill(trial, i, letters[1], &d->random);
    }
    return TL_OK;
}

/* One output at least; what only batch statistics write is there with them alone. */
static tl_status give_outputs(tl__trial *trial, dice *d) {
    const tl__op_rule *rule = trial->rule;
    tl_tensor_desc out[TL_MAX_OUTPUTS] = {{0}};
    bool saved = trial->op.op == TL_OP_BATCHNORM && trial->op.statistics != TL_STATISTICS_BATCH, any = false;
    TL__TRY(tl__op_shape(trial->context, &trial->op, trial->desc, out));
    for (int o = 0; o < rule->output_count; o++) {
        bool there = !(rule->optional_outputs >> o & 1) || (draw(d) && !(saved && o > 0));
        if (!there && (any || o + 1 < rule->output_count))
            continue;
        any = true;
        trial->desc[rule->input_count + o] = out[o];
    }
    return TL_OK;
}

static void share_places(tl__trial *trial, dice *d) {
    const tl__op_rule *rule = trial->rule;
    for (int o = 0; o < rule->output_count; o++)
        for (int i = 0; i < rule->input_count; i++)
            if ((rule->aliases[o] >> i & 1) && trial->shares[o] < 0 && !trial->constant[i] && trial->desc[i].dtype &&
                tl__desc_equal(&trial->desc[i], &trial->desc[rule->input_count + o]) && draw(d))
                trial->shares[o] = i;
}

tl_status tl__trial_make(tl_context *context, uint32_t op, int index, tl__trial *trial) {
    dice d = {.index = index};
    int which = index % (int)table[op].count;
    const shape *s = &table[op].shapes[which];
    tl__random_start(&d.random, op, (uint64_t)index);
    *trial = (tl__trial){.context = context, .op = {.size = sizeof trial->op, .op = op}, .rule = tl__op_rule_of(op),
                         .shape = which, .shares = {-1, -1, -1}, .integers = index % 3 == 2};
    set_attributes(trial, s, &d);
    trial->op.exact = trial->integers && op == TL_OP_CONV2D; /* Winograd's fractions round where sums of integers do not */
    TL__TRY(give_inputs(trial, s, &d));
    TL__TRY(give_outputs(trial, &d));
    share_places(trial, &d);
    return TL_OK;
}

void tl__trial_free(tl__trial *trial) {
    for (int i = 0; i < TL_MAX_INPUTS; i++)
        tl__free(trial->context, trial->data[i]);
}

const char *tl__trial_text(const tl__trial *trial, char *text, size_t size) {
    const tl_op_desc *op = &trial->op;
    size_t used = 0;
#define PRINT(...) \
    if (used < size) \
        used += (size_t)snprintf(text + used, size - used, __VA_ARGS__)
    for (int i = 0; i < tl__trial_operands(trial); i++) {
        char desc[96];
        int share = i < trial->rule->input_count ? -1 : trial->shares[i - trial->rule->input_count];
        if (!trial->desc[i].dtype)
            continue;
        PRINT("%s%s ", used ? ", " : "", tl__trial_name(trial, i));
        if (share >= 0) {
            PRINT("over %s", trial->rule->inputs[share]);
            continue;
        }
        PRINT("%s%s", tl__desc_text(&trial->desc[i], desc, sizeof desc),
              i < trial->rule->input_count && trial->constant[i] ? " constant" : "");
    }
    if (op->stride[0])
        PRINT("; kernel %d,%d, stride %d,%d, padding %d,%d", op->kernel[0], op->kernel[1], op->stride[0], op->stride[1],
              op->pad[0], op->pad[1]);
    if (op->groups)
        PRINT(", dilation %d,%d, %d groups", op->dilation[0], op->dilation[1], op->groups);
    if (op->relu)
        PRINT("; relu");
    if (op->count)
        PRINT("; %d channels from %d on", op->count, op->first);
    if (op->op == TL_OP_BATCHNORM || op->op == TL_OP_BATCHNORM_GRAD)
        PRINT("; %s statistics", op->statistics == TL_STATISTICS_BATCH ? "batch" : "stored");
#undef PRINT
    return text;
}
