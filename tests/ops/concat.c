/* concat.c: concatenation of channels and slices of them: copies, so every bit must agree. */
#include <stdlib.h>
#include <string.h>

#include "tests/ops/harness.h"

static bool verify(const t_op *op, void *user, char *why) {
    int y = op->inputs;
    size_t bytes = (size_t)t_count(&op->operand[y].desc) * sizeof(float);
    if (memcmp(op->operand[y].result, user, bytes) == 0)
        return true;
    strcpy(why, "y is no copy of its inputs");
    return false;
}

static void concat(const int *channels, int n, int h, int w) {
    t_op op;
    int64_t pixels = (int64_t)n * h * w, all = 0, at = 0;
    t_begin(&op, TL_OP_CONCAT);
    for (int i = 0; i < 6; i++) {
        if (channels[i])
            t_fill(t_give(&op, i, TL_DTYPE_F32, T_SHAPE(n, h, w, channels[i])), pixels * channels[i], -1, 1);
        all += channels[i];
    }
    t_give(&op, 6, TL_DTYPE_F32, T_SHAPE(n, h, w, all));
    float *y = t_allocate((size_t)(pixels * all) * sizeof(float));
    for (int i = 0; i < 6; at += channels[i++])
        for (int64_t p = 0; p < pixels && channels[i]; p++)
            memcpy(y + p * all + at, (const float *)op.operand[i].data + p * channels[i], (size_t)channels[i] * sizeof(float));
    t_case(&op, verify, y, "concat %dx%dx%d: %d %d %d %d %d %d", n, h, w, channels[0], channels[1], channels[2], channels[3],
           channels[4], channels[5]);
    free(y);
    t_end(&op);
}

static void slice(int n, int h, int w, int all, int first, int count) {
    t_op op;
    int64_t pixels = (int64_t)n * h * w;
    t_begin(&op, TL_OP_SLICE);
    float *x = t_give(&op, 0, TL_DTYPE_F32, T_SHAPE(n, h, w, all)), *y = t_allocate((size_t)(pixels * count) * sizeof(float));
    t_give(&op, 1, TL_DTYPE_F32, T_SHAPE(n, h, w, count));
    op.desc.first = first;
    op.desc.count = count;
    t_fill(x, pixels * all, -1, 1);
    for (int64_t p = 0; p < pixels; p++)
        memcpy(y + p * count, x + p * all + first, (size_t)count * sizeof(float));
    t_case(&op, verify, y, "slice %dx%dx%dx%d: %d from %d on", n, h, w, all, count, first);
    free(y);
    t_end(&op);
}

static void cases(void) {
    static const int lists[][6] = {{1},          {5, 0, 3},       {16, 16},           {64, 1, 0, 0, 0, 65}, {256, 256, 256, 256, 256},
                                   {7, 9, 3, 2, 1, 4}, {33, 127}, {4, 4, 4, 4, 4, 4}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        concat(lists[i], 1, 1, 1);
        concat(lists[i], 2, 7, 5);
        concat(lists[i], 1, 17, 33);
    }
    slice(1, 1, 1, 1, 0, 1);
    slice(2, 5, 7, 9, 3, 4);
    slice(1, 9, 8, 64, 0, 32);
    slice(1, 9, 8, 65, 64, 1);
    slice(2, 17, 13, 1280, 256, 256);
    slice(3, 3, 3, 33, 1, 32);
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
