/* tl eval */
#include <stdlib.h>
#include <unistd.h>

#include "cli/job.h"
#include "cli/options.h"
#include "cli/score.h"
#include "cli/session.h"
#include "cli/sheet.h"

static const cli_option options[] = {
    {CLI_JSON, "json", NULL, "one JSON object"},
    {CLI_BATCH, "batch", "N", "images at once (default: 32)"},
    {CLI_CONFIG, "config", "CONFIG.ini", "of a segmenter: whose [data] and [classes] say what masks mean, how to judge"},
    {CLI_CROP, "crop", NULL, "of a segmenter: by the middle square that training sees, not by whole images"},
    {CLI_SHEET, "sheet", "FILE.png", "of a segmenter: also a picture of images, truth and predictions side by side"},
    CLI_TILE_OPTIONS,
    CLI_DEVICE_OPTIONS,
    {0, NULL, NULL, NULL},
};

typedef struct request {
    const char *model_path, *data_path, *config_path, *sheet_path;
    cli_device_request device;
    int batch;
    cli_tiling tiling;
    bool json, crop;
} request;

static void print_result(const request *r, const tl_model *model, const tl_dataset *data, const cli_result *result)
{
    if (r->json) {
        json_t *object = json_object();
        json_object_set_new(object, "model", cli_json_text(r->model_path));
        json_object_set_new(object, "arch", cli_json_text(tl_model_arch(model)));
        json_object_set_new(object, "data", cli_json_text(r->data_path));
        cli_score_json(object, result);
        cli_json_print(object);
        return;
    }
    cli_print("model     %s · %s · %zu classes\ndata      %s · %s images\n", r->model_path, tl_model_arch(model), result->classes,
              r->data_path, cli_grouped((int64_t)tl_dataset_size(data)));
    cli_score_print(result);
}

/* Its IoU says nothing about the model. */
static void note_absent(const request *r, const cli_result *result)
{
    for (size_t i = 0; result->pixels && i < result->classes; i++)
        if (cli_score_class(result->confusion, result->classes, i).truth == 0)
            cli_warning("class %zu, \"%s\", is in none of the masks of %s%s", i, result->names[i], r->data_path,
                        r->crop ? " as far as the crop shows them" : "");
}

static int evaluate(const request *r, tl_context *context, tl_model *model, const tl_dataset *data)
{
    tl_device *device = NULL;
    size_t classes = (size_t)tl_model_class_count(model);
    int64_t *confusion = cli_alloc(classes * classes * sizeof(*confusion));
    cli_result result = {.names = tl_dataset_classes(data), .confusion = confusion, .classes = classes, .pixels = cli_segments(model)};
    int code = cli_device_open(context, &r->device, &device);
    if (code == CLI_DONE) {
        tl_evaluate_options evaluate_options = {
            .size = sizeof(evaluate_options), .batch = r->batch, .user = "eval", .on_progress = cli_show_progress,
            .extent = r->crop ? TL_EXTENT_CROP : TL_EXTENT_WHOLE, .tile = r->tiling.tile, .overlap = r->tiling.overlap};
        tl_status status = tl_evaluate(model, device, data, &evaluate_options, &result.score, confusion);
        cli_progress_end();
        if (status == TL_OK) {
            print_result(r, model, data, &result);
            note_absent(r, &result);
        } else
            code = cli_failed(context, status, NULL);
    }
    if (code == CLI_DONE && r->sheet_path &&
        !cli_sheet_write(&(cli_sheet){context, model, device, data, r->tiling}, r->sheet_path))
        code = CLI_FAILED;
    tl_device_close(device);
    free(confusion);
    return code;
}

/* The model's classes, to be freed; NULL where they have no names. */
static const char **class_names(const tl_model *model)
{
    size_t count = (size_t)tl_model_class_count(model);
    const char **names = cli_alloc(count * sizeof(*names));
    for (size_t i = 0; i < count; i++)
        if (!(names[i] = tl_model_class(model, (int)i))) {
            free(names);
            return NULL;
        }
    return names;
}

/* The classes of the data must be the model's, in name and order. */
static int check_classes(const request *r, tl_context *context, const tl_model *model, const tl_dataset *data)
{
    size_t count = (size_t)tl_model_class_count(model);
    const char **names = class_names(model);
    bool named = names != NULL;
    tl_status status = TL_OK;
    int code = CLI_DONE;
    if (named)
        status = tl_dataset_match(context, data, names, count);
    if (status != TL_OK) {
        code = cli_failed(context, status, NULL);
    } else if (!named && tl_dataset_class_count(data) != count) {
        cli_error("%s has %zu classes, %s tells %zu apart", r->data_path, tl_dataset_class_count(data), r->model_path, count);
        code = CLI_FAILED;
    }
    free(names);
    return code;
}

/* What the options leave open, the configuration says. */
static void take_view(request *r, const cli_config *config)
{
    r->crop |= config->eval == TL_EXTENT_CROP && !r->tiling.tile;
    if (!r->tiling.tile)
        r->tiling.tile = config->tile;
    if (!(r->tiling.overlap > 0))
        r->tiling.overlap = config->overlap;
}

static int open_masks(request *r, tl_context *context, const tl_model *model, tl_dataset **data)
{
    cli_config config;
    char error[1024];
    if (r->config_path && !cli_config_load(r->config_path, NULL, 0, &config, error, sizeof(error))) {
        cli_error("%s", error);
        return CLI_USAGE;
    }
    const size_t count = (size_t)tl_model_class_count(model);
    const char **names = class_names(model);
    int code = CLI_DONE;
    if (r->config_path && config.class_count > 0 && config.class_count != count) {
        cli_error("%s: %zu [classes], but %s tells %zu apart", r->config_path, config.class_count, r->model_path, count);
        code = CLI_FAILED;
    } else {
        tl_status status = cli_data_open_masks(context, r->config_path ? &config : NULL, names, count, r->data_path, data);
        code = status == TL_OK ? CLI_DONE : cli_failed(context, status, NULL);
        if (status == TL_ERROR_NOT_FOUND && !r->config_path)
            cli_note("Where masks are the images' alpha, --config CONFIG.ini says so.");
    }
    free(names);
    if (r->config_path) {
        take_view(r, &config);
        cli_config_free(&config);
    }
    return code;
}

static int open_data(request *r, tl_context *context, const tl_model *model, tl_dataset **data)
{
    if (cli_segments(model))
        return open_masks(r, context, model, data);
    const char *masks_only = r->config_path ? "config" : r->crop ? "crop" : r->sheet_path ? "sheet"
                             : r->tiling.tile ? "tile" : r->tiling.overlap > 0 ? "tile-overlap" : NULL;
    if (masks_only)
        return cli_usage("eval", "--%s is for masks, and %s tells images apart", masks_only, r->model_path);
    tl_status status = tl_dataset_open(context, r->data_path, data);
    return status == TL_OK ? CLI_DONE : cli_failed(context, status, NULL);
}

static int work(request *r)
{
    tl_context *context = cli_context_create();
    tl_model *model = NULL;
    tl_dataset *data = NULL;
    if (!context)
        return CLI_FAILED;
    int code = cli_model_open(context, r->model_path, &model);
    if (code == CLI_DONE)
        code = open_data(r, context, model, &data);
    if (code == CLI_DONE)
        code = check_classes(r, context, model, data);
    if (code == CLI_DONE)
        code = evaluate(r, context, model, data);
    tl_dataset_destroy(data);
    tl_model_destroy(model);
    tl_context_destroy(context);
    return code;
}

static int run(int argc, char **argv)
{
    request r = {0};
    const char *value;
    int letter, code = CLI_DONE;
    while ((letter = cli_next_option(&cli_eval, argc, argv, &value, &code)) > 0)
        switch (letter) {
        case CLI_JSON: r.json = true; break;
        case CLI_CROP: r.crop = true; break;
        case CLI_CONFIG: r.config_path = value; break;
        case CLI_SHEET: r.sheet_path = value; break;
        case CLI_BATCH:
            if (!cli_option_int(&cli_eval, "batch", value, 1, 4096, &r.batch))
                return CLI_USAGE;
            break;
        default:
            if ((cli_device_option(&cli_eval, letter, value, &r.device, &code) ||
                 cli_tile_option(&cli_eval, letter, value, &r.tiling, &code)) && code != CLI_DONE)
                return code;
        }
    if (letter < 0)
        return code;
    if (r.crop && r.tiling.tile)
        return cli_usage("eval", "--crop looks at one square of an image, and --tile at all of it");
    if (argc - optind != 2)
        return cli_usage("eval", "a model and images are needed: tl eval MODEL DATA");
    r.model_path = argv[optind];
    r.data_path = argv[optind + 1];
    return work(&r);
}

const cli_verb cli_eval = {
    .name = "eval",
    .usage = "[OPTION]... MODEL DATA",
    .summary = "Judges a model on a folder that holds one folder of images for each class, or images and masks.",
    .details = "MODEL is a file that tl train or tl convert wrote. Prints loss, accuracy, precision and recall of each\n"
               "class, and the confusion matrix. DATA of a segmenter is a folder with images/ and masks/, or a CSV file as [data]\n"
               "train names it; IoU, Dice and the share of pixels that are right are printed. Without --config the numbers in\n"
               "masks are the model's classes, and 255 does not count. Images are judged whole, by every pixel of the\n"
               "masks.\n",
    .options = options,
    .run = run,
};
