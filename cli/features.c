/* tl features */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/job.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {'o', "output", "FILE", "where to write them: a .safetensors or .npy file"},
    {CLI_AT, "at", "NODE", "take the value of this node or block (default: what the last layer reads)"},
    {CLI_FORMAT, "format", "FORMAT", "npy or safetensors (default: by the file's ending)"},
    {'s', "set", "SECTION.KEY=VALUE", "override a value of the configuration; any number of times"},
    {CLI_BATCH, "batch", "N", "images at once (default: 32)"},
    CLI_DEVICE_OPTIONS,
    {CLI_JSON, "json", NULL, "one JSON object that says what was written"},
    {0, NULL, NULL, NULL},
};

typedef struct request {
    const char *source, *data_path, *output, *at, *format;
    cli_device_request device;
    const char **overrides;
    size_t override_count;
    int batch;
    bool json, fallback; /* --fallback was given */
} request;

static bool is_npy(const request *r)
{
    return r->format ? !strcmp(r->format, "npy") : cli_ends_with(r->output, ".npy");
}

static void say(const request *r, const tl_features *features)
{
    tl_features_info info = {.size = sizeof(info)};
    tl_features_describe(features, &info);
    if (!r->json) {
        if (info.images_found > 0)
            cli_note("features  %s/%s from cache", cli_grouped(info.images_found), cli_grouped(info.images));
        cli_print("%s · %s images · %s numbers each, %s [%lld, %lld, %lld]\n", r->output, cli_grouped(info.images), cli_grouped(info.count),
                  info.at, (long long)info.shape[0], (long long)info.shape[1], (long long)info.shape[2]);
        return;
    }
    json_t *object = json_object(), *shape = json_array();
    for (int i = 0; i < 3; i++)
        json_array_append_new(shape, json_integer((json_int_t)info.shape[i]));
    json_object_set_new(object, "file", cli_json_text(r->output));
    json_object_set_new(object, "node", cli_json_text(info.at));
    json_object_set_new(object, "images", json_integer((json_int_t)info.images));
    json_object_set_new(object, "images_found", json_integer((json_int_t)info.images_found));
    json_object_set_new(object, "count", json_integer((json_int_t)info.count));
    json_object_set_new(object, "shape", shape);
    cli_json_print(object);
}

static int extract(const request *r, tl_context *context, tl_model *model, tl_device *device, const tl_dataset *data, const cli_config *config)
{
    tl_features *features = NULL;
    tl_features_options o;
    tl_features_options_init(&o, sizeof(o));
    o.at = r->at;
    o.batch = r->batch ? r->batch : config ? config->batch : 0;
    o.cache_folder = "";
    if (config) {
        o.workers = config->workers;
        o.cache_limit = config->cache_limit;
        o.cache_folder = !strcmp(config->cache, "none") || !strcmp(config->cache, "memory") ? NULL : config->cache;
    }
    o.user = "features";
    o.on_progress = cli_show_progress;
    tl_status status = tl_features_create(model, device, data, &o, &features);
    cli_progress_end();
    if (status == TL_OK)
        status = tl_features_save(features, r->output, is_npy(r) ? TL_FEATURES_NPY : TL_FEATURES_SAFETENSORS);
    if (status == TL_OK)
        say(r, features);
    tl_features_destroy(features);
    if (status == TL_OK)
        return CLI_DONE;
    cli_failed(context, status, NULL);
    return status == TL_ERROR_NOT_FOUND ? CLI_USAGE : CLI_FAILED;
}

/* The images of a configuration are all those of its training folder, whatever part of them is held out. */
static int from_config(request *r)
{
    cli_config config;
    cli_job job = {0};
    char error[1024];
    if (!cli_config_load(r->source, r->overrides, r->override_count, &config, error, sizeof(error))) {
        cli_error("%s", error);
        return CLI_USAGE;
    }
    tl_dataset *data = NULL;
    int code = cli_job_open(&config, &job);
    if (code == CLI_DONE) {
        tl_status status = tl_dataset_open(job.context, r->data_path ? r->data_path : config.train, &data);
        code = status == TL_OK ? extract(r, job.context, job.model, job.device, data, &config) : cli_failed(job.context, status, NULL);
    }
    tl_dataset_destroy(data);
    cli_job_close(&job);
    cli_config_free(&config);
    return code;
}

static int from_model(const request *r)
{
    tl_context *context = cli_context_create();
    tl_model *model = NULL;
    tl_device *device = NULL;
    tl_dataset *data = NULL;
    if (!context)
        return CLI_FAILED;
    int code = cli_model_open(context, r->source, &model);
    if (code == CLI_DONE) {
        tl_status status = tl_dataset_open(context, r->data_path, &data);
        if (status != TL_OK)
            code = cli_failed(context, status, NULL);
    }
    if (code == CLI_DONE)
        code = cli_device_open(context, &r->device, &device);
    if (code == CLI_DONE)
        code = extract(r, context, model, device, data, NULL);
    tl_dataset_destroy(data);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
    return code;
}

static int check(const request *r, int operands)
{
    static const char *const formats[] = {"npy", "safetensors"};
    if (operands < 1 || operands > 2)
        return cli_usage("features", "a configuration, or a model and a folder of images: tl features CONFIG.ini|MODEL DATA -o FILE");
    if (!cli_ends_with(r->source, ".ini") && operands != 2)
        return cli_usage("features", "which images? tl features MODEL DATA -o FILE (a configuration, which names some, ends with .ini)");
    if (!cli_ends_with(r->source, ".ini") && r->override_count > 0)
        return cli_usage("features", "-s is for configurations, and %s is none (its name does not end with .ini)", r->source);
    if (!r->output)
        return cli_usage("features", "where to? tl features ... -o FILE");
    if (r->format && strcmp(r->format, "npy") && strcmp(r->format, "safetensors")) {
        const char *near = cli_nearest(r->format, formats, CLI_COUNT(formats));
        return cli_usage("features", "--format %s: npy or safetensors%s%s%s", r->format, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    if (!r->format && !cli_ends_with(r->output, ".npy") && !cli_ends_with(r->output, ".safetensors"))
        return cli_usage("features", "%s: neither .npy nor .safetensors; --format says which", r->output);
    return CLI_DONE;
}

static int work(request *r, int argc, char **argv)
{
    static const char *const fallbacks[] = {[TL_FALLBACK_WARN] = "warn", [TL_FALLBACK_ERROR] = "error", [TL_FALLBACK_ALLOW] = "allow"};
    char *owned[3] = {NULL, NULL, NULL};
    r->source = argc > optind ? argv[optind] : "";
    r->data_path = argc - optind == 2 ? argv[optind + 1] : NULL;
    int code = check(r, argc - optind);
    if (code != CLI_DONE)
        return code;
    cli_catch_signals();
    if (!cli_ends_with(r->source, ".ini"))
        return from_model(r);
    if (r->device.name)
        r->overrides[r->override_count++] = owned[0] = cli_format("device.device=%s", r->device.name);
    if (r->device.threads)
        r->overrides[r->override_count++] = owned[1] = cli_format("device.threads=%d", r->device.threads);
    if (r->fallback)
        r->overrides[r->override_count++] = owned[2] = cli_format("device.fallback=%s", fallbacks[r->device.fallback]);
    code = from_config(r);
    for (size_t i = 0; i < CLI_COUNT(owned); i++)
        free(owned[i]);
    return code;
}

static int run(int argc, char **argv)
{
    request r = {0};
    const char *value;
    int letter, code = CLI_DONE;
    r.overrides = cli_alloc(((size_t)argc + 3) * sizeof(*r.overrides));
    while ((letter = cli_next_option(&cli_features, argc, argv, &value, &code)) > 0) {
        bool fits = true;
        switch (letter) {
        case 'o': r.output = value; break;
        case 's': r.overrides[r.override_count++] = value; break;
        case CLI_AT: r.at = value; break;
        case CLI_FORMAT: r.format = value; break;
        case CLI_JSON: r.json = true; break;
        case CLI_BATCH: fits = cli_option_int(&cli_features, "batch", value, 1, 4096, &r.batch); break;
        default:
            r.fallback |= letter == CLI_FALLBACK;
            fits = !cli_device_option(&cli_features, letter, value, &r.device, &code) || code == CLI_DONE;
        }
        if (!fits) {
            code = CLI_USAGE;
            break;
        }
    }
    if (letter == 0)
        code = work(&r, argc, argv);
    free(r.overrides);
    return code;
}

const cli_verb cli_features = {
    .name = "features",
    .usage = "[OPTION]... CONFIG.ini [DATA] | MODEL DATA -o FILE",
    .summary = "Writes what a network makes of images before its head, for other programs.",
    .details = "The images are those of DATA, one folder a class, or of the configuration's training folder. A .safetensors\n"
               "file holds features, labels and, as metadata, the paths; beside X.npy there are X.labels.npy and X.files.txt.\n",
    .options = options,
    .run = run,
};
