/* tl train */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/files.h"
#include "cli/job.h"
#include "cli/options.h"
#include "cli/run.h"
#include "cli/session.h"

static const cli_option options[] = {
    {'s', "set", "SECTION.KEY=VALUE", "override a value of the configuration; any number of times"},
    {'o', "output", "DIR", "folder for the results (default: runs/NAME)"},
    {CLI_DEVICE, "device", "DEVICE", "where to compute: auto, cpu, ... ('tl devices' lists them)"},
    {CLI_DRY_RUN, "dry-run", NULL, "check everything and print the plan; train and write nothing"},
    {CLI_FORCE, "force", NULL, "replace the results of an earlier run"},
    {0, NULL, NULL, NULL},
};

typedef struct training {
    cli_config config;
    cli_job job;
    cli_run run;
    tl_train_options options;
    tl_augment augment;
    tl_train_result result;
    tl_stage *stages;
    bool learning; /* a step was made */
    char label[48];
} training;

/* ---- callbacks ---- */

static void print_stage(training *t, const cli_stage *stage, int64_t trainable, int64_t parameters, const char *rest)
{
    cli_headline("%s: %s of %s parameters train (%s)%s\n", stage->name, cli_grouped(trainable), cli_grouped(parameters),
              cli_config_patterns(&t->config, stage), rest);
}

static void on_stage(void *user, const tl_stage_report *report)
{
    training *t = user;
    cli_run *run = &t->run;
    const cli_stage *stage = &t->config.stages[report->stage_index];
    const char *cache = report->cache ? report->cache : "";
    bool all = report->trainable == report->parameters;
    char *why = report->features_cached || !*cache ? NULL : cli_format(" · features computed every step: %s", cache);
    print_stage(t, stage, report->trainable, report->parameters,
                report->features_cached ? " · the rest is frozen, its features computed once" : why ? why
                : all ? "" : " · the rest is frozen");
    free(why);
    if (report->feature_images_found > 0)
        cli_note("features  %s/%s from cache", cli_grouped(report->feature_images_found), cli_grouped(report->feature_images));
    if (report->cache_file)
        cli_verbose("features are kept in %s", report->cache_file);
    if (report->plan) { /* ends its lines itself */
        size_t length = strlen(report->plan);
        length -= length > 0 && report->plan[length - 1] == '\n';
        cli_verbose("%.*s", (int)length, report->plan);
    }
    run->stages = cli_grow(run->stages, &run->stage_capacity, run->stage_count, sizeof(*run->stages));
    run->stages[run->stage_count++] = (cli_stage_line){
        .name = cli_copy(stage->name),
        .patterns = cli_copy(cli_config_patterns(&t->config, stage)),
        .cache = cli_copy(cache),
        .trainable = report->trainable,
        .parameters = report->parameters,
        .cached = report->features_cached,
        .feature_images = report->feature_images,
        .feature_images_found = report->feature_images_found,
    };
}

static void on_progress(void *user, const tl_progress *progress)
{
    training *t = user;
    if (progress->phase == TL_PHASE_FEATURES) {
        if (progress->done >= progress->total) {
            t->run.feature_seconds += progress->seconds;
            t->run.feature_images += progress->total;
        }
    } else {
        t->learning |= progress->phase == TL_PHASE_TRAIN && progress->done > 0;
        snprintf(t->label, sizeof(t->label), "epoch %d/%d%s", progress->epoch, progress->epochs,
                 progress->phase == TL_PHASE_VALIDATE ? " val" : "");
    }
    cli_show_progress(t->label, progress);
}

static tl_status on_epoch(void *user, const tl_epoch *epoch, tl_model *model)
{
    training *t = user;
    t->learning = true;
    const bool pixels = cli_config_segments(&t->config);
    const char *accuracy = pixels ? "pixel accuracy" : "accuracy";
    cli_print("Epoch %d, Loss: %.4f   %s %.3f", epoch->epoch, epoch->train.loss, accuracy, epoch->train.accuracy);
    if (epoch->val.images > 0) {
        cli_print("   val loss %.4f", epoch->val.loss);
        if (pixels)
            cli_print(" mIoU %.3f", epoch->val.mean_iou);
        cli_print(" %s %.3f", accuracy, epoch->val.accuracy);
    }
    cli_print("   %.2f s\n", epoch->seconds);
    return cli_run_epoch(&t->run, epoch, model);
}

/* ---- the work ---- */

static void fill_augment(training *t)
{
    const cli_config *config = &t->config;
    tl_augment_init(&t->augment, sizeof(t->augment));
    t->augment.random_crop = config->augment.random_crop;
    t->augment.ratio = config->augment.ratio;
    t->augment.flip = (tl_flip)config->augment.flip;
    t->augment.rotate = config->augment.rotate;
    t->augment.brightness = config->augment.brightness;
    t->augment.contrast = config->augment.contrast;
    t->augment.saturation = config->augment.saturation;
    t->augment.views = config->augment.views;
    t->augment.seed = config->seed;
    t->options.augment = &t->augment;
}

static void fill_options(training *t)
{
    const cli_config *config = &t->config;
    tl_train_options_init(&t->options, sizeof(t->options));
    t->stages = cli_alloc(config->stage_count * sizeof(*t->stages));
    for (size_t i = 0; i < config->stage_count; i++) {
        const cli_stage *from = &config->stages[i];
        tl_stage *to = &t->stages[i];
        tl_stage_init(to, sizeof(*to));
        to->name = from->name;
        to->train = cli_config_patterns(config, from);
        to->epochs = from->epochs;
        to->lr = from->lr;
        to->beta1 = from->beta1;
        to->beta2 = from->beta2;
        to->eps = from->eps;
        to->weight_decay = from->weight_decay;
        to->schedule = (tl_schedule)from->schedule;
        to->power = from->power;
        to->rates = from->rates;
        to->rate_count = from->rate_count;
        to->dice = from->dice;
        to->class_weights = from->class_weights ? t->job.class_weights : NULL;
    }
    fill_augment(t);
    t->options.batch = config->batch;
    t->options.shuffle = config->shuffle;
    t->options.seed = config->seed;
    t->options.bn = (tl_bn)config->bn;
    t->options.workers = config->workers;
    t->options.cache_features = strcmp(config->cache, "none") != 0;
    t->options.cache_folder = strcmp(config->cache, "memory") ? config->cache : NULL;
    t->options.cache_limit = config->cache_limit;
    t->options.precision = (tl_precision)config->precision;
    t->options.extent = (tl_extent)config->eval;
    t->options.tile = config->tile;
    t->options.overlap = config->overlap;
    t->options.stages = t->stages;
    t->options.stage_count = config->stage_count;
    t->options.user = t;
    t->options.on_stage = on_stage;
    t->options.on_progress = on_progress;
    t->options.on_epoch = on_epoch;
}

static void print_plan(void *user, const tl_stage_report *report)
{
    training *t = user;
    uint64_t sum = report->frozen_bytes + report->state_bytes + report->activation_bytes;
    cli_print("%s: memory: %s of frozen parameters, %s of what trains, %s of activations and workspace: %s",
              t->config.stages[report->stage_index].name, cli_bytes(report->frozen_bytes),
              cli_bytes(report->state_bytes), cli_bytes(report->activation_bytes), cli_bytes(sum));
    if (report->device_bytes)
        cli_print(" of %s", cli_bytes(report->device_bytes));
    if (report->device_buffer_bytes < report->device_bytes)
        cli_print(", %s in one buffer at most", cli_bytes(report->device_buffer_bytes));
    cli_print("\n%s", report->plan);
}

/* Everything but the training: the images are decoded, and each stage is made ready on the device, so that what does
 * not fit or does not work is known now. */
static int dry_run(training *t)
{
    const cli_config *config = &t->config;
    int64_t parameters = cli_model_elements(t->job.model);
    for (size_t i = 0; i < config->stage_count; i++) {
        const cli_stage *stage = &config->stages[i];
        char *rest = cli_format(" · %d epochs · lr %.6g", stage->epochs, stage->lr);
        print_stage(t, stage, cli_job_trainable(config, &t->job, stage), parameters, rest);
        free(rest);
    }
    int code = cli_job_check_images(config, &t->job);
    if (code != CLI_DONE)
        return code;
    t->options.on_stage = print_plan;
    tl_status status = tl_train_dry_run(t->job.model, t->job.device, t->job.train, t->job.val, &t->options);
    if (status != TL_OK)
        return cli_failed(t->job.context, status, NULL);
    cli_print("the results would go to %s; nothing was trained or written\n", t->run.folder);
    return CLI_DONE;
}

/* Twice the model, or what changes of it, and something for the rest. */
static uint64_t room_needed(const training *t)
{
    uint64_t elements = 0;
    for (size_t i = 0; i < tl_model_parameter_count(t->job.model); i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        if (tl_model_parameter(t->job.model, i, &info) == TL_OK && (!t->config.save || cli_run_moves(&t->run, &info)))
            elements += (uint64_t)info.count;
    }
    return 2 * elements * sizeof(float) + ((uint64_t)1 << 20);
}

static void say_interrupted(const training *t, int code)
{
    if (!t->learning) {
        cli_error("interrupted before anything was learned; nothing was written");
        return;
    }
    cli_error("interrupted after %zu whole epochs", t->run.epoch_count);
    if (code == CLI_DONE)
        cli_note("wrote %s/model.safetensors, as far as it had learned; to go on from there, give it as -s model.weights=%s/model.safetensors",
                 t->run.folder, t->run.folder);
}

static int train(training *t, double start)
{
    int code = cli_run_start(&t->run);
    if (code != CLI_DONE) {
        cli_run_finish(&t->run, false);
        return code;
    }
    cli_job_print(&t->config, &t->job);
    cli_run_begin_model(&t->run);
    tl_status status =
        tl_train(t->job.model, t->job.device, t->job.train, t->job.val, &t->options, &t->result);
    cli_progress_end();
    t->run.seconds = cli_seconds() - start;
    t->run.status = status == TL_OK ? "done" : status == TL_CANCELLED ? "interrupted" : "failed";
    if (status == TL_OK) {
        t->run.result = &t->result;
        if (t->result.frozen_tensors > 0)
            cli_print("frozen parameters and buffers unchanged (%zu tensors, hash %s)\n", t->result.frozen_tensors,
                      t->result.frozen_hash);
        else
            cli_print("nothing was frozen: every parameter and buffer could move\n");
    } else if (status != TL_CANCELLED && !t->run.said) {
        cli_failed(t->job.context, status, NULL);
        if (status == TL_ERROR_NUMERIC)
            cli_note("Numbers grew beyond bounds; a smaller learning rate may help.");
    }
    code = cli_run_finish(&t->run, t->learning && status != TL_ERROR_NUMERIC);
    if (status == TL_CANCELLED)
        say_interrupted(t, code);
    return status == TL_OK ? code : CLI_FAILED;
}

#define LARGEST_AUTO_BATCH 256

/* [data] batch = auto becomes a number, which the run's config.ini holds. */
static int choose_batch(training *t)
{
    if (t->config.batch > 0)
        return CLI_DONE;
    tl_status status = tl_train_largest_batch(t->job.model, t->job.device, t->job.train, t->job.val, &t->options,
                                              LARGEST_AUTO_BATCH, &t->config.batch);
    if (status != TL_OK)
        return cli_failed(t->job.context, status, NULL);
    t->options.batch = t->config.batch;
    return CLI_DONE;
}

static int work(training *t, bool dry, bool force)
{
    double start = cli_seconds();
    int code = cli_run_check(&t->run, force);
    if (code == CLI_DONE)
        code = cli_job_open(&t->config, &t->job);
    if (code != CLI_DONE)
        return code;
    cli_run *run = &t->run;
    run->context = t->job.context;
    run->model = t->job.model;
    run->train = t->job.train;
    run->val = t->job.val;
    run->class_names = tl_dataset_classes(t->job.train);
    run->class_count = tl_dataset_class_count(t->job.train);
    char *device = cli_format("%s: %s", tl_device_name(t->job.device), tl_device_description(t->job.device));
    run->device = device;
    run->computes = t->job.device;
    fill_options(t);
    code = choose_batch(t);
    if (code != CLI_DONE) {
        free(device);
        return code;
    }
    if (!cli_room_for(run->folder, room_needed(t)))
        code = CLI_FAILED;
    else if (dry) {
        cli_job_print(&t->config, &t->job);
        code = dry_run(t);
    } else
        code = train(t, start);
    free(device);
    return code;
}

static int run(int argc, char **argv)
{
    const char **overrides = cli_alloc((size_t)argc * sizeof(*overrides)), *value;
    char **owned = cli_alloc((size_t)argc * sizeof(*owned)), error[1024];
    size_t override_count = 0, owned_count = 0;
    bool dry = false, force = false;
    int letter, code = CLI_DONE;
    training t;
    setvbuf(stdout, NULL, _IOLBF, 0); /* who reads through a pipe sees the epochs as they end */
    memset(&t, 0, sizeof(t));
    t.result.size = sizeof(t.result);
    while ((letter = cli_next_option(&cli_train, argc, argv, &value, &code)) > 0)
        switch (letter) {
        case 's': overrides[override_count++] = value; break;
        case 'o': overrides[override_count++] = owned[owned_count++] = cli_format("experiment.output=%s", value); break;
        case CLI_DEVICE: overrides[override_count++] = owned[owned_count++] = cli_format("device.device=%s", value); break;
        case CLI_DRY_RUN: dry = true; break;
        case CLI_FORCE: force = true; break;
        }
    if (letter == 0 && argc - optind != 1) {
        code = argc == optind ? cli_usage("train", "which configuration? tl train CONFIG.ini")
                              : cli_usage("train", "one configuration at a time: %s is too much", argv[optind + 1]);
    } else if (letter == 0) {
        if (cli_config_load(argv[optind], overrides, override_count, &t.config, error, sizeof(error))) {
            t.run.config = &t.config;
            t.run.folder = cli_copy(t.config.output);
            t.run.best = -1;
            cli_catch_signals();
            code = work(&t, dry, force);
            cli_run_free(&t.run);
            cli_job_close(&t.job);
            cli_config_free(&t.config);
            free(t.stages);
        } else {
            cli_error("%s", error);
            code = CLI_USAGE;
        }
    }
    for (size_t i = 0; i < owned_count; i++)
        free(owned[i]);
    free(owned);
    free(overrides);
    return code;
}

const cli_verb cli_train = {
    .name = "train",
    .usage = "[OPTION]... CONFIG.ini",
    .summary = "Fine-tunes a pretrained network as an INI file describes.",
    .details = "The keys of the file: 'tl help ini', tl.ini(5). Results are in runs/NAME: model.safetensors (the last\n"
               "epoch) and best.safetensors, metrics.csv, summary.json, report.html, config.ini, log.txt; of a\n"
               "segmenter also predictions.png.\n"
               "Ctrl-C ends the run in good order and keeps what it has learned.\n",
    .options = options,
    .run = run,
};
