/* decode [-r RESIZE] [-c CROP] [-f] FILE...: how many images a second are decoded, resized and cropped, from memory in
 * a second of one core (best of five rounds). -f: decode = fast, and how far its bytes are from those of exact.
 * decode [-r RESIZE] [-c CROP] [-f] [-a] [-l] -t THREADS FOLDER: the same from files through the loader's threads, with
 * the masks of a folder that has masks/, otherwise one of class folders. -a: with random crops, flips, rotation and
 * colours, the same in every round; -l: of masks alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data/loader.h"
#include "data/reader.h"

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(tl_context *context, const char *what) {
    fprintf(stderr, "decode: %s: %s\n", what, tl_context_message(context));
    exit(1);
}

static void *read_file(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    if (!stream || fseek(stream, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *size = (size_t)ftell(stream);
    rewind(stream);
    void *data = malloc(*size + 1);
    if (!data || fread(data, 1, *size, stream) != *size) {
        perror(path);
        exit(1);
    }
    fclose(stream);
    return data;
}

static void files(tl_context *context, const tl_preprocess *p, char **paths, size_t count) {
    void **data = calloc(count, sizeof *data);
    size_t *sizes = calloc(count, sizeof *sizes);
    uint8_t *rgb = malloc((size_t)p->crop * (size_t)p->crop * 3);
    tl__reader *reader;
    if (!data || !sizes || !rgb || tl__reader_create(context, p, &reader) != TL_OK)
        fail(context, "start");
    for (size_t i = 0; i < count; i++)
        data[i] = read_file(paths[i], &sizes[i]);
    double best = 0;
    for (int round = 0; round < 5; round++) {
        double begin = now(CLOCK_THREAD_CPUTIME_ID);
        for (size_t i = 0; i < count; i++)
            if (tl__reader_decode(reader, paths[i], data[i], sizes[i], rgb) != TL_OK)
                fail(context, "decoding");
        double rate = (double)count / (now(CLOCK_THREAD_CPUTIME_ID) - begin);
        best = rate > best ? rate : best;
    }
    printf("%.1f images/s, %.3f ms an image, one core\n", best, 1e3 / best);
    tl__reader_destroy(reader);
    for (size_t i = 0; i < count; i++)
        free(data[i]);
    free(data);
    free(sizes);
    free(rgb);
}

/* How far the bytes of decode = fast are from those of exact. */
static void compare(tl_context *context, const tl_preprocess *p, char **paths, size_t count) {
    size_t bytes = (size_t)p->crop * (size_t)p->crop * 3;
    tl_preprocess exact = *p;
    exact.decode = TL_DECODE_EXACT;
    uint8_t *a = malloc(bytes), *b = malloc(bytes);
    double sum = 0;
    int largest = 0;
    for (size_t i = 0; i < count; i++) {
        if (!a || !b || tl_image_load(context, paths[i], &exact, a) != TL_OK ||
            tl_image_load(context, paths[i], p, b) != TL_OK)
            fail(context, "comparing");
        for (size_t k = 0; k < bytes; k++) {
            int apart = abs(a[k] - b[k]);
            largest = apart > largest ? apart : largest;
            sum += apart;
        }
    }
    printf("exact and fast differ by %.3f of 255 in the mean, by %d at most\n", sum / (double)bytes / (double)count,
           largest);
    free(a);
    free(b);
}

static tl_augment everything(void) {
    tl_augment a;
    tl_augment_init(&a, sizeof a);
    a.random_crop = 0.08;
    a.flip = TL_FLIP_HORIZONTAL;
    a.rotate = 15;
    a.brightness = a.contrast = a.saturation = 0.3;
    return a;
}

static tl_dataset *open_folder(tl_context *context, const char *path) {
    char masks[4096];
    tl_dataset *dataset;
    tl_masks_options options;
    snprintf(masks, sizeof masks, "%s/masks", path);
    tl_masks_options_init(&options, sizeof options);
    options.class_count = 255;
    if ((access(masks, F_OK) == 0 ? tl_dataset_open_masks(context, path, &options, &dataset)
                                  : tl_dataset_open(context, path, &dataset)) != TL_OK)
        fail(context, "start");
    return dataset;
}

static void folder(tl_context *context, const tl_preprocess *p, const char *path, tl__loader_options options) {
    tl_dataset *dataset = open_folder(context, path);
    tl__loader *loader;
    if (tl__loader_create(context, dataset, p, &options, &loader) != TL_OK)
        fail(context, "start");
    double best = 0, core = 0;
    for (int round = 0; round < 5; round++) {
        double begin = now(CLOCK_MONOTONIC), spent = now(CLOCK_PROCESS_CPUTIME_ID);
        int got = 0;
        if (tl__loader_start(loader, NULL, tl_dataset_size(dataset)) != TL_OK)
            fail(context, "start");
        do
            if (tl__loader_next(loader, NULL, NULL, NULL, &got) != TL_OK)
                fail(context, "loading");
        while (got);
        double images = (double)tl_dataset_size(dataset), rate = images / (now(CLOCK_MONOTONIC) - begin);
        best = rate > best ? rate : best;
        rate = images / (now(CLOCK_PROCESS_CPUTIME_ID) - spent);
        core = rate > core ? rate : core;
    }
    printf("%.1f images/s, %d threads; in a second of one core %.1f, %.3f ms an image\n", best,
           tl__loader_workers(loader), core, 1e3 / core);
    tl__loader_destroy(loader);
    tl_dataset_destroy(dataset);
}

int main(int argc, char **argv) {
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    const tl_augment augment = everything();
    tl__loader_options loading = {.batch = 32};
    int option;
    while ((option = getopt(argc, argv, "r:c:t:fal")) != -1) {
        int value = optarg ? atoi(optarg) : 0;
        if (option == 'r')
            p.resize = value;
        else if (option == 'c')
            p.crop = value;
        else if (option == 'f')
            p.decode = TL_DECODE_FAST;
        else if (option == 't')
            loading.workers = value;
        else if (option == 'a')
            loading.augment = &augment;
        else if (option == 'l')
            loading.labels_only = true;
        else
            return 2;
    }
    tl_context *context;
    if (optind == argc || tl_context_create(NULL, &context) != TL_OK)
        return 2;
    if (loading.workers)
        folder(context, &p, argv[optind], loading);
    else
        files(context, &p, argv + optind, (size_t)(argc - optind));
    if (!loading.workers && p.decode == TL_DECODE_FAST)
        compare(context, &p, argv + optind, (size_t)(argc - optind));
    tl_context_destroy(context);
    return 0;
}
