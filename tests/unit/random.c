/* random.c: random numbers are the same on every machine; the values here were computed apart from libtl. */
#include "tests/unit/unit.h"

#include <string.h>

/* The vectors that come with Random123 for philox4x32, 10 rounds. */
static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < TL__COUNT(vectors); i++) {
        uint32_t out[4];
        tl__philox(vectors[i].key, vectors[i].counter, out);
        assert_memory_equal(out, vectors[i].out, sizeof out);
    }
}

static void in_place(void **state) {
    (void)state;
    static const uint32_t key[2] = {0xa4093822, 0x299f31d0};
    uint32_t block[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    tl__philox(key, block, block);
    assert_int_equal(block[0], 0xd16cfe09);
    assert_int_equal(block[3], 0x24126ea1);
}

static void streams(void **state) {
    (void)state;
    static const uint32_t first[6] = {2126179728, 737597871, 1336687403, 967634028, 3811124719, 3650029248};
    tl__random random;
    tl__random_start(&random, 7, 1);
    for (int i = 0; i < 6; i++)
        assert_int_equal(tl__random_u32(&random), first[i]);
    tl__random_start(&random, 5, 5);
    assert_true(tl__random_unit(&random) == 0x1.cc4f3b53b6d18p-2);
}

/* Every bit of seed and purpose counts. */
static void independence(void **state) {
    (void)state;
    uint32_t seen[129];
    for (int i = 0; i <= 128; i++) {
        tl__random random;
        uint64_t seed = i < 64 ? UINT64_C(1) << i : 0, purpose = i >= 64 && i < 128 ? UINT64_C(1) << (i - 64) : 0;
        tl__random_start(&random, seed, purpose);
        seen[i] = tl__random_u32(&random);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(seen[i], seen[j]);
    }
}

static void long_streams(void **state) {
    (void)state;
    tl__random random, later;
    tl__random_start(&random, 1, 2);
    random.counter[0] = UINT32_MAX;
    for (int i = 0; i < 4; i++)
        tl__random_u32(&random);
    tl__random_start(&later, 1, 2);
    later.counter[1] = 1; /* the carry */
    assert_int_equal(tl__random_u32(&random), tl__random_u32(&later));
}

/* x in 0 .. 2^32 - 1 is kept where the low word of x * bound is at least 2^32 mod bound: then each result has the
 * same number of x, and the result is the high word. */
static void below_follows_the_rule(void **state) {
    (void)state;
    static const uint32_t bounds[] = {1, 2, 3, 10, 1000, 65536, 0x55555556, 0x80000001, 0xc0000000, 0xffffffff};
    for (size_t i = 0; i < TL__COUNT(bounds); i++) {
        tl__random random, raw;
        uint64_t bound = bounds[i], rest = (UINT64_C(1) << 32) % bound;
        tl__random_start(&random, 11, i);
        tl__random_start(&raw, 11, i);
        for (int n = 0; n < 2000; n++) {
            uint64_t product;
            do
                product = tl__random_u32(&raw) * bound;
            while ((product & 0xffffffff) < rest);
            assert_int_equal(tl__random_below(&random, bounds[i]), product >> 32);
        }
    }
}

/* Without the rule a third of the range would come up twice as often. */
static void below_is_even(void **state) {
    (void)state;
    enum { DRAWS = 300000 };
    uint32_t bound = 0xc0000000, counts[3] = {0};
    tl__random random;
    tl__random_start(&random, 3, 4);
    for (int n = 0; n < DRAWS; n++)
        counts[tl__random_below(&random, bound) / (bound / 3)]++;
    for (int i = 0; i < 3; i++) /* five standard deviations: 5 sqrt(n p (1 - p)) = 1291 */
        assert_in_range(counts[i], DRAWS / 3 - 1291, DRAWS / 3 + 1291);
}

static void units(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    tl__random random;
    double sum = 0;
    tl__random_start(&random, 9, 9);
    for (int n = 0; n < DRAWS; n++) {
        double x = tl__random_unit(&random);
        assert_true(x >= 0 && x < 1);
        sum += x;
    }
    assert_true(sum / DRAWS > 0.4954 && sum / DRAWS < 0.5046); /* five of 1 / sqrt(12 n) */
}

static void shuffles(void **state) {
    (void)state;
    static const uint32_t plain[10] = {6, 9, 0, 2, 1, 8, 4, 5, 7, 3}, seeded[10] = {9, 6, 0, 1, 2, 7, 8, 3, 5, 4};
    uint32_t items[10];
    tl__random random;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < 10; i++)
            items[i] = i;
        tl__random_start(&random, pass ? 0x123456789abcdef0 : 0, pass ? 3 : 0);
        tl__random_shuffle(&random, items, 10);
        assert_memory_equal(items, pass ? seeded : plain, sizeof items);
    }
    tl__random_shuffle(&random, NULL, 0);
    tl__random_shuffle(&random, items, 1);
    assert_int_equal(items[0], seeded[0]);
}

/* Each of the 24 orders of four comes up as often. */
static void shuffles_are_even(void **state) {
    (void)state;
    enum { DRAWS = 48000 };
    int counts[256] = {0}, orders = 0;
    tl__random random;
    tl__random_start(&random, 21, 0);
    for (int n = 0; n < DRAWS; n++) {
        uint32_t items[4] = {0, 1, 2, 3};
        tl__random_shuffle(&random, items, 4);
        counts[items[0] << 6 | items[1] << 4 | items[2] << 2 | items[3]]++;
    }
    for (int i = 0; i < 256; i++)
        if (counts[i]) {
            assert_in_range(counts[i], 2000 - 219, 2000 + 219);
            orders++;
        }
    assert_int_equal(orders, 24);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(in_place),
        cmocka_unit_test(streams),
        cmocka_unit_test(independence),
        cmocka_unit_test(long_streams),
        cmocka_unit_test(below_follows_the_rule),
        cmocka_unit_test(below_is_even),
        cmocka_unit_test(units),
        cmocka_unit_test(shuffles),
        cmocka_unit_test(shuffles_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
