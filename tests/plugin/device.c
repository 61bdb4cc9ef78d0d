/* device.c: opening devices by name, their options, and what is asked of a device that misbehaves. */
#include "tests/plugin/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/registry.h"

static const char *folder;

static int set_up(void **state) {
    (void)state;
    unsetenv("TL_BACKEND_PATH");
    folder = folder_create();
    folder_add(folder, "fake");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    environment_reset();
    folder_remove(folder);
    return 0;
}

static void assert_opens_as(const char *name, const char *as) {
    watched *w = watch(folder);
    tl_device *device = open_device(w, name);
    assert_string_equal(tl_device_name(device), as);
    tl_device_close(device);
    unwatch(w);
}

static void assert_refused(const char *name, tl_status expected, const char *message) {
    watched *w = watch(folder);
    tl_device *device = (tl_device *)w;
    assert_int_equal(tl_device_open(w->context, name, NULL, &device), expected);
    assert_ptr_equal(device, w);
    assert_message(w, message);
    unwatch(w);
}

/* ---- names ---- */

static void names(void **state) {
    (void)state;
    environment_set("TL_FAKE_DEVICES", "3");
    assert_opens_as("cpu", "cpu");
    assert_opens_as("cpu:0", "cpu");
    assert_opens_as("fake", "fake:0");
    assert_opens_as("fake:2", "fake:2");
}

static void unknown_names(void **state) {
    (void)state;
    static const char *const wrong[] = {"opencl:0", "fake:1",   "cpu:1",   "fake:", "fake:x", "fake:0x",
                                        "fake:-1",  "fake: 0",  ":0",      "",      "FAKE",   "fake:0:0",
                                        "fake:00000000000000000000",
                                        "a-name-that-is-longer-than-any-name-of-a-backend-can-be:0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char message[256];
        snprintf(message, sizeof message, "no device \"%s\"; there is: cpu, fake:0", wrong[i]);
        assert_refused(wrong[i], TL_ERROR_NOT_FOUND, message);
    }
}

static void unusable_device(void **state) {
    (void)state;
    environment_set("TL_FAKE_DEVICES", "2");
    environment_set("TL_FAKE_UNUSABLE", "0");
    assert_refused("fake:0", TL_ERROR_DEVICE, "fake:0 cannot be used: no permission, on demand");
    assert_opens_as("fake", "fake:1");
}

/* ---- auto ---- */

static void auto_takes_a_gpu(void **state) {
    (void)state;
    assert_opens_as("auto", "cpu");
    environment_set("TL_FAKE_KIND", "cpu");
    environment_set("TL_FAKE_PRIORITY", "1000");
    assert_opens_as("auto", "cpu");
    environment_set("TL_FAKE_KIND", "gpu");
    assert_opens_as("auto", "fake:0");
    environment_set("TL_FAKE_UNUSABLE", "0");
    assert_opens_as("auto", "cpu");
}

static void auto_passes_over_with_a_warning(void **state) {
    (void)state;
    environment_set("TL_FAKE_KIND", "gpu");
    environment_set("TL_FAKE_OPEN", "fail");
    watched *w = watch(folder);
    tl_device *device = NULL;
    assert_int_equal(tl_device_open(w->context, NULL, NULL, &device), TL_OK);
    assert_string_equal(tl_device_name(device), "cpu");
    assert_logged(w, "warning: fake:0: it does not open on demand\n");
    tl_device_close(device);
    unwatch(w);
}

/* ---- options ---- */

static void options_arrive(void **state) {
    (void)state;
    watched *w = watch(folder);
    char isa[] = "quick";
    tl_device_options options = {.size = sizeof options, .threads = 3, .isa = isa};
    tl_device *device = NULL;
    assert_int_equal(tl_device_open(w->context, "fake", &options, &device), TL_OK);
    memset(isa, 'x', sizeof isa - 1);
    assert_string_equal(tl_device_description(device), "fake 0, 3 threads, isa quick");
    assert_string_equal(device->host.table.option(device->host.table.user, "isa"), "quick");
    assert_null(device->host.table.option(device->host.table.user, "unknown"));
    tl_device_close(device);

    options.size = offsetof(tl_device_options, isa); /* a program from before there was isa */
    assert_int_equal(tl_device_open(w->context, "fake", &options, &device), TL_OK);
    assert_string_equal(tl_device_description(device), "fake 0, 3 threads, isa any");
    tl_device_close(device);
    unwatch(w);
}

static void options_from_the_environment(void **state) {
    (void)state;
    environment_set("TL_FAKE_THREADS", "7");
    environment_set("TL_FAKE_ISA", "");
    watched *w = watch(folder);
    tl_device *device = open_device(w, "fake");
    assert_string_equal(tl_device_description(device), "fake 0, 7 threads, isa any");
    tl_device_close(device);
    tl_device_options options = {.size = sizeof options, .threads = 3};
    assert_int_equal(tl_device_open(w->context, "fake", &options, &device), TL_OK);
    assert_string_equal(tl_device_description(device), "fake 0, 3 threads, isa any");
    tl_device_close(device);
    unwatch(w);
}

static void bad_options(void **state) {
    (void)state;
    watched *w = watch(folder);
    tl_device *device = NULL;
    tl_device_options options = {.size = sizeof options, .threads = -1};
    assert_int_equal(tl_device_open(w->context, "fake", &options, &device), TL_ERROR_ARGUMENT);
    assert_message(w, "fake:0: threads = -1 is not from 0 to 4096");
    options = (tl_device_options){.size = sizeof options, .threads = 5000};
    assert_int_equal(tl_device_open(w->context, "auto", &options, &device), TL_ERROR_ARGUMENT);
    options = (tl_device_options){.size = sizeof options, .isa = "z80"};
    assert_int_equal(tl_device_open(w->context, "cpu", &options, &device), TL_ERROR_ARGUMENT);
    assert_message(w, "cpu: isa = z80");
    assert_null(strstr(tl_context_message(w->context), "cpu: cpu:"));
    options = (tl_device_options){0};
    assert_int_equal(tl_device_open(w->context, "cpu", &options, &device), TL_ERROR_ARGUMENT);
    assert_null(device);
    unwatch(w);
}

/* ---- devices that do not open, or should not ---- */

static void failing_open(void **state) {
    (void)state;
    static const struct {
        const char *open;
        tl_status status;
        const char *message;
    } cases[] = {
        {"fail", TL_ERROR_DEVICE, "fake:0: it does not open on demand"},
        {"silent", TL_ERROR_DEVICE, "fake:0: open: device error"},
        {"status", TL_ERROR_DEVICE, "fake:0: open gave 7, which is no failure"},
        {"nothing", TL_ERROR_DEVICE, "fake:0: open gave no device"},
        {"noops", TL_ERROR_ABI, "fake:0: its device has no functions"},
        {"short", TL_ERROR_ABI, "fake:0: its device's table has 104 bytes, 112 are needed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        environment_set("TL_FAKE_OPEN", cases[i].open);
        assert_refused("fake", cases[i].status, cases[i].message);
    }
}

static void missing_functions(void **state) {
    (void)state;
    static const char *const required[] = {"properties",  "buffer_create", "buffer_destroy", "queue_create",
                                           "queue_destroy", "queue_write", "queue_read",     "queue_zero",
                                           "queue_flush", "queue_finish",  "prepare"};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        char message[64];
        environment_set("TL_FAKE_LACKS", required[i]);
        snprintf(message, sizeof message, "fake:0: its device lacks %s", required[i]);
        assert_refused("fake", TL_ERROR_ABI, message);
    }
    environment_set("TL_FAKE_LACKS", "buffer_host");
    assert_opens_as("fake", "fake:0");
    environment_set("TL_FAKE_HOST_VISIBLE", "1");
    assert_refused("fake", TL_ERROR_ABI, "fake:0: its device lacks buffer_host");
}

static void bad_properties(void **state) {
    (void)state;
    static const char *const alignments[] = {"0", "3", "48", "8192", "18446744073709551615"};
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
        char message[128];
        environment_set("TL_FAKE_ALIGNMENT", alignments[i]);
        snprintf(message, sizeof message, "fake:0: an alignment of %s is not a power of two up to 4096", alignments[i]);
        assert_refused("fake", TL_ERROR_ABI, message);
    }
    environment_set("TL_FAKE_ALIGNMENT", "1");
    environment_set("TL_FAKE_NODESCRIPTION", "1");
    watched *w = watch(folder);
    tl_device *device = open_device(w, "fake");
    assert_string_equal(tl_device_description(device), "");
    tl_device_close(device);
    unwatch(w);
    environment_set("TL_FAKE_MAX_BUFFER", "0");
    assert_refused("fake", TL_ERROR_ABI, "fake:0: its buffers hold 0 bytes");
}

/* ---- using one ---- */

/* relu of 4 numbers; on failure nothing is left behind. */
static tl_status work(tl_device *device, float out[4]) {
    static const float in[4] = {-1, 2, -3, 4};
    tl_backend_buffer *buffer = NULL;
    tl_backend_queue *queue = NULL;
    tl_backend_kernel *kernel = NULL;
    tl_op_desc op = {.op = TL_OP_RELU};
    tl_tensor_desc four = tl__desc4(TL_DTYPE_F32, 1, 1, 1, 4);
    tl_operand operands[2] = {{.desc = four}, {.desc = four}};
    tl_status status = tl__device_buffer_create(device, 512 + 16, &buffer);
    if (status == TL_OK)
        status = tl__device_queue_create(device, &queue);
    if (status == TL_OK)
        status = tl__device_prepare(device, &op, operands, 1, 1, &kernel);
    tl_view views[3] = {{buffer, 0, 16}, {buffer, 512, 16}, {0}};
    if (status == TL_OK)
        status = tl__device_bind(device, kernel, views);
    if (status == TL_OK)
        status = tl__device_queue_zero(device, queue, &views[1]);
    if (status == TL_OK)
        status = tl__device_queue_write(device, queue, &views[0], in);
    if (status == TL_OK)
        status = tl__device_enqueue(device, kernel, queue);
    if (status == TL_OK)
        status = tl__device_queue_flush(device, queue);
    if (status == TL_OK)
        status = tl__device_queue_finish(device, queue);
    if (status == TL_OK)
        status = tl__device_queue_read(device, queue, &views[1], out);
    tl__device_release(device, kernel);
    tl__device_queue_destroy(device, queue);
    tl__device_buffer_destroy(device, buffer);
    return status;
}

static void it_computes(void **state) {
    (void)state;
    float out[4];
    watched *w = watch(folder);
    tl_device *device = open_device(w, "fake");
    assert_int_equal(work(device, out), TL_OK);
    assert_true(out[0] == 0 && out[1] == 2 && out[2] == 0 && out[3] == 4);
    tl_device_close(device);
    assert_not_logged(w, "error");
    unwatch(w);
}

static void every_call_may_fail(void **state) {
    (void)state;
    static const char *const calls[] = {"buffer", "queue",   "prepare", "bind", "zero",
                                        "write",  "enqueue", "finish",  "read"};
    static const char *const texts[] = {"buffer_create", "queue_create", "prepare", "bind", "queue_zero",
                                        "queue_write", "enqueue", "queue_finish", "queue_read"};
    float out[4];
    for (size_t i = 0; i < 2 * sizeof calls / sizeof calls[0]; i++) {
        char fault[32], message[128];
        bool silent = i % 2;
        snprintf(fault, sizeof fault, "%s:1%s", calls[i / 2], silent ? ":silent" : "");
        snprintf(message, sizeof message, silent ? "fake:0: %s: device error" : "fake:0: %s 1 fails on demand",
                 silent ? texts[i / 2] : calls[i / 2]);
        environment_set("TL_FAKE_FAIL", fault);
        watched *w = watch(folder);
        tl_device *device = open_device(w, "fake");
        assert_int_equal(work(device, out), TL_ERROR_DEVICE);
        assert_message(w, message);
        assert_int_equal(work(device, out), TL_OK); /* a failure is forgotten */
        tl_device_close(device);
        assert_not_logged(w, "error");
        unwatch(w);
    }
}

static void its_memory_may_end(void **state) {
    (void)state;
    float out[4];
    for (int n = 1; n <= 4; n++) {
        char fault[32];
        snprintf(fault, sizeof fault, "memory:%d", n);
        environment_set("TL_FAKE_FAIL", fault);
        watched *w = watch(folder);
        tl_device *device = open_device(w, "fake");
        assert_int_equal(work(device, out), TL_ERROR_MEMORY);
        assert_message(w, "fake:0: ");
        tl_device_close(device);
        assert_not_logged(w, "error");
        unwatch(w);
    }
}

static void odd_kernels(void **state) {
    (void)state;
    static const struct {
        const char *kernel;
        tl_status status;
        const char *message;
    } cases[] = {
        {"nothing", TL_ERROR_DEVICE, "fake:0: prepare said that it succeeded but gave nothing"},
        {"status", TL_ERROR_DEVICE, "fake:0: prepare gave 7, which is no failure"},
        {"nobind", TL_ERROR_ABI, "fake:0: prepare gave a kernel without bind"},
    };
    float out[4];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        environment_set("TL_FAKE_KERNEL", cases[i].kernel);
        watched *w = watch(folder);
        tl_device *device = open_device(w, "fake");
        assert_int_equal(work(device, out), cases[i].status);
        assert_message(w, cases[i].message);
        tl_device_close(device);
        assert_not_logged(w, "error");
        unwatch(w);
    }
}

static void limits(void **state) {
    (void)state;
    environment_set("TL_FAKE_MAX_BUFFER", "1000");
    watched *w = watch(folder);
    tl_device *device = open_device(w, "fake");
    tl_backend_buffer *buffer = NULL;
    assert_int_equal(tl__device_buffer_create(device, 1001, &buffer), TL_ERROR_LIMIT);
    assert_message(w, "fake:0: a buffer of 1001 bytes is more than it allows: 1000");
    assert_null(buffer);
    assert_int_equal(tl__device_buffer_create(device, 0, &buffer), TL_OK);
    assert_null(tl__device_buffer_host(device, buffer));
    tl__device_buffer_destroy(device, buffer);
    tl__device_buffer_destroy(device, NULL);
    tl__device_queue_destroy(device, NULL);
    tl__device_release(device, NULL);
    tl_device_close(device);
    tl_device_close(NULL);
    unwatch(w);
}

static void refusals(void **state) {
    (void)state;
    float out[4];
    environment_set("TL_FAKE_REFUSE", "add,relu");
    watched *w = watch(folder);
    tl_device *device = open_device(w, "fake");
    assert_int_equal(work(device, out), TL_UNSUPPORTED);
    assert_message(w, "fake:0: relu: refused on demand");
    tl_device_close(device);
    environment_set("TL_FAKE_REFUSE", "");
    environment_set("TL_FAKE_ONLY", "conv2d");
    device = open_device(w, "fake");
    assert_int_equal(work(device, out), TL_UNSUPPORTED);
    tl_device_close(device);
    unwatch(w);
}

static void cpu_fallback(void **state) {
    (void)state;
    float out[4];
    watched *w = watch(folder);
    tl_device *device = NULL;
    tl_device_options options = {.size = sizeof options, .threads = 1};
    assert_int_equal(tl__device_open_cpu(w->context, &options, &device), TL_OK);
    assert_string_equal(tl_device_name(device), "cpu");
    assert_int_equal(work(device, out), TL_OK);
    assert_true(out[0] == 0 && out[1] == 2 && out[2] == 0 && out[3] == 4);
    tl_device_close(device);
    unwatch(w);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        CASE(names),
        CASE(unknown_names),
        CASE(unusable_device),
        CASE(auto_takes_a_gpu),
        CASE(auto_passes_over_with_a_warning),
        CASE(options_arrive),
        CASE(options_from_the_environment),
        CASE(bad_options),
        CASE(failing_open),
        CASE(missing_functions),
        CASE(bad_properties),
        CASE(it_computes),
        CASE(every_call_may_fail),
        CASE(its_memory_may_end),
        CASE(odd_kernels),
        CASE(limits),
        CASE(refusals),
        CASE(cpu_fallback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
