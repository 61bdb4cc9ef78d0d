#include "tests/models/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct watch {
    char log[1 << 16];
    size_t used;
    long left, blocks;
} watch;

static void *allocate(void *user, size_t bytes, size_t alignment) {
    watch *w = user;
    if (w->left > 0 && --w->left == 0)
        return NULL;
    w->blocks++;
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void release(void *user, void *memory) {
    ((watch *)user)->blocks--;
    free(memory);
}

static void keep(void *user, tl_log_level level, const char *text) {
    watch *w = user;
    (void)level;
    if (w->used < sizeof w->log)
        w->used += (size_t)snprintf(w->log + w->used, sizeof w->log - w->used, "%s\n", text);
}

tl_context *context_create(void) {
    watch *w = calloc(1, sizeof *w);
    tl_context_options options = {.size = sizeof options, .user = w, .allocate = allocate, .release = release,
                                  .log = keep, .log_level = TL_LOG_DEBUG};
    tl_context *context = NULL;
    assert_non_null(w);
    assert_int_equal(tl_context_create(&options, &context), TL_OK);
    return context;
}

static watch *watch_of(const tl_context *context) {
    return context->options.user;
}

void context_destroy(tl_context *context) {
    watch *w = watch_of(context);
    tl_context_destroy(context);
    long blocks = w->blocks;
    free(w);
    assert_int_equal(blocks, 0);
}

const char *context_log(const tl_context *context) {
    return watch_of(context)->log;
}

void context_clear_log(tl_context *context) {
    watch_of(context)->used = 0;
    watch_of(context)->log[0] = '\0';
}

void context_fail_after(tl_context *context, long allocations) {
    watch_of(context)->left = allocations;
}

long context_blocks(const tl_context *context) {
    return watch_of(context)->blocks;
}

const char *checkpoint(const char *name) {
    static char path[4096];
    const char *source = getenv("TL_TEST_SOURCE");
    snprintf(path, sizeof path, "%s/tests/formats/data/%s", source ? source : ".", name);
    return path;
}

static char folder[64];
static char used[64][128];
static size_t used_count;

static void remove_folder(void) {
    for (size_t i = 0; i < used_count; i++)
        unlink(used[i]);
    rmdir(folder);
}

const char *temporary(const char *name) {
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/libtl-models-XXXXXX");
        assert_non_null(mkdtemp(folder));
        atexit(remove_folder);
    }
    char *path = used[used_count];
    assert_true(used_count++ < 63);
    snprintf(path, sizeof used[0], "%s/%s", folder, name);
    return path;
}

tl_model *model_create(tl_context *context, const char *arch, int classes, tl_head head, double width) {
    tl_model_options options;
    tl_model_options_init(&options, sizeof options);
    options.arch = arch;
    options.classes = classes;
    options.head = head;
    options.width = width;
    tl_model *model = NULL;
    assert_ok(context, tl_model_create(context, &options, &model));
    return model;
}

tl_model *small_model(tl_context *context) {
    static const int layers[4] = {1, 1, 1, 1};
    tl_model_options options;
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet18";
    options.classes = 5;
    options.layers = layers;
    options.width = 0.0625;
    tl_model *model = NULL;
    assert_ok(context, tl_model_create(context, &options, &model));
    return model;
}

float *read_all(tl_model *model, const char *name, int64_t *count) {
    const tl__parameter *parameter = tl__model_find(model, name);
    assert_non_null(parameter);
    *count = tl__desc_count(&parameter->desc);
    float *values = malloc((size_t)*count * sizeof *values);
    assert_ok(model->context, tl_model_read(model, name, values));
    return values;
}

bool same_values(tl_model *a, tl_model *b) {
    bool same = a->parameter_count == b->parameter_count;
    for (size_t i = 0; i < a->parameter_count && same; i++) {
        int64_t count[2];
        const char *name = a->parameters[i]->name;
        float *values[2] = {read_all(a, name, &count[0]), read_all(b, name, &count[1])};
        same = count[0] == count[1] && memcmp(values[0], values[1], (size_t)count[0] * sizeof(float)) == 0;
        free(values[0]);
        free(values[1]);
    }
    return same;
}

bool same_files(const char *a, const char *b) {
    FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
    assert_non_null(x);
    assert_non_null(y);
    int c, d;
    do {
        c = fgetc(x);
        d = fgetc(y);
    } while (c == d && c != EOF);
    fclose(x);
    fclose(y);
    return c == d;
}
