/* What a confusion matrix says, in numbers worked out by hand. */
#include "support.h"

#include <math.h>
#include <string.h>

static tl_class_score class_of(const int64_t *confusion, size_t classes, size_t index) {
    tl_class_score score = {.size = sizeof score};
    tl_confusion_class(confusion, classes, index, &score);
    return score;
}

static tl_confusion_score mean_of(const int64_t *confusion, size_t classes) {
    tl_confusion_score score = {.size = sizeof score};
    tl_confusion_mean(confusion, classes, &score);
    return score;
}

static void assert_near(double value, double expected) {
    if (!(fabs(value - expected) < 1e-12))
        fail_msg("%.15g where %.15g should be", value, expected);
}

static void test_three_classes(void **state) {
    (void)state;
    const int64_t confusion[9] = {50, 3, 2, 4, 30, 1, 0, 0, 10};
    tl_class_score a = class_of(confusion, 3, 0), b = class_of(confusion, 3, 1), c = class_of(confusion, 3, 2);
    assert_int_equal(a.truth, 55);
    assert_int_equal(a.predicted, 54);
    assert_int_equal(a.right, 50);
    assert_near(a.precision, 50 / 54.0);
    assert_near(a.recall, 50 / 55.0);
    assert_near(a.iou, 50 / 59.0);
    assert_near(a.dice, 100 / 109.0);
    assert_near(b.iou, 30 / 38.0);
    assert_near(b.dice, 60 / 68.0);
    assert_near(c.iou, 10 / 13.0);
    assert_near(c.dice, 20 / 23.0);
    tl_confusion_score all = mean_of(confusion, 3);
    assert_int_equal(all.count, 100);
    assert_int_equal(all.right, 90);
    assert_int_equal(all.classes, 3);
    assert_near(all.accuracy, 0.9);
    assert_near(all.mean_iou, (50 / 59.0 + 30 / 38.0 + 10 / 13.0) / 3);
    assert_near(all.mean_dice, (100 / 109.0 + 60 / 68.0 + 20 / 23.0) / 3);
}

/* A class in neither truth nor prediction leaves the mean; one that is in one of them alone is 0 in it. */
static void test_absent_classes(void **state) {
    (void)state;
    const int64_t absent[9] = {6, 0, 2, 0, 0, 0, 0, 0, 8};
    assert_true(isnan(class_of(absent, 3, 1).iou));
    assert_true(isnan(class_of(absent, 3, 1).dice));
    assert_true(isnan(class_of(absent, 3, 1).precision));
    tl_confusion_score s = mean_of(absent, 3);
    assert_int_equal(s.classes, 2);
    assert_near(s.mean_iou, (6 / 8.0 + 8 / 10.0) / 2);
    assert_near(s.mean_dice, (12 / 14.0 + 16 / 18.0) / 2);
    const int64_t invented[4] = {7, 1, 0, 0}; /* class 1 is predicted and nowhere true */
    s = mean_of(invented, 2);
    assert_int_equal(s.classes, 2);
    assert_near(s.mean_iou, (7 / 8.0 + 0) / 2);
    assert_true(isnan(class_of(invented, 2, 1).recall));
    assert_near(class_of(invented, 2, 1).iou, 0);
    const int64_t missed[4] = {0, 0, 5, 0}; /* all of class 1 taken for class 0 */
    assert_near(mean_of(missed, 2).mean_iou, 0);
    assert_near(mean_of(missed, 2).accuracy, 0);
}

static void test_nothing(void **state) {
    (void)state;
    const int64_t nothing[4] = {0};
    tl_confusion_score s = mean_of(nothing, 2);
    assert_int_equal(s.count, 0);
    assert_int_equal(s.classes, 0);
    assert_true(isnan(s.accuracy) && isnan(s.mean_iou) && isnan(s.mean_dice));
}

/* Counts beyond 32 bits and beyond what a float holds. */
static void test_large_counts(void **state) {
    (void)state;
    const int64_t k = INT64_C(3000000000), confusion[4] = {3 * k, k, 0, 4 * k};
    assert_near(class_of(confusion, 2, 0).iou, 0.75);
    assert_near(class_of(confusion, 2, 1).iou, 0.8);
    assert_int_equal(mean_of(confusion, 2).count, 8 * k);
    assert_near(mean_of(confusion, 2).accuracy, 0.875);
}

/* A caller that was built with a shorter structure. */
static void test_shorter_structure(void **state) {
    (void)state;
    const int64_t confusion[4] = {1, 0, 0, 1};
    tl_confusion_score s;
    memset(&s, 0x55, sizeof s);
    s.size = offsetof(tl_confusion_score, accuracy);
    tl_confusion_mean(confusion, 2, &s);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.size, offsetof(tl_confusion_score, accuracy));
    unsigned char untouched[sizeof s.accuracy];
    memset(untouched, 0x55, sizeof untouched);
    assert_memory_equal(&s.accuracy, untouched, sizeof untouched);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_classes), cmocka_unit_test(test_absent_classes), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_large_counts), cmocka_unit_test(test_shorter_structure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
