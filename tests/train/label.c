/* From logits to labels, probabilities and files, in numbers worked out by hand. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tl/segment.h>

/* Class 0 is 0 everywhere, class 1 has the values 0 and 4 beside each other: at four times the width its interpolated values
 * are 0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4. Above its threshold of 2, it wins. */
static void test_largest(void **state) {
    (void)state;
    const float logits[2 * 2] = {2, 0, 2, 4};
    static const uint8_t expected[8] = {0, 0, 0, 0, 1, 1, 1, 1};
    uint8_t labels[3 * 8];
    tl_logits_label(logits, 1, 2, 2, 3, 8, labels);
    for (int y = 0; y < 3; y++)
        assert_memory_equal(labels + 8 * y, expected, 8);
    /* a tie goes to the first class */
    const float tie[3] = {1, 1, 1};
    tl_logits_label(tie, 1, 1, 3, 1, 1, labels);
    assert_int_equal(labels[0], 0);
}

static void test_probabilities(void **state) {
    (void)state;
    const float logits[2 * 2] = {0, 0, 0, 4};
    static const double values[8] = {0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4};
    float out[2 * 8];
    tl_logits_probabilities(logits, 1, 2, 2, 1, 8, out);
    for (int x = 0; x < 8; x++) {
        double p = 1 / (1 + exp(-values[x]));
        assert_true(fabs(out[8 + x] - p) < 1e-6);
        assert_true(fabs(out[x] - (1 - p)) < 1e-6);
    }
}

/* Both directions at once, and smaller: what PyTorch's interpolate(mode="bilinear") gives of 0 .. 15 in four rows. */
static void test_smaller(void **state) {
    (void)state;
    float logits[16 * 2], out[2 * 4];
    static const double expected[4] = {2.5, 4.5, 10.5, 12.5};
    for (int i = 0; i < 16; i++) {
        logits[2 * i] = 0;
        logits[2 * i + 1] = (float)i;
    }
    tl_logits_probabilities(logits, 4, 4, 2, 2, 2, out);
    for (int i = 0; i < 4; i++)
        assert_true(fabs(out[4 + i] - 1 / (1 + exp(-expected[i]))) < 1e-6);
    /* at its own size nothing is interpolated */
    float same[2 * 16];
    uint8_t labels[16];
    tl_logits_probabilities(logits, 4, 4, 2, 4, 4, same);
    tl_logits_label(logits, 4, 4, 2, 4, 4, labels);
    for (int i = 0; i < 16; i++) {
        assert_true(fabs(same[16 + i] - 1 / (1 + exp(-i))) < 1e-6);
        assert_int_equal(labels[i], i > 0);
    }
}

/* The colours of the first classes of Pascal VOC. */
static void test_colours(void **state) {
    (void)state;
    static const uint8_t expected[][4] = {{0, 0, 0, 0}, {1, 128, 0, 0}, {2, 0, 128, 0}, {3, 128, 128, 0}, {4, 0, 0, 128},
                                          {8, 64, 0, 0}, {20, 0, 64, 128}, {255, 224, 224, 192}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        uint8_t rgb[3];
        tl_class_colour(expected[i][0], rgb);
        assert_memory_equal(rgb, expected[i] + 1, 3);
    }
}

static void test_array(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    const char *base = getenv("TMPDIR");
    char path[4096], text[300] = "";
    snprintf(path, sizeof path, "%.4000s/tl-label-XXXXXX", base ? base : "/tmp");
    const float values[6] = {1, -2, 3.5f, 0, 5, 6};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    ok(tl_array_save(context, path, 3, (const int64_t[]){1, 2, 3}, values), context);
    FILE *file = fopen(path, "rb");
    size_t length = fread(text, 1, sizeof text, file);
    fclose(file);
    assert_int_equal(length, 128 + sizeof values);
    assert_memory_equal(text, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_memory_equal(text + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }", 62);
    assert_int_equal(text[127], '\n');
    const uint8_t one[4] = {0, 0, 0x80, 0x3f}, minus_two[4] = {0, 0, 0, 0xc0};
    assert_memory_equal(text + 128, one, 4);
    assert_memory_equal(text + 132, minus_two, 4);
    assert_int_equal(tl_array_save(context, path, 0, (const int64_t[]){1}, values), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_array_save(context, path, 1, (const int64_t[]){-1}, values), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_array_save(context, "/nowhere/at/all.npy", 1, (const int64_t[]){1}, values), TL_ERROR_IO);
    unlink(path);
    tl_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_largest), cmocka_unit_test(test_probabilities), cmocka_unit_test(test_smaller),
        cmocka_unit_test(test_colours), cmocka_unit_test(test_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
