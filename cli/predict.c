/* tl predict */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/masks.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_JSON, "json", NULL, "one JSON object"},
    {CLI_TOP, "top", "N", "the N most probable classes of each image (default: 1)"},
    {CLI_MASK_DIR, "mask-dir", "DIR", "of a segmenter: where the masks go"},
    {CLI_OVERLAY, "overlay", NULL, "of a segmenter: also NAME.overlay.png, the image under its mask"},
    {CLI_PROBABILITIES, "probabilities", NULL, "of a segmenter: also NAME.npy, f32 [classes, height, width]"},
    {CLI_BATCH, "batch", "N", "images at once (default: 8, or as many as there are)"},
    CLI_TILE_OPTIONS,
    CLI_DEVICE_OPTIONS,
    {0, NULL, NULL, NULL},
};

typedef struct request {
    const char *model_path;
    cli_device_request device;
    int batch, top;
    cli_tiling tiling;
    bool json, overlay, probabilities;
    const char *mask_dir;
    cli_image *inputs;
    size_t count, capacity;

    tl_context *context;
    tl_model *model;
    tl_predictor *predictor;
    json_t *images;
    size_t failed;
} request;

/* ---- which images ---- */

/* What is written for the image is named after what follows `named` bytes of its path. */
static void add_path(request *r, char *path, size_t named)
{
    const char *name = path + named, *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    r->inputs = cli_grow(r->inputs, &r->capacity, r->count, sizeof(*r->inputs));
    r->inputs[r->count++] = (cli_image){path, dot && dot > name ? cli_format("%.*s", (int)(dot - name), name) : cli_copy(name)};
}

static void add_file(request *r, const char *path)
{
    const char *slash = strrchr(path, '/');
    add_path(r, cli_copy(path), slash ? (size_t)(slash - path) + 1 : 0);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_image(const char *name)
{
    return cli_ends_with(name, ".png") || cli_ends_with(name, ".jpg") || cli_ends_with(name, ".jpeg");
}

/* A folder's images at any depth, sorted; hidden files are passed over. False after saying why. */
static bool add_folder(request *r, const char *path, size_t named)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    char **names = NULL;
    size_t count = 0, capacity = 0;
    bool ok = true;
    if (!folder) {
        cli_error("%s: %s", path, strerror(errno));
        return false;
    }
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            names = cli_grow(names, &capacity, count, sizeof(*names));
            names[count++] = cli_copy(entry->d_name);
        }
    closedir(folder);
    if (count > 0)
        qsort(names, count, sizeof(*names), by_name);
    for (size_t i = 0; i < count; i++) {
        struct stat status;
        const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
        char *full = cli_format("%s%s%s", path, slash, names[i]);
        if (stat(full, &status) == 0 && S_ISDIR(status.st_mode)) {
            ok &= add_folder(r, full, named);
            free(full);
        } else if (is_image(names[i])) {
            add_path(r, full, named);
        } else {
            free(full);
        }
        free(names[i]);
    }
    free(names);
    return ok;
}

/* A path a line. */
static int add_list(request *r)
{
    char *line = NULL;
    size_t room = 0, before = r->count;
    ssize_t length;
    while ((length = getline(&line, &room, stdin)) > 0) {
        if (line[length - 1] == '\n')
            line[--length] = 0;
        if (length > 0 && line[length - 1] == '\r')
            line[--length] = 0;
        if (length > 0)
            add_file(r, line);
    }
    free(line);
    if (ferror(stdin)) {
        cli_error("standard input: %s", strerror(errno));
        return CLI_FAILED;
    }
    if (r->count > before)
        return CLI_DONE;
    cli_error("standard input: no path in it");
    return CLI_FAILED;
}

static int add_operand(request *r, const char *path)
{
    struct stat status;
    if (!strcmp(path, "-"))
        return add_list(r);
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        add_file(r, path);
        return CLI_DONE;
    }
    size_t before = r->count, length = strlen(path);
    if (!add_folder(r, path, length + (path[length - 1] != '/')))
        return CLI_FAILED;
    if (r->count > before)
        return CLI_DONE;
    cli_error("%s: no .png, .jpg or .jpeg in this folder", path);
    return CLI_FAILED;
}

/* ---- what they show ---- */

/* The most probable class that was not taken yet, the first of equals. */
static int take_best(const float *probabilities, bool *taken, int classes)
{
    int best = -1;
    for (int i = 0; i < classes; i++)
        if (!taken[i] && (best < 0 || probabilities[i] > probabilities[best]))
            best = i;
    taken[best] = true;
    return best;
}

static void report(request *r, const char *path, const float *probabilities)
{
    int classes = tl_model_class_count(r->model), shown = r->top < classes ? r->top : classes;
    bool *taken = cli_alloc((size_t)classes * sizeof(*taken));
    json_t *object = r->json ? json_object() : NULL, *list = r->json ? json_array() : NULL;
    if (r->json)
        json_object_set_new(object, "path", cli_json_text(path));
    else
        cli_print("%s", path);
    for (int i = 0; i < shown; i++) {
        char text[16];
        int best = take_best(probabilities, taken, classes);
        const char *name = cli_class_name(r->model, best, text);
        if (!r->json) {
            cli_print("\t%s\t%.4f", name, (double)probabilities[best]);
            continue;
        }
        if (i == 0) {
            json_object_set_new(object, "class", cli_json_text(name));
            json_object_set_new(object, "probability", cli_json_real((double)probabilities[best]));
        }
        json_t *one = json_object();
        json_object_set_new(one, "class", cli_json_text(name));
        json_object_set_new(one, "probability", cli_json_real((double)probabilities[best]));
        json_array_append_new(list, one);
    }
    if (r->json) {
        json_object_set_new(object, "top", list);
        json_array_append_new(r->images, object);
    } else {
        cli_print("\n");
    }
    free(taken);
}

static void report_failure(request *r, const char *path)
{
    r->failed++;
    cli_error("%s", tl_context_message(r->context));
    if (!r->json)
        return;
    json_t *object = json_object();
    json_object_set_new(object, "path", cli_json_text(path));
    json_object_set_new(object, "error", cli_json_text(tl_context_message(r->context)));
    json_array_append_new(r->images, object);
}

/* Images that cannot be read are reported where they stand; the others go through the network together. */
static int predict(request *r, uint8_t *rgb, float *logits, const char **names)
{
    const tl_preprocess *preprocess = tl_model_preprocess(r->model);
    size_t bytes = (size_t)preprocess->crop * (size_t)preprocess->crop * 3;
    size_t classes = (size_t)tl_model_class_count(r->model);
    for (size_t next = 0; next < r->count;) {
        int count = 0;
        while (next < r->count && count < r->batch) {
            const char *path = r->inputs[next++].path;
            if (tl_image_load(r->context, path, preprocess, rgb + (size_t)count * bytes) == TL_OK)
                names[count++] = path;
            else
                report_failure(r, path);
        }
        if (count == 0)
            continue;
        tl_status status = tl_predictor_run(r->predictor, rgb, count, logits);
        if (status != TL_OK)
            return cli_failed(r->context, status, NULL);
        tl_softmax(logits, (size_t)count, classes);
        for (int i = 0; i < count; i++)
            report(r, names[i], logits + (size_t)i * classes);
    }
    return r->failed ? CLI_FAILED : CLI_DONE;
}

static int with_predictor(request *r, tl_device *device)
{
    int crop = tl_model_preprocess(r->model)->crop;
    tl_status status = tl_predictor_create(r->model, device, r->batch, crop, crop, &r->predictor);
    if (status != TL_OK)
        return cli_failed(r->context, status, NULL);
    size_t batch = (size_t)r->batch;
    uint8_t *rgb = cli_alloc(batch * (size_t)crop * (size_t)crop * 3);
    float *logits = cli_alloc(batch * (size_t)tl_model_class_count(r->model) * sizeof(*logits));
    const char **names = cli_alloc(batch * sizeof(*names));
    int code = predict(r, rgb, logits, names);
    free(names);
    free(logits);
    free(rgb);
    tl_predictor_destroy(r->predictor);
    return code;
}

static int with_masks(request *r, tl_device *device)
{
    cli_masks masks = {.context = r->context, .model = r->model, .device = device, .folder = r->mask_dir, .overlay = r->overlay,
                       .probabilities = r->probabilities, .batch = r->batch, .tiling = r->tiling, .images = r->inputs,
                       .count = r->count, .list = r->json ? r->images : NULL};
    return cli_masks_write(&masks);
}

/* Masks want a place to go to, and classes of images none. */
static int check_head(const request *r)
{
    if (cli_segments(r->model) && !r->mask_dir)
        return cli_usage("predict", "%s labels pixels: where to? --mask-dir DIR", r->model_path);
    if (!cli_segments(r->model) &&
        (r->mask_dir || r->overlay || r->probabilities || r->tiling.tile || r->tiling.overlap > 0))
        return cli_usage("predict", "%s tells images apart, not pixels: no mask comes of it", r->model_path);
    return CLI_DONE;
}

static int work(request *r)
{
    tl_device *device = NULL;
    r->context = cli_context_create();
    if (!r->context)
        return CLI_FAILED;
    int code = cli_model_open(r->context, r->model_path, &r->model);
    if (code == CLI_DONE)
        code = check_head(r);
    if (code == CLI_DONE)
        code = cli_device_open(r->context, &r->device, &device);
    if (r->batch == 0)
        r->batch = 8;
    if ((size_t)r->batch > r->count)
        r->batch = (int)r->count;
    if (code == CLI_DONE) {
        r->images = json_array();
        code = cli_segments(r->model) ? with_masks(r, device) : with_predictor(r, device);
        if (r->json) {
            json_t *object = json_object();
            json_object_set_new(object, "model", cli_json_text(r->model_path));
            json_object_set_new(object, "images", r->images);
            cli_json_print(object);
        } else {
            json_decref(r->images);
        }
    }
    tl_model_destroy(r->model);
    tl_device_close(device);
    tl_context_destroy(r->context);
    return code;
}

static int run(int argc, char **argv)
{
    request r = {.top = 1};
    const char *value;
    int letter, code = CLI_DONE, failed = CLI_DONE;
    while ((letter = cli_next_option(&cli_predict, argc, argv, &value, &code)) > 0)
        switch (letter) {
        case CLI_JSON: r.json = true; break;
        case CLI_MASK_DIR: r.mask_dir = value; break;
        case CLI_OVERLAY: r.overlay = true; break;
        case CLI_PROBABILITIES: r.probabilities = true; break;
        case CLI_TOP:
            if (!cli_option_int(&cli_predict, "top", value, 1, 100000, &r.top))
                return CLI_USAGE;
            break;
        case CLI_BATCH:
            if (!cli_option_int(&cli_predict, "batch", value, 1, 4096, &r.batch))
                return CLI_USAGE;
            break;
        default:
            if ((cli_device_option(&cli_predict, letter, value, &r.device, &code) ||
                 cli_tile_option(&cli_predict, letter, value, &r.tiling, &code)) && code != CLI_DONE)
                return code;
        }
    if (letter < 0)
        return code;
    if (argc - optind < 2)
        return cli_usage("predict", "a model and an image are needed: tl predict MODEL IMAGE...");
    r.model_path = argv[optind];
    for (int i = optind + 1; i < argc; i++)
        if (add_operand(&r, argv[i]) != CLI_DONE)
            failed = CLI_FAILED;
    code = r.count > 0 ? work(&r) : CLI_FAILED;
    for (size_t i = 0; i < r.count; i++) {
        free(r.inputs[i].path);
        free(r.inputs[i].name);
    }
    free(r.inputs);
    return code == CLI_DONE ? failed : code;
}

const cli_verb cli_predict = {
    .name = "predict",
    .usage = "[OPTION]... MODEL IMAGE...",
    .summary = "Says which class each image shows, or of a segmenter, each pixel.",
    .details = "MODEL is a file that tl train or tl convert wrote; a folder stands for the images in it, - for a list of\n"
               "paths on standard input. Prints a line an image: path, class and probability, separated by tabs. A segmenter\n"
               "writes DIR/NAME.png, a palette image of the class of every pixel, as large as the image, and prints path,\n"
               "mask, and each class with its share of the pixels. An image that cannot be read is reported, the others go\n"
               "on, and the exit code is 1.\n",
    .options = options,
    .run = run,
};
