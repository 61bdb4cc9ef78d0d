/* decode [-r RESIZE] [-c CROP] [-f] [-t THREADS] FILE...: how many images a second are decoded, resized and cropped,
 * from memory in a second of one core (best of five rounds), and with -t through the loader's threads from a folder of
 * class folders. -f: decode = fast, and how far its bytes are from those of exact. */
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

static void folder(tl_context *context, const tl_preprocess *p, const char *path, int threads) {
    tl_dataset *dataset;
    tl__loader *loader;
    tl__loader_options options = {.batch = 32, .workers = threads};
    if (tl_dataset_open(context, path, &dataset) != TL_OK ||
        tl__loader_create(context, dataset, p, &options, &loader) != TL_OK)
        fail(context, "start");
    double best = 0;
    for (int round = 0; round < 5; round++) {
        double begin = now(CLOCK_MONOTONIC);
        int got = 0;
        if (tl__loader_start(loader, NULL, tl_dataset_size(dataset)) != TL_OK)
            fail(context, "start");
        do
            if (tl__loader_next(loader, NULL, NULL, NULL, &got) != TL_OK)
                fail(context, "loading");
        while (got);
        double rate = (double)tl_dataset_size(dataset) / (now(CLOCK_MONOTONIC) - begin);
        best = rate > best ? rate : best;
    }
    printf("%.1f images/s, %d threads\n", best, tl__loader_workers(loader));
    tl__loader_destroy(loader);
    tl_dataset_destroy(dataset);
}

int main(int argc, char **argv) {
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    int option, threads = 0;
    while ((option = getopt(argc, argv, "r:c:t:f")) != -1) {
        int value = optarg ? atoi(optarg) : 0;
        if (option == 'r')
            p.resize = value;
        else if (option == 'c')
            p.crop = value;
        else if (option == 'f')
            p.decode = TL_DECODE_FAST;
        else if (option == 't')
            threads = value;
        else
            return 2;
    }
    tl_context *context;
    if (optind == argc || tl_context_create(NULL, &context) != TL_OK)
        return 2;
    if (threads)
        folder(context, &p, argv[optind], threads);
    else
        files(context, &p, argv + optind, (size_t)(argc - optind));
    if (!threads && p.decode == TL_DECODE_FAST)
        compare(context, &p, argv + optind, (size_t)(argc - optind));
    tl_context_destroy(context);
    return 0;
}
