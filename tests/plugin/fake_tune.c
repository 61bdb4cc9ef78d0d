/* plugin/fake_tune.c: a choice between implementations that are only names. */
#include <stdio.h>
#include <string.h>

#include "fake.h"

tl_status fake_tune(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands, uint32_t inputs,
                    uint32_t outputs, const tl_tuning *tuning) {
    const fake_device *device = (const fake_device *)base;
    const tl_host *host = device->host;
    char form[96];
    const void *data;
    if (op->op != TL_OP_CONV2D)
        return fake_fail(host, TL_UNSUPPORTED, "there is one way to do it");
    if (fake_option_is(host, "tune", "fail"))
        return fake_fail(host, TL_ERROR_IO, "nothing can be kept, on demand");
    if (inputs + outputs != 5 || tuning->size < sizeof *tuning)
        return fake_wrong(device, "tune: the form of conv2d");
    if (operands[1].constant && operands[1].constant->read(operands[1].constant, &data) != TL_OK)
        return TL_ERROR_MEMORY;
    if (tuning->candidate(tuning->user, "slow", 0.002, "") != 0 ||
        tuning->candidate(tuning->user, "odd", -1, "it computes other numbers, on demand") != 0)
        return fake_fail(host, TL_CANCELLED, "cancelled while measuring");
    const int64_t *x = operands[0].desc.shape, *y = operands[4].desc.shape;
    snprintf(form, sizeof form, "conv2d %dx%dx%d -> %dx%dx%d", (int)x[1], (int)x[2], (int)x[3], (int)y[1], (int)y[2], (int)y[3]);
    tuning->chosen(tuning->user, form, "slow", 0.002);
    return TL_OK;
}

/* What the option "tuned" says, for the first device; for every device that of one more, which is gone. */
tl_status fake_tuned(const tl_host *host, uint32_t index, int forget, void *user,
                     void (*each)(void *user, const tl_tuned *tuned)) {
    const char *form = fake_option(host, "tuned", NULL);
    tl_tuned first = {.size = sizeof first, .device = "fake device, driver 1", .form = form, .implementation = "slow",
                      .seconds = 0.25};
    tl_tuned gone = first;
    gone.device = "fake device, driver 0";
    if (form && strcmp(form, "fail") == 0)
        return fake_fail(host, TL_ERROR_IO, "nothing can be read, on demand");
    if (form && (index == 0 || index == TL_EVERY_DEVICE))
        each(user, &first);
    if (form && index == TL_EVERY_DEVICE)
        each(user, &gone);
    if (forget)
        host->log(host->user, TL_LOG_WARNING, index == TL_EVERY_DEVICE ? "forgets every device" : "forgets one device");
    return TL_OK;
}
