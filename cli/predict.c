/* tl predict */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_JSON, "json", NULL, "one JSON object"},
    {CLI_TOP, "top", "N", "the N most probable classes of each image (default: 1)"},
    {CLI_BATCH, "batch", "N", "images at once (default: 8, or as many as there are)"},
    CLI_DEVICE_OPTIONS,
    {0, NULL, NULL, NULL},
};

typedef struct request {
    const char *model_path;
    cli_device_request device;
    int batch, top;
    bool json;
    char **paths;
    size_t path_count, path_capacity;

    tl_context *context;
    tl_model *model;
    tl_predictor *predictor;
    json_t *images;
    size_t failed;
} request;

/* ---- which images ---- */

static void add_path(request *r, char *path)
{
    r->paths = cli_grow(r->paths, &r->path_capacity, r->path_count, sizeof(*r->paths));
    r->paths[r->path_count++] = path;
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
static bool add_folder(request *r, const char *path)
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
            ok &= add_folder(r, full);
            free(full);
        } else if (is_image(names[i])) {
            add_path(r, full);
        } else {
            free(full);
        }
        free(names[i]);
    }
    free(names);
    return ok;
}

static int add_operand(request *r, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        add_path(r, cli_copy(path));
        return CLI_DONE;
    }
    size_t before = r->path_count;
    if (!add_folder(r, path))
        return CLI_FAILED;
    if (r->path_count > before)
        return CLI_DONE;
    cli_error("%s: no .png, .jpg or .jpeg in this folder", path);
    return CLI_FAILED;
}

/* ---- what they show ---- */

static const char *class_name(const tl_model *model, int index, char text[16])
{
    const char *name = tl_model_class(model, index);
    if (!name) {
        snprintf(text, 16, "%d", index);
        name = text;
    }
    return name;
}

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
        const char *name = class_name(r->model, best, text);
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
    for (size_t next = 0; next < r->path_count;) {
        int count = 0;
        while (next < r->path_count && count < r->batch) {
            const char *path = r->paths[next++];
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
    r->images = json_array();
    int code = predict(r, rgb, logits, names);
    if (r->json) {
        json_t *object = json_object();
        json_object_set_new(object, "model", cli_json_text(r->model_path));
        json_object_set_new(object, "images", r->images);
        cli_json_print(object);
    } else {
        json_decref(r->images);
    }
    free(names);
    free(logits);
    free(rgb);
    tl_predictor_destroy(r->predictor);
    return code;
}

static int work(request *r)
{
    tl_device *device = NULL;
    r->context = cli_context_create();
    if (!r->context)
        return CLI_FAILED;
    int code = cli_model_open(r->context, r->model_path, &r->model);
    if (code == CLI_DONE)
        code = cli_device_open(r->context, &r->device, &device);
    if (r->batch == 0)
        r->batch = 8;
    if ((size_t)r->batch > r->path_count)
        r->batch = (int)r->path_count;
    if (code == CLI_DONE)
        code = with_predictor(r, device);
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
        case CLI_TOP:
            if (!cli_option_int(&cli_predict, "top", value, 1, 100000, &r.top))
                return CLI_USAGE;
            break;
        case CLI_BATCH:
            if (!cli_option_int(&cli_predict, "batch", value, 1, 4096, &r.batch))
                return CLI_USAGE;
            break;
        default:
            if (cli_device_option(&cli_predict, letter, value, &r.device, &code) && code != CLI_DONE)
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
    code = r.path_count > 0 ? work(&r) : CLI_FAILED;
    for (size_t i = 0; i < r.path_count; i++)
        free(r.paths[i]);
    free(r.paths);
    return code == CLI_DONE ? failed : code;
}

const cli_verb cli_predict = {
    .name = "predict",
    .usage = "[OPTION]... MODEL IMAGE...",
    .summary = "Says which class each image shows.",
    .details = "MODEL is a file that tl train or tl convert wrote; a folder stands for the images in it. Prints a line an\n"
               "image: path, class and probability, separated by tabs. An image that cannot be read is reported, the\n"
               "others go on, and the exit code is 1.\n",
    .options = options,
    .run = run,
};
