/* tune.c: measures the implementations of an operation's form. */
#include <stdio.h>
#include <string.h>

#include "backends/opencl/tune.h"

/* What the choice may depend on: everything but the number of images and what is done with the sums. Others than
 * convolutions have one way. */
static bool form_of(const tl_op_desc *op, const tl_operand *operands, char *text, size_t size) {
    static const struct {
        const char *name;
        int x, y;
        uint32_t count;
    } forms[] = {{"conv2d", 0, 4, 5}, {"conv2d_grad_input", 4, 0, 5}, {"conv2d_grad_weight", 0, 1, 4}};
    int which = op->op == TL_OP_CONV2D ? 0 : op->op == TL_OP_CONV2D_GRAD_INPUT ? 1 : op->op == TL_OP_CONV2D_GRAD_WEIGHT ? 2 : -1;
    if (which < 0)
        return false;
    const bool stored = which == 0 && form_misfit(operands, forms[which].count, "effeg") < 0;
    if (!stored && form_misfit(operands, forms[which].count, "fffff") >= 0)
        return false;
    const int64_t *x = operands[forms[which].x].desc.shape, *y = operands[forms[which].y].desc.shape;
    int length = snprintf(text, size, "%s %lldx%lldx%lld -> %lldx%lldx%lld %dx%d s%d,%d p%d,%d d%d,%d g%d%s",
                          forms[which].name, (long long)x[1], (long long)x[2], (long long)x[3], (long long)y[1],
                          (long long)y[2], (long long)y[3], (int)op->kernel[0], (int)op->kernel[1], (int)op->stride[0],
                          (int)op->stride[1], (int)op->pad[0], (int)op->pad[1], (int)op->dilation[0], (int)op->dilation[1],
                          (int)op->groups, stored ? " fp16" : "");
    /* Some ways are for those that need not be exact. */
    if (op->exact && op->op == TL_OP_CONV2D && length > 0 && (size_t)length < size)
        length += snprintf(text + length, size - (size_t)length, " exact");
    return length > 0 && (size_t)length < size;
}

const char *tl__opencl_tuned(opencl_kernel *kernel) {
    char form[128];
    opencl_device *device = kernel->device;
    if (!form_of(&kernel->op, kernel->operands, form, sizeof(form)))
        return NULL;
    if (!device->tuned_known && tl__opencl_tuned_list(device))
        tl__opencl_tuned_blas(device); /* parameters that CLBlast no longer takes are as good as none */
    const opencl_tuned *t = tl__opencl_tuned_find(device, form);
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
    char form[128];
    opencl_trial trial;
    round r = {.tuning = tuning};
    tl_status status = tl__opencl_usable(device);
    if (status == TL_OK && !form_of(op, operands, form, sizeof(form)))
        status = tl__opencl_fail(device, TL_UNSUPPORTED, "there is one way to do it");
    if (status != TL_OK)
        return status;
    const opencl_tuned *before = tl__opencl_tuned_find(device, form);
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
