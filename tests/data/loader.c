#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <png.h>

#include "data/loader.h"
#include "draw.h"

#define SIDE   12
#define BYTES  (SIDE * SIDE * 3)
#define IMAGES 23

/* Three classes of small images, and what each of them must become. */
typedef struct fixture {
    tl_context *context;
    counting state;
    char *folder;
    tl_dataset *dataset;
    tl_preprocess preprocess;
    uint8_t expected[IMAGES][BYTES];
} fixture;

static void draw_into(dice *d, const char *folder, const char *name, int number) {
    drawing image;
    if (number % 2)
        image = draw_png(d, 14 + number, 20, (png_kind){PNG_COLOR_TYPE_RGB, 8, false, false});
    else
        image =
            draw_jpeg(d, 20, 14 + number, (jpeg_kind){.components = 3, .h = {2, 1, 1}, .v = {2, 1, 1}, .quality = 90});
    file_write(folder, name, image.file, image.size);
    drawing_free(&image);
}

static int set_up(void **out) {
    fixture *f = calloc(1, sizeof *f);
    dice d = {5};
    f->context = counting_context(&f->state);
    f->folder = folder_create();
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "class%d/%02d.png", i < 7 ? 0 : i < 15 ? 1 : 2, i);
        draw_into(&d, f->folder, name, i);
    }
    tl_preprocess_init(&f->preprocess, sizeof f->preprocess);
    f->preprocess.resize = 14;
    f->preprocess.crop = SIDE;
    assert_int_equal(tl_dataset_open(f->context, f->folder, &f->dataset), TL_OK);
    assert_int_equal(tl_dataset_size(f->dataset), IMAGES);
    for (size_t i = 0; i < IMAGES; i++)
        assert_int_equal(tl_image_load(f->context, tl_dataset_path(f->dataset, i), &f->preprocess, f->expected[i]),
                         TL_OK);
    *out = f;
    return 0;
}

static int tear_down(void **in) {
    fixture *f = *in;
    tl_dataset_destroy(f->dataset);
    folder_remove(f->folder);
    tl_context_destroy(f->context);
    int leaked = f->state.live != 0;
    free(f);
    return leaked;
}

static tl__loader *create(fixture *f, int batch, int workers, int ahead, uint64_t cache_bytes) {
    tl__loader *loader = NULL;
    tl__loader_options options = {.batch = batch, .workers = workers, .ahead = ahead, .cache_bytes = cache_bytes};
    assert_int_equal(tl__loader_create(f->context, f->dataset, &f->preprocess, &options, &loader), TL_OK);
    return loader;
}

/* Takes `count` images in batches and holds each against what was expected; the last batch may be cut short by `limit`.
 */
static void take(fixture *f, tl__loader *loader, const uint32_t *order, size_t count, int batch, size_t limit) {
    size_t done = 0;
    while (done < limit) {
        const uint8_t *rgb = NULL;
        const int32_t *labels = NULL;
        const uint32_t *indices = NULL;
        int got = -1;
        assert_int_equal(tl__loader_next(loader, &rgb, &labels, &indices, &got), TL_OK);
        assert_int_equal(got, count - done < (size_t)batch ? count - done : (size_t)batch);
        for (int i = 0; i < got; i++) {
            uint32_t index = order ? order[done + (size_t)i] : (uint32_t)(done + (size_t)i);
            assert_int_equal(indices[i], index);
            assert_int_equal(labels[i], tl_dataset_label(f->dataset, index));
            assert_memory_equal(rgb + (size_t)i * BYTES, f->expected[index], BYTES);
        }
        done += (size_t)got;
    }
}

static void assert_over(tl__loader *loader) {
    for (int i = 0; i < 2; i++) {
        const uint8_t *rgb = (const uint8_t *)"";
        int got = -1;
        assert_int_equal(tl__loader_next(loader, &rgb, NULL, NULL, &got), TL_OK);
        assert_int_equal(got, 0);
        assert_null(rgb);
    }
}

static void shuffle(uint32_t *order, uint64_t seed) {
    tl__random random;
    for (uint32_t i = 0; i < IMAGES; i++)
        order[i] = i;
    tl__random_start(&random, seed, 0);
    tl__random_shuffle(&random, order, IMAGES);
}

static void the_order_is_kept_whatever_the_workers(void **state) {
    fixture *f = *state;
    static const int batches[] = {1, 4, 23, 40}, workers[] = {1, 2, 3, 8};
    for (size_t b = 0; b < 4; b++)
        for (size_t w = 0; w < 4; w++) {
            tl__loader *loader = create(f, batches[b], workers[w], (int)(b + w) % 4, 0);
            assert_int_equal(tl__loader_workers(loader), workers[w]);
            assert_over(loader); /* nothing was started */
            for (uint64_t epoch = 0; epoch < 3; epoch++) {
                uint32_t order[IMAGES];
                shuffle(order, epoch);
                assert_int_equal(tl__loader_start(loader, order, IMAGES), TL_OK);
                memset(order, 0, sizeof order); /* it was copied */
                shuffle(order, epoch);
                take(f, loader, order, IMAGES, batches[b], IMAGES);
                assert_over(loader);
            }
            assert_int_equal(tl__loader_start(loader, NULL, IMAGES), TL_OK);
            take(f, loader, NULL, IMAGES, batches[b], IMAGES);
            tl__loader_destroy(loader);
        }
}

static void an_epoch_can_be_left(void **state) {
    fixture *f = *state;
    tl__loader *loader = create(f, 3, 2, 3, 0);
    for (size_t leave = 0; leave <= 12; leave += 3) {
        assert_int_equal(tl__loader_start(loader, NULL, IMAGES), TL_OK);
        take(f, loader, NULL, IMAGES, 3, leave);
    }
    assert_int_equal(tl__loader_start(loader, NULL, 0), TL_OK);
    assert_over(loader);
    uint32_t twice[] = {4, 4, 22, 4, 0, 22, 4};
    assert_int_equal(tl__loader_start(loader, twice, 7), TL_OK);
    take(f, loader, twice, 7, 3, 7);
    assert_over(loader);
    assert_int_equal(tl__loader_start(loader, NULL, IMAGES), TL_OK);
    tl__loader_destroy(loader); /* in the middle of the work */
}

static void arguments_are_checked(void **state) {
    fixture *f = *state;
    tl__loader *loader = NULL;
    tl__loader_options bad[] = {{.batch = 0}, {.batch = 1, .workers = -1}, {.batch = 1, .ahead = -1}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tl__loader_create(f->context, f->dataset, &f->preprocess, &bad[i], &loader),
                         TL_ERROR_ARGUMENT);
    tl_preprocess wrong = f->preprocess;
    wrong.crop = 0;
    tl__loader_options good = {.batch = 2};
    assert_int_equal(tl__loader_create(f->context, f->dataset, &wrong, &good, &loader), TL_ERROR_ARGUMENT);
    assert_null(loader);
    loader = create(f, 2, 0, 0, 0);
    assert_true(tl__loader_workers(loader) >= 1 && tl__loader_workers(loader) <= 8);
    uint32_t beyond[] = {0, IMAGES};
    assert_int_equal(tl__loader_start(loader, beyond, 2), TL_ERROR_ARGUMENT);
    assert_int_equal(tl__loader_start(loader, NULL, IMAGES + 1), TL_ERROR_ARGUMENT);
    tl__loader_destroy(loader);
    tl__loader_destroy(NULL);
}

static void spoil(const fixture *f, size_t index) {
    FILE *stream = fopen(tl_dataset_path(f->dataset, index), "wb");
    assert_non_null(stream);
    fputs("spoilt", stream);
    fclose(stream);
}

static void the_first_error_in_order_is_told_in_its_place(void **state) {
    fixture *f = *state;
    spoil(f, 9);
    spoil(f, 20);
    spoil(f, 2);
    for (int workers = 1; workers <= 8; workers += workers)
        for (uint64_t seed = 0; seed < 6; seed++) {
            uint32_t order[IMAGES];
            shuffle(order, seed);
            size_t first = 0;
            while (order[first] != 9 && order[first] != 20 && order[first] != 2)
                first++;
            tl__loader *loader = create(f, 4, workers, 3, seed % 2 ? IMAGES * BYTES : 0);
            assert_int_equal(tl__loader_start(loader, order, IMAGES), TL_OK);
            take(f, loader, order, IMAGES, 4, first / 4 * 4);
            for (int again = 0; again < 2; again++) {
                const uint8_t *rgb = f->expected[0];
                int got = 77;
                assert_int_equal(tl__loader_next(loader, &rgb, NULL, NULL, &got), TL_ERROR_FORMAT);
                assert_int_equal(got, 77);
                assert_ptr_equal(rgb, f->expected[0]);
                assert_non_null(strstr(tl_context_message(f->context), tl_dataset_path(f->dataset, order[first])));
            }
            uint32_t healthy[] = {0, 1, 3, 4, 5, 6, 7};
            assert_int_equal(tl__loader_start(loader, healthy, 7), TL_OK);
            take(f, loader, healthy, 7, 4, 7);
            tl__loader_destroy(loader);
        }
}

static void *cancel_soon(void *argument) {
    counting *state = argument;
    nanosleep(&(struct timespec){0, 60000000}, NULL);
    __atomic_store_n(&state->cancel, true, __ATOMIC_RELAXED);
    return NULL;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A file that never comes (a pipe without a writer) holds up a worker, not the caller's wish to end. */
static void cancelling_does_not_wait_for_files(void **state) {
    fixture *f = *state;
    const char *path = tl_dataset_path(f->dataset, 5);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    tl__loader *loader = create(f, 4, 2, 1, 0);
    assert_int_equal(tl__loader_start(loader, NULL, IMAGES), TL_OK);
    take(f, loader, NULL, IMAGES, 4, 4);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &f->state), 0);
    double begin = now();
    int got = 3;
    assert_int_equal(tl__loader_next(loader, NULL, NULL, NULL, &got), TL_CANCELLED);
    assert_int_equal(got, 3);
    assert_true(now() - begin < 5);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(tl__loader_next(loader, NULL, NULL, NULL, &got), TL_CANCELLED);
    int fd = open(path, O_WRONLY); /* lets the worker go */
    assert_true(fd >= 0);
    close(fd);
    f->state.cancel = false;
    uint32_t others[] = {1, 2, 3};
    assert_int_equal(tl__loader_start(loader, others, 3), TL_OK);
    take(f, loader, others, 3, 4, 3);
    tl__loader_destroy(loader);
}

static void what_is_kept_is_not_read_again(void **state) {
    fixture *f = *state;
    tl__loader *all = create(f, 4, 3, 2, UINT64_MAX), *some = create(f, 4, 3, 2, 6 * BYTES + 5);
    tl__loader *loaders[] = {all, some};
    uint32_t order[IMAGES], twice[] = {3, 3, 3, 3, 1, 1, 0, 3};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tl__loader_start(loaders[i], twice, 8), TL_OK);
        take(f, loaders[i], twice, 8, 4, 8);
        for (uint64_t epoch = 0; epoch < 2; epoch++) {
            shuffle(order, epoch);
            assert_int_equal(tl__loader_start(loaders[i], order, IMAGES), TL_OK);
            take(f, loaders[i], order, IMAGES, 4, IMAGES);
        }
    }
    for (size_t i = 0; i < IMAGES; i++)
        unlink(tl_dataset_path(f->dataset, i));
    shuffle(order, 9);
    assert_int_equal(tl__loader_start(all, order, IMAGES), TL_OK);
    take(f, all, order, IMAGES, 4, IMAGES);
    uint32_t first[] = {5, 4, 3, 2, 1, 0}, seventh[] = {6};
    int got;
    assert_int_equal(tl__loader_start(some, first, 6), TL_OK);
    take(f, some, first, 6, 4, 6);
    assert_int_equal(tl__loader_start(some, seventh, 1), TL_OK);
    assert_int_equal(tl__loader_next(some, NULL, NULL, NULL, &got), TL_ERROR_IO);
    tl__loader_destroy(all);
    tl__loader_destroy(some);
}

static void odd_images_are_remarked_once(void **state) {
    fixture *f = *state;
    dice d = {3};
    for (size_t i = 0; i < 4; i++) {
        drawing image = draw_png(&d, 20, 20, (png_kind){PNG_COLOR_TYPE_GRAY, 16, false, false});
        FILE *stream = fopen(tl_dataset_path(f->dataset, i), "wb");
        assert_int_equal(fwrite(image.file, 1, image.size, stream), image.size);
        fclose(stream);
        drawing_free(&image);
    }
    tl__loader *loader = create(f, 4, 2, 2, 0);
    for (int epoch = 0; epoch < 2; epoch++) {
        int got;
        assert_int_equal(tl__loader_start(loader, NULL, IMAGES), TL_OK);
        do
            assert_int_equal(tl__loader_next(loader, NULL, NULL, NULL, &got), TL_OK);
        while (got);
    }
    assert_int_equal(f->state.log_lines, 1);
    assert_non_null(strstr(f->state.logged, "16-bit grey"));
    assert_non_null(strstr(f->state.logged, "class0/0"));
    tl__loader_destroy(loader);
}

/* Once every kind of image has been seen, an epoch of JPEGs allocates nothing. */
static void the_steady_state_allocates_nothing(void **state) {
    fixture *f = *state;
    uint32_t jpegs[] = {22, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20};
    tl__loader *loader = create(f, 4, 1, 2, 0);
    long before = 0;
    for (int epoch = 0; epoch < 3; epoch++) {
        if (epoch == 1)
            before = f->state.allocations;
        assert_int_equal(tl__loader_start(loader, jpegs, 12), TL_OK);
        take(f, loader, jpegs, 12, 4, 12);
    }
    assert_int_equal(f->state.allocations, before);
    tl__loader_destroy(loader);
}

static void every_allocation_may_fail(void **state) {
    fixture *f = *state;
    tl__loader_options options = {.batch = 4, .workers = 2, .cache_bytes = 1000000};
    long live = f->state.live, n = 1;
    for (bool all_done = false; !all_done; n++) {
        tl__loader *loader = NULL;
        int got = 1;
        f->state.fail_at = f->state.allocations + n;
        tl_status status = tl__loader_create(f->context, f->dataset, &f->preprocess, &options, &loader);
        if (status == TL_OK)
            status = tl__loader_start(loader, NULL, 8);
        while (status == TL_OK && got)
            status = tl__loader_next(loader, NULL, NULL, NULL, &got);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        all_done = status == TL_OK && f->state.allocations < f->state.fail_at;
        __atomic_store_n(&f->state.fail_at, 0, __ATOMIC_RELAXED); /* workers may be at it */
        tl__loader_destroy(loader);
        assert_int_equal(f->state.live, live);
    }
    assert_true(n > 20);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(the_order_is_kept_whatever_the_workers),
        CASE(an_epoch_can_be_left),
        CASE(arguments_are_checked),
        CASE(the_first_error_in_order_is_told_in_its_place),
        CASE(cancelling_does_not_wait_for_files),
        CASE(what_is_kept_is_not_read_again),
        CASE(odd_images_are_remarked_once),
        CASE(the_steady_state_allocates_nothing),
        CASE(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
