/* canary.c: does the canary notice? What a device answers is changed by one bit on its way back, here and there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/opencl/canary.h"
#include "backends/opencl/blas.h"
#include "tests/faults/cl_shim.h"
#include "tests/ops/harness.h"

#define PLACES 97 /* of the bytes that come back: a prime, so that every byte of a float has its turn */

const tl_backend *tl__backend_entry_opencl(uint32_t abi, const tl_host *host);

static void forget(opencl_device *device) {
    memset(device->looked_at, 0, sizeof(device->looked_at));
}

/* With byte `place` / PLACES of what the first form brings back changed. */
static tl_status look(opencl_device *device, uint32_t op, int which, size_t bytes, int place) {
    forget(device);
    cl_shim_state.count[CL_SHIM_clEnqueueReadBuffer] = 0;
    cl_shim_state.spoil_at = place < 0 ? 0 : 1;
    cl_shim_state.spoil_byte = bytes * (size_t)(place < 0 ? 0 : place) / PLACES;
    tl_status status = tl__opencl_canary(device, op, which);
    cl_shim_state.spoil_at = 0;
    return status;
}

static size_t first_read;
static void note_read(int function, size_t bytes) {
    if (function == CL_SHIM_clEnqueueReadBuffer && first_read == 0)
        first_read = bytes;
}

static void test(opencl_device *device, const char *name, uint32_t op, int which) {
    int noticed = 0, wrong = 0;
    first_read = 0;
    cl_shim_state.each = note_read;
    tl_status status = look(device, op, which, 1, -1);
    cl_shim_state.each = NULL;
    t_ok(status == TL_OK && first_read > 0, "%s is right", name);
    if (status != TL_OK)
        t_note("%s", t_failure());
    for (int place = 0; place < PLACES; place++) {
        status = look(device, op, which, first_read, place);
        noticed += status != TL_OK;
        wrong += status != TL_OK && (status != TL_ERROR_DEVICE || !strstr(t_failure(), "computes wrongly") ||
                                     !strstr(t_failure(), "TL_OPENCL_TRUST"));
    }
    /* What comes back holds the operands that are only read, and low bits of sums may be off: not every change counts. */
    t_note("%s: %d of %d changes were noticed", name, noticed, PLACES);
    t_ok(noticed >= PLACES / 20 && wrong == 0, "%s: changes are noticed", name);
    status = look(device, op, which, first_read, 0);
    t_ok(status != TL_OK && strstr(t_failure(), "writes before"), "%s: a write outside is noticed", name);
    setenv("TL_OPENCL_TRUST", "yes", 1);
    t_ok(look(device, op, which, first_read, 0) == TL_OK, "%s: trust = yes goes on", name);
    unsetenv("TL_OPENCL_TRUST");
}

static void test_blas(opencl_device *device) {
    int trust = OPENCL_TRUST_UNASKED, spoiled = OPENCL_TRUST_UNASKED;
    t_ok(tl__opencl_canary_blas(device, &trust) == TL_OK && trust == OPENCL_TRUST_ALL, "CLBlast is right");
    for (int read = 1; read <= 2; read++) {
        cl_shim_state.count[CL_SHIM_clEnqueueReadBuffer] = 0;
        cl_shim_state.spoil_at = read;
        cl_shim_state.spoil_byte = 3;
        tl_status status = tl__opencl_canary_blas(device, &spoiled);
        cl_shim_state.spoil_at = 0;
        t_ok(status == TL_OK && spoiled == (read == 1 ? OPENCL_TRUST_NONE : OPENCL_TRUST_DIRECT),
             "CLBlast: a wrong product by the %s way is not trusted", read == 1 ? "direct" : "indirect");
    }
}

/* What passed is remembered, what failed is not, and a remembered thing is not looked at again. */
static void test_stamp(void) {
    char folder[4096];
    const char *build = getenv("TL_TEST_BUILD");
    snprintf(folder, sizeof(folder), "%s/canary-cache-XXXXXX", build ? build : "/tmp");
    t_ok(mkdtemp(folder) != NULL, "a folder for stamps");
    setenv("TL_OPENCL_CACHE", folder, 1);
    t_device *opened = t_device_open(tl__backend_entry_opencl(TL_BACKEND_ABI, t_host()), 0, NULL, 0);
    opencl_device *device = opened ? (opencl_device *)t_device_handle(opened) : NULL;
    if (!device) {
        t_ok(false, "the device opens: %s", t_failure());
        return;
    }
    t_ok(look(device, TL_OP_RELU, 0, 1, 0) != TL_OK && !tl__opencl_canary_stamped(device, "canary-6-0"), "no stamp for a failure");
    t_ok(look(device, TL_OP_RELU, 0, 1, -1) == TL_OK && tl__opencl_canary_stamped(device, "canary-6-0"), "a stamp");
    t_ok(look(device, TL_OP_RELU, 0, 1, 0) == TL_OK, "what has a stamp is not looked at");
    t_ok(t_device_close(opened) == 0, "nothing is left");
    unsetenv("TL_OPENCL_CACHE");
    char command[4200];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    t_ok(system(command) == 0, "the folder is gone");
}

static void cases(void) {
    static const struct {
        const char *name;
        uint32_t op;
        int which;
    } table[] = {{"conv2d", TL_OP_CONV2D, 0},
                 {"conv2d of constants", TL_OP_CONV2D, CANARY_CONSTANT},
                 {"conv2d in groups", TL_OP_CONV2D, CANARY_GROUPS},
                 {"conv2d in groups of constants", TL_OP_CONV2D, CANARY_GROUPS | CANARY_CONSTANT},
                 {"conv2d_grad_input", TL_OP_CONV2D_GRAD_INPUT, 0},
                 {"conv2d_grad_input of constants", TL_OP_CONV2D_GRAD_INPUT, CANARY_CONSTANT},
                 {"conv2d_grad_weight", TL_OP_CONV2D_GRAD_WEIGHT, 0},
                 {"batchnorm", TL_OP_BATCHNORM, 0},
                 {"relu", TL_OP_RELU, 0},
                 {"cross_entropy", TL_OP_CROSS_ENTROPY, 0},
                 {"adam", TL_OP_ADAM, 0}};
    setenv("TL_OPENCL_CACHE", "none", 1);
    t_device *opened = t_device_open(tl__backend_entry_opencl(TL_BACKEND_ABI, t_host()), 0, NULL, 0);
    if (!opened) {
        t_ok(false, "the device opens: %s", t_failure());
        return;
    }
    opencl_device *device = (opencl_device *)t_device_handle(opened);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        test(device, table[i].name, table[i].op, table[i].which);
    test_blas(device);
    t_ok(t_device_close(opened) == 0, "nothing is left");
    test_stamp();
}

int main(int argc, char **argv) {
    t_builtin = tl__backend_entry_opencl;
    return t_main(argc, argv, cases);
}
