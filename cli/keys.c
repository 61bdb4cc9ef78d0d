/* The table of keys. Defaults are the seed's script: what a file leaves out is what that script does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/config.h"

#define IN(field) offsetof(cli_config, field)
#define OF(field) offsetof(cli_stage, field)
#define LATER(section, name, help) {section, name, CLI_KEY_LATER, 0, 0, false, NULL, "", 0, help}

const cli_key cli_keys[] = {
    {"experiment", "name", CLI_KEY_NAME, 0, 0, false, NULL, "", IN(name),
     "Name of the run; without one, the file's name without its ending"},
    {"experiment", "seed", CLI_KEY_SEED, 0, 0, false, NULL, "0", IN(seed),
     "Decides new weights, the split, the order of images and dropout"},
    {"experiment", "output", CLI_KEY_TEXT, 0, 0, false, NULL, "", IN(output),
     "Folder for the results; without one, runs/NAME"},
    {"experiment", "save", CLI_KEY_CHOICE, 0, 0, false, "all changed", "all", IN(save),
     "What the run's models hold: all, every tensor; changed, only those that are not as weights has them, which are read "
     "together with that file: kilobytes where a head learns"},
    {"experiment", "include", CLI_KEY_TEXT, 0, 0, false, NULL, "", 0,
     "Another INI file, relative to this one, whose values hold where this one gives none"},

    {"device", "device", CLI_KEY_TEXT, 0, 0, false, NULL, "auto", IN(device),
     "Where to compute: auto, or a name that tl devices shows"},
    {"device", "threads", CLI_KEY_INT, 1, 1024, false, "auto", "auto", IN(threads),
     "Threads of the CPU backend; auto: as many as this process may use"},
    {"device", "isa", CLI_KEY_TEXT, 0, 0, false, "auto", "auto", IN(isa),
     "Instruction set of the CPU backend: auto, baseline, avx2, avx512 or neon"},
    {"device", "fallback", CLI_KEY_CHOICE, 0, 0, false, "warn error allow", "warn", IN(fallback),
     "Where the device lacks an operation: warn, the CPU does it, and a warning says so; error; allow, without the "
     "warning"},
    {"device", "precision", CLI_KEY_CHOICE, 0, 0, false, "fp32 bf16 fp16 int8", "fp32", IN(precision),
     "How the values of the frozen part are stored, whose features are computed once: bf16 or fp16 take half the memory "
     "and, where the device has instructions for them or waits for memory, a fraction of the time, at 3 or 4 significant "
     "digits; bf16 is the CPU's, fp16 (up to 65504) is that of GPUs; int8, the CPU's too, takes "
     "a quarter, with steps for each map that come from up to 64 images of train, at 2 or 3 % of difference in the features "
     "and less than half a point of accuracy on six classes of photographs, fast where the processor multiplies such numbers "
     "(AVX-512 VNNI, AMX) and not faster than fp32 elsewhere; what a device or an operation (convolutions in groups) does "
     "not have is an error"},

    {"data", "train", CLI_KEY_TEXT, 0, 0, false, NULL, "", IN(train),
     "The folder to learn from: one folder a class, named after it, with PNG and JPEG images; for segmentation a folder with "
     "images/ and masks/, which have the same names but for the ending, or a file.csv with a line image,mask for each"},
    {"data", "val", CLI_KEY_TEXT, 0, 0, false, "none", "none", IN(val),
     "What to judge by: a folder like train, or a fraction of it between 0 and 1, drawn from each class by the seed, for "
     "segmentation from all images"},
    {"data", "masks", CLI_KEY_CHOICE, 0, 0, false, "auto index colour alpha", "auto", IN(masks),
     "For segmentation, what the pixels of masks are: index, the class, as the number in a palette or grey PNG; colour, that of "
     "the class in [classes]; alpha, images are their own masks, class 1 where they are more opaque than not; auto: colour "
     "where [classes] has colours, otherwise index"},
    {"data", "ignore", CLI_KEY_INT, -1, 255, false, NULL, "255", IN(ignore),
     "The number in masks of pixels that do not count, neither in the loss nor in scores; -1: all count"},
    {"data", "batch", CLI_KEY_INT, 1, 4096, false, "auto", "32", IN(batch),
     "Images a step; an epoch's last step may have fewer; auto: as many as fit the device, up to 256"},
    {"data", "resize", CLI_KEY_INT, 1, 16384, false, "none", "256", IN(resize),
     "The shorter side becomes this many pixels"},
    {"data", "crop", CLI_KEY_INT, 1, 16384, false, NULL, "224", IN(crop), "Side of the square cut from the middle, in pixels"},
    {"data", "mean", CLI_KEY_COLOUR, -1e3, 1e3, false, NULL, "0.485, 0.456, 0.406", IN(mean),
     "Subtracted from red, green and blue, of values between 0 and 1"},
    {"data", "std", CLI_KEY_COLOUR, 0, 1e3, true, NULL, "0.229, 0.224, 0.225", IN(std), "What they are divided by then"},
    {"data", "shuffle", CLI_KEY_BOOL, 0, 0, false, NULL, "yes", IN(shuffle), "A new order of the images every epoch"},
    {"data", "alpha", CLI_KEY_CHOICE, 0, 0, false, "drop white black", "drop", IN(alpha),
     "Transparent images: drop the transparency, or lay them on white or black"},
    {"data", "decode", CLI_KEY_CHOICE, 0, 0, false, "exact fast", "exact", IN(decode),
     "JPEGs at least twice as large as resize: exact, the bytes that Pillow gives; fast, at a half, a quarter or an "
     "eighth of the size at once, which takes 0.5 to 0.9 of the time, about 1 of 255 off in the mean and 25 at edges; a "
     "saved model does not keep it"},
    {"data", "workers", CLI_KEY_INT, 1, 256, false, "auto", "auto", IN(workers),
     "Threads that read and decode images; auto: as many as this process may use, at most 8"},
    {"data", "cache", CLI_KEY_TEXT, 0, 0, false, "auto", "auto", IN(cache),
     "Where features of the frozen part are kept: auto, in $XDG_CACHE_HOME/libtl/features for all runs; a folder; memory, for "
     "this run alone; none, they are computed every step"},
    {"data", "cache_limit", CLI_KEY_SIZE, 0, 1e18, true, "auto", "auto", IN(cache_limit),
     "Bytes that the cache's folder, or with memory the features, may take, as in 500 MB; auto: a quarter of the free "
     "space, at most 32 GiB, or of the memory"},
    {"data", "eval", CLI_KEY_CHOICE, 0, 0, false, "whole crop", "whole", IN(eval),
     "For segmentation, what of the images of val is judged: whole, all of it, resized and not cropped, by every "
     "pixel of the masks at their own size; crop, the middle square that training sees, whose features are in the "
     "cache, too"},
    {"data", "tile", CLI_KEY_INT, 64, 16384, false, "auto", "auto", IN(tile),
     "With eval = whole: images with a longer side, after resizing, go through the network in overlapping tiles of "
     "this side, rounded up to a multiple of 32; auto: only those that the device has no room for, in the largest tiles "
     "that fit"},
    {"data", "tile_overlap", CLI_KEY_REAL, 0, 0.75, true, NULL, "0.25", IN(overlap),
     "The part of a tile that it shares with the next, at least; up to the middle of it pixels are taken from the "
     "one, from there on from the other"},
    LATER("data", "group", "Keeps images with one prefix on one side of the split"),

    {"model", "arch", CLI_KEY_ARCH, 0, 0, false, NULL, "resnet50", IN(arch), "The network"},
    {"model", "weights", CLI_KEY_TEXT, 0, 0, false, NULL, "", IN(weights),
     "Its pretrained weights: a .pth, .safetensors or .onnx file, or random"},
    {"model", "classes", CLI_KEY_INT, 1, 100000, false, "auto", "auto", IN(classes),
     "Outputs of the new head; auto: as many as train has classes, and another number is an error"},
    {"model", "head", CLI_KEY_CHOICE, 0, 0, false, "native linear fcn deeplabv3 lite", "native", IN(head),
     "native: the network's own; linear: global average pooling and one linear layer, for trunks without a classifier; for "
     "segmentation, a class for every pixel: fcn; deeplabv3, of ResNets; lite, two small layers that train in seconds"},
    {"model", "output_stride", CLI_KEY_INT, 8, 32, false, "auto", "auto", IN(output_stride),
     "Of segmentation: 8, 16 or 32 pixels of the image for one of the trunk's last map, by dilation in a ResNet, by adding "
     "earlier maps in a VGG; auto: 8, of lite 32"},
    {"model", "auxiliary", CLI_KEY_BOOL, 0, 0, false, NULL, "yes", IN(auxiliary),
     "Of fcn and deeplabv3 on ResNets: a second classifier on layer3, which counts half in the loss and is left out "
     "of predictions"},
    {"model", "bn", CLI_KEY_CHOICE, 0, 0, false, "eval batch mixed", "eval", IN(bn),
     "Statistics of batch-norms while training: eval, the stored ones, kept; batch, the batch's, moving the stored ones; "
     "mixed, the batch's where scale and shift train"},
    {"model", "dropout", CLI_KEY_REAL, 0, 0.99, false, NULL, "0.5", IN(dropout), "In VGG's classifier while training; 0 also leaves out what segmentation heads have of their own"},
    {"model", "layers", CLI_KEY_LAYERS, 1, 1000, false, "auto", "auto", IN(layers),
     "Blocks in each of a ResNet's four stages, for small networks; auto: the network's own"},
    {"model", "width", CLI_KEY_REAL, 0, 16, true, NULL, "1", IN(width), "Factor on the inner channels, for small networks"},
    {"model", "bgr", CLI_KEY_BOOL, 0, 0, false, NULL, "no", IN(bgr),
     "The weights expect blue, green, red: swaps the first convolution's inputs when they are loaded"},

    {"stage", "train", CLI_KEY_TEXT, 0, 0, false, NULL, "", OF(train),
     "What learns: patterns over parameter names with *, ? and [...], separated by commas; "
     "without any, the head (fc.*, classifier.6.*, or of segmentation classifier.* and aux_classifier.*)"},
    {"stage", "epochs", CLI_KEY_INT, 1, 1000000, false, NULL, "10", OF(epochs), "Times through the images"},
    {"stage", "optimizer", CLI_KEY_CHOICE, 0, 0, false, "adam", "adam", OF(optimizer), "Adam in PyTorch's form"},
    {"stage", "lr", CLI_KEY_REAL, 0, 1e3, true, NULL, "0.001", OF(lr), "Learning rate"},
    {"stage", "beta1", CLI_KEY_REAL, 0, 0.9999999, false, NULL, "0.9", OF(beta1), "Adam's memory of the gradient"},
    {"stage", "beta2", CLI_KEY_REAL, 0, 0.9999999, false, NULL, "0.999", OF(beta2), "Adam's memory of its square"},
    {"stage", "eps", CLI_KEY_REAL, 0, 1, true, NULL, "1e-8", OF(eps), "Added to Adam's denominator"},
    {"stage", "weight_decay", CLI_KEY_REAL, 0, 1e3, false, NULL, "0", OF(weight_decay),
     "Times the parameter, added to its gradient"},
    {"stage", "lr.*", CLI_KEY_RATE, 0, 1e3, true, NULL, "", 0,
     "Learning rate of the parameters that match what follows the dot, as in lr.classifier.* = 10x, ten times lr; where "
     "several match a parameter, the last counts"},
    {"stage", "schedule", CLI_KEY_CHOICE, 0, 0, false, "constant poly cosine", "constant", OF(schedule),
     "How every learning rate falls with each step of the stage: constant, not at all; poly, times (1 - step / steps) to the "
     "power of power; cosine, along half a wave to 0"},
    {"stage", "power", CLI_KEY_REAL, 0, 100, true, NULL, "0.9", OF(power), "Of schedule = poly"},
    LATER("stage", "warmup", "Steps of a rising learning rate"),
    LATER("stage", "accumulate", "Steps that share one update"),
    LATER("stage", "clip", "Longest gradient"),
    LATER("stage", "early_stop", "Epochs without improvement before a stage ends"),
    LATER("stage", "label_smoothing", "Part of each target spread over all classes"),
    {"stage", "class_weights", CLI_KEY_CHOICE, 0, 0, false, "none auto", "none", OF(class_weights),
     "In the loss while training: none, all images or pixels count the same; auto, all classes do, by the inverse of how "
     "many images or pixels of train each has"},
    {"stage", "dice", CLI_KEY_REAL, 0, 1e3, false, NULL, "0", OF(dice),
     "Of segmentation: adds so many times the soft Dice loss to the cross-entropy while training, which counts classes alike "
     "however few pixels they have: 1 - mean of (2 I + 1) / (P + Y + 1) over the classes that the batch's masks have, I being the "
     "probabilities of a class summed over its pixels, P over all that count, Y the number of its pixels"},
    LATER("stage", "momentum", "Of SGD"),
    LATER("stage", "ema", "Moving average of the parameters"),

    {"augment", "random_crop", CLI_KEY_REAL, 0, 1, true, "none", "none", IN(augment.random_crop),
     "Shows a part of the image in the place of resize and crop, of a random size and shape: the least part of its area, "
     "0.08 in torchvision's RandomResizedCrop"},
    {"augment", "ratio", CLI_KEY_REAL, 0.001, 1, false, NULL, "0.75", IN(augment.ratio),
     "The least width / height of that part, and the least height / width"},
    {"augment", "flip", CLI_KEY_CHOICE, 0, 0, false, "none horizontal vertical both", "none", IN(augment.flip),
     "Mirrors one of two images: horizontal, left and right; vertical, top and bottom; both, each of the two by itself"},
    {"augment", "rotate", CLI_KEY_REAL, 0, 180, false, NULL, "0", IN(augment.rotate),
     "Turns the image about its middle by up to so many degrees to either side; the corners become black, in masks ignored"},
    {"augment", "brightness", CLI_KEY_REAL, 0, 100, false, NULL, "0", IN(augment.brightness),
     "Times a factor between 1 - brightness and 1 + brightness"},
    {"augment", "contrast", CLI_KEY_REAL, 0, 100, false, NULL, "0", IN(augment.contrast),
     "The same of the difference from the image's mean grey"},
    {"augment", "saturation", CLI_KEY_REAL, 0, 100, false, NULL, "0", IN(augment.saturation),
     "The same of the difference from the pixel's own grey"},
    {"augment", "views", CLI_KEY_INT, 1, 65536, false, "none", "none", IN(augment.views),
     "So many changed views of each image are all there are, and features of the frozen part are computed once for each: "
     "epoch e, from 1 on, shows number e mod views; none: every epoch changes images anew, and features are computed every "
     "step"},

    {"classes", "*", CLI_KEY_CLASS, 0, 254, false, NULL, "", 0,
     "A class of segmentation: its name, its number, and with masks of colours its colour, as in road = 3, #804080; the number "
     "that [data] ignore has gives the colour of pixels that do not count; without this section classes are called 0, 1 and so "
     "on, as many as the masks have or [model] classes says"},

    LATER("sweep", "*", "Lists of values to try"),
};
const size_t cli_key_count = CLI_COUNT(cli_keys);

/* "a b c" as "a, b or c". */
static void join_words(const char *words, char *text, size_t size)
{
    size_t used = 0, count = 1;
    for (const char *c = words; *c; c++)
        count += *c == ' ';
    text[0] = 0;
    for (size_t i = 0; i < count && used < size; i++) {
        size_t length = strcspn(words, " ");
        const char *between = i == 0 ? "" : i + 1 < count ? ", " : " or ";
        used += (size_t)snprintf(text + used, size - used, "%s%.*s", between, (int)length, words);
        words += length + (words[length] == ' ');
    }
}

const char *cli_key_range(const cli_key *key, char *text, size_t size)
{
    char lower[64], also[64] = "";
    snprintf(lower, sizeof(lower), key->above ? "above %.9g, up to %.9g" : "%.9g to %.9g", key->minimum, key->maximum);
    if (key->words)
        snprintf(also, sizeof(also), ", or %s", key->words);
    switch (key->type) {
    case CLI_KEY_INT: snprintf(text, size, "%s%s", lower, also); break;
    case CLI_KEY_REAL: snprintf(text, size, "%s%s", lower, also); break;
    case CLI_KEY_COLOUR: snprintf(text, size, "three numbers, %s", lower); break;
    case CLI_KEY_LAYERS: snprintf(text, size, "four whole numbers%s", also); break;
    case CLI_KEY_SEED: snprintf(text, size, "0 to 18446744073709551615"); break;
    case CLI_KEY_SIZE: snprintf(text, size, "a number of bytes, kB, MB, GB or TB%s", also); break;
    case CLI_KEY_RATE: snprintf(text, size, "%s, or a multiple of lr as in 10x", lower); break;
    case CLI_KEY_CLASS: snprintf(text, size, "a number from 0 to 255, or number, #rrggbb"); break;
    case CLI_KEY_BOOL: snprintf(text, size, "yes or no"); break;
    case CLI_KEY_CHOICE: join_words(key->words, text, size); break;
    case CLI_KEY_ARCH: snprintf(text, size, "a network's name"); break;
    case CLI_KEY_NAME: snprintf(text, size, "a name"); break;
    case CLI_KEY_LATER: snprintf(text, size, "not in this version"); break;
    case CLI_KEY_TEXT: snprintf(text, size, "text%s", also); break;
    }
    return text;
}

const char *cli_key_default(const cli_key *key)
{
    return *key->fallback ? key->fallback : "(not set)";
}

static bool parse_bool(const char *text, bool *truth)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < CLI_COUNT(yes); i++)
        if (!strcasecmp(text, yes[i]) || !strcasecmp(text, no[i])) {
            *truth = !strcasecmp(text, yes[i]);
            return true;
        }
    return false;
}

/* The position of a word among words separated by single spaces, or -1. */
static int find_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (int i = 0;; i++) {
        size_t span = strcspn(words, " ");
        if (span == length && !strncmp(words, word, length))
            return i;
        if (!words[span])
            return -1;
        words += span + 1;
    }
}

static bool in_range(const cli_key *key, double x)
{
    return (key->above ? x > key->minimum : x >= key->minimum) && x <= key->maximum;
}

static bool parse_layers(const cli_key *key, const char *text, int layers[4])
{
    double reals[4];
    if (cli_parse_reals(text, reals, 4) != 4)
        return false;
    for (int i = 0; i < 4; i++) {
        if (!in_range(key, reals[i]) || reals[i] != (int)reals[i])
            return false;
        layers[i] = (int)reals[i];
    }
    return true;
}

static bool parse_arch(const char *text)
{
    const char *name;
    for (size_t i = 0; (name = tl_arch_name(i)); i++)
        if (!strcmp(name, text))
            return true;
    return false;
}

/* "1500000", "1.5 MB", "20GB". */
static bool parse_size(const cli_key *key, const char *text, uint64_t *bytes)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"b", 1}, {"", 1}};
    char number[32];
    double value;
    size_t length = strspn(text, "0123456789."), last = 0;
    if (length >= sizeof(number))
        return false;
    snprintf(number, sizeof(number), "%.*s", (int)length, text);
    text += length;
    text += *text == ' ';
    while (units[last].unit[0] && strcasecmp(units[last].unit, text))
        last++;
    if (strcasecmp(units[last].unit, text) || !cli_parse_real(number, &value) || !in_range(key, value * units[last].bytes))
        return false;
    *bytes = (uint64_t)(value * units[last].bytes);
    return *bytes > 0;
}

/* "1e-3", "10x". */
static bool parse_rate(const cli_key *key, const char *text, cli_rate *rate)
{
    char number[64];
    size_t length = strlen(text);
    bool multiple = length > 0 && (text[length - 1] == 'x' || text[length - 1] == 'X');
    double value;
    if (length - multiple >= sizeof(number))
        return false;
    snprintf(number, sizeof(number), "%.*s", (int)(length - multiple), text);
    if (!cli_parse_real(number, &value) || !in_range(key, value))
        return false;
    *(multiple ? &rate->factor : &rate->lr) = value;
    return true;
}

/* "3", "3, #804080". */
static bool parse_class(const char *text, cli_class *of)
{
    char number[8], *end;
    int64_t value;
    size_t length = strcspn(text, ", ");
    if (length >= sizeof(number))
        return false;
    snprintf(number, sizeof(number), "%.*s", (int)length, text);
    if (!cli_parse_int(number, &value) || value < 0 || value > 255)
        return false;
    of->index = (int)value;
    text += length + strspn(text + length, " ");
    if (!*text)
        return true;
    text += *text == ',';
    text += strspn(text, " ");
    if (strlen(text) != 7 || *text != '#' || strspn(text + 1, "0123456789abcdefABCDEF") != 6)
        return false;
    unsigned long colour = strtoul(text + 1, &end, 16);
    of->coloured = true;
    for (int c = 0; c < 3; c++)
        of->colour[c] = (uint8_t)(colour >> (16 - 8 * c));
    return true;
}

bool cli_key_is_open(const cli_key *key)
{
    size_t length = strlen(key->name);
    return length > 0 && key->name[length - 1] == '*';
}

bool cli_key_parse(const cli_key *key, const char *text, cli_value *v)
{
    int64_t integer;
    memset(v, 0, sizeof(*v));
    if (key->words && key->type != CLI_KEY_CHOICE && !strcmp(text, key->words)) {
        if (key->type == CLI_KEY_TEXT)
            v->text = "";
        return true;
    }
    switch (key->type) {
    case CLI_KEY_TEXT:
        v->text = text;
        return true;
    case CLI_KEY_NAME:
        v->text = text;
        return !*text || (text[0] != '.' && !strchr(text, '/'));
    case CLI_KEY_INT:
        if (!cli_parse_int(text, &integer) || !in_range(key, (double)integer))
            return false;
        v->integer = (int)integer;
        return true;
    case CLI_KEY_SEED:
        return cli_parse_seed(text, &v->seed);
    case CLI_KEY_SIZE:
        return parse_size(key, text, &v->bytes);
    case CLI_KEY_RATE:
        return parse_rate(key, text, &v->rate);
    case CLI_KEY_CLASS:
        return parse_class(text, &v->class_);
    case CLI_KEY_REAL:
        return cli_parse_real(text, &v->real) && in_range(key, v->real);
    case CLI_KEY_BOOL:
        return parse_bool(text, &v->truth);
    case CLI_KEY_CHOICE:
        v->integer = find_word(key->words, text);
        return v->integer >= 0;
    case CLI_KEY_ARCH:
        v->text = text;
        return parse_arch(text);
    case CLI_KEY_COLOUR:
        return cli_parse_reals(text, v->reals, 3) == 3 && in_range(key, v->reals[0]) && in_range(key, v->reals[1]) &&
               in_range(key, v->reals[2]);
    case CLI_KEY_LAYERS:
        return parse_layers(key, text, v->integers);
    case CLI_KEY_LATER:
        break;
    }
    return false;
}

size_t cli_key_size(const cli_key *key)
{
    switch (key->type) {
    case CLI_KEY_INT:
    case CLI_KEY_CHOICE: return sizeof(int);
    case CLI_KEY_SEED:
    case CLI_KEY_SIZE: return sizeof(uint64_t);
    case CLI_KEY_REAL: return sizeof(double);
    case CLI_KEY_BOOL: return sizeof(bool);
    case CLI_KEY_COLOUR: return 3 * sizeof(double);
    case CLI_KEY_LAYERS: return 4 * sizeof(int);
    case CLI_KEY_RATE: return sizeof(cli_rate);
    case CLI_KEY_CLASS: return sizeof(cli_class);
    default: return sizeof(const char *);
    }
}
