/* Any bytes as what describes pixels: a PNG as a mask, text that begins with '[' as the [classes] of an INI file, other
 * text as a list of images and masks. An error that names the file, or labels that are classes. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tl/tl.h>

#include "cli/config.h"

const char fuzz_folder[] = "tests/fuzz/masks-data";

static char folder[256];

static void must(bool good) {
    if (!good)
        abort();
}

static char *in_folder(const char *name) {
    static char path[320];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void clear(void) {
    static const char *const names[] = {"mask.png", "one.csv", "list.csv", "x.ini"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(in_folder(names[i]));
    rmdir(folder);
}

static void write_file(const char *name, const char *head, const uint8_t *data, size_t size) {
    if (!folder[0]) {
        const char *place = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%.200s/tl-fuzz-XXXXXX", place && *place ? place : "/tmp");
        must(mkdtemp(folder) != NULL);
        atexit(clear);
    }
    FILE *file = fopen(in_folder(name), "wb");
    must(file && fputs(head, file) >= 0 && (size == 0 || fwrite(data, 1, size, file) == size) && fclose(file) == 0);
}

/* Three classes, or as many as the masks have; by number, by colour or by the image's own alpha. */
static tl_masks_options options_of(uint32_t hash, bool all_given) {
    static const uint8_t colours[3][3] = {{0, 0, 0}, {128, 0, 0}, {0, 128, 0}}, ignored[3] = {224, 224, 192};
    tl_masks_options options;
    tl_masks_options_init(&options, sizeof options);
    options.kind = (tl_masks)(hash % 3);
    options.class_count = options.kind == TL_MASKS_ALPHA ? 2 : 3;
    if (options.kind == TL_MASKS_INDEX && hash & 256 && !all_given)
        options.class_count = 0;
    options.ignore = hash & 512 ? 255 : (int)(hash >> 24) - 1;
    if (options.kind == TL_MASKS_COLOUR) {
        options.colours = colours;
        options.ignore_colour = hash & 1024 ? ignored : NULL;
    }
    return options;
}

static void check_labels(const uint8_t *labels, size_t count, size_t classes) {
    for (size_t i = 0; i < count; i++)
        must(labels[i] < classes || labels[i] == TL_IGNORED);
}

/* The mask is its own image, so that both are of one size. */
static void try_mask(tl_context *context, const uint8_t *data, size_t size, uint32_t hash) {
    enum { CROP = 24 };
    static uint8_t rgb[CROP * CROP * 3], labels[CROP * CROP];
    tl_masks_options options = options_of(hash, false);
    tl_dataset *dataset = NULL;
    tl_mask mask = {.size = sizeof mask};
    uint8_t *copy = malloc(size);
    must(copy != NULL);
    memcpy(copy, data, size);
    if (hash & 64)
        fuzz_png_repair(copy, size);
    write_file("mask.png", "", copy, size);
    free(copy);
    write_file("one.csv", options.kind == TL_MASKS_ALPHA ? "mask.png\n" : "mask.png,mask.png\n", NULL, 0);
    if (tl_dataset_open_masks(context, in_folder("one.csv"), &options, &dataset) != TL_OK) {
        must(strstr(tl_context_message(context), "mask") != NULL);
        return;
    }
    size_t classes = tl_dataset_class_count(dataset);
    must(tl_dataset_size(dataset) == 1 && classes >= 1 && classes <= 255);
    if (tl_mask_load(context, dataset, 0, &mask) == TL_OK) {
        check_labels(mask.labels, (size_t)mask.width * (size_t)mask.height, classes);
        tl_mask_release(context, &mask);
        tl_preprocess p;
        tl_preprocess_init(&p, sizeof p);
        p.resize = hash & 2048 ? (int)(hash >> 12) % 40 : 0;
        p.crop = CROP;
        if (tl_masked_load(context, dataset, 0, &p, rgb, labels) == TL_OK)
            check_labels(labels, sizeof labels, classes);
    } else {
        must(strstr(tl_context_message(context), "mask.png") != NULL);
    }
    tl_dataset_destroy(dataset);
}

static void try_list(tl_context *context, const uint8_t *data, size_t size, uint32_t hash) {
    tl_masks_options options = options_of(hash, true); /* or it would read what the bytes name */
    tl_dataset *dataset = NULL;
    write_file("list.csv", "", data, size);
    if (tl_dataset_open_masks(context, in_folder("list.csv"), &options, &dataset) != TL_OK) {
        must(strstr(tl_context_message(context), "list.csv") != NULL);
        return;
    }
    must(tl_dataset_size(dataset) >= 1 && tl_dataset_size(dataset) <= size && tl_dataset_has_masks(dataset));
    for (size_t i = 0; i < tl_dataset_size(dataset); i++)
        must(tl_dataset_path(dataset, i) && tl_dataset_label(dataset, i) == -1 &&
             (options.kind == TL_MASKS_ALPHA || tl_dataset_mask(dataset, i)));
    must(tl_dataset_path(dataset, tl_dataset_size(dataset)) == NULL);
    tl_dataset_destroy(dataset);
}

static void try_classes(const uint8_t *data, size_t size) {
    cli_config config;
    char error[512] = "";
    write_file("x.ini", "[data]\ntrain = t\n[model]\nweights = random\nhead = fcn\n", data, size);
    if (!cli_config_load(in_folder("x.ini"), NULL, 0, &config, error, sizeof error)) {
        must(strstr(error, "x.ini") != NULL);
        return;
    }
    must(config.class_count <= 255);
    for (size_t i = 0; i < config.class_count; i++)
        must(config.class_names[i] && config.class_names[i][0]);
    for (size_t i = 0; config.class_colours && i < config.class_count; i++)
        for (size_t k = 0; k < i; k++)
            must(memcmp(config.class_colours[i], config.class_colours[k], 3) != 0);
    char *text = cli_config_resolved(&config);
    must(text != NULL);
    free(text);
    cli_config_free(&config);
}

/* Other files are none of this target's. */
static bool includes(const uint8_t *data, size_t size) {
    for (size_t i = 0; i + 7 <= size; i++)
        if (memcmp(data + i, "include", 7) == 0)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 16777619u;
    tl_context *context;
    if (size == 0 || (data[0] == 0x89 && fuzz_png_slow(data, size)) || includes(data, size))
        return 0;
    if (data[0] == '[') {
        try_classes(data, size);
        return 0;
    }
    must(tl_context_create(NULL, &context) == TL_OK);
    for (uint32_t kind = 0; kind < 3; kind++) /* hash % 3 of options_of */
        (data[0] == 0x89 ? try_mask : try_list)(context, data, size, hash / 3 * 3 + kind);
    tl_context_destroy(context);
    return 0;
}
