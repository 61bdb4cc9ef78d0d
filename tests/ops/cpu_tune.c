/* cpu_tune.c: what `tl tune` measures of the CPU backend, keeps, and prepare then takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/tuned.h"
#include "tests/ops/harness.h"

const tl_backend *tl__backend_entry_cpu(uint32_t abi, const tl_host *host);

static const tl_backend *backend;
static char folder[256], identity[256];

/* ---- forms ---- */

enum { CHANNELS = 64, SIDE = 12, MOST_OPERANDS = 5 };

typedef struct weights {
    tl_constant constant;
    float values[CHANNELS * 9 * CHANNELS];
} weights;

static tl_status read_weights(const tl_constant *constant, const void **data) {
    *data = ((const weights *)constant)->values;
    return TL_OK;
}

static weights *made_weights(void) {
    static weights w = {.constant = {sizeof(tl_constant), 77, read_weights}};
    t_fill(w.values, CHANNELS * 9 * CHANNELS, -0.1, 0.1);
    return &w;
}

typedef struct t_form {
    tl_op_desc op;
    tl_operand operands[MOST_OPERANDS];
    uint32_t inputs, outputs;
} t_form;

static tl_operand floats(int64_t a, int64_t b, int64_t c, int64_t d) {
    return (tl_operand){.desc = {TL_DTYPE_F32, 4, {a, b, c, d}}};
}

/* A 3x3 convolution of maps of SIDE x SIDE, or one of its gradients. */
static t_form form_of(tl_op op, int64_t images, bool constant) {
    t_form f = {.op = {.size = sizeof(f.op), .op = op, .groups = 1}};
    for (int i = 0; i < 2; i++) {
        f.op.kernel[i] = 3;
        f.op.stride[i] = f.op.pad[i] = f.op.dilation[i] = 1;
    }
    const tl_operand map = floats(images, SIDE, SIDE, CHANNELS);
    tl_operand w = floats(CHANNELS, 3, 3, CHANNELS);
    w.constant = constant && op != TL_OP_CONV2D_GRAD_WEIGHT ? &made_weights()->constant : NULL;
    f.inputs = op == TL_OP_CONV2D_GRAD_WEIGHT ? 2 : 4;
    f.outputs = op == TL_OP_CONV2D_GRAD_WEIGHT ? 2 : 1;
    f.operands[0] = map;
    f.operands[1] = op == TL_OP_CONV2D_GRAD_WEIGHT ? map : w;
    f.operands[op == TL_OP_CONV2D_GRAD_WEIGHT ? 2 : 4] = op == TL_OP_CONV2D_GRAD_WEIGHT ? w : map;
    if (op != TL_OP_CONV2D)
        f.op.extent[0] = f.op.extent[1] = op == TL_OP_CONV2D_GRAD_WEIGHT ? 3 : SIDE;
    return f;
}

/* Opens a device, and says what computes the form there. */
static const char *taken_with(const t_form *f, int threads) {
    static char name[64];
    t_device *device = t_device_open(backend, 0, NULL, threads);
    tl_backend_device *d = device ? t_device_handle(device) : NULL;
    tl_backend_kernel *kernel = NULL;
    snprintf(name, sizeof(name), "%s", t_failure());
    if (d && d->ops->prepare(d, &f->op, f->operands, f->inputs, f->outputs, &kernel) == TL_OK) {
        snprintf(name, sizeof(name), "%s", kernel->implementation);
        kernel->ops->release(kernel);
    }
    if (device && t_device_close(device) != 0)
        snprintf(name, sizeof(name), "it leaves memory behind");
    return name;
}

static void takes(const t_form *f, int threads, const char *wanted, const char *what) {
    const char *name = taken_with(f, threads);
    t_ok(strcmp(name, wanted) == 0, "%s: %s (%s)", what, wanted, name);
}

static const char *identity_with(int threads) {
    static char text[4][128];
    static int next;
    char *to = text[next++ % 4];
    t_device *device = t_device_open(backend, 0, NULL, threads);
    tl_backend_device *d = t_device_handle(device);
    tl_device_properties p = {.size = sizeof(p)};
    d->ops->properties(d, &p);
    snprintf(to, sizeof(text[0]), "%s", p.identity);
    t_device_close(device);
    return to;
}

/* ---- measuring ---- */

typedef struct heard {
    int candidates, choices, cancel_after;
    char form[128], implementation[64];
} heard;

static int on_candidate(void *user, const char *implementation, double seconds, const char *note) {
    heard *h = user;
    t_note("%s: %.3f ms %s", implementation, seconds * 1e3, note);
    h->candidates += seconds > 0 && !*note;
    return h->cancel_after && h->candidates >= h->cancel_after;
}

static void on_chosen(void *user, const char *form, const char *implementation, double seconds) {
    heard *h = user;
    h->choices += seconds > 0;
    snprintf(h->form, sizeof(h->form), "%s", form);
    snprintf(h->implementation, sizeof(h->implementation), "%s", implementation);
}

static tl_status tune(tl_backend_device *d, const t_form *f, heard *h) {
    const tl_tuning tuning = {.size = sizeof(tuning), .user = h, .candidate = on_candidate, .chosen = on_chosen};
    return d->ops->tune(d, &f->op, f->operands, f->inputs, f->outputs, &tuning);
}

static void on_kept(void *user, const tl_tuned *tuned) {
    heard *h = user;
    h->choices++;
    snprintf(h->form, sizeof(h->form), "%s", tuned->form);
    snprintf(h->implementation, sizeof(h->implementation), "%s", tuned->implementation);
    snprintf(identity, sizeof(identity), "%s", tuned->device);
}

static int forget(bool really) {
    heard h = {0};
    backend->tuned(t_host(), 0, really, &h, on_kept);
    return h.choices;
}

static void test_measuring(void) {
    static const tl_op ops[] = {TL_OP_CONV2D, TL_OP_CONV2D_GRAD_INPUT, TL_OP_CONV2D_GRAD_WEIGHT};
    static const char *const names[] = {"conv2d", "conv2d_grad_input", "conv2d_grad_weight"};
    t_device *device = t_device_open(backend, 0, NULL, 2);
    tl_backend_device *d = t_device_handle(device);
    for (int i = 0; i < 3; i++) {
        const t_form f = form_of(ops[i], 2, true);
        heard h = {0}, again = {0};
        char wanted[128];
        snprintf(wanted, sizeof(wanted), "%s 12x12x64 -> 12x12x64 3x3 s1,1 p1,1 d1,1 g1", names[i]);
        const tl_status status = tune(d, &f, &h);
        t_ok(status == TL_OK && h.candidates == 2 && h.choices == 1 && strcmp(h.form, wanted) == 0,
             "two ways of %s are measured (%d: %s)", h.form, h.candidates, status == TL_OK ? h.implementation : t_failure());
        takes(&f, 1, h.implementation, "it is taken from then on");
        t_ok(tune(d, &f, &again) == TL_OK && again.candidates == 0, "it is not measured twice");
    }
    t_ok(forget(false) == 3, "three choices are kept");
    t_form f = form_of(TL_OP_CONV2D, 2, true);
    f.op.exact = 1;
    heard h = {0};
    t_ok(tune(d, &f, &h) == TL_UNSUPPORTED && h.candidates == 0, "what must be exact goes one way: %s", t_failure());
    f = form_of(TL_OP_CONV2D, 2, false);
    f.operands[0].desc.shape[1] = f.operands[4].desc.shape[1] = 24; /* a form of its own */
    t_ok(tune(d, &f, &h) == TL_UNSUPPORTED && h.candidates == 0, "so do weights that change");
    f = form_of(TL_OP_CONV2D, 2, true);
    f.op.op = TL_OP_RELU;
    f.inputs = f.outputs = 1;
    t_ok(tune(d, &f, &h) == TL_UNSUPPORTED, "and what is no convolution");
    f = form_of(TL_OP_CONV2D, 2, true);
    f.operands[0].desc.shape[1] = f.operands[4].desc.shape[1] = 16;
    h.cancel_after = 1;
    t_ok(tune(d, &f, &h) == TL_CANCELLED && h.choices == 0, "measuring is cancelled");
    t_ok(t_device_close(device) == 0, "nothing is left behind");
    t_ok(forget(true) == 3 && forget(false) == 0, "they are forgotten");
}

static void test_memory(void) {
    const t_form f = form_of(TL_OP_CONV2D_GRAD_INPUT, 1, false);
    tl_status status = TL_ERROR_MEMORY;
    long left = 0, n = 0;
    bool failed = true;
    /* Where there is no memory to read the file back, it is as if it could not be kept. */
    for (; failed && (status == TL_ERROR_MEMORY || status == TL_ERROR_IO) && left == 0 && n < 100; n++) {
        heard h = {0};
        t_device *device = t_device_open(backend, 0, NULL, 1);
        t_allocations_fail_after(n);
        status = tune(t_device_handle(device), &f, &h);
        failed = t_allocation_failed();
        t_allocations_fail_after(-1);
        left = t_device_close(device);
    }
    t_ok(left == 0 && status == TL_OK && n > 8, "the %ld allocations of measuring fail in turn: %s", n, t_failure());
    forget(true);
}

/* ---- what was kept ---- */

static void keep(const t_form *f, const char *implementation) {
    char text[TUNED_FORM];
    tuned_store store = {.files = {t_host(), "cpu"}, .identity = identity};
    t_ok(tuned_form(&f->op, f->operands, text) && tuned_keep(&store, text, implementation, 1e-3) == TL_OK, "kept: %s: %s",
         text, implementation);
    tuned_forget(&store);
}

static void test_choices(void) {
    const t_form one = form_of(TL_OP_CONV2D, 1, true), many = form_of(TL_OP_CONV2D, 7, true);
    t_form exact = one, changing = form_of(TL_OP_CONV2D, 1, false);
    exact.op.exact = 1;
    const char *before = identity_with(1);
    takes(&one, 1, "winograd", "untouched");
    keep(&one, "gemm");
    takes(&one, 1, "gemm", "as chosen");
    takes(&many, 1, "gemm", "in every batch");
    takes(&many, 3, "gemm", "with every number of threads");
    const char *gemm = identity_with(1);
    t_ok(strcmp(before, gemm) != 0, "what results depend on has changed: %s, %s", before, gemm);
    t_ok(strcmp(gemm, identity_with(3)) == 0, "whatever the number of threads");
    keep(&one, "winograd");
    takes(&one, 1, "winograd", "as chosen");
    const char *winograd = identity_with(1);
    t_ok(strcmp(winograd, gemm) != 0 && strcmp(winograd, before) != 0, "and again: %s", winograd);
    keep(&exact, "winograd");
    takes(&exact, 1, "gemm", "what must be exact stays so whatever the file says");
    takes(&changing, 1, "gemm", "weights that change are none for it");
    setenv("TL_CPU_WINOGRAD", "1", 1);
    takes(&exact, 1, "winograd", "TL_CPU_WINOGRAD=1 overrules");
    keep(&one, "gemm");
    takes(&one, 1, "winograd", "a choice as well");
    setenv("TL_CPU_WINOGRAD", "0", 1);
    keep(&one, "winograd");
    takes(&one, 1, "gemm", "so does TL_CPU_WINOGRAD=0");
    heard h = {0};
    t_device *device = t_device_open(backend, 0, NULL, 1);
    t_ok(tune(t_device_handle(device), &one, &h) == TL_UNSUPPORTED && h.candidates == 0, "then there is nothing to choose");
    t_device_close(device);
    unsetenv("TL_CPU_WINOGRAD");
    keep(&one, "by magic");
    takes(&one, 1, "winograd", "of what there is not");
    forget(true);
    takes(&one, 1, "winograd", "forgotten");
    t_ok(strcmp(before, identity_with(1)) == 0, "results are as at first");
}

static void test_gradients(void) {
    static const tl_op ops[] = {TL_OP_CONV2D_GRAD_INPUT, TL_OP_CONV2D_GRAD_WEIGHT};
    const char *before = identity_with(1);
    for (int i = 0; i < 2; i++) {
        const t_form one = form_of(ops[i], 1, false), many = form_of(ops[i], 20, false);
        takes(&one, 1, "gemm", "few tiles");
        takes(&many, 1, "winograd", "many");
        keep(&one, "winograd");
        takes(&one, 1, "winograd", "as chosen");
        keep(&many, "gemm");
        takes(&many, 1, "gemm", "as chosen");
    }
    t_ok(strcmp(before, identity_with(1)) == 0, "no inference depends on gradients");
    forget(true);
}

/* ---- files that are not to be believed ---- */

static void with_file(void (*change)(FILE *file)) {
    char path[CACHE_PATH];
    const cache_key key = tuned_key(identity);
    snprintf(path, sizeof(path), "%s/%s", folder, key.name);
    FILE *file = fopen(path, "r+b");
    t_ok(file != NULL, "%s is there", key.name);
    if (!file)
        return;
    change(file);
    fclose(file);
}

static void flip(FILE *file) {
    fseek(file, 60, SEEK_SET);
    int c = fgetc(file);
    fseek(file, 60, SEEK_SET);
    fputc(c ^ 1, file);
}

static void lengthen(FILE *file) {
    fseek(file, 0, SEEK_END);
    fputc('\n', file);
}

static void empty(FILE *file) {
    if (ftruncate(fileno(file), 0) != 0)
        t_note("it cannot be cut off");
}

/* Whole, and for this device, but no lines of choices. */
static void write_text(const char *text) {
    const cache files = {t_host(), "cpu"};
    const cache_key key = tuned_key(identity);
    cache_blob blob = {(unsigned char *)(uintptr_t)text, strlen(text) + 1};
    cache_write(&files, &key, &blob);
}

static void test_files(void) {
    static void (*const changes[])(FILE *) = {flip, lengthen, empty};
    const t_form f = form_of(TL_OP_CONV2D, 1, true);
    char text[512];
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        keep(&f, "gemm");
        takes(&f, 1, "gemm", "whole");
        with_file(changes[i]);
        takes(&f, 1, "winograd", "changed");
    }
    snprintf(text, sizeof(text), "%s\nconv2d 12x12x64 -> 12x12x64 3x3 s1,1 p1,1 d1,1 g1\tgemm\t1\nno tabs\n", identity);
    write_text(text);
    takes(&f, 1, "winograd", "a line that is none spoils them all");
    t_ok(strstr(identity_with(1), "tuned") == NULL, "no choice is used: %s", identity_with(1));
    write_text("no lines");
    takes(&f, 1, "winograd", "no lines");
    forget(true);
    setenv("TL_CPU_CACHE", "none", 1);
    heard h = {0};
    t_device *device = t_device_open(backend, 0, NULL, 1);
    t_ok(tune(t_device_handle(device), &f, &h) == TL_ERROR_IO, "nothing can be kept: %s", t_failure());
    t_device_close(device);
    setenv("TL_CPU_CACHE", folder, 1);
}

static void cases(void) {
    const char *build = getenv("TL_TEST_BUILD");
    snprintf(folder, sizeof(folder), "%s/tests/tune-XXXXXX", build ? build : ".");
    if (!mkdtemp(folder)) {
        t_ok(false, "no folder %s", folder);
        return;
    }
    setenv("TL_CPU_CACHE", folder, 1);
    backend = tl__backend_entry_cpu(TL_BACKEND_ABI, t_host());
    test_measuring();
    test_memory();
    test_choices();
    test_gradients();
    test_files();
    t_ok(rmdir(folder) == 0, "no file is left");
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
