/* tl bench */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_BATCH, "batch", "N", "images at once (default: 32)"},
    {CLI_SIZE, "size", "N", "side of the square images, in pixels (default: 224)"},
    {CLI_MODE, "mode", "MODE", "forward (default), or a training step of: head, layer4, full"},
    {CLI_PRECISION, "precision", "HOW", "values between operations are stored in: fp32 (default), bf16, fp16, int8"},
    CLI_DEVICE_OPTIONS,
    {CLI_LAYERS, "layers", NULL, "time every node of the plan by itself, too"},
    {CLI_JSON, "json", NULL, "one JSON object"},
    {0, NULL, NULL, NULL},
};

static const char *const modes[] = {"forward", "head", "layer4", "full"};

typedef struct request {
    const char *arch, *mode;
    cli_device_request device;
    int batch, size, precision;
    bool layers, json;
    json_t *nodes; /* with --layers */
} request;

static uint64_t peak_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

/* Kept until the peak that the rates are compared with is known. */
static void on_node(void *user, const char *node, const char *operation, const char *implementation, double seconds,
                    double flops)
{
    request *r = user;
    json_t *object = json_object();
    json_object_set_new(object, "node", cli_json_text(node));
    json_object_set_new(object, "operation", cli_json_text(operation));
    json_object_set_new(object, "implementation", cli_json_text(implementation));
    json_object_set_new(object, "seconds", cli_json_real(seconds));
    json_object_set_new(object, "flops", cli_json_real(flops));
    json_array_append_new(r->nodes, object);
}

static double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *unit_of(const char *type)
{
    return type && !strcmp(type, "int8") ? "GOP" : "GFLOP";
}

/* Of the peak, or null where that is not known. */
static json_t *share(double flops, double seconds, double peak)
{
    return peak > 0 && seconds > 0 && flops > 0 ? cli_json_ratio(flops / seconds / peak) : json_null();
}

static void print_rate(double flops, double seconds, double peak)
{
    if (flops <= 0 || seconds <= 0)
        cli_print(" %9s %6s", "", "");
    else if (peak <= 0)
        cli_print(" %9.1f %6s", flops / seconds * 1e-9, "");
    else
        cli_print(" %9.1f %5.0f%%", flops / seconds * 1e-9, 100 * flops / seconds / peak);
    cli_print("\n");
}

static void print_nodes(const json_t *nodes, double peak, const char *unit)
{
    char rate[16];
    double seconds = 0, flops = 0;
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
        seconds += number_of(node, "seconds");
    snprintf(rate, sizeof(rate), "%s/s", unit);
    cli_print("%-34s %-20s %-22s %9s %6s %9s %6s\n", "node", "operation", "implementation", "ms", "time", rate, "peak");
    json_array_foreach(nodes, i, node) {
        const char *implementation = json_string_value(json_object_get(node, "implementation"));
        double took = number_of(node, "seconds");
        flops += number_of(node, "flops");
        cli_print("%-34s %-20s %-22s %9.3f %5.1f%%", json_string_value(json_object_get(node, "node")),
                  json_string_value(json_object_get(node, "operation")), implementation ? implementation : "", took * 1e3,
                  seconds > 0 ? 100 * took / seconds : 0);
        print_rate(number_of(node, "flops"), took, peak);
    }
    cli_print("%-34s %-20s %-22s %9.3f %5.0f%%", "all", "", "", seconds * 1e3, 100.0);
    print_rate(flops, seconds, peak);
}

static const char *patterns(const request *r, const tl_model *model)
{
    bool vgg = !strncmp(tl_model_arch(model), "vgg", 3);
    if (!strcmp(r->mode, "full"))
        return "*";
    if (cli_segments(model))
        return !strcmp(r->mode, "layer4") ? "backbone.layer4.*, *classifier.*" : "*classifier.*";
    if (!strcmp(r->mode, "layer4"))
        return "layer4.*, fc.*";
    return vgg ? "classifier.6.*" : "fc.*";
}

static void print_json(const request *r, const tl_device *device, const tl_bench_result *result, double ready)
{
    double rate = result->flops_per_image * result->images_per_second, peak = result->peak_flops;
    json_t *object = json_object();
    size_t i;
    json_t *node;
    json_object_set_new(object, "arch", cli_json_text(r->arch));
    json_object_set_new(object, "mode", cli_json_text(r->mode));
    json_object_set_new(object, "precision", cli_json_text(cli_precisions[r->precision]));
    json_object_set_new(object, "batch", json_integer(r->batch));
    json_object_set_new(object, "size", json_integer(r->size));
    json_object_set_new(object, "device", cli_json_text(tl_device_name(device)));
    json_object_set_new(object, "description", cli_json_text(tl_device_description(device)));
    json_object_set_new(object, "images_per_second", cli_json_real(result->images_per_second));
    json_object_set_new(object, "best_images_per_second", cli_json_real(result->best_images_per_second));
    json_object_set_new(object, "steps", json_integer(result->steps));
    json_object_set_new(object, "resident_bytes", json_integer((json_int_t)peak_bytes()));
    json_object_set_new(object, "arena_bytes", json_integer((json_int_t)result->arena_bytes));
    json_object_set_new(object, "ready_seconds", cli_json_ratio(ready));
    json_object_set_new(object, "flops", cli_json_real(result->flops_per_image));
    json_object_set_new(object, "flops_per_second", cli_json_real(rate));
    json_object_set_new(object, "peak_flops_per_second", peak > 0 ? cli_json_real(peak) : json_null());
    json_object_set_new(object, "peak_type", cli_json_text(result->peak_type));
    json_object_set_new(object, "share_of_peak", share(rate, 1, peak));
    json_array_foreach(r->nodes, i, node)
        json_object_set_new(node, "share_of_peak", share(number_of(node, "flops"), number_of(node, "seconds"), peak));
    if (r->nodes)
        json_object_set(object, "nodes", r->nodes);
    cli_json_print(object);
}

static void print_text(const request *r, const tl_device *device, const tl_bench_result *result, double ready)
{
    double rate = result->flops_per_image * result->images_per_second, peak = result->peak_flops;
    if (r->nodes)
        print_nodes(r->nodes, peak, unit_of(result->peak_type));
    cli_print("%s · %s · %s · batch %d · %d px · %s: %s\n", r->arch, r->mode, cli_precisions[r->precision], r->batch, r->size,
              tl_device_name(device), tl_device_description(device));
    cli_print("%.2f images/s (median of %d steps), %.2f at best\n", result->images_per_second, result->steps,
              result->best_images_per_second);
    cli_print("%.2f %s an image, %.1f %s/s", result->flops_per_image * 1e-9, unit_of(result->peak_type), rate * 1e-9,
              unit_of(result->peak_type));
    if (peak > 0)
        cli_print(", %.0f %% of the %.1f that its arithmetic can do in %s", 100 * rate / peak, peak * 1e-9, result->peak_type);
    cli_print("\nready after %.2f s · %s resident, %s of them in the plan\n", ready, cli_bytes(peak_bytes()),
              cli_bytes(result->arena_bytes));
}

static int measure(request *r, tl_context *context, tl_model *model, tl_device *device)
{
    bool forward = !strcmp(r->mode, "forward");
    tl_bench_options bench = {
        .size = sizeof(bench),
        .mode = forward ? TL_BENCH_FORWARD : TL_BENCH_TRAIN,
        .train = forward ? NULL : patterns(r, model),
        .batch = r->batch,
        .pixels = r->size,
        .user = r,
        .on_node = r->layers ? on_node : NULL,
        .precision = (tl_precision)r->precision,
    };
    tl_bench_result result = {.size = sizeof(result)};
    double before = cli_process_seconds();
    if (r->layers)
        r->nodes = json_array();
    tl_status status = tl_bench(model, device, &bench, &result);
    if (status == TL_OK && r->json)
        print_json(r, device, &result, before + result.first_seconds);
    else if (status == TL_OK)
        print_text(r, device, &result, before + result.first_seconds);
    json_decref(r->nodes);
    return status == TL_OK ? CLI_DONE : cli_failed(context, status, NULL);
}

static int work(request *r)
{
    tl_context *context = cli_context_create();
    tl_model *model = NULL;
    tl_device *device = NULL;
    if (!context)
        return CLI_FAILED;
    int code = cli_device_open(context, &r->device, &device);
    if (code == CLI_DONE)
        code = cli_model_named(context, r->arch, &model);
    if (code == CLI_DONE && !strcmp(r->mode, "layer4") && !strncmp(tl_model_arch(model), "vgg", 3))
        code = cli_usage("bench", "--mode layer4: %s has no layer4", r->arch);
    if (code == CLI_DONE)
        code = measure(r, context, model, device);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
    return code;
}

static int bad_mode(const char *mode)
{
    const char *near = cli_nearest(mode, modes, CLI_COUNT(modes));
    if (near)
        return cli_usage("bench", "--mode: '%s' is none of forward, head, layer4 and full; did you mean %s?", mode, near);
    return cli_usage("bench", "--mode: '%s' is none of forward, head, layer4 and full", mode);
}

static int run(int argc, char **argv)
{
    request r = {.batch = 32, .size = 224, .mode = "forward"};
    const char *value;
    int letter, code = CLI_DONE;
    while ((letter = cli_next_option(&cli_bench, argc, argv, &value, &code)) > 0) {
        bool ok = true;
        switch (letter) {
        case CLI_JSON: r.json = true; break;
        case CLI_LAYERS: r.layers = true; break;
        case CLI_MODE:
            r.mode = NULL;
            for (size_t i = 0; i < CLI_COUNT(modes); i++)
                if (!strcmp(modes[i], value))
                    r.mode = modes[i];
            if (!r.mode)
                return bad_mode(value);
            break;
        case CLI_PRECISION: ok = cli_option_precision(&cli_bench, value, &r.precision); break;
        case CLI_BATCH: ok = cli_option_int(&cli_bench, "batch", value, 1, 4096, &r.batch); break;
        case CLI_SIZE: ok = cli_option_int(&cli_bench, "size", value, 1, 16384, &r.size); break;
        default: ok = !cli_device_option(&cli_bench, letter, value, &r.device, &code) || code == CLI_DONE;
        }
        if (!ok)
            return CLI_USAGE;
    }
    if (letter < 0)
        return code;
    if (argc - optind != 1)
        return cli_usage("bench", "which network? tl bench resnet50");
    r.arch = argv[optind];
    return work(&r);
}

const cli_verb cli_bench = {
    .name = "bench",
    .usage = "[OPTION]... ARCH",
    .summary = "Times a network with random weights on made-up images.",
    .details = "forward times inference; head, layer4 and full time a training step with that part trainable and nothing\n"
               "cached. images_per_second is of the median step. ready_seconds: from the start of the process to the first\n"
               "result; resident_bytes: the most memory the process ever had. peak: the multiplications and additions a\n"
               "second that the device does at most, measured in the same run; convolutions are counted as direct ones, so\n"
               "that those which need fewer operations can pass it. Segmenters are called fcn_resnet50, deeplabv3_resnet101,\n"
               "lite_vgg16 and so on, and have 21 classes; their training steps include the auxiliary classifier.\n",
    .options = options,
    .run = run,
};
