/* tl convert */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/guess.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_ARCH, "arch", "ARCH", "the network (default: told by names and shapes)"},
    {CLI_CLASSES, "classes", "N", "outputs of the head (default: as the file; another number makes a new head)"},
    {CLI_HEAD, "head", "HEAD", "native, linear, fcn, deeplabv3 or lite"},
    {CLI_LAYERS, "layers", "A,B,C,D", "blocks of a ResNet's four stages, for small networks"},
    {CLI_WIDTH, "width", "W", "factor on the inner channels, for small networks"},
    {CLI_BGR, "bgr", NULL, "the weights expect blue, green, red"},
    {0, NULL, NULL, NULL},
};

typedef struct request {
    const char *in, *out, *arch;
    int classes, head; /* 0, -1: as guessed */
    int layers[4];
    double width;
    bool bgr;
} request;

/* What the user says holds; what is left open comes from the file. */
static int choose(const request *r, tl_context *context, cli_guess *guess)
{
    tl_weights *weights;
    char why[256];
    tl_status status = tl_weights_open(context, r->in, &weights);
    if (status != TL_OK)
        return cli_failed(context, status, NULL);
    cli_guess_network(context, weights, guess, why, sizeof(why));
    tl_weights_close(weights);
    if (!guess->arch && !r->arch) { /* one that is near is good enough: loading it says what lacks, key by key */
        cli_error("%s: no network that libtl knows; name one with --arch", r->in);
        return CLI_FAILED;
    }
    if (r->arch && guess->arch && strcmp(r->arch, guess->arch)) { /* another one: nothing of the guess holds for it */
        *guess = (cli_guess){.width = 1, .classes = guess->classes, .dropout = 0.5};
    }
    if (r->arch)
        guess->arch = r->arch;
    if (r->head >= 0)
        guess->head = (tl_head)r->head;
    if (r->layers[0])
        memcpy(guess->layers, r->layers, sizeof(guess->layers));
    if (r->width > 0)
        guess->width = r->width;
    return CLI_DONE;
}

/* A file of libtl's own keeps its class names and preprocessing. */
static tl_status keep_description(const request *r, tl_context *context, tl_model *model)
{
    tl_model *old = NULL;
    if (tl_model_open(context, r->in, &old) != TL_OK)
        return TL_OK;
    int classes = tl_model_class_count(old);
    const char **names = cli_alloc((size_t)classes * sizeof(*names));
    bool named = classes == tl_model_class_count(model);
    for (int i = 0; i < classes; i++)
        named &= (names[i] = tl_model_class(old, i)) != NULL;
    tl_status status = tl_model_set_preprocess(model, tl_model_preprocess(old));
    if (status == TL_OK && named)
        status = tl_model_set_classes(model, names, classes);
    free(names);
    tl_model_destroy(old);
    return status;
}

static int convert(const request *r, tl_context *context)
{
    cli_guess guess;
    tl_model_options model_options;
    tl_weights_options weights = {.size = sizeof(weights), .bgr = r->bgr};
    tl_model *model = NULL;
    int code = choose(r, context, &guess);
    if (code != CLI_DONE)
        return code;
    int classes = r->classes ? r->classes : guess.classes ? guess.classes : 1000;
    cli_guess_options(&guess, classes, &model_options);
    tl_status status = tl_model_create(context, &model_options, &model);
    if (status == TL_ERROR_NOT_FOUND || status == TL_ERROR_ARGUMENT) {
        cli_failed(context, status, NULL);
        return CLI_USAGE;
    }
    if (status == TL_OK)
        status = tl_model_load_weights(model, r->in, &weights);
    if (status == TL_OK)
        status = keep_description(r, context, model);
    if (status == TL_OK && cli_interrupted())
        status = TL_CANCELLED;
    if (status == TL_OK)
        status = tl_model_save(model, r->out);
    tl_model_destroy(model);
    if (status == TL_CANCELLED) {
        cli_error("interrupted; nothing was written");
        return CLI_FAILED;
    }
    if (status != TL_OK)
        return cli_failed(context, status, NULL);
    if (guess.classes != classes)
        cli_note("the head is new, with random values: %d classes", classes);
    cli_print("%s · %s · %d classes\n", r->out, guess.arch, classes);
    return CLI_DONE;
}

static int set_option(request *r, int letter, const char *value)
{
    double reals[4];
    tl_head head;
    switch (letter) {
    case CLI_ARCH: r->arch = value; break;
    case CLI_BGR: r->bgr = true; break;
    case CLI_CLASSES:
        if (!cli_option_int(&cli_convert, "classes", value, 1, 100000, &r->classes))
            return CLI_USAGE;
        break;
    case CLI_HEAD:
        if (!cli_head_named(value, &head))
            return cli_usage("convert", "--head: '%s' is none of native, linear, fcn, deeplabv3 and lite", value);
        r->head = (int)head;
        break;
    case CLI_LAYERS:
        if (cli_parse_reals(value, reals, 4) != 4)
            return cli_usage("convert", "--layers: '%s' is not four numbers: --layers 2,2,2,2", value);
        for (int i = 0; i < 4; i++) {
            r->layers[i] = reals[i] >= 1 && reals[i] <= 1000 ? (int)reals[i] : 0;
            if (r->layers[i] != reals[i])
                return cli_usage("convert", "--layers: four whole numbers from 1 to 1000");
        }
        break;
    case CLI_WIDTH:
        if (!cli_parse_real(value, &r->width) || !(r->width > 0 && r->width <= 16))
            return cli_usage("convert", "--width: '%s' is not a number above 0, up to 16", value);
        break;
    }
    return CLI_DONE;
}

static int run(int argc, char **argv)
{
    request r = {.head = -1};
    const char *value;
    int letter, code = CLI_DONE;
    while ((letter = cli_next_option(&cli_convert, argc, argv, &value, &code)) > 0)
        if ((code = set_option(&r, letter, value)) != CLI_DONE)
            return code;
    if (letter < 0)
        return code;
    if (argc - optind != 2)
        return cli_usage("convert", "two files are needed: tl convert IN OUT.safetensors");
    r.in = argv[optind];
    r.out = argv[optind + 1];
    if (!cli_ends_with(r.out, ".safetensors"))
        return cli_usage("convert", "%s: tl writes .safetensors files only", r.out);
    if (access(r.in, R_OK) != 0) {
        cli_error("%s: %s", r.in, strerror(errno));
        return CLI_FAILED;
    }
    tl_context *context = cli_context_create();
    if (!context)
        return CLI_FAILED;
    cli_catch_signals();
    code = convert(&r, context);
    tl_context_destroy(context);
    return code;
}

const cli_verb cli_convert = {
    .name = "convert",
    .usage = "[OPTION]... IN OUT.safetensors",
    .summary = "Writes the weights of a file as a model: network, classes, preprocessing and weights in one file.",
    .details = "IN is a .pth, .safetensors or .onnx file. PyTorch's safetensors loads what is written, with torchvision's\n"
               "names and layouts.\n",
    .options = options,
    .run = run,
};
