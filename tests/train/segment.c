/* Steps and scores of segmenters. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "train/evaluate.h"
#include "train/trainer.h"

enum { SIZE = 40, CLASSES = 3, BATCH = 2, PIXELS = SIZE * SIZE };

typedef struct job {
    const char *arch, *train;
    tl_head head;
    double dropout;
    tl_device *device;
    tl_model *model;
    tl_trainer *trainer;
} job;

static tl_context *begin(job *j) {
    static const int layers[4] = {1, 1, 1, 1};
    tl_context *context = test_context(NULL);
    tl_model_options options;
    tl_train_options training;
    tl_stage stage;
    j->device = test_device(context, 2);
    tl_model_options_init(&options, sizeof options);
    options.arch = j->arch;
    options.classes = CLASSES;
    options.head = j->head;
    options.dropout = j->dropout;
    options.width = 0.0625;
    options.layers = strcmp(j->arch, "resnet50") == 0 ? layers : NULL;
    ok(tl_model_create(context, &options, &j->model), context);
    tl_stage_init(&stage, sizeof stage);
    stage.train = j->train;
    stage.lr = 0.01;
    tl_train_options_init(&training, sizeof training);
    training.batch = BATCH;
    training.stages = &stage;
    training.stage_count = 1;
    ok(tl_trainer_create(j->model, j->device, SIZE, SIZE, &training, &j->trainer), context);
    return context;
}

static void end(job *j, tl_context *context) {
    tl_trainer_destroy(j->trainer);
    tl_model_destroy(j->model);
    tl_device_close(j->device);
    tl_context_destroy(context);
}

static int32_t *labels_of(int ignored_every) {
    int32_t *labels = malloc(BATCH * PIXELS * sizeof *labels);
    for (int i = 0; i < BATCH * PIXELS; i++)
        labels[i] = ignored_every && i % ignored_every == 0 ? 255 : i / 7 % CLASSES;
    return labels;
}

/* Where no pixel counts, nothing is learned and nothing breaks. */
static void test_all_ignored(void **state) {
    (void)state;
    job j = {.arch = "resnet50", .train = "*classifier.*", .head = TL_HEAD_FCN, .dropout = 0.5};
    tl_context *context = begin(&j);
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = labels_of(1);
    size_t count;
    float *before = test_values(j.model, &count), gradient[CLASSES];
    tl_score score;
    ok(tl_trainer_step(j.trainer, rgb, labels, BATCH, &score), context);
    assert_true(score.loss == 0 && score.accuracy == 0 && score.pixels == 0 && score.images == BATCH && isnan(score.mean_iou));
    ok(tl_trainer_gradient(j.trainer, "classifier.4.bias", gradient), context);
    for (int c = 0; c < CLASSES; c++)
        assert_true(gradient[c] == 0);
    ok(tl_trainer_sync(j.trainer), context);
    float *after = test_values(j.model, &count);
    assert_memory_equal(before, after, count * sizeof *after);
    labels[5] = 1; /* a single pixel */
    ok(tl_trainer_step(j.trainer, rgb, labels, BATCH, &score), context);
    assert_int_equal(score.pixels, 1);
    assert_true(score.loss > 0 && isfinite(score.loss));
    labels[5] = CLASSES;
    assert_int_equal(tl_trainer_step(j.trainer, rgb, labels, BATCH, &score), TL_ERROR_ARGUMENT);
    free(before);
    free(after);
    free(rgb);
    free(labels);
    end(&j, context);
}

/* The mean over a batch's pixels is the mean of what its images give, each weighted by its pixels that count. */
static void test_pixels_weigh_the_same(void **state) {
    (void)state;
    job j = {.arch = "resnet50", .train = "*classifier.*", .head = TL_HEAD_FCN, .dropout = 0};
    tl_context *context = begin(&j);
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = labels_of(0);
    tl__sums all, first, second;
    for (int i = 0; i < PIXELS; i++)
        if (i % 10)
            labels[i] = 255; /* a tenth of the first image */
    j.trainer->stages[0].lr = 1e-30;
    for (size_t s = 0; s < j.trainer->engine->store->segment_count; s++)
        j.trainer->rates[s] = 1e-30;
    ok(tl__trainer_step(j.trainer, rgb, labels, 2, &all), context);
    ok(tl__trainer_step(j.trainer, rgb, labels, 1, &first), context);
    ok(tl__trainer_step(j.trainer, rgb + PIXELS * 3, labels + PIXELS, 1, &second), context);
    assert_true(first.counted == PIXELS / 10 && second.counted == PIXELS && all.counted == PIXELS + PIXELS / 10);
    tl__sums_add(&first, &second);
    assert_true(fabs(tl__sums_score(&first, true).loss - tl__sums_score(&all, true).loss) < 1e-5);
    assert_true(first.right == all.right);
    free(rgb);
    free(labels);
    end(&j, context);
}

/* Steps on features are steps on the images that they come from, to the last bit, whatever the values of the cut. */
static void check_features(const job *given, int values) {
    job on_images = *given, on_features = *given;
    tl_context *a = begin(&on_images), *b = begin(&on_features);
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = labels_of(9);
    tl__draw_options draw = tl__trainer_draw(on_features.trainer, BATCH);
    tl__runner *runner;
    tl__sums x, y;
    size_t count;
    assert_int_equal(on_features.trainer->cut.count, values);
    ok(tl__runner_create(on_features.trainer->engine, &draw, TL__PART_FEATURES, &on_features.trainer->cut, &runner), b);
    float *rows = malloc(BATCH * runner->output_count * sizeof *rows);
    ok(tl__runner_run(runner, rgb, BATCH, rows), b);
    tl__trainer_use_features(on_features.trainer, true);
    for (int step = 0; step < 3; step++) {
        ok(tl__trainer_step(on_images.trainer, rgb, labels, BATCH, &x), a);
        ok(tl__trainer_step(on_features.trainer, rows, labels, BATCH, &y), b);
        assert_memory_equal(&x, &y, sizeof x);
    }
    ok(tl__trainer_step(on_images.trainer, rgb, labels, 1, &x), a); /* a smaller last batch */
    ok(tl__trainer_step(on_features.trainer, rows, labels, 1, &y), b);
    assert_memory_equal(&x, &y, sizeof x);
    ok(tl_trainer_sync(on_images.trainer), a);
    ok(tl_trainer_sync(on_features.trainer), b);
    float *v = test_values(on_images.model, &count), *w = test_values(on_features.model, &count);
    assert_memory_equal(v, w, count * sizeof *v);
    tl__runner_destroy(runner);
    free(v);
    free(w);
    free(rows);
    free(rgb);
    free(labels);
    end(&on_images, a);
    end(&on_features, b);
}

static void test_features(void **state) {
    (void)state;
    check_features(&(job){.arch = "resnet50", .train = "classifier.*, aux_classifier.*", .head = TL_HEAD_FCN, .dropout = 0.5}, 2);
    check_features(&(job){.arch = "resnet50", .train = "classifier.*, aux_classifier.*", .head = TL_HEAD_DEEPLABV3, .dropout = 0.5},
                   3); /* with the pooled map, which no parameter comes before */
    check_features(&(job){.arch = "resnet50", .train = "classifier.*, aux_classifier.*, backbone.layer4.*", .head = TL_HEAD_FCN, .dropout = 0.5}, 1);
    check_features(&(job){.arch = "resnet50", .train = "classifier.*", .head = TL_HEAD_LITE, .dropout = 0}, 2);
    check_features(&(job){.arch = "vgg11", .train = "classifier.*", .head = TL_HEAD_FCN, .dropout = 0}, 3);
}

/* One that neither trains nor draws from chance adds nothing but a constant: it is not computed. */
static void test_constant_auxiliary(void **state) {
    (void)state;
    job j = {.arch = "resnet50", .train = "classifier.*", .head = TL_HEAD_FCN, .dropout = 0};
    tl_context *context = begin(&j);
    uint8_t *rgb = test_images(BATCH, SIZE, 1);
    int32_t *labels = labels_of(0);
    tl__sums sums;
    assert_int_equal(j.trainer->cut.count, 1);
    ok(tl__trainer_step(j.trainer, rgb, labels, BATCH, &sums), context);
    assert_int_equal(j.trainer->last->second_loss, -1);
    free(rgb);
    free(labels);
    end(&j, context);
}

/* Four pixels, one of them ignored: losses log(1 + e^-1), log(1 + e^2), log 2. */
static void test_tally(void **state) {
    (void)state;
    const float logits[4 * 2] = {1, 0, 2, 0, 7, 9, 3, 3};
    const int32_t labels[4] = {0, 1, 255, 0};
    int64_t confusion[4] = {0};
    tl__tally tally = {.confusion = confusion, .classes = 2, .pixels = true};
    tl__tally_add(&tally, logits, labels, 4);
    tally.sums.images = 1;
    tl_score score = tl__tally_score(&tally);
    assert_true(fabs(score.loss - (log(1 + exp(-1)) + log(1 + exp(2)) + log(2)) / 3) < 1e-12);
    assert_true(fabs(score.accuracy - 2 / 3.0) < 1e-12);
    assert_int_equal(score.pixels, 3);
    assert_int_equal(score.images, 1);
    assert_memory_equal(confusion, ((const int64_t[]){2, 0, 1, 0}), sizeof confusion);
    assert_true(fabs(score.mean_iou - (2 / 3.0 + 0) / 2) < 1e-12);
}

/* ---- whole trainings on a data set with masks ---- */

#define IMAGES 10

/* images/ and masks/: discs of one colour, squares of another; a frame that does not count. */
static char *masks_folder(void) {
    char *folder = test_masks_folder();
    uint8_t rgb[PIXELS * 3], labels[PIXELS];
    tl_context *context = test_context(NULL);
    for (int n = 0; n < IMAGES; n++) {
        int cx = 12 + n % 5 * 4, cy = 14 + n % 3 * 6, class = 1 + n % 2;
        for (int i = 0; i < PIXELS; i++) {
            int x = i % SIZE, y = i / SIZE, dx = abs(x - cx), dy = abs(y - cy);
            bool in = class == 1 ? dx * dx + dy * dy < 100 : dx < 9 && dy < 9, frame = x == 0 || y == 0;
            labels[i] = frame ? 255 : in ? (uint8_t)class : 0;
            for (int c = 0; c < 3; c++)
                rgb[3 * i + c] = (uint8_t)((in ? (c == class ? 220 : 30) : 120) + (x * 7 + y * 13 + n * 5) % 23);
        }
        test_masks_add(context, folder, n, SIZE, SIZE, rgb, labels);
    }
    tl_context_destroy(context);
    return folder;
}

typedef struct learned {
    stage_features features;
    float *values;
    size_t count;
    tl_epoch epochs[16];
    int64_t confusion[CLASSES * CLASSES]; /* of the last epoch */
    int epoch_count;
} learned;

static tl_status keep_epoch(void *user, const tl_epoch *epoch, tl_model *model) {
    learned *l = user;
    (void)model;
    l->epochs[l->epoch_count++] = *epoch;
    memcpy(l->confusion, epoch->confusion, sizeof l->confusion);
    return TL_OK;
}

static void open_sets(tl_context *context, const char *folder, tl_dataset **train, tl_dataset **val) {
    tl_masks_options options;
    tl_dataset *all;
    tl_masks_options_init(&options, sizeof options);
    options.class_count = CLASSES;
    ok(tl_dataset_open_masks(context, folder, &options, &all), context);
    ok(tl_dataset_split(context, all, 0.3, 1, train, val), context);
    tl_dataset_destroy(all);
}

/* The last validation is what an evaluation of the model gives, but for the folding of batch-norms. */
static void check_evaluation(tl_model *model, tl_device *device, const tl_dataset *val, const learned *l) {
    tl_score score;
    int64_t confusion[CLASSES * CLASSES];
    const tl_score *last = &l->epochs[l->epoch_count - 1].val;
    ok(tl_evaluate(model, device, val, NULL, &score, confusion), model->context);
    assert_memory_equal(confusion, l->confusion, sizeof confusion);
    assert_true(fabs(score.loss - last->loss) < 1e-5 * last->loss && score.mean_iou == last->mean_iou && score.pixels == last->pixels);
    ok(tl_evaluate(model, device, val, NULL, &score, NULL), model->context);
    assert_true(score.mean_iou == last->mean_iou);
}

static learned learn_stored(const char *folder, tl_head head, const char *train_patterns, bool cache, int epochs, tl_precision precision) {
    static const int layers[4] = {1, 1, 1, 1};
    learned l = {.count = 0};
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_model_options options;
    tl_model *model;
    tl_dataset *train, *val;
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet50";
    options.classes = CLASSES;
    options.head = head;
    options.width = 0.125;
    options.layers = layers;
    ok(tl_model_create(context, &options, &model), context);
    tl_preprocess preprocess = *tl_model_preprocess(model);
    preprocess.resize = 0;
    preprocess.crop = SIZE;
    ok(tl_model_set_preprocess(model, &preprocess), context);
    open_sets(context, folder, &train, &val);
    tl_stage stage;
    tl_train_options training;
    tl_stage_init(&stage, sizeof stage);
    stage.train = train_patterns;
    stage.epochs = epochs;
    stage.lr = 0.02;
    tl_train_options_init(&training, sizeof training);
    training.batch = 3; /* the last of an epoch is smaller */
    training.cache_features = cache;
    training.precision = precision;
    training.stages = &stage;
    training.stage_count = 1;
    training.user = &l;
    training.on_epoch = keep_epoch;
    training.on_stage = test_note_features;
    ok(tl_train(model, device, train, val, &training, NULL), context);
    if (precision == TL_PRECISION_FP32)
        check_evaluation(model, device, val, &l);
    l.values = test_values(model, &l.count);
    tl_dataset_destroy(train);
    tl_dataset_destroy(val);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
    return l;
}

static learned learn(const char *folder, tl_head head, const char *train, bool cache, int epochs) {
    return learn_stored(folder, head, train, cache, epochs, TL_PRECISION_FP32);
}

static void check_cached(const char *folder, tl_head head, const char *train, const char *cut, tl_precision precision) {
    learned with = learn_stored(folder, head, train, true, 2, precision), without = learn_stored(folder, head, train, false, 2, precision);
    assert_true(with.features.cached && !without.features.cached);
    assert_string_equal(with.features.cache, cut);
    assert_int_equal(with.count, without.count);
    assert_memory_equal(with.values, without.values, with.count * sizeof *with.values);
    for (int i = 0; i < 2; i++) {
        assert_true(with.epochs[i].train.loss == without.epochs[i].train.loss);
        assert_true(fabs(with.epochs[i].val.loss - without.epochs[i].val.loss) < 1e-9);
        assert_true(with.epochs[i].val.mean_iou == without.epochs[i].val.mean_iou);
    }
    free(with.values);
    free(without.values);
}

/* Cached and uncached training give the same weights. */
static void test_features_of_masks(void **state) {
    char *folder = masks_folder();
    (void)state;
    check_cached(folder, TL_HEAD_LITE, "classifier.*", "layer3.0.relu, layer4.0.relu", TL_PRECISION_FP32);
    check_cached(folder, TL_HEAD_FCN, "classifier.*, aux_classifier.*", "layer3.0.relu, layer4.0.relu", TL_PRECISION_FP32);
    check_cached(folder, TL_HEAD_DEEPLABV3, "classifier.*, aux_classifier.*, backbone.layer4.*", "layer3.0.relu", TL_PRECISION_FP32);
    check_cached(folder, TL_HEAD_FCN, "classifier.*, aux_classifier.*", "layer3.0.relu, layer4.0.relu", TL_PRECISION_BF16);
    free(folder);
}

/* What can be told by its colour is learned. */
static void test_learns(void **state) {
    char *folder = masks_folder();
    (void)state;
    learned l = learn(folder, TL_HEAD_LITE, "*", true, 12);
    const tl_epoch *first = &l.epochs[0], *last = &l.epochs[11];
    assert_int_equal(last->val.pixels, 3 * (SIZE - 1) * (SIZE - 1));
    assert_int_equal(last->train.pixels, 7 * (SIZE - 1) * (SIZE - 1));
    assert_int_equal(last->train.images, 7);
    assert_true(isnan(last->train.mean_iou));
    assert_true(last->train.loss < first->train.loss / 2);
    assert_true(last->val.mean_iou > 0.5);
    double best = -1;
    for (int i = 0; i < 12; i++) { /* best by mean IoU */
        assert_int_equal(l.epochs[i].best, l.epochs[i].val.mean_iou > best || (l.epochs[i].val.mean_iou == best && l.epochs[i].best));
        best = l.epochs[i].best ? l.epochs[i].val.mean_iou : best;
    }
    free(l.values);
    free(folder);
}

static tl_status train_little(tl_context *context, const char *folder, const char *cache, tl_device **device,
                              tl_model **model, tl_dataset **train) {
    static const int layers[4] = {1, 1, 1, 1};
    const tl_rate rate = {.parameters = "classifier.*", .factor = 10};
    tl_masks_options masks;
    tl_model_options options;
    tl_stage stage;
    tl_train_options training;
    tl_masks_options_init(&masks, sizeof masks);
    tl_model_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    tl_train_options_init(&training, sizeof training);
    masks.class_count = options.classes = CLASSES;
    options.arch = "resnet50";
    options.head = TL_HEAD_FCN;
    options.width = 0.0625;
    options.layers = layers;
    stage.epochs = 1;
    stage.schedule = TL_SCHEDULE_POLY;
    stage.rates = &rate;
    stage.rate_count = 1;
    training.batch = 6;
    training.workers = 1;
    training.cache_folder = cache;
    training.stages = &stage;
    training.stage_count = 1;
    TL__TRY(tl_device_open(context, "cpu", &(tl_device_options){.size = sizeof(tl_device_options), .threads = 1}, device));
    TL__TRY(tl_dataset_open_masks(context, folder, &masks, train));
    TL__TRY(tl_model_create(context, &options, model));
    tl_preprocess preprocess = *tl_model_preprocess(*model);
    preprocess.resize = 0;
    preprocess.crop = SIZE;
    TL__TRY(tl_model_set_preprocess(*model, &preprocess));
    return tl_train(*model, *device, *train, *train, &training, NULL);
}

/* Memory that ends anywhere (here at every seventh place) is a failure with a message, and nothing is left behind:
 * without files of features, with those that an earlier one left, and with new ones. */
static void test_allocations_fail(void **state) {
    (void)state;
    char *folder = masks_folder(), *cache = test_folder(0, 0, 0), command[4200];
    snprintf(command, sizeof command, "rm -rf '%.4000s'/*", cache);
    int failures = 0;
    bool failed = true;
    for (long n = 1; failed; n += 7) {
        counter count = {.fail_at = n};
        tl_context *context = test_context(&count);
        tl_device *device = NULL;
        tl_model *model = NULL;
        tl_dataset *train = NULL;
        if (!context)
            continue;
        if (n % 4 == 0)
            assert_int_equal(system(command), 0);
        tl_status status = train_little(context, folder, n % 2 ? NULL : cache, &device, &model, &train);
        failed = count.made >= n;
        assert_true(status == TL_OK || (status == TL_ERROR_MEMORY && strstr(tl_context_message(context), "memory")));
        failures += status != TL_OK;
        tl_model_destroy(model);
        tl_device_close(device);
        tl_dataset_destroy(train);
        tl_context_destroy(context);
        if (count.live != 0)
            fail_msg("allocation %ld: %ld pieces of memory were left", n, count.live);
    }
    assert_true(failures > 100);
    free(folder);
    free(cache);
}

static void test_data_fits_the_head(void **state) {
    (void)state;
    char *folder = masks_folder(), *folders = test_folder(CLASSES, 2, SIZE);
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_model *classifier = test_model(context, "resnet18", CLASSES), *segmenter;
    tl_model_options options;
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet18";
    options.classes = CLASSES;
    options.width = 0.0625;
    options.head = TL_HEAD_LITE;
    ok(tl_model_create(context, &options, &segmenter), context);
    tl_dataset *train, *val, *images;
    tl_stage stage;
    tl_train_options training;
    tl_score score;
    tl_stage_init(&stage, sizeof stage);
    tl_train_options_init(&training, sizeof training);
    training.stages = &stage;
    training.stage_count = 1;
    open_sets(context, folder, &train, &val);
    ok(tl_dataset_open(context, folders, &images), context);
    assert_int_equal(tl_train(classifier, device, train, val, &training, NULL), TL_ERROR_DATA);
    assert_non_null(strstr(tl_context_message(context), "the data have masks"));
    assert_int_equal(tl_train(segmenter, device, images, NULL, &training, NULL), TL_ERROR_DATA);
    assert_non_null(strstr(tl_context_message(context), "the data have no masks"));
    assert_int_equal(tl_train(segmenter, device, train, images, &training, NULL), TL_ERROR_DATA);
    assert_int_equal(tl_evaluate(segmenter, device, images, NULL, &score, NULL), TL_ERROR_DATA);
    assert_int_equal(tl_evaluate(classifier, device, val, NULL, &score, NULL), TL_ERROR_DATA);
    tl_dataset_destroy(train);
    tl_dataset_destroy(val);
    tl_dataset_destroy(images);
    tl_model_destroy(classifier);
    tl_model_destroy(segmenter);
    tl_device_close(device);
    tl_context_destroy(context);
    free(folder);
    free(folders);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_ignored), cmocka_unit_test(test_pixels_weigh_the_same), cmocka_unit_test(test_features),
        cmocka_unit_test(test_constant_auxiliary), cmocka_unit_test(test_tally), cmocka_unit_test(test_features_of_masks),
        cmocka_unit_test(test_learns), cmocka_unit_test(test_allocations_fail), cmocka_unit_test(test_data_fits_the_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
