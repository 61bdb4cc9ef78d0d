/* What must fail, and how; and every allocation failing once. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 32, CLASSES = 3, EACH = 3 };

static bool stop_now;
static bool cancelled(void *user) {
    (void)user;
    return stop_now;
}

typedef struct job {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    tl_dataset *data;
    tl_train_options options;
    tl_stage stage;
} job;

/* As far as it gets; the first failure. */
static tl_status prepare(job *j, const char *folder, int classes) {
    tl_model_options model;
    tl_preprocess preprocess;
    tl_device_options device = {.size = sizeof device, .threads = 1};
    tl_model_options_init(&model, sizeof model);
    model.arch = "resnet18";
    model.classes = classes;
    model.layers = (const int[]){1, 1, 1, 1};
    model.width = 0.0625;
    tl_preprocess_init(&preprocess, sizeof preprocess);
    preprocess.resize = preprocess.crop = SIZE;
    tl_train_options_init(&j->options, sizeof j->options);
    tl_stage_init(&j->stage, sizeof j->stage);
    j->stage.epochs = 1;
    j->options.stages = &j->stage;
    j->options.stage_count = 1;
    j->options.batch = 4;
    j->options.workers = 1;
    TL__TRY(tl_device_open(j->context, "cpu", &device, &j->device));
    TL__TRY(tl_model_create(j->context, &model, &j->model));
    TL__TRY(tl_model_set_preprocess(j->model, &preprocess));
    return tl_dataset_open(j->context, folder, &j->data);
}

static tl_status train(job *j) {
    return tl_train(j->model, j->device, j->data, NULL, &j->options, NULL);
}

static void end(job *j) {
    tl_dataset_destroy(j->data);
    tl_model_destroy(j->model);
    tl_device_close(j->device);
    tl_context_destroy(j->context);
}

static void begin(job *j, const char *folder, int classes) {
    tl_context_options options = {.size = sizeof options, .backend_path = "", .cancelled = cancelled};
    *j = (job){0};
    stop_now = false;
    assert_int_equal(tl_context_create(&options, &j->context), TL_OK);
    ok(prepare(j, folder, classes), j->context);
}

static void expect(job *j, tl_status status, const char *words) {
    assert_int_equal(train(j), status);
    if (!strstr(tl_context_message(j->context), words))
        fail_msg("\"%s\" does not say \"%s\"", tl_context_message(j->context), words);
    end(j);
}

static void test_bad_options(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, SIZE);
    job j;
    begin(&j, folder, CLASSES);
    j.stage.train = "fc.*, layr4.*";
    expect(&j, TL_ERROR_ARGUMENT, "\"layr4.*\" matches no parameter of resnet18");
    begin(&j, folder, CLASSES);
    j.stage.lr = -1;
    expect(&j, TL_ERROR_ARGUMENT, "lr = -1");
    begin(&j, folder, CLASSES);
    j.stage.epochs = 0;
    expect(&j, TL_ERROR_ARGUMENT, "epochs = 0");
    begin(&j, folder, CLASSES);
    j.options.batch = 0;
    expect(&j, TL_ERROR_ARGUMENT, "batch = 0");
    begin(&j, folder, CLASSES);
    j.options.stage_count = 0;
    expect(&j, TL_ERROR_ARGUMENT, "no stage");
    begin(&j, folder, CLASSES + 1);
    expect(&j, TL_ERROR_DATA, "the data have 3 classes, the model 4");
    free(folder);
}

static void test_bad_data(void **state) {
    (void)state;
    char *one = test_folder(1, EACH, SIZE), *folder = test_folder(CLASSES, EACH, SIZE), path[4200];
    job j;
    begin(&j, one, 1);
    expect(&j, TL_ERROR_DATA, "only one class");
    snprintf(path, sizeof path, "%s/class1/1.png", folder);
    FILE *file = fopen(path, "wb");
    fputs("no picture", file);
    fclose(file);
    begin(&j, folder, CLASSES);
    expect(&j, TL_ERROR_FORMAT, "class1/1.png");
    unlink(path);
    begin(&j, folder, CLASSES);
    snprintf(path, sizeof path, "%s/class2/0.png", folder);
    unlink(path); /* between the listing and the reading */
    assert_int_not_equal(train(&j), TL_OK);
    assert_non_null(strstr(tl_context_message(j.context), "class2/0.png"));
    end(&j);
    free(one);
    free(folder);
}

static void test_loss_that_runs_away(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, SIZE);
    job j;
    begin(&j, folder, CLASSES);
    j.stage.lr = 1e38;
    j.stage.epochs = 5;
    expect(&j, TL_ERROR_NUMERIC, "the loss is");
    free(folder);
}

static void test_one_value_a_channel(void **state) {
    (void)state;
    char *folder = test_folder(2, 2, SIZE);
    job j;
    begin(&j, folder, 2);
    j.options.batch = 1; /* the last stage's map is 1 x 1 */
    j.options.bn = TL_BN_BATCH;
    expect(&j, TL_ERROR_DATA, "more than one value a channel");
    free(folder);
}

static void stop_after_two(void *user, const tl_progress *progress) {
    (void)user;
    if (progress->phase == TL_PHASE_TRAIN && progress->epoch == 2)
        stop_now = true;
}

static void test_cancelling_keeps_what_was_learned(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, SIZE);
    job j;
    begin(&j, folder, CLASSES);
    float before[CLASSES], after[CLASSES];
    ok(tl_model_read(j.model, "fc.bias", before), j.context);
    j.stage.epochs = 1000;
    j.options.on_progress = stop_after_two;
    assert_int_equal(train(&j), TL_CANCELLED);
    assert_non_null(strstr(tl_context_message(j.context), "cancelled in epoch 2"));
    ok(tl_model_read(j.model, "fc.bias", after), j.context);
    assert_memory_not_equal(before, after, sizeof before);
    stop_now = false;
    j.stage.epochs = 1;
    ok(train(&j), j.context); /* and the model can go on */
    end(&j);
    free(folder);
}

static tl_status refuse(void *user, const tl_epoch *epoch, tl_model *model) {
    (void)user;
    (void)epoch;
    (void)model;
    return TL_ERROR_IO;
}

static void test_callback_ends_training(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, SIZE);
    job j;
    begin(&j, folder, CLASSES);
    j.options.on_epoch = refuse;
    assert_int_equal(train(&j), TL_ERROR_IO);
    end(&j);
    free(folder);
}

static void test_model_has_one_trainer(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, SIZE);
    job j;
    begin(&j, folder, CLASSES);
    tl_trainer *first, *second;
    ok(tl_trainer_create(j.model, j.device, SIZE, SIZE, &j.options, &first), j.context);
    assert_int_equal(tl_trainer_create(j.model, j.device, SIZE, SIZE, &j.options, &second), TL_ERROR_ARGUMENT);
    uint8_t *rgb = test_images(4, SIZE, 1);
    int32_t labels[4] = {0, 1, 2, 3};
    assert_int_equal(tl_trainer_step(first, rgb, labels, 4, NULL), TL_ERROR_ARGUMENT); /* label 3 of 3 classes */
    assert_int_equal(tl_trainer_step(first, rgb, labels, 5, NULL), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_trainer_step(first, rgb, labels, 0, NULL), TL_ERROR_ARGUMENT);
    ok(tl_trainer_step(first, rgb, labels, 3, NULL), j.context);
    free(rgb);
    tl_trainer_destroy(first);
    end(&j);
    free(folder);
}

/* The Nth allocation fails, for every N of a whole training: a status, no crash, nothing left behind. Only the cache
 * of decoded pixels is done without. */
static void test_every_allocation_fails_once(void **state) {
    (void)state;
    char *folder = test_folder(2, 2, SIZE);
    long n = 0, tolerated = 0;
    for (bool failed = true; failed;) {
        counter count = {.fail_at = ++n};
        job j = {.context = test_context(&count)};
        if (!j.context)
            continue;
        tl_status status = prepare(&j, folder, 2);
        j.options.batch = 3;
        if (status == TL_OK)
            status = train(&j);
        failed = count.made >= n;
        if (status != TL_OK) {
            assert_int_equal(status, TL_ERROR_MEMORY);
            assert_non_null(strstr(tl_context_message(j.context), "memory"));
        } else {
            tolerated += failed;
        }
        end(&j);
        if (count.live != 0)
            fail_msg("allocation %ld: %ld pieces of memory were left", n, count.live);
    }
    assert_true(n > 500);
    assert_true(tolerated <= 2);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_bad_data),
        cmocka_unit_test(test_loss_that_runs_away),
        cmocka_unit_test(test_one_value_a_channel),
        cmocka_unit_test(test_cancelling_keeps_what_was_learned),
        cmocka_unit_test(test_callback_ends_training),
        cmocka_unit_test(test_model_has_one_trainer),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests_name("failures of training", tests, NULL, NULL);
}
