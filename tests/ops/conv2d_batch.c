/* conv2d_batch.c: an image's result does not depend on the images that it is computed with, bit for bit: predictions
 * and cached features are the same whatever the batch. */
#include <stdlib.h>
#include <string.h>

#include "tests/ops/conv_cases.h"
#include "tests/ops/conv_common.h"

#define BATCH 5
#define VARIANTS 8

enum { FROM, W, BIAS_OR_ADDEND, RESIDUAL_OR_MASK, TO };

/* What each variant of the device made of the whole batch, and of how many variants results were seen. */
typedef struct seen {
    char *whole[VARIANTS];
    int variants;
    size_t offset, bytes; /* of the image in question */
} seen;

static bool keep(const t_op *op, void *user, char *why) {
    seen *s = user;
    (void)why;
    s->whole[s->variants] = t_allocate(s->bytes * BATCH);
    memcpy(s->whole[s->variants++], op->operand[TO].result, s->bytes * BATCH);
    return true;
}

static bool compare(const t_op *op, void *user, char *why) {
    seen *s = user;
    if (memcmp(s->whole[s->variants++] + s->offset, op->operand[TO].result, s->bytes) == 0)
        return true;
    strcpy(why, "the image alone gives other bits than in the batch");
    return false;
}

static void give(t_op *op, int i, const float *values, const int64_t shape[4], int64_t first, int64_t images) {
    int64_t each = shape[1] * shape[2] * shape[3];
    void *to = t_give(op, i, TL_DTYPE_F32, T_SHAPE(images, shape[1], shape[2], shape[3]));
    if (to)
        memcpy(to, values + first * each, (size_t)(images * each) * sizeof(float));
}

static void test(const conv_shape *s, tl_op which) {
    const bool forward = which == TL_OP_CONV2D;
    const int64_t x[4] = {BATCH, s->h, s->w, s->c}, y[4] = {BATCH, conv_out(s, 0), conv_out(s, 1), s->o};
    const int64_t *from = forward ? x : y, *to = forward ? y : x;
    int64_t from_count = BATCH * from[1] * from[2] * from[3], to_count = BATCH * to[1] * to[2] * to[3];
    float *source = t_allocate((size_t)from_count * sizeof(float));
    float *extra = t_allocate((size_t)to_count * sizeof(float));
    float *weights = t_allocate((size_t)conv_w_count(s) * sizeof(float));
    t_fill(source, from_count, -1, 1);
    t_fill(extra, to_count, -1, 1);
    t_fill(weights, conv_w_count(s), -1, 1);
    seen results = {.bytes = (size_t)(to_count / BATCH) * sizeof(float)};
    for (int image = -1; image < BATCH; image += 2) { /* the whole, then every other one */
        t_op op;
        conv_begin(&op, which, s);
        give(&op, FROM, source, from, image < 0 ? 0 : image, image < 0 ? BATCH : 1);
        give(&op, TO, extra, to, image < 0 ? 0 : image, image < 0 ? BATCH : 1);
        give(&op, RESIDUAL_OR_MASK, extra, to, image < 0 ? 0 : image, image < 0 ? BATCH : 1);
        conv_give_w(&op, W, s, false);
        memcpy(op.operand[W].data, weights, (size_t)conv_w_count(s) * sizeof(float));
        op.operand[W].constant = true;
        op.desc.exact = conv_exact();
        results.variants = 0;
        results.offset = image < 0 ? 0 : results.bytes * (size_t)image;
        t_case(&op, image < 0 ? keep : compare, &results, "%s %s, %s", forward ? "conv2d" : "conv2d_grad_input",
               conv_text(s), image < 0 ? "the batch" : "an image of it");
        t_end(&op);
    }
    for (int v = 0; v < VARIANTS; v++)
        free(results.whole[v]);
    free(source);
    free(extra);
    free(weights);
}

static void cases(void) {
    static const conv_shape shapes[] = {
        K1(BATCH, 7, 7, 65, 130, 1), K1(BATCH, 5, 5, 64, 40, 2), K1(BATCH, 1, 1, 600, 100, 1),
        K3(BATCH, 7, 7, 33, 70, 1), K3(BATCH, 14, 14, 64, 64, 1), K3(BATCH, 9, 7, 16, 24, 2),
        K3(BATCH, 13, 13, 20, 36, 1), K3(BATCH, 23, 21, 32, 48, 1),
        {BATCH, 17, 15, 3, 20, 7, 7, {2, 2}, {3, 3}, {1, 1}, 1}, {BATCH, 7, 7, 16, 33, 7, 7, {1, 1}, {0, 0}, {1, 1}, 1},
        {BATCH, 7, 7, 32, 32, 3, 3, {1, 1}, {1, 1}, {1, 1}, 8}, {BATCH, 7, 7, 24, 36, 3, 3, {1, 1}, {1, 1}, {1, 1}, 3},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        test(&shapes[i], TL_OP_CONV2D);
        test(&shapes[i], TL_OP_CONV2D_GRAD_INPUT);
    }
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
