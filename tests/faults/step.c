/* step.c: what a step of training asks of OpenCL. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/faults/cl_shim.h"
#include "tests/faults/training.h"

#define MOST 4096

/* The calls of one step, in order. */
static struct {
    int function;
    size_t bytes;
} calls[MOST];
static int call_count;
static bool recording;

static void note(int function, size_t bytes) {
    if (!recording || call_count == MOST)
        return;
    calls[call_count].function = function;
    calls[call_count++].bytes = bytes;
}

static void begin_or_end(int step) {
    recording = step == 1;
}

static int count_of(int function) {
    int count = 0;
    for (int i = 0; i < call_count; i++)
        count += calls[i].function == function;
    return count;
}

static void test_second_step(void **state) {
    training t = {.step = begin_or_end};
    int first_kernel = -1, late = 0, other = 0;
    (void)state;
    cl_shim_state.each = note;
    training_run(&t);
    cl_shim_state.each = NULL;
    free(t.values);
    if (t.status != TL_OK)
        fail_msg("%s", t.message);
    for (int i = 0; i < call_count; i++) {
        int f = calls[i].function;
        if (f == CL_SHIM_clEnqueueNDRangeKernel && first_kernel < 0)
            first_kernel = i;
        if (f == CL_SHIM_clEnqueueWriteBuffer || f == CL_SHIM_clEnqueueReadBuffer)
            printf("# call %d: %s of %zu bytes\n", i, cl_shim_names[f], calls[i].bytes);
        late += f == CL_SHIM_clEnqueueWriteBuffer && first_kernel >= 0;
        other += f != CL_SHIM_clEnqueueWriteBuffer && f != CL_SHIM_clEnqueueReadBuffer && f != CL_SHIM_clEnqueueNDRangeKernel &&
                 f != CL_SHIM_clFlush && f != CL_SHIM_clEnqueueFillBuffer;
    }
    for (int f = 0; f < CL_SHIM_COUNT; f++)
        if (count_of(f))
            printf("# %s: %d\n", cl_shim_names[f], count_of(f));
    assert_int_equal(count_of(CL_SHIM_clFinish), 0);
    assert_int_equal(count_of(CL_SHIM_clWaitForEvents), 0);
    assert_int_equal(late, 0);
    assert_int_equal(other, 0);
    assert_int_equal(count_of(CL_SHIM_clEnqueueReadBuffer), 1);
    assert_int_equal(calls[call_count - 1].function, CL_SHIM_clEnqueueReadBuffer);
    assert_true(calls[call_count - 1].bytes <= 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_second_step)};
    return cmocka_run_group_tests_name("a step's calls", tests, NULL, NULL);
}
