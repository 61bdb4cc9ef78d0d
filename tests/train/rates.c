/* Schedules and learning rates of their own for some parameters, against Adam by hand: PyTorch's formula in double, fed
 * with the gradients that the trainer computed. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 32, CLASSES = 3, BATCH = 4, STEPS = 6, WIDTH = 32 };

typedef struct fixture {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    tl_trainer *trainer;
    uint8_t *rgb;
    int32_t *labels;
} fixture;

static fixture begin(tl_stage *stage, tl_status expected) {
    fixture f = {.context = test_context(NULL)};
    tl_train_options options;
    f.device = test_device(f.context, 2);
    f.model = test_model(f.context, "resnet18", CLASSES);
    f.rgb = test_images(BATCH, SIZE, 1);
    f.labels = test_labels(BATCH, CLASSES);
    tl_train_options_init(&options, sizeof options);
    options.batch = BATCH;
    options.stages = stage;
    options.stage_count = 1;
    tl_status status = tl_trainer_create(f.model, f.device, SIZE, SIZE, &options, &f.trainer);
    if (status != expected)
        fail_msg("%s: %s", tl_status_text(status), tl_context_message(f.context));
    return f;
}

static void end(fixture *f) {
    tl_trainer_destroy(f->trainer);
    tl_model_destroy(f->model);
    tl_device_close(f->device);
    tl_context_destroy(f->context);
    free(f->rgb);
    free(f->labels);
}

static tl_stage stage_of(const char *train, double lr) {
    tl_stage stage;
    tl_stage_init(&stage, sizeof stage);
    stage.train = train;
    stage.lr = lr;
    return stage;
}

/* One parameter followed by hand. */
typedef struct followed {
    const char *name;
    double rate; /* before the schedule */
    int count;
    double value[CLASSES * WIDTH], first[CLASSES * WIDTH], second[CLASSES * WIDTH];
} followed;

static void follow(followed *p, const fixture *f, const char *name, double rate, int count) {
    float values[CLASSES * WIDTH];
    memset(p, 0, sizeof *p);
    p->name = name;
    p->rate = rate;
    p->count = count;
    ok(tl_model_read(f->model, name, values), f->context);
    for (int i = 0; i < count; i++)
        p->value[i] = values[i];
}

/* PyTorch's Adam: exp_avg, exp_avg_sq; lr / (1 - b1^t); sqrt(v) / sqrt(1 - b2^t) + eps. */
static void adam(followed *p, const fixture *f, int t, double lr) {
    float gradient[CLASSES * WIDTH];
    ok(tl_trainer_gradient(f->trainer, p->name, gradient), f->context);
    for (int i = 0; i < p->count; i++) {
        double g = gradient[i];
        p->first[i] += (g - p->first[i]) * (1 - 0.9);
        p->second[i] = p->second[i] * 0.999 + g * g * (1 - 0.999);
        p->value[i] -= lr / (1 - pow(0.9, t)) * p->first[i] / (sqrt(p->second[i]) / sqrt(1 - pow(0.999, t)) + 1e-8);
    }
}

/* Values below 1 in float32, rounded in each of six steps: 6 * 2^-25; six updates of up to 0.03, each as exact as the
 * float rate it is made with, some 2^-22 of it: in all below 1e-6. */
static void compare(const followed *p, const fixture *f) {
    float values[CLASSES * WIDTH];
    ok(tl_trainer_sync(f->trainer), f->context);
    ok(tl_model_read(f->model, p->name, values), f->context);
    for (int i = 0; i < p->count; i++)
        if (!(fabs(values[i] - p->value[i]) <= 1e-6))
            fail_msg("%s[%d] is %.9g and should be %.9g", p->name, i, (double)values[i], p->value[i]);
}

static void check(tl_stage *stage, double weight_rate, double bias_rate, const double factors[STEPS]) {
    fixture f = begin(stage, TL_OK);
    followed weight, bias;
    follow(&weight, &f, "fc.weight", weight_rate, CLASSES * WIDTH);
    follow(&bias, &f, "fc.bias", bias_rate, CLASSES);
    for (int t = 1; t <= STEPS; t++) {
        ok(tl_trainer_step(f.trainer, f.rgb, f.labels, BATCH, NULL), f.context);
        adam(&weight, &f, t, weight_rate * factors[t - 1]);
        adam(&bias, &f, t, bias_rate * factors[t - 1]);
        compare(&weight, &f);
        compare(&bias, &f);
    }
    end(&f);
}

static const double one[STEPS] = {1, 1, 1, 1, 1, 1};

static void test_constant(void **state) {
    (void)state;
    tl_stage stage = stage_of("fc.*", 0.01);
    check(&stage, 0.01, 0.01, one);
}

/* (1 - t / 4) ^ 0.9 by hand; after the fourth step nothing moves. */
static void test_poly(void **state) {
    (void)state;
    static const double factors[STEPS] = {1, 0.77188951, 0.53588673, 0.28717459, 0, 0};
    tl_stage stage = stage_of("fc.*", 0.01);
    stage.schedule = TL_SCHEDULE_POLY;
    stage.steps = 4;
    check(&stage, 0.01, 0.01, factors);
    static const double squares[STEPS] = {1, 0.5625, 0.25, 0.0625, 0, 0};
    stage.power = 2;
    check(&stage, 0.01, 0.01, squares);
}

static void test_cosine(void **state) {
    (void)state;
    static const double factors[STEPS] = {1, 0.85355339, 0.5, 0.14644661, 0, 0};
    tl_stage stage = stage_of("fc.*", 0.01);
    stage.schedule = TL_SCHEDULE_COSINE;
    stage.steps = 4;
    check(&stage, 0.01, 0.01, factors);
}

static void test_rates(void **state) {
    (void)state;
    const tl_rate rates[] = {{.parameters = "fc.*", .factor = 10}, {.parameters = "fc.b*", .lr = 0.03}};
    tl_stage stage = stage_of("fc.*, layer4.0.bn2.bias", 0.002);
    stage.rates = rates;
    stage.rate_count = 1;
    check(&stage, 0.02, 0.02, one);
    stage.rate_count = 2; /* the last one that matches counts */
    check(&stage, 0.02, 0.03, one);
    stage.schedule = TL_SCHEDULE_POLY;
    stage.power = 1;
    stage.steps = 6;
    static const double line[STEPS] = {1, 5 / 6.0, 4 / 6.0, 3 / 6.0, 2 / 6.0, 1 / 6.0};
    check(&stage, 0.02, 0.03, line);
}

/* What does not match keeps the stage's rate: Adam's first step is as long as that. */
static void test_others_keep_the_rate(void **state) {
    (void)state;
    const tl_rate rate = {.parameters = "fc.*", .factor = 10};
    float before[WIDTH], after[WIDTH], gradient[WIDTH];
    tl_stage stage = stage_of("fc.*, layer4.0.bn2.bias", 0.002);
    stage.rates = &rate;
    stage.rate_count = 1;
    fixture f = begin(&stage, TL_OK);
    int seen = 0;
    ok(tl_model_read(f.model, "layer4.0.bn2.bias", before), f.context);
    ok(tl_trainer_step(f.trainer, f.rgb, f.labels, BATCH, NULL), f.context);
    ok(tl_trainer_gradient(f.trainer, "layer4.0.bn2.bias", gradient), f.context);
    ok(tl_trainer_sync(f.trainer), f.context);
    ok(tl_model_read(f.model, "layer4.0.bn2.bias", after), f.context);
    for (int i = 0; i < WIDTH; i++)
        if (fabsf(gradient[i]) > 1e-4f) {
            assert_true(fabsf(before[i] - after[i] - copysignf(0.002f, gradient[i])) < 1e-6f);
            seen++;
        }
    assert_true(seen > 0);
    end(&f);
}

static void refused(tl_stage stage, const char *message) {
    fixture f = begin(&stage, TL_ERROR_ARGUMENT);
    assert_null(f.trainer);
    if (!strstr(tl_context_message(f.context), message))
        fail_msg("\"%s\" where \"%s\" should be", tl_context_message(f.context), message);
    end(&f);
}

static void test_mistakes(void **state) {
    (void)state;
    tl_rate rate = {.parameters = "layer1.*", .factor = 10};
    tl_stage good = stage_of("fc.*", 0.01), bad = good;
    bad.rates = &rate;
    bad.rate_count = 1;
    refused(bad, "\"layer1.*\" matches no parameter of resnet18 that trains");
    rate = (tl_rate){.parameters = "fc.*"};
    refused(bad, "stage head: the learning rate of fc.* is 0");
    rate = (tl_rate){.parameters = "fc.*", .lr = -1};
    refused(bad, "the learning rate of fc.* is -1");
    rate = (tl_rate){.factor = 1};
    refused(bad, "the learning rate of nothing is 1");
    bad = good;
    bad.power = 0;
    refused(bad, "power = 0 is out of range");
    bad = good;
    bad.schedule = (tl_schedule)17;
    refused(bad, "schedule = 17 is out of range");
    bad = good;
    bad.steps = -1;
    refused(bad, "steps = -1 is out of range");
    bad = good;
    bad.schedule = TL_SCHEDULE_COSINE; /* over how many steps, a trainer cannot know */
    fixture f = begin(&bad, TL_OK);
    assert_int_equal(tl_trainer_step(f.trainer, f.rgb, f.labels, BATCH, NULL), TL_ERROR_ARGUMENT);
    end(&f);
}

typedef struct seen {
    double lr[8];
    int count;
} seen;

static tl_status note_epoch(void *user, const tl_epoch *epoch, tl_model *model) {
    seen *s = user;
    (void)model;
    s->lr[s->count++] = epoch->lr;
    return TL_OK;
}

/* tl_train knows the steps: 10 images, 4 at a time, are 3 an epoch. Every stage has its schedule from the beginning. */
static void test_train_counts_steps(void **state) {
    (void)state;
    tl_context *context = test_context(NULL);
    tl_device *device = test_device(context, 2);
    tl_model *model = test_model(context, "resnet18", 2);
    char *folder = test_folder(2, 5, SIZE);
    tl_dataset *dataset;
    tl_train_options options;
    tl_preprocess preprocess = *tl_model_preprocess(model);
    tl_stage stages[] = {stage_of("fc.*", 0.01), stage_of("fc.*", 0.02)};
    seen s = {.count = 0};
    preprocess.resize = preprocess.crop = SIZE;
    ok(tl_model_set_preprocess(model, &preprocess), context);
    ok(tl_dataset_open(context, folder, &dataset), context);
    stages[0].epochs = 3;
    stages[1].epochs = 2;
    stages[0].schedule = stages[1].schedule = TL_SCHEDULE_POLY;
    stages[0].power = stages[1].power = 1;
    tl_train_options_init(&options, sizeof options);
    options.batch = 4;
    options.stages = stages;
    options.stage_count = 2;
    options.user = &s;
    options.on_epoch = note_epoch;
    ok(tl_train(model, device, dataset, NULL, &options, NULL), context);
    static const double expected[] = {0.01, 0.01 * 6 / 9, 0.01 * 3 / 9, 0.02, 0.01};
    assert_int_equal(s.count, 5);
    for (int i = 0; i < 5; i++)
        assert_true(fabs(s.lr[i] - expected[i]) < 1e-12);
    tl_dataset_destroy(dataset);
    free(folder);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant), cmocka_unit_test(test_poly), cmocka_unit_test(test_cosine), cmocka_unit_test(test_rates),
        cmocka_unit_test(test_others_keep_the_rate), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_train_counts_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
