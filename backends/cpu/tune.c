/* tune.c: measures the ways of an operation's form, and keeps the fastest. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "backends/cpu/tune.h"
#include "backends/tuned.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

/* Another way than the cost model's must be faster by more than two measurements of one way differ: it changes bits. */
#define NOISE 0.03

typedef struct cpu_tuning {
    tuned_store store;
    char identity[256];
} cpu_tuning;

/* What the machine does, not how much of it is used. */
static void identify(cpu_isa isa, char *text, size_t size) {
    char model[128];
    tl__cpu_model(model, sizeof(model));
    snprintf(text, size, "libtl %s|%s|%s", PACKAGE_VERSION, model, tl__cpu_isa_title(isa));
}

tl_status tl__cpu_tuned_begin(cpu_device *device) {
    if (device->winograd != CPU_WINOGRAD_AUTO)
        return TL_OK;
    cpu_tuning *made = device->host->allocate(device->host->user, sizeof(*made), CPU_ALIGNMENT);
    if (!made)
        return tl__cpu_fail(device, TL_ERROR_MEMORY, "cpu: no memory for the device");
    *made = (cpu_tuning){.store = {.files = {device->host, "cpu"}}};
    made->store.identity = made->identity;
    identify(device->isa, made->identity, sizeof(made->identity));
    device->tuning = made;
    return TL_OK;
}

void tl__cpu_tuned_release(cpu_device *device) {
    if (!device->tuning)
        return;
    tuned_forget(&device->tuning->store);
    device->host->release(device->host->user, device->tuning);
    device->tuning = NULL;
}

const char *tl__cpu_tuned(cpu_kernel *kernel) {
    char form[TUNED_FORM];
    tuned_store *store = kernel->device->tuning ? &kernel->device->tuning->store : NULL;
    if (!store || !tuned_list(store) || !tuned_form(&kernel->op, kernel->operands, form))
        return NULL;
    const tuned_choice *t = tuned_find(store, form);
    return t ? t->implementation : NULL;
}

uint64_t tl__cpu_tuned_hash(cpu_device *device) {
    static const char forward[] = "conv2d ";
    uint64_t sum = 0; /* in any order */
    for (const tuned_choice *t = device->tuning ? tuned_list(&device->tuning->store) : NULL; t; t = t->next)
        if (strncmp(t->form, forward, sizeof(forward) - 1) == 0)
            sum += XXH64(t->form, strlen(t->form), XXH64(t->implementation, strlen(t->implementation), 0)) | 1;
    return sum;
}

tl_status tl__cpu_tuned_each(const tl_host *host, uint32_t index, int forget, void *user,
                             void (*each)(void *user, const tl_tuned *tuned)) {
    const cache files = {host, "cpu"};
    char identity[256];
    cpu_isa isa;
    tl_status status = index == TL_EVERY_DEVICE ? TL_OK : tl__cpu_option_isa(host, &isa);
    if (status != TL_OK)
        return status;
    if (index != TL_EVERY_DEVICE)
        identify(isa, identity, sizeof(identity));
    tuned_each(&files, index == TL_EVERY_DEVICE ? NULL : identity, forget != 0, user, each);
    return TL_OK;
}

/* ---- measuring ---- */

/* All ways that there are, *model becoming the number of that which the cost model takes. A way that the form does not
 * admit, or that must not be taken because the operation is exact, refuses whoever asks. */
static tl_status prepare_all(cpu_trial *trial, const tl_op_desc *op, const tl_operand *operands, uint32_t inputs,
                             uint32_t outputs, int *model) {
    const cpu_implementation *list = tl__cpu_implementations(op->op);
    *model = -1;
    for (; list->name && trial->count < CPU_CANDIDATES; list++) {
        tl_backend_kernel *kernel = NULL;
        const cpu_asked asked[] = {{list->name, false}, {list->name, true}};
        tl_status status = TL_UNSUPPORTED;
        for (int i = 0; i < 2 && status == TL_UNSUPPORTED; i++) {
            status = tl__cpu_prepare_as(&trial->device->base, op, operands, inputs, outputs, &asked[i], &kernel);
            if (status == TL_OK && i == 0 && *model < 0)
                *model = trial->count;
        }
        if (status == TL_OK)
            trial->kernels[trial->count++] = (cpu_kernel *)kernel;
        else if (status != TL_UNSUPPORTED)
            return status;
    }
    return TL_OK;
}

static tl_status report(const cpu_trial *trial, const tl_tuning *tuning) {
    for (int i = 0; i < trial->count && tuning->candidate; i++) {
        const char *note = trial->seconds[i] < 0 ? "it computes other numbers than the first one" : "";
        if (tuning->candidate(tuning->user, trial->kernels[i]->base.implementation, trial->seconds[i], note) != 0)
            return tl__cpu_fail(trial->device, TL_CANCELLED, "cpu: cancelled while measuring");
    }
    return TL_OK;
}

static int fastest_of(const cpu_trial *trial, int model) {
    int best = model < 0 || trial->seconds[model] < 0 ? 0 : model; /* the first is what the others are compared with */
    double least = (1 - NOISE) * trial->seconds[best];
    for (int i = 0; i < trial->count; i++)
        if (trial->seconds[i] >= 0 && trial->seconds[i] < least) {
            least = trial->seconds[i];
            best = i;
        }
    return best;
}

static tl_status measure(cpu_trial *trial, tuned_store *store, const char *form, int model, const tl_tuning *tuning) {
    tl_status status = tl__cpu_trial_run(trial);
    if (status == TL_OK)
        status = report(trial, tuning);
    if (status != TL_OK)
        return status;
    const int best = fastest_of(trial, model);
    if (trial->seconds[best] < 0)
        return tl__cpu_fail(trial->device, TL_ERROR_DEVICE, "cpu: %s: no way of doing it works", form);
    const char *name = trial->kernels[best]->base.implementation;
    status = tuned_keep(store, form, name, trial->seconds[best]);
    tl__cpu_identify(trial->device);
    if (status == TL_OK && tuning->chosen)
        tuning->chosen(tuning->user, form, name, trial->seconds[best]);
    return status;
}

tl_status tl__cpu_tune(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands, uint32_t input_count,
                       uint32_t output_count, const tl_tuning *tuning) {
    cpu_device *device = (cpu_device *)base;
    char form[TUNED_FORM];
    int model;
    if (!device->tuning)
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: the option winograd leaves nothing to choose");
    if (!tuned_form(op, operands, form))
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: there is one way to do it");
    tuned_store *store = &device->tuning->store;
    const tuned_choice *before = tuned_find(store, form);
    if (before && before->fresh)
        return TL_OK;
    cpu_trial trial = {.device = device, .inputs = input_count};
    tl_status status = prepare_all(&trial, op, operands, input_count, output_count, &model);
    if (status == TL_OK && trial.count < 2)
        status = tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: there is one way to do it");
    if (status == TL_OK)
        status = measure(&trial, store, form, model, tuning);
    for (int i = 0; i < trial.count; i++)
        trial.kernels[i]->base.ops->release(&trial.kernels[i]->base);
    return status;
}
