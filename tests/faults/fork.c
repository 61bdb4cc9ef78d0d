/* fork.c: in a child of a process that has opened a device, every call gives a status: drivers hang there. And the parent
 * is none the worse for its child. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/faults/training.h"

enum { SIZE = TRAINING_SIZE, BATCH = TRAINING_BATCH };

typedef struct opened {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    tl_predictor *predictor;
    char path[4096];
} opened;

static uint8_t rgb[BATCH * SIZE * SIZE * 3];
static float logits[BATCH * TRAINING_CLASSES];

static tl_context *context(const char *path) {
    tl_context *made = NULL;
    tl_context_options options = {.size = sizeof(options), .backend_path = path};
    assert_int_equal(tl_context_create(&options, &made), TL_OK);
    return made;
}

static int setup(void **state) {
    static opened o;
    const char *build = getenv("TL_TEST_BUILD");
    tl_model_options options;
    snprintf(o.path, sizeof(o.path), "%s/backends/opencl/.libs", build ? build : ".");
    o.context = context(o.path);
    tl_model_options_init(&options, sizeof(options));
    options.arch = "resnet18";
    options.classes = TRAINING_CLASSES;
    options.layers = (const int[]){1, 1, 1, 1};
    options.width = 0.0625;
    *state = &o;
    return tl_device_open(o.context, "opencl:0", NULL, &o.device) != TL_OK ||
           tl_model_create(o.context, &options, &o.model) != TL_OK ||
           tl_predictor_create(o.model, o.device, BATCH, SIZE, SIZE, &o.predictor) != TL_OK ||
           tl_predictor_run(o.predictor, rgb, BATCH, logits) != TL_OK;
}

static int teardown(void **state) {
    opened *o = *state;
    tl_predictor_destroy(o->predictor);
    tl_model_destroy(o->model);
    tl_device_close(o->device);
    tl_context_destroy(o->context);
    return 0;
}

static bool no_opencl(void *user, const tl_device_info *info) {
    *(bool *)user |= strcmp(info->backend, "opencl") == 0 && info->usable;
    return true;
}

/* The number of the first thing that is not as it should be; 0: none. */
static int in_child(opened *o) {
    tl_predictor *predictor = NULL;
    tl_device *device = NULL;
    bool usable = false;
    if (tl_predictor_run(o->predictor, rgb, BATCH, logits) != TL_ERROR_DEVICE)
        return 1;
    if (!strstr(tl_context_message(o->context), "fork"))
        return 2;
    if (tl_predictor_create(o->model, o->device, 1, SIZE, SIZE, &predictor) != TL_ERROR_DEVICE)
        return 3;
    if (tl_device_open(o->context, "opencl:0", NULL, &device) == TL_OK)
        return 4;
    if (tl_device_list(o->context, no_opencl, &usable) != TL_OK || usable)
        return 5;
    tl_predictor_destroy(o->predictor);
    tl_model_destroy(o->model);
    tl_device_close(o->device);
    tl_context_destroy(o->context);
    tl_context *other = context(o->path);
    if (tl_device_open(other, "opencl:0", NULL, &device) == TL_OK)
        return 6;
    if (tl_device_open(other, "auto", NULL, &device) != TL_OK || strcmp(tl_device_name(device), "cpu") != 0)
        return 7;
    tl_device_close(device);
    tl_context_destroy(other);
    return 0;
}

static void test_child(void **state) {
    opened *o = *state;
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(120); /* of one that hangs */
        _exit(in_child(o));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        fail_msg("the child was ended by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_parent(void **state) {
    opened *o = *state;
    float again[BATCH * TRAINING_CLASSES];
    assert_int_equal(tl_predictor_run(o->predictor, rgb, BATCH, again), TL_OK);
    assert_memory_equal(again, logits, sizeof(again));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_child), cmocka_unit_test(test_parent)};
    return cmocka_run_group_tests_name("a forked child", tests, setup, teardown);
}
