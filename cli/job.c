#include "cli/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/session.h"

tl_status cli_data_open_masks(tl_context *context, const cli_config *config, const char *const *classes, size_t count,
                              const char *path, tl_dataset **out)
{
    tl_masks_options options;
    tl_masks_options_init(&options, sizeof(options));
    if (config) {
        options.kind = config->masks ? (tl_masks)(config->masks - 1) : config->class_colours ? TL_MASKS_COLOUR : TL_MASKS_INDEX;
        options.ignore = config->ignore;
        options.classes = config->class_names;
        options.class_count = config->class_count;
        options.colours = (const uint8_t (*)[3])config->class_colours;
        options.ignore_colour = config->has_ignore_colour ? config->ignore_colour : NULL;
        if (!options.class_count && options.kind != TL_MASKS_ALPHA)
            options.class_count = (size_t)config->classes;
    }
    if (count) {
        options.class_count = count;
        options.classes = classes;
    }
    return tl_dataset_open_masks(context, path, &options, out);
}

/* A data set of the kind that the head learns from; the second one has the classes of the first. */
static tl_status open_set(const cli_config *config, const cli_job *job, const char *path, tl_dataset **out)
{
    if (!cli_config_segments(config))
        return tl_dataset_open(job->context, path, out);
    return cli_data_open_masks(job->context, config, job->train ? tl_dataset_classes(job->train) : NULL,
                               job->train ? tl_dataset_class_count(job->train) : 0, path, out);
}

/* Also tells which classes no mask shows. */
static int weigh_classes(cli_job *job)
{
    size_t classes = tl_dataset_class_count(job->train);
    int64_t *counts = cli_alloc(classes * sizeof(*counts));
    tl_status status = TL_OK;
    if (tl_dataset_has_masks(job->train))
        status = tl_dataset_count_pixels(job->context, job->train, counts, NULL);
    for (size_t i = 0; i < classes && !tl_dataset_has_masks(job->train); i++)
        counts[i] = (int64_t)tl_dataset_class_size(job->train, i);
    job->class_weights = cli_alloc(classes * sizeof(*job->class_weights));
    if (status == TL_OK)
        tl_class_weights(counts, classes, job->class_weights);
    free(counts);
    return status == TL_OK ? CLI_DONE : cli_failed(job->context, status, NULL);
}

static int open_data(const cli_config *config, cli_job *job)
{
    if (config->class_count > 0 && !cli_config_segments(config)) {
        cli_error("%s: [classes] is for segmentation, and head = %s is not", config->path, cli_head_name((tl_head)config->head));
        return CLI_USAGE;
    }
    for (size_t i = 0; i < config->stage_count; i++)
        if (config->stages[i].dice > 0 && !cli_config_segments(config)) {
            cli_error("%s: dice is for segmentation, and head = %s is not", cli_config_where(config, "stage", "dice", (int)i),
                      cli_head_name((tl_head)config->head));
            return CLI_USAGE;
        }
    tl_status status = open_set(config, job, config->train, &job->train);
    if (status != TL_OK)
        return cli_failed(job->context, status, NULL);
    size_t classes = tl_dataset_class_count(job->train);
    if (classes < 2) {
        cli_error("%s: one class only (%s); there is nothing to tell apart", config->train, tl_dataset_class(job->train, 0));
        return CLI_FAILED;
    }
    if (config->classes && (size_t)config->classes != classes) {
        cli_error("%s: [model] classes = %d, but %s has %zu classes",
                  cli_config_where(config, "model", "classes", -1), config->classes, config->train, classes);
        return CLI_FAILED;
    }
    if (config->val_fraction > 0) {
        tl_dataset *rest, *held_out;
        status = tl_dataset_split(job->context, job->train, config->val_fraction, config->seed, &rest, &held_out);
        if (status != TL_OK)
            return cli_failed(job->context, status, config->train);
        tl_dataset_destroy(job->train);
        job->train = rest;
        job->val = held_out;
    } else if (*config->val) {
        status = open_set(config, job, config->val, &job->val);
        if (status == TL_OK)
            status = tl_dataset_match(job->context, job->val, tl_dataset_classes(job->train), classes);
        if (status != TL_OK)
            return cli_failed(job->context, status, NULL);
    }
    return weigh_classes(job);
}

static int open_model(const cli_config *config, cli_job *job)
{
    tl_model_options options;
    tl_preprocess preprocess;
    tl_model_options_init(&options, sizeof(options));
    options.arch = config->arch;
    options.classes = (int)tl_dataset_class_count(job->train);
    options.head = (tl_head)config->head;
    options.layers = config->layers[0] ? config->layers : NULL;
    options.width = config->width;
    options.dropout = config->dropout;
    options.output_stride = config->output_stride;
    options.no_auxiliary = !config->auxiliary;
    options.seed = config->seed;
    tl_status status = tl_model_create(job->context, &options, &job->model);
    if (status != TL_OK) {
        cli_failed(job->context, status, cli_config_where(config, "model", "arch", -1));
        return status == TL_ERROR_ARGUMENT || status == TL_ERROR_NOT_FOUND ? CLI_USAGE : CLI_FAILED;
    }
    status = tl_model_set_classes(job->model, tl_dataset_classes(job->train), options.classes);
    tl_preprocess_init(&preprocess, sizeof(preprocess));
    preprocess.resize = config->resize;
    preprocess.crop = config->crop;
    preprocess.alpha = (tl_alpha)config->alpha;
    preprocess.decode = (tl_decode)config->decode;
    for (int c = 0; c < 3; c++) {
        preprocess.mean[c] = (float)config->mean[c];
        preprocess.std[c] = (float)config->std[c];
    }
    if (status == TL_OK)
        status = tl_model_set_preprocess(job->model, &preprocess);
    if (status == TL_OK && strcmp(config->weights, "random")) {
        tl_weights_options weights = {.size = sizeof(weights), .bgr = config->bgr};
        status = tl_model_load_weights(job->model, config->weights, &weights);
    }
    return status == TL_OK ? CLI_DONE : cli_failed(job->context, status, NULL);
}

int cli_job_open(const cli_config *config, cli_job *job)
{
    memset(job, 0, sizeof(*job));
    job->context = cli_context_create();
    if (!job->context)
        return CLI_FAILED;
    if (strcmp(config->weights, "random") && access(config->weights, R_OK) != 0) {
        cli_error("%s: %s (%s)", config->weights, strerror(errno), cli_config_where(config, "model", "weights", -1));
        return CLI_FAILED;
    }
    cli_device_request request = {
        .name = config->device,
        .isa = config->isa,
        .threads = config->threads,
        .fallback = (tl_fallback)config->fallback,
    };
    int code = open_data(config, job);
    if (code == CLI_DONE)
        code = cli_device_open(job->context, &request, &job->device);
    if (code == CLI_DONE)
        code = open_model(config, job);
    if (code == CLI_DONE)
        code = cli_job_check_stages(config, job);
    return code;
}

void cli_job_close(cli_job *job)
{
    tl_model_destroy(job->model);
    tl_device_close(job->device);
    tl_dataset_destroy(job->train);
    tl_dataset_destroy(job->val);
    free(job->class_weights);
    tl_context_destroy(job->context);
    memset(job, 0, sizeof(*job));
}

/* ---- stages ---- */

int64_t cli_job_trainable(const cli_config *config, const cli_job *job, const cli_stage *stage)
{
    int64_t sum = 0;
    for (size_t i = 0; i < tl_model_parameter_count(job->model); i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        if (tl_model_parameter(job->model, i, &info) == TL_OK && !info.buffer &&
            cli_matches(cli_config_patterns(config, stage), info.name))
            sum += info.count;
    }
    return sum;
}

/* A parameter, one of those that `among` matches (NULL: any), matches the pattern. */
static bool matches_any(const tl_model *model, const char *pattern, const char *among)
{
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        if (tl_model_parameter(model, i, &info) == TL_OK && !info.buffer && cli_matches(pattern, info.name) &&
            (!among || cli_matches(among, info.name)))
            return true;
    }
    return false;
}

static int check_rates(const cli_config *config, const cli_job *job, int index)
{
    const cli_stage *stage = &config->stages[index];
    for (size_t i = 0; i < stage->rate_count; i++) {
        const char *pattern = stage->rates[i].parameters;
        if (matches_any(job->model, pattern, cli_config_patterns(config, stage)))
            continue;
        char *key = cli_format("lr.%s", pattern);
        cli_error("%s: [stage %s] %s: no parameter that trains matches '%s'", cli_config_where(config, "stage", key, index),
                  stage->name, key, pattern);
        free(key);
        return CLI_USAGE;
    }
    return CLI_DONE;
}

int cli_job_check_stages(const cli_config *config, const cli_job *job)
{
    for (size_t i = 0; i < config->stage_count; i++) {
        char *patterns = cli_copy(cli_config_patterns(config, &config->stages[i])), *rest = NULL;
        const char *wrong = NULL;
        size_t count = 0;
        for (char *word = strtok_r(patterns, ", \t", &rest); word && !wrong; word = strtok_r(NULL, ", \t", &rest), count++)
            if (!matches_any(job->model, word, NULL))
                wrong = word;
        if (wrong || count == 0)
            cli_error("%s: [stage %s] train: %s%s%s", cli_config_where(config, "stage", "train", (int)i),
                      config->stages[i].name, wrong ? "no parameter matches '" : "no pattern", wrong ? wrong : "",
                      wrong ? "'; 'tl inspect' lists the names in a file of weights" : "");
        free(patterns);
        if (wrong || count == 0 || check_rates(config, job, (int)i) != CLI_DONE)
            return CLI_USAGE;
    }
    return CLI_DONE;
}

/* ---- words ---- */

#define MOST_CLASSES_NAMED 12

static void print_classes(const tl_dataset *dataset)
{
    size_t count = tl_dataset_class_count(dataset);
    cli_headline(" in %zu classes (", count);
    for (size_t i = 0; i < count && i < MOST_CLASSES_NAMED; i++) {
        cli_headline("%s%s", i ? ", " : "", tl_dataset_class(dataset, i));
        if (!tl_dataset_has_masks(dataset))
            cli_headline(" %zu", tl_dataset_class_size(dataset, i));
    }
    cli_headline(count > MOST_CLASSES_NAMED ? ", …)" : ")");
}

void cli_job_print(const cli_config *config, const cli_job *job)
{
    cli_headline("libtl %s · %s: %s · %s from %s\n", tl_version(), tl_device_name(job->device),
              tl_device_description(job->device), config->arch,
              strcmp(config->weights, "random") ? config->weights : "random weights");
    cli_headline("train %s images", cli_grouped((int64_t)tl_dataset_size(job->train)));
    print_classes(job->train);
    if (job->val)
        cli_headline(" · val %s", cli_grouped((int64_t)tl_dataset_size(job->val)));
    cli_headline(" · batch %d\n", config->batch);
}

/* ---- images ---- */

int cli_job_check_images(const cli_config *config, const cli_job *job)
{
    const tl_dataset *sets[] = {job->train, job->val};
    const tl_preprocess *preprocess = tl_model_preprocess(job->model);
    uint8_t *rgb = cli_alloc((size_t)config->crop * (size_t)config->crop * 3);
    uint8_t *labels = tl_dataset_has_masks(job->train) ? cli_alloc((size_t)config->crop * (size_t)config->crop) : NULL;
    size_t total = tl_dataset_size(job->train) + (job->val ? tl_dataset_size(job->val) : 0), done = 0, bad = 0;
    double start = cli_seconds();
    for (size_t s = 0; s < 2 && sets[s]; s++)
        for (size_t i = 0; i < tl_dataset_size(sets[s]) && !cli_interrupted(); i++) {
            tl_status status = labels ? tl_masked_load(job->context, sets[s], i, preprocess, rgb, labels)
                                      : tl_image_load(job->context, tl_dataset_path(sets[s], i), preprocess, rgb);
            if (status != TL_OK) {
                cli_error("%s", tl_context_message(job->context));
                bad++;
            }
            cli_progress("images", (int64_t)++done, (int64_t)total, cli_seconds() - start, true);
        }
    free(rgb);
    free(labels);
    if (bad > 0)
        cli_error("%zu of %zu images cannot be read", bad, total);
    return bad > 0 || cli_interrupted() ? CLI_FAILED : CLI_DONE;
}
