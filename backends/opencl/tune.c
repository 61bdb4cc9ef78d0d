/* tune.c: measures the implementations of an operation's form. */
#include <stdio.h>
#include <string.h>

#include "backends/opencl/tune.h"

const char *tl__opencl_tuned(opencl_kernel *kernel) {
    char form[TUNED_FORM];
    opencl_device *device = kernel->device;
    if (!tuned_form(&kernel->op, kernel->operands, form))
        return NULL;
    if (!device->tuned && tl__opencl_tuned_list(device))
        tl__opencl_tuned_blas(device); /* parameters that CLBlast no longer takes are as good as none */
    const tuned_choice *t = tl__opencl_tuned_find(device, form);
    return t ? t->implementation : NULL;
}

/* ---- measuring ---- */

typedef struct round {
    const tl_tuning *tuning;
    char names[32][64];
    int count;
    char best[64];
    double seconds;
} round;

static bool known(const round *r, const char *name) {
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->names[i], name) == 0)
            return true;
    return false;
}

static bool report(const round *r, const char *name, double seconds, const char *note) {
    return !r->tuning->candidate || r->tuning->candidate(r->tuning->user, name, seconds, note) == 0;
}

static tl_status stopped(opencl_device *device) {
    return tl__opencl_fail(device, TL_CANCELLED, "cancelled while measuring");
}

/* One candidate. What it fails with ends it alone, unless the device or the memory is gone. */
static tl_status measure(opencl_trial *trial, round *r, tl_backend_kernel *kernel) {
    opencl_device *device = trial->device;
    const char *name = kernel->implementation;
    double seconds = 0;
    bool wrong = false;
    if (known(r, name) || r->count == 32)
        return TL_OK;
    snprintf(r->names[r->count++], sizeof(r->names[0]), "%s", name);
    tl_status status = tl__opencl_trial_run(trial, kernel, r->best[0] ? r->seconds : 0, &wrong, &seconds);
    if (device->lost)
        return status;
    if (status == TL_OK && !wrong && (!r->best[0] || seconds < r->seconds)) {
        snprintf(r->best, sizeof(r->best), "%s", name);
        r->seconds = seconds;
    }
    const char *note = status != TL_OK ? device->failure : wrong ? "it computes other numbers than the first one" : "";
    return report(r, name, *note ? -1 : seconds, note) ? TL_OK : stopped(device);
}

tl_status tl__opencl_tune(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands, uint32_t input_count,
                          uint32_t output_count, const tl_tuning *tuning) {
    opencl_device *device = (opencl_device *)base;
    char form[TUNED_FORM];
    opencl_trial trial;
    round r = {.tuning = tuning};
    tl_status status = tl__opencl_usable(device);
    if (status == TL_OK && !tuned_form(op, operands, form))
        status = tl__opencl_fail(device, TL_UNSUPPORTED, "there is one way to do it");
    if (status != TL_OK)
        return status;
    const tuned_choice *before = tl__opencl_tuned_find(device, form);
    if (before && before->fresh)
        return TL_OK;
    if (!device->vectors)
        status = tl__opencl_tune_blas(device, tuning);
    if (status == TL_OK)
        status = tl__opencl_trial_begin(device, operands, input_count, output_count, &trial);
    if (status != TL_OK)
        return status;
    const opencl_implementation *list = tl__opencl_implementations(op->op);
    for (; list->name && status == TL_OK; list++) {
        tl_backend_kernel *kernel = NULL;
        status = tl__opencl_prepare_as(base, op, operands, input_count, output_count, list->name, &kernel);
        if (status == TL_OK) {
            status = measure(&trial, &r, kernel);
            kernel->ops->release(kernel);
        } else if (!device->lost && status != TL_ERROR_MEMORY) {
            status = TL_OK; /* not for this form, or not on this device */
        }
    }
    tl__opencl_trial_end(&trial);
    if (status == TL_OK && !r.best[0])
        return tl__opencl_fail(device, TL_ERROR_DEVICE, "%s: no implementation works", form);
    if (status == TL_OK)
        status = tl__opencl_tuned_keep(device, form, r.best, r.seconds);
    if (status == TL_OK && tuning->chosen)
        tuning->chosen(tuning->user, form, r.best, r.seconds);
    return status;
}
