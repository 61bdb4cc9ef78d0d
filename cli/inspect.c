/* tl inspect */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/guess.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_JSON, "json", NULL, "one JSON object"},
    {0, NULL, NULL, NULL},
};

typedef struct facts {
    const char *path;
    uint64_t bytes;
    const tl_weights *weights;
    cli_guess guess;
    char why[256];
    int64_t elements, parameters; /* all numbers; those that are no batch-norm's statistics */
    json_t *base;     /* of a file of changes: what it says of the file that it needs */
    char trouble[1024]; /* why it cannot be read with that; "": it can */
} facts;

static bool is_statistic(const char *name)
{
    return cli_ends_with(name, "running_mean") || cli_ends_with(name, "running_var") ||
           cli_ends_with(name, "num_batches_tracked");
}

static void count(facts *f)
{
    for (size_t i = 0; i < tl_weights_count(f->weights); i++) {
        tl_weights_info info = {.size = sizeof(info)};
        if (tl_weights_tensor(f->weights, i, &info) != TL_OK)
            continue;
        f->elements += info.count;
        f->parameters += is_statistic(info.name) ? 0 : info.count;
    }
}

/* Reads both together, which says whether the base is the one that it was. */
static void look_for_base(tl_context *context, facts *f)
{
    tl_model *model = NULL;
    if (!f->guess.changes)
        return;
    f->base = json_loads(cli_metadata(f->weights, "libtl.base"), 0, NULL);
    if (tl_model_open(context, f->path, &model) != TL_OK)
        snprintf(f->trouble, sizeof(f->trouble), "%s", tl_context_message(context));
    tl_model_destroy(model);
}

static const char *base_path(const facts *f)
{
    const char *path = json_string_value(json_object_get(f->base, "path"));
    return path ? path : "?";
}

static json_t *network_json(const facts *f)
{
    const cli_guess *g = &f->guess;
    json_t *object, *layers;
    if (!g->fits)
        return json_null();
    object = json_object();
    json_object_set_new(object, "arch", cli_json_text(g->arch));
    json_object_set_new(object, "classes", g->classes ? json_integer(g->classes) : json_null());
    json_object_set_new(object, "head", json_string(cli_head_name(g->head)));
    if (g->head >= TL_HEAD_FCN) {
        json_object_set_new(object, "output_stride", g->output_stride ? json_integer(g->output_stride) : json_null());
        json_object_set_new(object, "auxiliary", json_boolean(!g->no_auxiliary));
    }
    json_object_set_new(object, "width", cli_json_real(g->width));
    layers = g->layers[0] ? json_array() : json_null();
    for (int i = 0; i < 4 && g->layers[0]; i++)
        json_array_append_new(layers, json_integer(g->layers[i]));
    json_object_set_new(object, "layers", layers);
    return object;
}

static void print_json(const facts *f)
{
    json_t *object = json_object(), *metadata = json_object(), *tensors = json_array();
    const char *key, *value;
    json_object_set_new(object, "file", cli_json_text(f->path));
    json_object_set_new(object, "format", cli_json_text(tl_weights_format(f->weights)));
    json_object_set_new(object, "bytes", json_integer((json_int_t)f->bytes));
    json_object_set_new(object, "network", network_json(f));
    if (f->guess.changes) {
        json_t *base = json_is_object(f->base) ? json_copy(f->base) : json_object();
        json_object_set_new(base, "fits", json_boolean(!*f->trouble));
        if (*f->trouble)
            json_object_set_new(base, "error", cli_json_text(f->trouble));
        json_object_set_new(object, "base", base);
    }
    json_object_set_new(object, "parameters", json_integer(f->parameters));
    json_object_set_new(object, "elements", json_integer(f->elements));
    for (size_t i = 0; (key = tl_weights_metadata(f->weights, i, &value)); i++)
        if (cli_utf8_length(key, strlen(key)) == strlen(key))
            json_object_set_new(metadata, key, cli_json_text(value));
    json_object_set_new(object, "metadata", metadata);
    for (size_t i = 0; i < tl_weights_count(f->weights); i++) {
        tl_weights_info info = {.size = sizeof(info)};
        if (tl_weights_tensor(f->weights, i, &info) != TL_OK)
            continue;
        json_t *tensor = json_object(), *shape = json_array();
        json_object_set_new(tensor, "name", cli_json_text(info.name));
        json_object_set_new(tensor, "type", cli_json_text(info.type));
        for (int d = 0; d < info.rank; d++)
            json_array_append_new(shape, json_integer(info.shape[d]));
        json_object_set_new(tensor, "shape", shape);
        json_object_set_new(tensor, "count", json_integer(info.count));
        json_array_append_new(tensors, tensor);
    }
    json_object_set_new(object, "tensors", tensors);
    cli_json_print(object);
}

static void print_network(const facts *f)
{
    const cli_guess *g = &f->guess;
    if (!g->fits) {
        cli_print("network   none that libtl knows%s%s\n", *f->why ? ": " : "", f->why);
        return;
    }
    cli_print("network   %s", g->arch);
    if (g->layers[0])
        cli_print(" · layers %d,%d,%d,%d", g->layers[0], g->layers[1], g->layers[2], g->layers[3]);
    if (g->width != 1)
        cli_print(" · width %.6g", g->width);
    if (g->head != TL_HEAD_NATIVE)
        cli_print(" · head %s", cli_head_name(g->head));
    if (g->head >= TL_HEAD_FCN && g->output_stride)
        cli_print(" · output stride %d", g->output_stride);
    if (g->head >= TL_HEAD_FCN && !g->no_auxiliary)
        cli_print(" · auxiliary classifier");
    if (g->classes)
        cli_print(" · %d classes\n", g->classes);
    else
        cli_print(" · without its head\n");
}

/* Control characters of a hostile file must not reach the terminal. */
static void print_clean(const char *text, size_t most)
{
    size_t length = strlen(text), shown = length > most ? most : length;
    shown = cli_utf8_length(text, shown); /* no half characters */
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)text[i];
        cli_print("%c", c < 0x20 || c == 0x7f ? ' ' : c);
    }
    cli_print("%s", shown < length ? "…" : "");
}

static void print_tensors(const facts *f)
{
    for (size_t i = 0; i < tl_weights_count(f->weights); i++) {
        tl_weights_info info = {.size = sizeof(info)};
        if (tl_weights_tensor(f->weights, i, &info) != TL_OK)
            continue;
        cli_print("  %-5s ", info.type);
        char shape[160];
        size_t used = 0;
        shape[0] = 0;
        for (int d = 0; d < info.rank && used < sizeof(shape); d++)
            used += (size_t)snprintf(shape + used, sizeof(shape) - used, "%s%lld", d ? "x" : "", (long long)info.shape[d]);
        cli_print("%-20s ", info.rank ? shape : "scalar");
        print_clean(info.name, 200);
        cli_print("\n");
    }
}

static void print_text(const facts *f)
{
    const char *key, *value;
    cli_print("file      %s · %s · %s\n", f->path, tl_weights_format(f->weights), cli_bytes(f->bytes));
    print_network(f);
    cli_print("tensors   %zu · %s parameters", tl_weights_count(f->weights), cli_grouped(f->parameters));
    if (f->elements > f->parameters)
        cli_print(" and %s statistics", cli_grouped(f->elements - f->parameters));
    cli_print("\n");
    if (f->guess.changes) {
        cli_print("changes   of ");
        print_clean(base_path(f), 500);
        if (*f->trouble) {
            cli_print("\n          which is not to be had: ");
            print_clean(f->trouble, sizeof(f->trouble));
        } else {
            const json_t *tensors = json_object_get(f->base, "tensors");
            cli_print(", which has the other %lld tensors", (long long)json_integer_value(tensors));
        }
        cli_print("\n");
    }
    for (size_t i = 0; (key = tl_weights_metadata(f->weights, i, &value)); i++) {
        cli_print(i ? "          " : "metadata  ");
        print_clean(key, 60);
        cli_print(" = ");
        print_clean(value, 200);
        cli_print("\n");
    }
    print_tensors(f);
}

static int inspect_file(tl_context *context, const char *path, uint64_t bytes, bool json)
{
    facts f = {.path = path, .bytes = bytes};
    tl_weights *weights;
    tl_status status = tl_weights_open(context, path, &weights);
    if (status != TL_OK)
        return cli_failed(context, status, NULL);
    f.weights = weights;
    count(&f);
    cli_guess_network(context, weights, &f.guess, f.why, sizeof(f.why));
    look_for_base(context, &f);
    if (json)
        print_json(&f);
    else
        print_text(&f);
    json_decref(f.base);
    tl_weights_close(weights);
    return CLI_DONE;
}

static int inspect_folder(tl_context *context, const char *path, bool json)
{
    tl_dataset *data;
    tl_status status = tl_dataset_open(context, path, &data);
    if (status != TL_OK)
        return cli_failed(context, status, NULL);
    size_t classes = tl_dataset_class_count(data);
    json_t *object = json_object(), *list = json_array();
    if (!json)
        cli_print("folder    %s · %s images in %zu classes\n", path, cli_grouped((int64_t)tl_dataset_size(data)), classes);
    for (size_t i = 0; i < classes; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "class", cli_json_text(tl_dataset_class(data, i)));
        json_object_set_new(one, "images", json_integer((json_int_t)tl_dataset_class_size(data, i)));
        json_array_append_new(list, one);
        if (!json)
            cli_print("%9s  %s\n", cli_grouped((int64_t)tl_dataset_class_size(data, i)), tl_dataset_class(data, i));
    }
    json_object_set_new(object, "folder", cli_json_text(path));
    json_object_set_new(object, "images", json_integer((json_int_t)tl_dataset_size(data)));
    json_object_set_new(object, "classes", list);
    if (json)
        cli_json_print(object);
    else
        json_decref(object);
    tl_dataset_destroy(data);
    return CLI_DONE;
}

static int run(int argc, char **argv)
{
    const char *value;
    bool json = false;
    struct stat status;
    int letter, code = CLI_DONE;
    while ((letter = cli_next_option(&cli_inspect, argc, argv, &value, &code)) > 0)
        json |= letter == CLI_JSON;
    if (letter < 0)
        return code;
    if (argc - optind != 1)
        return cli_usage("inspect", "which file? tl inspect FILE");
    const char *path = argv[optind];
    if (stat(path, &status) != 0) {
        cli_error("%s: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    tl_context *context = cli_context_create();
    if (!context)
        return CLI_FAILED;
    if (S_ISDIR(status.st_mode))
        code = inspect_folder(context, path, json);
    else
        code = inspect_file(context, path, (uint64_t)status.st_size, json);
    tl_context_destroy(context);
    return code;
}

const cli_verb cli_inspect = {
    .name = "inspect",
    .usage = "[OPTION]... FILE",
    .summary = "Shows what is in a file of weights: format, network, metadata, tensors.",
    .details = "FILE is a .pth, .safetensors or .onnx file, told by its contents. For a folder of images: its classes.\n",
    .options = options,
    .run = run,
};
