#include "cli/guess.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/session.h"

static bool get(const tl_weights *weights, size_t index, tl_weights_info *info)
{
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    return tl_weights_tensor(weights, index, info) == TL_OK;
}

static bool find(const tl_weights *weights, const char *name, tl_weights_info *info)
{
    for (size_t i = 0; i < tl_weights_count(weights); i++)
        if (get(weights, i, info) && !strcmp(info->name, name))
            return true;
    return false;
}

/* Segmentation networks have their trunk under a name of its own. */
#define BACKBONE "backbone."

static bool find_in(const tl_weights *weights, const char *prefix, const char *name, tl_weights_info *info)
{
    char full[128];
    snprintf(full, sizeof(full), "%s%s", prefix, name);
    return find(weights, full, info);
}

/* ---- from torchvision's names ---- */

/* libtl's own files say what their weights do not show. */
const char *cli_metadata(const tl_weights *weights, const char *wanted)
{
    const char *key, *value;
    for (size_t i = 0; (key = tl_weights_metadata(weights, i, &value)); i++)
        if (!strcmp(key, wanted))
            return value;
    return "";
}

static int stride_in_metadata(const tl_weights *weights)
{
    int64_t stride;
    if (cli_parse_int(cli_metadata(weights, "libtl.output_stride"), &stride) && (stride == 8 || stride == 16 || stride == 32))
        return (int)stride;
    return 0;
}

static void read_segmentation_head(const tl_weights *weights, cli_guess *guess)
{
    tl_weights_info info;
    const bool vgg = !strncmp(guess->arch, "vgg", 3);
    const char *scores = "classifier.4.weight";
    guess->head = TL_HEAD_FCN;
    if (find(weights, "classifier.deep.weight", &info)) {
        guess->head = TL_HEAD_LITE;
        scores = "classifier.deep.weight";
    } else if (find(weights, "classifier.0.convs.0.0.weight", &info)) {
        guess->head = TL_HEAD_DEEPLABV3;
    }
    if (find(weights, scores, &info))
        guess->classes = (int)info.shape[0];
    guess->no_auxiliary = !find(weights, "aux_classifier.0.weight", &info);
    guess->output_stride = stride_in_metadata(weights);
    if (vgg && guess->head == TL_HEAD_FCN)
        guess->output_stride = find(weights, "classifier.skip3.weight", &info) ? 8 : find(weights, "classifier.skip4.weight", &info) ? 16 : 32;
}

static void read_head(const tl_weights *weights, cli_guess *guess)
{
    tl_weights_info info;
    bool vgg = !strncmp(guess->arch, "vgg", 3);
    if (vgg && find(weights, "classifier.6.weight", &info)) {
        guess->classes = (int)info.shape[0];
    } else if (find(weights, "fc.weight", &info)) {
        guess->classes = (int)info.shape[0];
        guess->head = vgg ? TL_HEAD_LINEAR : TL_HEAD_NATIVE;
    } else if (vgg && !find(weights, "classifier.0.weight", &info)) {
        guess->head = TL_HEAD_LINEAR; /* a trunk alone */
    }
}

static void set_layers(cli_guess *guess, const int counts[4], const char *const *names, const int (*known)[4], size_t count)
{
    guess->arch = names[0];
    for (size_t i = 0; i < count; i++)
        if (!memcmp(known[i], counts, sizeof(known[i]))) {
            guess->arch = names[i];
            return;
        }
    memcpy(guess->layers, counts, sizeof(guess->layers));
}

static bool guess_resnet(const tl_weights *weights, const char *prefix, cli_guess *guess)
{
    static const char *const basic[] = {"resnet18", "resnet34"};
    static const int basic_layers[][4] = {{2, 2, 2, 2}, {3, 4, 6, 3}};
    static const char *const deep[] = {"resnet50", "resnet101", "resnet152"};
    static const int deep_layers[][4] = {{3, 4, 6, 3}, {3, 4, 23, 3}, {3, 8, 36, 3}};
    static const int fifty[4] = {3, 4, 6, 3};
    tl_weights_info stem, first, second, third;
    int counts[4] = {0};
    if (!find_in(weights, prefix, "conv1.weight", &stem) || !find_in(weights, prefix, "layer1.0.conv1.weight", &first) ||
        !find_in(weights, prefix, "layer1.0.conv2.weight", &second))
        return false;
    for (size_t i = 0; i < tl_weights_count(weights); i++) {
        tl_weights_info info;
        int stage, block, length = 0;
        if (!get(weights, i, &info) || strncmp(info.name, prefix, strlen(prefix)))
            continue;
        const char *name = info.name + strlen(prefix);
        if (sscanf(name, "layer%d.%d.conv1.weight%n", &stage, &block, &length) == 2 &&
            length > 0 && !name[length] && stage >= 1 && stage <= 4 && block >= counts[stage - 1] && block < 1000)
            counts[stage - 1] = block + 1;
    }
    guess->width = (double)stem.shape[0] / 64;
    if (!find_in(weights, prefix, "layer1.0.conv3.weight", &third)) {
        set_layers(guess, counts, basic, basic_layers, CLI_COUNT(basic));
        return true;
    }
    int64_t inner = first.shape[0], planes = third.shape[0] / 4;
    bool grouped = second.shape[1] != inner, wide = inner == 2 * planes && planes > 0;
    if (!grouped && !wide) {
        set_layers(guess, counts, deep, deep_layers, CLI_COUNT(deep));
        return true;
    }
    guess->arch = grouped ? "resnext50_32x4d" : "wide_resnet50_2";
    if (memcmp(counts, fifty, sizeof(fifty)))
        memcpy(guess->layers, counts, sizeof(counts));
    return true;
}

static const char *vgg_name(size_t convolutions, bool bn)
{
    static const struct {
        size_t convolutions;
        const char *names[2];
    } known[] = {{8, {"vgg11", "vgg11_bn"}}, {10, {"vgg13", "vgg13_bn"}}, {13, {"vgg16", "vgg16_bn"}},
                 {16, {"vgg19", "vgg19_bn"}}};
    for (size_t i = 0; i < CLI_COUNT(known); i++)
        if (known[i].convolutions == convolutions)
            return known[i].names[bn];
    return NULL;
}

static bool guess_vgg(const tl_weights *weights, const char *prefix, cli_guess *guess)
{
    tl_weights_info first, info;
    size_t convolutions = 0, length = strlen(prefix);
    if (!find_in(weights, prefix, "features.0.weight", &first) || first.rank != 4)
        return false;
    for (size_t i = 0; i < tl_weights_count(weights); i++)
        convolutions += get(weights, i, &info) && info.rank == 4 && !strncmp(info.name, prefix, length) &&
                        !strncmp(info.name + length, "features.", 9);
    guess->arch = vgg_name(convolutions, find_in(weights, prefix, "features.1.weight", &info) && info.rank == 1);
    guess->width = (double)first.shape[0] / 64;
    return guess->arch != NULL;
}

/* ---- from shapes alone: ONNX files name their tensors as they like ---- */

static bool guess_by_shapes(const tl_weights *weights, cli_guess *guess)
{
    static const struct {
        size_t convolutions;
        const char *arch;
    } resnets[] = {{20, "resnet18"}, {36, "resnet34"}, {53, "resnet50"}, {104, "resnet101"}, {155, "resnet152"}};
    size_t convolutions = 0, vectors = 0, linears = 0;
    int64_t kernel = 0, channels = 0, most = 0, rows = 0, columns = 0;
    tl_weights_info info;
    for (size_t i = 0; i < tl_weights_count(weights); i++) {
        if (!get(weights, i, &info))
            continue;
        vectors += info.rank == 1;
        if (info.rank == 2) {
            linears++;
            rows = info.shape[0];
            columns = info.shape[1];
        }
        if (info.rank != 4)
            continue;
        if (info.shape[1] == 3) { /* the first one, wherever it lies */
            kernel = info.shape[2];
            channels = info.shape[0];
        }
        most = info.shape[0] > most ? info.shape[0] : most;
        convolutions++;
    }
    guess->width = (double)channels / 64;
    if (kernel == 3) {
        guess->arch = vgg_name(convolutions, vectors >= 4 * convolutions);
        guess->head = linears == 3 ? TL_HEAD_NATIVE : TL_HEAD_LINEAR;
    }
    /* the last linear layer lies either way round; one that does not follow a VGG's convolutions is of another head */
    if (kernel == 3 && linears == 1 && (rows == most || columns == most))
        guess->classes = (int)(rows == most ? columns : rows);
    else if (linears == (kernel == 3 ? 3 : 1))
        guess->classes = (int)(rows < columns ? rows : columns);
    for (size_t i = 0; i < CLI_COUNT(resnets) && kernel == 7; i++)
        if (resnets[i].convolutions == convolutions)
            guess->arch = resnets[i].arch;
    return guess->arch != NULL;
}

/* ---- from what a file of changes says ---- */

static bool read_description(const tl_weights *weights, cli_guess *guess)
{
    const char *arch = cli_metadata(weights, "libtl.arch");
    int64_t classes, auxiliary;
    int length = 0, *layers = guess->layers;
    for (size_t i = 0; !guess->arch && tl_arch_name(i); i++)
        if (!strcmp(arch, tl_arch_name(i)))
            guess->arch = tl_arch_name(i);
    const char *text = cli_metadata(weights, "libtl.layers");
    if (*text && (sscanf(text, "[%d,%d,%d,%d]%n", layers, layers + 1, layers + 2, layers + 3, &length) != 4 || text[length]))
        return false;
    guess->output_stride = stride_in_metadata(weights);
    guess->no_auxiliary = cli_parse_int(cli_metadata(weights, "libtl.auxiliary"), &auxiliary) && !auxiliary;
    bool known = guess->arch && cli_head_named(cli_metadata(weights, "libtl.head"), &guess->head) &&
                 cli_parse_real(cli_metadata(weights, "libtl.width"), &guess->width) &&
                 cli_parse_int(cli_metadata(weights, "libtl.class_count"), &classes) && classes > 0 && classes <= 1 << 20;
    guess->classes = known ? (int)classes : 0;
    return known;
}

/* ---- the comparison ---- */

static bool in_head(const tl_model *model, const char *name)
{
    if (tl_model_head(model) >= TL_HEAD_FCN)
        return !!strncmp(name, BACKBONE, strlen(BACKBONE));
    return !strncmp(name, "fc.", 3) || !strncmp(name, "classifier.6.", 13);
}

static bool same_shape(const tl_weights_info *a, const tl_parameter_info *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

/* Every parameter of the model is in the file with its shape; the head may lack or differ. */
static bool fits_by_name(const tl_weights *weights, const tl_model *model, char *why, size_t size)
{
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info want = {.size = sizeof(want)};
        tl_weights_info have;
        if (tl_model_parameter(model, i, &want) != TL_OK || in_head(model, want.name))
            continue;
        if (find(weights, want.name, &have) && same_shape(&have, &want))
            continue;
        snprintf(why, size, "nearest is %s, but %s %s", tl_model_arch(model), want.name,
                 find(weights, want.name, &have) ? "has another shape" : "is missing");
        return false;
    }
    return true;
}

/* What the file has, the model has with its shape. */
static bool changes_fit(const tl_weights *weights, const tl_model *model, char *why, size_t size)
{
    for (size_t i = 0; i < tl_weights_count(weights); i++) {
        tl_weights_info have;
        bool same = false;
        for (size_t k = 0; get(weights, i, &have) && k < tl_model_parameter_count(model) && !same; k++) {
            tl_parameter_info want = {.size = sizeof(want)};
            same = tl_model_parameter(model, k, &want) == TL_OK && !strcmp(want.name, have.name) &&
                   same_shape(&have, &want);
        }
        if (!same) {
            snprintf(why, size, "it says that it is of %s, which has no %.100s of that shape", tl_model_arch(model),
                     have.name);
            return false;
        }
    }
    return true;
}

static int by_shape(const void *a, const void *b)
{
    return memcmp(a, b, 4 * sizeof(int64_t));
}

/* The same convolutions, whatever they are called and in whatever order they lie. */
static bool fits_by_shapes(const tl_weights *weights, const tl_model *model, char *why, size_t size)
{
    size_t most = tl_weights_count(weights) + tl_model_parameter_count(model), have = 0, want = 0;
    int64_t(*a)[4] = cli_alloc(most * sizeof(*a)), (*b)[4] = cli_alloc(most * sizeof(*b));
    for (size_t i = 0; i < tl_weights_count(weights); i++) {
        tl_weights_info info;
        if (get(weights, i, &info) && info.rank == 4)
            memcpy(a[have++], info.shape, sizeof(*a));
    }
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        if (tl_model_parameter(model, i, &info) == TL_OK && info.rank == 4)
            memcpy(b[want++], info.shape, sizeof(*b));
    }
    qsort(a, have, sizeof(*a), by_shape);
    qsort(b, want, sizeof(*b), by_shape);
    bool same = have == want && !memcmp(a, b, have * sizeof(*a));
    if (!same)
        snprintf(why, size, "nearest is %s, but its convolutions have other shapes", tl_model_arch(model));
    free(a);
    free(b);
    return same;
}

void cli_guess_options(const cli_guess *guess, int classes, tl_model_options *options)
{
    tl_model_options_init(options, sizeof(*options));
    options->arch = guess->arch;
    options->classes = classes;
    options->head = guess->head;
    options->layers = guess->layers[0] ? guess->layers : NULL;
    options->width = guess->width;
    options->output_stride = guess->output_stride;
    options->no_auxiliary = guess->no_auxiliary;
    options->dropout = guess->dropout;
}

static bool check(tl_context *context, const tl_weights *weights, const cli_guess *guess, bool named, char *why, size_t size)
{
    tl_model_options options;
    tl_model *model = NULL;
    if (guess->classes < 0 || guess->width <= 0)
        return false;
    cli_guess_options(guess, guess->classes ? guess->classes : 1, &options);
    if (tl_model_create(context, &options, &model) != TL_OK) {
        snprintf(why, size, "%s", tl_context_message(context));
        return false;
    }
    bool fits = guess->changes ? changes_fit(weights, model, why, size)
                : named        ? fits_by_name(weights, model, why, size)
                               : fits_by_shapes(weights, model, why, size);
    tl_model_destroy(model);
    return fits;
}

void cli_guess_network(tl_context *context, const tl_weights *weights, cli_guess *guess, char *why, size_t size)
{
    memset(guess, 0, sizeof(*guess));
    guess->width = 1;
    why[0] = 0;
    if (!cli_parse_real(cli_metadata(weights, "libtl.dropout"), &guess->dropout))
        guess->dropout = 0.5;
    guess->changes = *cli_metadata(weights, "libtl.base");
    if (guess->changes) {
        guess->fits = read_description(weights, guess) && check(context, weights, guess, true, why, size);
        return;
    }
    bool pixels = guess_resnet(weights, BACKBONE, guess) || guess_vgg(weights, BACKBONE, guess);
    bool named = pixels || guess_resnet(weights, "", guess) || guess_vgg(weights, "", guess);
    if (pixels)
        read_segmentation_head(weights, guess);
    else if (named)
        read_head(weights, guess);
    else if (strcmp(tl_weights_format(weights), "onnx") || !guess_by_shapes(weights, guess))
        guess->arch = NULL;
    if (!guess->arch)
        return;
    guess->fits = check(context, weights, guess, named, why, size);
    if (!guess->fits && !named && !strcmp(guess->arch, "resnet50")) { /* as many convolutions have its sisters */
        static const char *const sisters[] = {"wide_resnet50_2", "resnext50_32x4d"};
        for (size_t i = 0; i < CLI_COUNT(sisters) && !guess->fits; i++) {
            cli_guess other = *guess;
            char otherwise[256];
            other.arch = sisters[i];
            other.fits = check(context, weights, &other, named, otherwise, sizeof(otherwise));
            if (other.fits)
                *guess = other;
        }
    }
    if (guess->fits)
        why[0] = 0;
}
