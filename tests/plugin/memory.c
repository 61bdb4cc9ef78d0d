/* memory.c: what does not fit a device: it is said which batch would, the largest one is found, and inference takes
 * fewer images at once. */
#include "tests/plugin/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 32, CLASSES = 2, IMAGES = 40, BATCH = 32 };

static const char *folder, *data;

static void in_class(const char *class, void (*each)(const char *path)) {
    for (int i = 0; i < IMAGES / CLASSES; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s/%03d.png", data, class, i);
        each(path);
    }
}

static void make_empty(const char *path) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
}

static void take_away(const char *path) {
    unlink(path);
}

/* Names of images are enough: none is read. */
static int set_up(void **state) {
    static const char *const classes[CLASSES] = {"cat", "dog"};
    (void)state;
    unsetenv("TL_BACKEND_PATH");
    folder = folder_create();
    folder_add(folder, "fake");
    data = folder_create();
    for (int c = 0; c < CLASSES; c++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", data, classes[c]);
        assert_int_equal(mkdir(path, 0755), 0);
        in_class(classes[c], make_empty);
    }
    return 0;
}

static int tear_down(void **state) {
    static const char *const classes[CLASSES] = {"cat", "dog"};
    (void)state;
    environment_reset();
    folder_remove(folder);
    for (int c = 0; c < CLASSES; c++) {
        char path[600];
        in_class(classes[c], take_away);
        snprintf(path, sizeof path, "%s/%s", data, classes[c]);
        rmdir(path);
    }
    folder_remove(data);
    return 0;
}

typedef struct job {
    watched *w;
    tl_device *device;
    tl_model *model;
    tl_dataset *train;
    tl_stage stage;
    tl_train_options options;
} job;

static void begin(job *j, const char *device, long memory) {
    char text[32];
    tl_preprocess preprocess;
    snprintf(text, sizeof text, "%ld", memory);
    setenv("TL_FAKE_MEMORY", text, 1);
    *j = (job){.w = watch(folder)};
    tl_context *context = j->w->context;
    j->device = open_device(j->w, device);
    assert_int_equal(small_model(context, CLASSES, &j->model), TL_OK);
    assert_int_equal(tl_dataset_open(context, data, &j->train), TL_OK);
    tl_preprocess_init(&preprocess, sizeof preprocess);
    preprocess.resize = preprocess.crop = SIZE;
    assert_int_equal(tl_model_set_preprocess(j->model, &preprocess), TL_OK);
    tl_stage_init(&j->stage, sizeof j->stage);
    j->stage.train = "layer4.*, fc.*";
    tl_train_options_init(&j->options, sizeof j->options);
    j->options.batch = BATCH;
    j->options.stages = &j->stage;
    j->options.stage_count = 1;
    j->options.cache_features = false;
}

static void end(job *j) {
    tl_dataset_destroy(j->train);
    tl_model_destroy(j->model);
    tl_device_close(j->device);
    assert_not_logged(j->w, "error: ");
    unwatch(j->w);
    unsetenv("TL_FAKE_MEMORY");
}

/* A step on so many images, as the device takes it or not. */
static tl_status step(job *j, int batch) {
    static uint8_t images[64 * SIZE * SIZE * 3];
    static const int32_t labels[64];
    tl_trainer *trainer = NULL;
    j->options.batch = batch;
    tl_status status = tl_trainer_create(j->model, j->device, SIZE, SIZE, &j->options, &trainer);
    if (status == TL_OK)
        status = tl_trainer_step(trainer, images, labels, batch, NULL);
    tl_trainer_destroy(trainer);
    return status;
}

/* The number in the message of a step that was too large; 0: none would fit. */
static int batch_that_fits(const job *j) {
    const char *message = tl_context_message(j->w->context), *at = strstr(message, "; a batch of ");
    int batch = 0;
    if (at ? sscanf(at, "; a batch of %d fits", &batch) != 1 : !strstr(message, "; not even one image at a time fits"))
        fail_msg("the message is: %s", message);
    return batch;
}

/* From memory for one image to memory for all: what is said to fit fits, the next one on the ladder does not, and
 * tl_train_largest_batch finds the same. */
static void the_largest_batch(void **state) {
    (void)state;
    static const int ladder[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32};
    int last = -1, different = 0;
    for (long memory = 100000; memory < 4000000; memory += memory / 3) {
        job j;
        begin(&j, "fake", memory);
        int batch = BATCH, found = 0;
        tl_status status = step(&j, BATCH);
        if (status != TL_OK) {
            if (status != TL_ERROR_MEMORY)
                fail_msg("%ld bytes: %s: %s", memory, tl_status_text(status), tl_context_message(j.w->context));
            if (strstr(tl_context_message(j.w->context), "training step, 32 images: activations and workspace"))
                batch = batch_that_fits(&j);
            else
                batch = 0; /* not even the parameters fit */
        }
        assert_true(batch >= last);
        different += batch != last;
        last = batch;
        j.options.batch = 1;
        status = tl_train_largest_batch(j.model, j.device, j.train, NULL, &j.options, BATCH, &found);
        assert_int_equal(found, batch);
        assert_int_equal(status, batch ? TL_OK : TL_ERROR_MEMORY);
        if (batch)
            assert_int_equal(step(&j, batch), TL_OK);
        for (size_t i = 0; i < sizeof ladder / sizeof ladder[0]; i++)
            if (ladder[i] > batch) {
                assert_int_equal(step(&j, ladder[i]), TL_ERROR_MEMORY);
                break;
            }
        end(&j);
    }
    assert_int_equal(last, BATCH);
    assert_true(different > 4);
}

/* A stage that has no room to begin leaves the model as the one before it left it, and another can begin. */
static void a_stage_without_room(void **state) {
    (void)state;
    static uint8_t image[SIZE * SIZE * 3];
    static const int32_t label[1];
    job j;
    tl_trainer *trainer = NULL;
    tl_stage stages[2];
    float before[CLASSES], after[CLASSES];
    begin(&j, "fake", 200000);
    for (int i = 0; i < 2; i++)
        tl_stage_init(&stages[i], sizeof stages[i]);
    stages[0].train = "fc.*";
    stages[1].train = "*";
    j.options.stages = stages;
    j.options.stage_count = 2;
    assert_int_equal(tl_trainer_create(j.model, j.device, SIZE, SIZE, &j.options, &trainer), TL_OK);
    assert_int_equal(tl_model_read(j.model, "fc.bias", before), TL_OK);
    assert_int_equal(tl_trainer_step(trainer, image, label, 1, NULL), TL_OK);
    assert_int_equal(tl_trainer_stage(trainer, 1), TL_ERROR_MEMORY);
    assert_message(j.w, "fake:0: a buffer does not fit into its memory");
    assert_int_equal(tl_trainer_step(trainer, image, label, 1, NULL), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_trainer_gradient(trainer, "fc.bias", after), TL_ERROR_NOT_FOUND);
    assert_int_equal(tl_trainer_sync(trainer), TL_OK);
    assert_int_equal(tl_model_read(j.model, "fc.bias", after), TL_OK);
    assert_true(before[0] != after[0]);
    assert_int_equal(tl_trainer_stage(trainer, 0), TL_OK);
    assert_int_equal(tl_trainer_step(trainer, image, label, 1, NULL), TL_OK);
    tl_trainer_destroy(trainer);
    end(&j);
}

/* Without a limit: what was asked for, or as many as there are images; on the CPU too. */
static void enough_memory(void **state) {
    (void)state;
    static const char *const devices[] = {"fake", "cpu"};
    for (int i = 0; i < 2; i++) {
        job j;
        int batch = 0;
        begin(&j, devices[i], 0);
        assert_int_equal(tl_train_largest_batch(j.model, j.device, j.train, NULL, &j.options, 256, &batch), TL_OK);
        assert_int_equal(batch, IMAGES);
        assert_int_equal(tl_train_largest_batch(j.model, j.device, j.train, NULL, &j.options, 7, &batch), TL_OK);
        assert_int_equal(batch, 7);
        batch = -1;
        assert_int_equal(tl_train_largest_batch(j.model, j.device, j.train, NULL, &j.options, 0, &batch),
                         TL_ERROR_ARGUMENT);
        assert_int_equal(batch, -1);
        end(&j);
    }
}

/* One buffer may be smaller than the memory: the arena is cut into several, until a tensor does not fit into one. */
static void small_buffers(void **state) {
    (void)state;
    environment_set("TL_FAKE_MAX_BUFFER", "60000");
    job j;
    begin(&j, "fake", 0);
    int batch = 0;
    assert_int_equal(step(&j, BATCH), TL_ERROR_LIMIT);
    assert_message(j.w, "the largest buffer of fake:0 is 60000 bytes; a batch of ");
    batch = batch_that_fits(&j);
    assert_true(batch >= 1 && batch < BATCH);
    assert_int_equal(step(&j, batch), TL_OK);
    end(&j);
}

typedef struct dry {
    int stages;
    tl_stage_report report;
    char plans[8192];
} dry;

static void on_stage(void *user, const tl_stage_report *report) {
    dry *d = user;
    d->stages++;
    d->report = *report;
    snprintf(d->plans, sizeof d->plans, "%s", report->plan);
}

static void dry_run(void **state) {
    (void)state;
    job j;
    dry d = {0};
    begin(&j, "fake", 3000000);
    j.options.user = &d;
    j.options.on_stage = on_stage;
    j.options.cache_features = true;
    assert_int_equal(tl_train_dry_run(j.model, j.device, j.train, j.train, &j.options), TL_OK);
    assert_int_equal(d.stages, 1);
    assert_int_equal(d.report.device_bytes, 3000000);
    assert_true(d.report.features_cached);
    assert_true(d.report.frozen_bytes > 10000 && d.report.frozen_bytes < 1000000);
    assert_true(d.report.state_bytes >= 4 * sizeof(float) * (uint64_t)d.report.trainable);
    assert_true(d.report.activation_bytes > SIZE * SIZE * 3);
    assert_true(d.report.activation_bytes + d.report.frozen_bytes + d.report.state_bytes <= 3000000);
    if (!strstr(d.plans, "features, ") || !strstr(d.plans, "training step, 32 images: ") ||
        !strstr(d.plans, "inference from features, 32 images: "))
        fail_msg("the plans are:\n%s", d.plans);
    end(&j);
}

/* Fewer images at once, with the same result, until not even one fits. */
static void predictions(void **state) {
    (void)state;
    static uint8_t images[8 * SIZE * SIZE * 3];
    float expected[8 * CLASSES], got[8 * CLASSES];
    int fewer = 0, refused = 0;
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 13);
    for (long memory = 0; memory < 1000000; memory = memory ? memory + memory / 2 : 60000) {
        job j;
        tl_predictor *predictor = NULL;
        begin(&j, memory ? "fake" : "cpu", memory);
        tl_status status = tl_predictor_create(j.model, j.device, 8, SIZE, SIZE, &predictor);
        if (status == TL_OK)
            status = tl_predictor_run(predictor, images, 8, memory ? got : expected);
        if (status == TL_OK && memory)
            for (int i = 0; i < 8 * CLASSES; i++)
                assert_true(fabsf(got[i] - expected[i]) < 1e-4f); /* as in placement.c */
        fewer += times_logged(j.w, "images at once: fake:0 has no room for 8");
        if (status != TL_OK) {
            assert_int_equal(status, TL_ERROR_MEMORY);
            assert_message(j.w, "inference, 1 image: activations and workspace would take ");
            refused++;
        }
        tl_predictor_destroy(predictor);
        end(&j);
    }
    assert_true(fewer > 0);
    assert_true(refused > 0);
}

/* The same of a segmenter: fewer images at once, then tiles, as large as have room, in which every pixel is labelled.
 */
static void tiles(void **state) {
    (void)state;
    enum { HEIGHT = 130, WIDTH = 210 };
    static uint8_t rgb[HEIGHT * WIDTH * 3], labels[HEIGHT * WIDTH];
    int whole = 0, tiled = 0, refused = 0;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 2654435761u >> 13);
    for (long memory = 30000000; memory > 100000; memory = memory / 3 * 2) {
        job j;
        tl_segmenter *segmenter = NULL;
        tl_model_options options;
        tl_model *model;
        const tl_picture picture = {sizeof picture, WIDTH, HEIGHT, WIDTH, HEIGHT, rgb}, *pictures[] = {&picture};
        begin(&j, "fake", memory);
        tl_model_options_init(&options, sizeof options);
        options.arch = "resnet18";
        options.head = TL_HEAD_LITE;
        options.classes = CLASSES;
        options.layers = (const int[]){1, 1, 1, 1};
        options.width = 0.0625;
        assert_int_equal(tl_model_create(j.w->context, &options, &model), TL_OK);
        memset(labels, 254, sizeof labels);
        tl_status status = tl_segmenter_create(model, j.device, NULL, &segmenter);
        if (status == TL_OK)
            status = tl_segmenter_run(segmenter, pictures, 1, &(uint8_t *){labels}, NULL);
        const int said = times_logged(j.w, "an image of 210 x 130 pixels is taken in ");
        if (status == TL_OK) {
            assert_null(memchr(labels, 254, sizeof labels));
            assert_int_equal(refused, 0);
            *(said ? &tiled : &whole) += 1;
        } else {
            assert_int_equal(status, TL_ERROR_MEMORY);
            assert_message(j.w, "fake:0 has no room for an image of 210 x 130 pixels, not even for tiles of 64 x 64");
            refused++;
        }
        tl_segmenter_destroy(segmenter);
        tl_model_destroy(model);
        end(&j);
    }
    assert_true(whole > 0 && tiled > 0 && refused > 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        CASE(the_largest_batch), CASE(a_stage_without_room), CASE(enough_memory), CASE(small_buffers),
        CASE(dry_run),           CASE(predictions),          CASE(tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
