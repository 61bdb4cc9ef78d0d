/* training.c: see training.h. */
#include "tests/faults/training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(void *user, size_t bytes, size_t alignment) {
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, bytes) != 0)
        return NULL;
    __atomic_add_fetch((long *)user, 1, __ATOMIC_SEQ_CST);
    return memory;
}

static void release(void *user, void *memory) {
    __atomic_sub_fetch((long *)user, 1, __ATOMIC_SEQ_CST);
    free(memory);
}

static void log_line(void *user, tl_log_level level, const char *text) {
    (void)user;
    if (getenv("TRAINING_LOG"))
        printf("# log %d: %s\n", (int)level, text);
}

static tl_status read_values(tl_model *model, training *t) {
    tl_status status = TL_OK;
    t->count = 0;
    for (size_t i = 0; i < tl_model_parameter_count(model) && status == TL_OK; i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        status = tl_model_parameter(model, i, &info);
        t->values = realloc(t->values, (t->count + (size_t)info.count) * sizeof(float));
        status = status == TL_OK ? tl_model_read(model, info.name, t->values + t->count) : status;
        t->count += (size_t)info.count;
    }
    return status;
}

static tl_status steps(tl_trainer *trainer, training *t) {
    static uint8_t rgb[TRAINING_BATCH * TRAINING_SIZE * TRAINING_SIZE * 3];
    int32_t labels[TRAINING_BATCH];
    uint32_t state = 1;
    tl_status status = TL_OK;
    for (int s = 0; s < TRAINING_STEPS && status == TL_OK; s++) {
        for (size_t i = 0; i < sizeof(rgb); i++)
            rgb[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
        for (int i = 0; i < TRAINING_BATCH; i++)
            labels[i] = (i + s) % TRAINING_CLASSES;
        if (t->step)
            t->step(s);
        tl_score score;
        status = tl_trainer_step(trainer, rgb, labels, TRAINING_BATCH, &score);
    }
    if (t->step)
        t->step(TRAINING_STEPS);
    return status;
}

static tl_status train(tl_context *context, tl_device **device, tl_model **model, tl_trainer **trainer, training *t) {
    tl_model_options options;
    tl_train_options how;
    tl_stage stage;
    tl_device_options opening = {.size = sizeof(opening), .threads = 1};
    tl_model_options_init(&options, sizeof(options));
    options.arch = "resnet18";
    options.classes = TRAINING_CLASSES;
    options.layers = (const int[]){1, 1, 1, 1};
    options.width = 0.0625;
    tl_train_options_init(&how, sizeof(how));
    tl_stage_init(&stage, sizeof(stage));
    stage.train = "layer4.*, fc.*";
    stage.epochs = 1;
    how.stages = &stage;
    how.stage_count = 1;
    how.batch = TRAINING_BATCH;
    how.workers = 1;
    how.bn = TL_BN_MIXED;
    tl_status status = tl_device_open(context, "opencl:0", &opening, device);
    if (status == TL_OK)
        status = tl_model_create(context, &options, model);
    if (status == TL_OK)
        status = tl_trainer_create(*model, *device, TRAINING_SIZE, TRAINING_SIZE, &how, trainer);
    if (status == TL_OK)
        status = steps(*trainer, t);
    if (status == TL_OK)
        status = tl_trainer_sync(*trainer);
    return status == TL_OK ? read_values(*model, t) : status;
}

void training_run(training *t) {
    char path[4096];
    const char *build = getenv("TL_TEST_BUILD");
    snprintf(path, sizeof(path), "%s/backends/opencl/.libs", build ? build : ".");
    tl_context_options options = {.size = sizeof(options), .user = &t->left, .allocate = allocate, .release = release,
                                  .log = log_line, .log_level = TL_LOG_INFO, .backend_path = path};
    tl_context *context = NULL;
    tl_device *device = NULL;
    tl_model *model = NULL;
    tl_trainer *trainer = NULL;
    t->left = 0;
    t->message[0] = '\0';
    t->status = tl_context_create(&options, &context);
    if (t->status == TL_OK)
        t->status = train(context, &device, &model, &trainer, t);
    if (t->status != TL_OK)
        snprintf(t->message, sizeof(t->message), "%s", tl_context_message(context));
    tl_trainer_destroy(trainer);
    tl_model_destroy(model);
    tl_device_close(device);
    tl_context_destroy(context);
}
