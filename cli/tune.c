/* tl tune */
#include <string.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_BATCH, "batch", "N", "images at once (default: 32)"},
    {CLI_SIZE, "size", "N", "side of the square images, in pixels (default: 224)"},
    {CLI_PRECISION, "precision", "HOW", "measure values stored in 16 bits, too: fp32 (default: no), bf16, fp16"},
    {CLI_LIST, "list", NULL, "show what was measured before, on this device or on all"},
    {CLI_FORGET, "forget", "DEVICE", "forget what was measured on it; all: on every device"},
    {CLI_JSON, "json", NULL, "one JSON object"},
    {0, NULL, NULL, NULL},
};

typedef struct request {
    const char *device, *arch, *forget;
    int batch, size, precision;
    bool list, json;
    json_t *choices;
    char last[512]; /* device of the list's last line */
    int count;
} request;

static void on_candidate(void *user, const char *node, const char *operation, const char *implementation, double seconds,
                         const char *note)
{
    (void)user;
    if (seconds < 0)
        cli_verbose("%s (%s): %s does not work: %s", node, operation, implementation, note);
    else
        cli_verbose("%s (%s): %s takes %.3f ms", node, operation, implementation, seconds * 1e3);
}

static void add(request *r, const char *form, const char *implementation, double seconds, const char *device)
{
    r->count++;
    if (!r->choices) {
        cli_print("  %-68s %-24s %9.3f ms\n", form, implementation, seconds * 1e3);
        return;
    }
    json_t *object = json_object();
    if (device)
        json_object_set_new(object, "device", cli_json_text(device));
    json_object_set_new(object, "form", cli_json_text(form));
    json_object_set_new(object, "implementation", cli_json_text(implementation));
    json_object_set_new(object, "seconds", cli_json_real(seconds));
    json_array_append_new(r->choices, object);
}

static void on_choice(void *user, const char *form, const char *implementation, double seconds)
{
    add(user, form, implementation, seconds, NULL);
}

static void on_kept(void *user, const tl_tune_choice *choice)
{
    request *r = user;
    if (!r->choices && strcmp(r->last, choice->device)) {
        snprintf(r->last, sizeof(r->last), "%s", choice->device);
        cli_print("%s: %s\n", choice->backend, choice->device);
    }
    add(r, choice->form, choice->implementation, choice->seconds, choice->device);
}

static void print_json(request *r)
{
    json_t *object = json_object();
    json_object_set(object, "choices", r->choices);
    cli_json_print(object);
}

static int list(request *r, tl_context *context)
{
    tl_status status = tl_tune_list(context, r->device, on_kept, r);
    if (status != TL_OK)
        return cli_failed(context, status, NULL);
    if (r->choices)
        print_json(r);
    else if (r->count == 0)
        cli_note("nothing was measured yet");
    return CLI_DONE;
}

static int forget(request *r, tl_context *context)
{
    int count = 0;
    tl_status status = tl_tune_forget(context, strcmp(r->forget, "all") ? r->forget : NULL, &count);
    if (status != TL_OK)
        return cli_failed(context, status, NULL);
    cli_note("%d forgotten", count);
    return CLI_DONE;
}

static int measure(request *r, tl_context *context)
{
    tl_model *model = NULL;
    tl_device *device = NULL;
    tl_tune_options how = {.size = sizeof(how), .batch = r->batch, .pixels = r->size, .user = r,
                           .on_candidate = on_candidate, .on_choice = on_choice,
                           .precision = (tl_precision)r->precision};
    tl_tune_result result = {.size = sizeof(result)};
    cli_catch_signals();
    int code = cli_device_open(context, &(cli_device_request){.name = r->device}, &device);
    if (code == CLI_DONE)
        code = cli_model_named(context, r->arch, &model);
    if (code == CLI_DONE) {
        cli_note("%s: %s · %s · batch %d · %d px", tl_device_name(device), tl_device_description(device), r->arch, r->batch,
                 r->size);
        tl_status status = tl_tune(model, device, &how, &result);
        if (status != TL_OK)
            code = cli_failed(context, status, NULL);
    }
    if (code == CLI_DONE && r->choices)
        print_json(r);
    if (code == CLI_DONE)
        cli_note("%d choices after %d measurements, kept for %s", result.forms, result.candidates, tl_device_name(device));
    tl_model_destroy(model);
    tl_device_close(device);
    return code;
}

static int work(request *r)
{
    tl_context *context = cli_context_create();
    if (!context)
        return CLI_FAILED;
    r->choices = r->json ? json_array() : NULL;
    int code = r->list ? list(r, context) : r->forget ? forget(r, context) : measure(r, context);
    json_decref(r->choices);
    tl_context_destroy(context);
    return code;
}

static int run(int argc, char **argv)
{
    request r = {.batch = 32, .size = 224, .arch = "resnet50"};
    const char *value;
    int letter, code = CLI_DONE;
    while ((letter = cli_next_option(&cli_tune, argc, argv, &value, &code)) > 0) {
        bool ok = true;
        switch (letter) {
        case CLI_JSON: r.json = true; break;
        case CLI_LIST: r.list = true; break;
        case CLI_FORGET: r.forget = value; break;
        case CLI_PRECISION: ok = cli_option_precision(&cli_tune, value, &r.precision); break;
        case CLI_BATCH: ok = cli_option_int(&cli_tune, "batch", value, 1, 4096, &r.batch); break;
        case CLI_SIZE: ok = cli_option_int(&cli_tune, "size", value, 1, 16384, &r.size); break;
        }
        if (!ok)
            return CLI_USAGE;
    }
    if (letter < 0)
        return code;
    int operands = argc - optind;
    if (r.list && r.forget)
        return cli_usage("tune", "--list or --forget, not both");
    if (r.forget && operands > 0)
        return cli_usage("tune", "%s: --forget has its device already", argv[optind]);
    if (operands > (r.list ? 1 : 2))
        return cli_usage("tune", "%s: one operand too much", argv[argc - 1]);
    if (!r.list && !r.forget && operands == 0)
        return cli_usage("tune", "which device? 'tl devices' lists them");
    if (operands > 0)
        r.device = argv[optind];
    if (operands > 1)
        r.arch = argv[optind + 1];
    return work(&r);
}

const cli_verb cli_tune = {
    .name = "tune",
    .usage = "[OPTION]... DEVICE [ARCH] | --list [DEVICE] | --forget DEVICE",
    .summary = "Measures what is fastest on a device, and keeps it.",
    .details = "For every convolution of the network (default: resnet50), in inference and in training, the device's\n"
               "implementations are measured; the fastest serves from then on, in every batch. The choices are kept in\n"
               "the cache folder, for this device, its driver and this version of libtl. With -v, every measurement.\n",
    .options = options,
    .run = run,
};
