/* A case: its file, its tolerances, and the comparisons with it. */
#include "tests/models/goldens.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "models/models.h"
#include "tests/models/formula.h"

static const char *const groups[GROUP_COUNT] = {"logits", "features", "losses", "grad", "after", "norm", "out", "aux"};

bool golden_fail(golden *g, const char *format, ...) {
    if (!g->problem[0]) {
        va_list args;
        va_start(args, format);
        vsnprintf(g->problem, sizeof g->problem, format, args);
        va_end(args);
    }
    return false;
}

/* ---- the file ---- */

static bool list_trainable(golden *g, json_t *names) {
    size_t used = 0, i;
    json_t *name;
    json_array_foreach(names, i, name) {
        const char *text = json_string_value(name);
        if (!text)
            return golden_fail(g, "trainable is no list of names");
        used += (size_t)snprintf(g->trainable + used, sizeof g->trainable - used, "%s ", text);
        if (used >= sizeof g->trainable)
            return golden_fail(g, "too many trainable names");
    }
    return true;
}

static bool parse_training(golden *g, json_t *meta) {
    static const char *const modes[] = {"eval", "batch", "mixed"};
    const char *bn;
    json_t *trainable;
    if (json_unpack(meta, "{s:s,s:o,s:i,s:F,s?F}", "bn", &bn, "trainable", &trainable, "steps", &g->steps, "lr", &g->lr,
                    "weight_decay", &g->weight_decay) != 0)
        return golden_fail(g, "its metadata lacks what a training needs");
    for (size_t i = 0; i < TL__COUNT(modes); i++)
        if (strcmp(modes[i], bn) == 0) {
            g->bn = (tl_bn)i;
            return list_trainable(g, trainable);
        }
    return golden_fail(g, "unknown bn %s", bn);
}

/* Ten times what single precision did to the other framework's own results, but no less than a floor. */
static void parse_tolerances(golden *g, json_t *meta) {
    json_t *deviation = json_object_get(meta, "float32_deviation");
    for (int i = 0; i < GROUP_COUNT; i++) {
        double ten = 10 * json_number_value(json_object_get(deviation, groups[i])), least = i == GROUP_LOGITS ? 1e-6 : 1e-5;
        g->tolerance[i] = ten > least ? ten : least;
    }
}

static bool parse(golden *g, json_t *meta) {
    const char *kind, *arch;
    json_int_t seed;
    int channels;
    if (json_unpack(meta, "{s:s,s:s,s:I,s:i,s:[i,i,i,i]}", "kind", &kind, "arch", &arch, "seed", &seed, "classes", &g->classes,
                    "shape", &g->n, &channels, &g->height, &g->width) != 0)
        return golden_fail(g, "its metadata is no case");
    snprintf(g->arch, sizeof g->arch, "%s", arch);
    g->seed = (uint64_t)seed;
    g->train = strcmp(kind, "train") == 0;
    if (!g->train && strcmp(kind, "forward") != 0)
        return golden_fail(g, "unknown kind %s", kind);
    if (channels != 3 || g->n < 1 || g->height < 1 || g->width < 1)
        return golden_fail(g, "its shape makes no sense");
    parse_tolerances(g, meta);
    return !g->train || parse_training(g, meta);
}

bool golden_open(golden *g, tl_context *context, const char *path) {
    memset(g, 0, sizeof *g);
    g->context = context;
    for (int i = 0; i < GROUP_COUNT; i++)
        g->error[i] = -1;
    if (tl__archive_open(context, path, &g->archive) != TL_OK)
        return golden_fail(g, "%s", tl_context_message(context));
    const char *text = tl__archive_get(g->archive, "case");
    json_t *meta = text ? json_loads(text, 0, NULL) : NULL;
    bool good = meta ? parse(g, meta) : golden_fail(g, "has no case in its metadata");
    json_decref(meta);
    return good;
}

void golden_close(golden *g) {
    tl__archive_close(g->archive);
    g->archive = NULL;
}

double *golden_read(golden *g, const char *name, int64_t count) {
    const tl__entry *entry = tl__archive_find(g->archive, name);
    if (!entry || entry->count != count) {
        golden_fail(g, "%s: %s", name, entry ? "has another size" : "is missing");
        return NULL;
    }
    double *values = calloc((size_t)count, sizeof *values);
    float single;
    for (int64_t i = 0; i < count; i++) {
        if (entry->dtype == TL_DTYPE_U8) {
            values[i] = entry->data[i];
        } else if (entry->dtype == TL_DTYPE_F64) {
            memcpy(&values[i], entry->data + 8 * i, sizeof values[i]);
        } else {
            tl__entry_read_f32(entry, i, 1, &single);
            values[i] = single;
        }
    }
    return values;
}

uint8_t *golden_images(golden *g, int first, int count) {
    size_t map = (size_t)g->height * (size_t)g->width;
    const tl__entry *entry = tl__archive_find(g->archive, "input");
    if (!entry || entry->dtype != TL_DTYPE_U8 || entry->count < (int64_t)(map * 3 * (size_t)(first + count))) {
        golden_fail(g, "has no input of that many images");
        return NULL;
    }
    uint8_t *rgb = malloc(map * 3 * (size_t)count);
    for (int n = 0; n < count; n++)
        for (size_t c = 0; c < 3; c++) {
            const uint8_t *plane = entry->data + ((size_t)(first + n) * 3 + c) * map;
            for (size_t i = 0; i < map; i++)
                rgb[((size_t)n * map + i) * 3 + c] = plane[i];
        }
    return rgb;
}

/* Networks with other heads are told by their names. */
bool golden_segments(const golden *g) {
    return !tl__arch_find(g->arch) && (strncmp(g->arch, "fcn_", 4) == 0 || strncmp(g->arch, "deeplabv3_", 10) == 0);
}

tl_model *golden_model(golden *g) {
    tl_model_options options;
    tl_model_options_init(&options, sizeof options);
    options.arch = g->arch;
    if (golden_segments(g)) {
        options.head = g->arch[0] == 'f' ? TL_HEAD_FCN : TL_HEAD_DEEPLABV3;
        options.arch = strchr(g->arch, '_') + 1;
    }
    options.classes = g->classes;
    options.dropout = 0;
    tl_model *model;
    if (tl_model_create(g->context, &options, &model) != TL_OK || formula_fill(model, g->seed) != TL_OK) {
        golden_fail(g, "%s", tl_context_message(g->context));
        return NULL;
    }
    for (int i = 0; i < 3 * 256; i++)
        model->table[i] = (float)(i % 256 - 128) / 64;
    return model;
}

/* ---- comparisons ---- */

void golden_note(golden *g, int group, double error, const char *where) {
    if (!(error <= g->error[group])) { /* not a number is the worst of all, and stays it */
        if (isnan(g->error[group]))
            return;
        g->error[group] = error;
        snprintf(g->worst[group], sizeof g->worst[group], "%.90s", where);
    }
}

void golden_compare(golden *g, int group, const char *name, const float *got, int64_t count) {
    double *want = golden_read(g, name, count);
    if (!want)
        return;
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < count; i++) {
        double error = fabs(got[i] - want[i]);
        golden_note(g, group, group == GROUP_LOSSES ? error : error / largest, name);
    }
    free(want);
}

void golden_compare_map(golden *g, int group, const char *name, const float *got) {
    int64_t map = (int64_t)g->height * g->width, count = map * g->n * g->classes;
    float *turned = malloc((size_t)count * sizeof *turned);
    for (int64_t i = 0; i < count; i++) {
        int64_t n = i / (map * g->classes), c = i / map % g->classes, pixel = i % map;
        turned[i] = got[(n * map + pixel) * g->classes + c];
    }
    golden_compare(g, group, name, turned, count);
    free(turned);
}

/* The largest sampled element of any tensor of the group. */
static double group_scale(const golden *g, const char *prefix) {
    double largest = 0;
    for (size_t e = 0; e < g->archive->entry_count; e++) {
        const tl__entry *entry = &g->archive->entries[e];
        if (strncmp(entry->name, prefix, strlen(prefix)) != 0 || entry->dtype != TL_DTYPE_F64)
            continue;
        for (int64_t i = 1; i < entry->count; i++) {
            double value;
            memcpy(&value, entry->data + 8 * i, sizeof value);
            largest = fmax(largest, fabs(value));
        }
    }
    return largest;
}

void golden_compare_sample(golden *g, int group, const char *name, const float *tensor, int64_t count) {
    char key[160];
    snprintf(key, sizeof key, "%s.%s", groups[group], name);
    int64_t k = count < 64 ? count : 64;
    double *want = golden_read(g, key, 1 + k), largest = 0, sum = 0;
    if (!want)
        return;
    char prefix[16];
    snprintf(prefix, sizeof prefix, "%s.", groups[group]);
    double scale = 1e-3 * group_scale(g, prefix);
    for (int64_t i = 0; i < k; i++)
        largest = fmax(largest, fabs(want[1 + i]));
    for (int64_t i = 0; i < k; i++)
        golden_note(g, group, fabs(tensor[i * count / k] - want[1 + i]) / (largest + scale), key);
    for (int64_t i = 0; i < count; i++)
        sum += (double)tensor[i] * tensor[i];
    /* The norm sees what lies between the samples; its own error is within theirs unless something is wrong. */
    golden_note(g, GROUP_NORM, fabs(sqrt(sum) - want[0]) / (want[0] + scale * sqrt((double)count)) / g->tolerance[group] *
                                   g->tolerance[GROUP_NORM], key);
    free(want);
}
