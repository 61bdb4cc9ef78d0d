/* calls.c: every call of OpenCL that a training of three steps makes, from finding the device to reading the values, fails
 * once. It must end with a status whose message names the call, or with the values of a training in which nothing failed,
 * bit for bit; nothing may be left of the host's memory, and the next training, in the same process, must be none the
 * worse.
 *
 * A driver is not made to fail inside: what it says is all that libtl knows of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/faults/cl_shim.h"
#include "tests/faults/training.h"

/* CL_OUT_OF_RESOURCES, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_HOST_MEMORY, CL_INVALID_VALUE. Now and then
 * CL_INVALID_COMMAND_QUEUE: the device is lost then, and keeps what the driver gave it, megabytes each time. */
static const int codes[] = {-5, -4, -6, -30};
#define LOST (-36)
#define LOST_EACH 41

static training whole; /* in which nothing failed */
static long total;     /* its calls */

/* In a process that has opened a device already, as those are in which a call fails. */
static int setup(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        free(whole.values);
        whole = (training){0};
        cl_shim_state.calls = 0;
        training_run(&whole);
        if (whole.status != TL_OK) {
            printf("# %s\n", whole.message);
            return -1;
        }
    }
    total = cl_shim_state.calls;
    printf("# %ld calls\n", total);
    return whole.left == 0 ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    free(whole.values);
    return 0;
}

static bool same(const training *t) {
    return t->count == whole.count && memcmp(t->values, whole.values, whole.count * sizeof(float)) == 0;
}

static bool gives_back(int function) {
    return function >= CL_SHIM_clReleaseEvent && function <= CL_SHIM_clReleaseContext;
}

static void try_one(long n, int code, long *tolerated) {
    training t = {0};
    cl_shim_state.calls = 0;
    cl_shim_state.fail_at = n;
    cl_shim_state.code = code;
    cl_shim_state.failed = -1;
    training_run(&t);
    cl_shim_state.fail_at = 0;
    int failed = cl_shim_state.failed;
    const char *name = failed >= 0 ? cl_shim_names[failed] : "none";
    if (failed < 0)
        fail_msg("call %ld of %ld did not come", n, total);
    if (t.left != 0)
        fail_msg("call %ld, %s, fails with %d: %ld allocations were not given back", n, name, code, t.left);
    if (t.status == TL_OK && !same(&t))
        fail_msg("call %ld, %s, fails with %d: all is said to be well and the values are others", n, name, code);
    if (t.status != TL_OK && !strstr(t.message, name))
        fail_msg("call %ld, %s, fails with %d: \"%s\" does not name it", n, name, code, t.message);
    *tolerated += t.status == TL_OK && !gives_back(failed);
    free(t.values);
}

/* All of them, one code each, so that every kind of call meets every code. */
static void test_each_call_fails(void **state) {
    long tolerated = 0;
    (void)state;
    for (long n = 1; n <= total; n++)
        try_one(n, n % LOST_EACH == 0 ? LOST : codes[n % 4], &tolerated);
    printf("# %ld of %ld failures were made good\n", tolerated, total);
    assert_true(tolerated < total / 10);
}

static void test_it_works_after_all(void **state) {
    training t = {0};
    (void)state;
    training_run(&t);
    assert_int_equal(t.status, TL_OK);
    assert_true(same(&t));
    free(t.values);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_call_fails), cmocka_unit_test(test_it_works_after_all)};
    setenv("TL_OPENCL_PROBE", "here", 1);
    return cmocka_run_group_tests_name("failing calls", tests, setup, teardown);
}
