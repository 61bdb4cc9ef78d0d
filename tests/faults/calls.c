/* calls.c: every call of OpenCL that a training of three steps makes, from finding the device to reading the values, fails
 * once. It must end with a status whose message names the call, or with the values of a training in which nothing failed,
 * bit for bit; nothing may be left of the host's memory, and the next training, in the same process, must be none the
 * worse.
 *
 * The trainings take their programs from the cache of binaries: preprocessing the sources again and again is nine tenths
 * of a training from source on PoCL. The calls that a training from source makes instead fail in one of their own.
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

/* The calls of a training, in order. */
#define MOST 8192
static int functions[MOST];

static void note(int function, size_t bytes) {
    (void)bytes;
    if (cl_shim_state.calls <= MOST)
        functions[cl_shim_state.calls - 1] = function;
}

/* In a process that has opened a device already, as those are in which a call fails. */
static int learn(const char *binaries) {
    setenv("TL_OPENCL_BINARIES", binaries, 1);
    for (int i = 0; i < 2; i++) {
        free(whole.values);
        whole = (training){0};
        cl_shim_state.calls = 0;
        cl_shim_state.each = note;
        training_run(&whole);
        cl_shim_state.each = NULL;
        if (whole.status != TL_OK) {
            printf("# %s\n", whole.message);
            return -1;
        }
    }
    total = cl_shim_state.calls;
    printf("# %ld calls\n", total);
    return whole.left == 0 && total <= MOST ? 0 : -1;
}

static int from_binaries(void **state) {
    (void)state;
    return learn("yes");
}

static int from_source(void **state) {
    (void)state;
    return learn("no");
}

static int teardown(void **state) {
    (void)state;
    free(whole.values);
    whole.values = NULL;
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
    assert_true(total > 1000);
    for (long n = 1; n <= total; n++)
        try_one(n, n % LOST_EACH == 0 ? LOST : codes[n % 4], &tolerated);
    printf("# %ld of %ld failures were made good\n", tolerated, total);
    assert_true(tolerated < total / 10);
}

/* A binary that fails is made good by the source, a source by another implementation, which GPUs have and CPUs do not. */
static void test_each_compilation_fails(void **state) {
    long tried = 0, tolerated = 0;
    (void)state;
    for (long n = 1; n <= total; n++) {
        int f = functions[n - 1];
        assert_int_not_equal(f, CL_SHIM_clCreateProgramWithBinary);
        if (f != CL_SHIM_clCreateProgramWithSource && f != CL_SHIM_clBuildProgram && f != CL_SHIM_clGetProgramBuildInfo)
            continue;
        try_one(n, codes[n % 4], &tolerated);
        tried++;
    }
    printf("# %ld of %ld failures were made good\n", tolerated, tried);
    assert_true(tried >= 10);
    assert_true(tolerated * 2 < tried);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_call_fails, from_binaries, teardown),
        cmocka_unit_test_setup_teardown(test_it_works_after_all, from_binaries, teardown),
        cmocka_unit_test_setup_teardown(test_each_compilation_fails, from_source, teardown),
        cmocka_unit_test_setup_teardown(test_it_works_after_all, from_source, teardown),
    };
    setenv("TL_OPENCL_PROBE", "here", 1);
    return cmocka_run_group_tests_name("failing calls", tests, NULL, NULL);
}
