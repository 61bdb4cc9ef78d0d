/* So many random views of each image and its mask: the two move together, views come round again, and training on their
 * features is training on them. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/core.h"
#include "data/loader.h"

enum { CROP = 32, PIXELS = CROP * CROP, CLASSES = 4, IMAGES = 6, VIEWS = 3, WIDTH = 60, HEIGHT = 50 };

/* Of a class, whatever lies beside it; black is what rotation leaves empty, white what the files ignore. */
static uint8_t tone(int label, int channel) {
    return label == TL_IGNORED ? 255 : (uint8_t)(40 + 45 * label + 10 * channel);
}

/* Patches of the classes, of another pattern in each image. */
static char *make_folder(void) {
    char *folder = test_masks_folder();
    static uint8_t rgb[WIDTH * HEIGHT * 3], labels[WIDTH * HEIGHT];
    tl_context *context = test_context(NULL);
    for (int n = 0; n < IMAGES; n++) {
        for (int i = 0; i < WIDTH * HEIGHT; i++) {
            const int x = i % WIDTH, y = i / WIDTH;
            labels[i] = y < 3 ? TL_IGNORED : (uint8_t)((x / (15 + n) + 2 * (y / (14 + n)) + n) % CLASSES);
            for (int c = 0; c < 3; c++)
                rgb[3 * i + c] = tone(labels[i], c);
        }
        test_masks_add(context, folder, n, WIDTH, HEIGHT, rgb, labels);
    }
    tl_context_destroy(context);
    return folder;
}

static tl_augment changes(void) {
    tl_augment augment;
    tl_augment_init(&augment, sizeof augment);
    augment.random_crop = 0.3;
    augment.flip = TL_FLIP_BOTH;
    augment.rotate = 25;
    augment.seed = 5;
    augment.views = VIEWS;
    return augment;
}

static tl_dataset *open_masks(tl_context *context, const char *folder) {
    tl_masks_options options;
    tl_dataset *data;
    tl_masks_options_init(&options, sizeof options);
    options.class_count = CLASSES;
    ok(tl_dataset_open_masks(context, folder, &options, &data), context);
    return data;
}

static tl_preprocess whole_crop(void) {
    tl_preprocess p;
    tl_preprocess_init(&p, sizeof p);
    p.resize = 0;
    p.crop = CROP;
    return p;
}

/* ---- what the loader gives ---- */

typedef struct view {
    uint8_t rgb[IMAGES][PIXELS * 3];
    int32_t labels[IMAGES][PIXELS];
} view;

static view *load(tl_context *context, const tl_dataset *data, const tl_augment *augment, int workers, uint64_t epoch) {
    static const uint32_t order[IMAGES] = {3, 0, 5, 1, 2, 4};
    const tl_preprocess p = whole_crop();
    const tl__loader_options options = {.batch = 4, .workers = workers, .augment = augment, .cache_bytes = 1 << 20};
    view *v = malloc(sizeof *v);
    tl__loader *loader;
    ok(tl__loader_create(context, data, &p, &options, &loader), context);
    tl__loader_set_epoch(loader, epoch);
    ok(tl__loader_start(loader, order, IMAGES), context);
    for (int done = 0, count; done < IMAGES; done += count) {
        const uint8_t *rgb;
        const int32_t *labels;
        const uint32_t *indices;
        ok(tl__loader_next(loader, &rgb, &labels, &indices, &count), context);
        for (int i = 0; i < count; i++) {
            memcpy(v->rgb[indices[i]], rgb + (size_t)i * PIXELS * 3, PIXELS * 3);
            memcpy(v->labels[indices[i]], labels + (size_t)i * PIXELS, PIXELS * sizeof *labels);
        }
    }
    tl__loader_destroy(loader);
    return v;
}

/* Whether all labels within two pixels are this one's, so that no other class's colour has come into its own: resizing
 * mixes neighbours, and rotation takes them from a pixel beside. */
static bool is_inside(const int32_t *labels, int x, int y) {
    if (x < 2 || y < 2 || x >= CROP - 2 || y >= CROP - 2)
        return false;
    for (int v = y - 2; v <= y + 2; v++)
        for (int u = x - 2; u <= x + 2; u++)
            if (labels[v * CROP + u] != labels[y * CROP + x])
                return false;
    return true;
}

/* The colour says the class. *inside: pixels that were looked at; *empty: those that rotation left, which count for
 * nothing. */
static void check_joint(const uint8_t *rgb, const int32_t *labels, int *inside, int *empty) {
    for (int i = 0; i < PIXELS; i++, rgb += 3) {
        const bool black = rgb[0] + rgb[1] + rgb[2] == 0;
        if (black)
            assert_int_equal(labels[i], TL_IGNORED);
        *empty += black;
        if (black || !is_inside(labels, i % CROP, i / CROP))
            continue;
        ++*inside;
        for (int c = 0; c < 3; c++)
            assert_int_equal(rgb[c], tone(labels[i], c));
    }
}

static void test_image_and_mask_move_together(void **state) {
    (void)state;
    char *folder = make_folder();
    tl_context *context = test_context(NULL);
    tl_dataset *data = open_masks(context, folder);
    const tl_augment augment = changes();
    view *first[VIEWS];
    int inside = 0, empty = 0;
    for (int e = 0; e < 3 * VIEWS; e++) {
        view *v = load(context, data, &augment, 1 + e % 4, (uint64_t)e);
        if (e >= VIEWS) { /* they come round, whichever thread makes them */
            assert_memory_equal(v, first[e % VIEWS], sizeof *v);
            free(v);
            continue;
        }
        first[e] = v;
        for (int i = 0; i < IMAGES; i++)
            check_joint(v->rgb[i], v->labels[i], &inside, &empty);
        for (int i = 0; i < IMAGES * e; i++)
            assert_memory_not_equal(v->labels[i % IMAGES], first[i / IMAGES]->labels[i % IMAGES], sizeof *v->labels);
    }
    assert_true(inside > VIEWS * IMAGES * PIXELS / 4);
    assert_true(empty > 0);
    for (int e = 0; e < VIEWS; e++)
        free(first[e]);
    tl_dataset_destroy(data);
    tl_context_destroy(context);
    free(folder);
}

/* ---- training ---- */

typedef struct outcome {
    stage_features features;
    tl__hash values;
} outcome;

/* `cache` as in tl_train_options; "none": every step reads images. */
static outcome run(const char *folder, const char *cache, int workers, tl_extent extent) {
    outcome o = {.values = {0, 0}};
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_dataset *data = open_masks(context, folder);
    const tl_augment augment = changes();
    const tl_preprocess preprocess = whole_crop();
    tl_model_options model_options;
    tl_model *model;
    tl_train_options options;
    tl_stage stage;
    size_t count;
    tl_model_options_init(&model_options, sizeof model_options);
    model_options.arch = "resnet18";
    model_options.classes = CLASSES;
    model_options.head = TL_HEAD_LITE;
    model_options.layers = (const int[]){1, 1, 1, 1};
    model_options.width = 0.0625;
    ok(tl_model_create(context, &model_options, &model), context);
    ok(tl_model_set_preprocess(model, &preprocess), context);
    tl_stage_init(&stage, sizeof stage);
    stage.train = "classifier.*";
    stage.epochs = VIEWS + 1; /* one view is seen twice */
    stage.lr = 0.01;
    tl_train_options_init(&options, sizeof options);
    options.stages = &stage;
    options.stage_count = 1;
    options.batch = 4;
    options.workers = workers;
    options.augment = &augment;
    options.extent = extent;
    options.cache_features = !cache || strcmp(cache, "none") != 0;
    options.cache_folder = options.cache_features ? cache : NULL;
    options.user = &o;
    options.on_stage = test_note_features;
    ok(tl_train(model, device, data, data, &options, NULL), context);
    float *values = test_values(model, &count);
    o.values = tl__hash_bytes(values, count * sizeof *values, 0);
    free(values);
    tl_dataset_destroy(data);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
    return o;
}

static void assert_same(const outcome *a, const outcome *b) {
    assert_true(a->values.low == b->values.low && a->values.high == b->values.high);
}

/* Features of so many views of each image, beside them its view of the mask; val, which does not change, is judged by
 * whole images apart from them, or by one crop of each. */
static void test_features_of_views(void **state) {
    (void)state;
    char *folder = make_folder(), *cache = test_folder(0, 0, 0);
    const outcome none = run(folder, "none", 1, TL_EXTENT_WHOLE), memory = run(folder, NULL, 3, TL_EXTENT_WHOLE),
                  disk = run(folder, cache, 2, TL_EXTENT_WHOLE), again = run(folder, cache, 1, TL_EXTENT_WHOLE),
                  crop = run(folder, cache, 3, TL_EXTENT_CROP);
    assert_false(none.features.cached);
    assert_true(memory.features.cached && disk.features.cached && again.features.cached && crop.features.cached);
    assert_same(&none, &memory);
    assert_same(&none, &disk);
    assert_same(&none, &again);
    assert_same(&none, &crop);
    assert_int_equal(memory.features.images, VIEWS * IMAGES);
    assert_int_equal(disk.features.found, 0);
    assert_int_equal(again.features.found, VIEWS * IMAGES);
    assert_int_equal(crop.features.images, (VIEWS + 1) * IMAGES);
    assert_int_equal(crop.features.found, VIEWS * IMAGES);
    free(folder);
    free(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_image_and_mask_move_together),
                                       cmocka_unit_test(test_features_of_views)};
    return cmocka_run_group_tests_name("views of images and masks", tests, NULL, NULL);
}
