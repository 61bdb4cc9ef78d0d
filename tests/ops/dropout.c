/* dropout.c: bit by bit the stream of tl/backend.h; Philox against its published vectors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/harness.h"

enum { X, COUNTER, Y };

static void philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    memcpy(out, counter, 16);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t a = (uint64_t)out[0] * 0xD2511F53u, b = (uint64_t)out[2] * 0xCD9E8D57u;
        out[0] = (uint32_t)(b >> 32) ^ out[1] ^ k0;
        out[2] = (uint32_t)(a >> 32) ^ out[3] ^ k1;
        out[1] = (uint32_t)b;
        out[3] = (uint32_t)a;
    }
}

static bool verify(const t_op *op, void *user, char *why) {
    int64_t count = t_count(&op->operand[X].desc);
    const float *x = op->operand[X].data;
    const uint32_t *counter = op->operand[COUNTER].data;
    double *want = t_zeros(count), *tolerance = t_zeros(count);
    uint32_t key[2] = {counter[2], op->desc.stream}, block[4];
    (void)user;
    for (int64_t i = 0; i < count; i++) {
        uint32_t at[4] = {(uint32_t)(i / 4), (uint32_t)((uint64_t)i / 4 >> 32), counter[0], counter[1]};
        philox(key, at, block);
        bool keep = block[i % 4] >= (uint32_t)floor((double)op->desc.p * 4294967296.0);
        want[i] = keep ? x[i] / (1.0 - op->desc.p) : 0;
        tolerance[i] = keep ? 4 * T_UNIT * fabs(want[i]) : 0; /* a subtraction and a division */
    }
    bool ok = t_close(why, "y", op->operand[Y].result, want, tolerance, count);
    free(want);
    free(tolerance);
    return ok;
}

static void test(int n, int c, float p, uint32_t stream, uint32_t seed, uint64_t step, bool in_place) {
    t_op op;
    t_begin(&op, TL_OP_DROPOUT);
    t_fill(t_give(&op, X, TL_DTYPE_F32, T_SHAPE(n, 1, 1, c)), (int64_t)n * c, 0.5, 1);
    uint32_t *counter = t_give(&op, COUNTER, TL_DTYPE_I32, T_SHAPE(4));
    t_give(&op, Y, TL_DTYPE_F32, T_SHAPE(n, 1, 1, c));
    counter[0] = (uint32_t)step;
    counter[1] = (uint32_t)(step >> 32);
    counter[2] = seed;
    op.desc.p = p;
    op.desc.stream = stream;
    op.shares[0] = in_place ? 1 + X : 0;
    t_case(&op, verify, NULL, "dropout %dx%d p %g stream %u seed %u step %llu%s", n, c, (double)p, (unsigned)stream,
           (unsigned)seed, (unsigned long long)step, in_place ? " in place" : "");
    t_end(&op);
}

/* Random123's known answers for philox4x32-10. */
static void test_vectors(void) {
    static const uint32_t vectors[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
         0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        philox(vectors[i] + 4, vectors[i], out);
        t_ok(memcmp(out, vectors[i] + 6, sizeof(out)) == 0, "philox vector %d", i);
    }
}

static void cases(void) {
    test_vectors();
    for (int in_place = 0; in_place < 2; in_place++) {
        test(1, 1, 0.5f, 0, 0, 0, in_place);
        test(3, 7, 0.5f, 1, 42, 1, in_place);
        test(5, 63, 0.1f, 2, 0xffffffffu, 0x1234567890abcdefu, in_place);
        test(2, 4096, 0.5f, 3, 7, 100000, in_place);
        test(33, 1025, 0.9f, 4, 7, 3, in_place);
        test(4, 100, 0, 5, 1, 1, in_place);
        test(1, 200001, 0.3f, 0xfffffffeu, 1, 1, in_place);
    }
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
