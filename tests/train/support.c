#include "support.h"

#include <ftw.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void *counted_allocate(void *user, size_t bytes, size_t alignment) {
    counter *c = user;
    void *memory = NULL;
    if (__atomic_add_fetch(&c->made, 1, __ATOMIC_SEQ_CST) == c->fail_at)
        return NULL;
    if (posix_memalign(&memory, alignment, bytes) != 0)
        return NULL;
    __atomic_add_fetch(&c->live, 1, __ATOMIC_SEQ_CST);
    return memory;
}

static void counted_release(void *user, void *memory) {
    counter *c = user;
    __atomic_sub_fetch(&c->live, 1, __ATOMIC_SEQ_CST);
    free(memory);
}

tl_context *test_context(counter *count) {
    tl_context *context;
    tl_context_options options = {.size = sizeof options, .backend_path = ""};
    if (count) {
        options.user = count;
        options.allocate = counted_allocate;
        options.release = counted_release;
    }
    return tl_context_create(&options, &context) == TL_OK ? context : NULL;
}

tl_device *test_device(tl_context *context, int threads) {
    tl_device *device;
    tl_device_options options = {.size = sizeof options, .threads = threads};
    ok(tl_device_open(context, "cpu", &options, &device), context);
    return device;
}

tl_model *test_model(tl_context *context, const char *arch, int classes) {
    tl_model *model;
    tl_model_options options;
    tl_model_options_init(&options, sizeof options);
    options.arch = arch;
    options.classes = classes;
    options.layers = strncmp(arch, "resnet", 6) == 0 ? (const int[]){1, 1, 1, 1} : NULL;
    options.width = 0.0625;
    ok(tl_model_create(context, &options, &model), context);
    return model;
}

uint8_t *test_images(int count, int size, uint64_t seed) {
    size_t pixels = (size_t)size * (size_t)size;
    uint8_t *rgb = malloc((size_t)count * pixels * 3), *at = rgb;
    tl__random random;
    tl__random_start(&random, seed, 7);
    for (int i = 0; i < count; i++)
        for (size_t p = 0; p < pixels; p++)
            for (int c = 0; c < 3; c++)
                *at++ = (uint8_t)((i % 3 == c ? 120 : 40) + tl__random_below(&random, 100));
    return rgb;
}

int32_t *test_labels(int count, int classes) {
    int32_t *labels = malloc((size_t)count * sizeof *labels);
    for (int i = 0; i < count; i++)
        labels[i] = i % classes;
    return labels;
}

static char *made_folders[64];
static int made_count;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void remove_folders(void) {
    for (int i = 0; i < made_count; i++) {
        nftw(made_folders[i], remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(made_folders[i]);
    }
}

char *test_folder(int classes, int each, int size) {
    const char *base = getenv("TMPDIR");
    char folder[4096], path[4200];
    snprintf(folder, sizeof folder, "%s/libtl-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    if (made_count == 0)
        atexit(remove_folders);
    assert_true(made_count < 64);
    made_folders[made_count++] = strdup(folder);
    for (int c = 0; c < classes; c++) {
        snprintf(path, sizeof path, "%s/class%d", folder, c);
        assert_int_equal(mkdir(path, 0777), 0);
        for (int i = 0; i < each; i++) {
            uint8_t *rgb = test_images(3, size, (uint64_t)(100 * c + i));
            png_image image = {.version = PNG_IMAGE_VERSION, .width = (unsigned)size, .height = (unsigned)size, .format = PNG_FORMAT_RGB};
            snprintf(path, sizeof path, "%s/class%d/%d.png", folder, c, i);
            assert_true(png_image_write_to_file(&image, path, 0, rgb + (size_t)(c % 3) * (size_t)size * (size_t)size * 3, 0, NULL));
            free(rgb);
        }
    }
    return strdup(folder);
}

char *test_masks_folder(void) {
    static const char *const parts[] = {"images", "masks"};
    char *folder = test_folder(1, 1, 8), path[4200];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%.4000s/%s", folder, parts[i]);
        assert_int_equal(mkdir(path, 0777), 0);
    }
    return folder;
}

void test_masks_add(tl_context *context, const char *folder, int number, int width, int height, const uint8_t *rgb,
                    const uint8_t *labels) {
    char path[4200];
    uint8_t palette[256][3];
    for (int c = 0; c < 256; c++)
        tl_class_colour(c, palette[c]);
    snprintf(path, sizeof path, "%.4000s/images/%d.png", folder, number);
    ok(tl_image_save(context, path, width, height, rgb, NULL, 0), context);
    snprintf(path, sizeof path, "%.4000s/masks/%d.png", folder, number);
    ok(tl_image_save(context, path, width, height, labels, palette[0], 256), context);
}

float *test_values(tl_model *model, size_t *count) {
    float *values = NULL;
    *count = 0;
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info info = {.size = sizeof info};
        assert_int_equal(tl_model_parameter(model, i, &info), TL_OK);
        values = realloc(values, (*count + (size_t)info.count) * sizeof *values);
        assert_int_equal(tl_model_read(model, info.name, values + *count), TL_OK);
        *count += (size_t)info.count;
    }
    return values;
}

void test_note_features(void *user, const tl_stage_report *report) {
    stage_features *f = user;
    f->cached = report->features_cached;
    f->images = report->feature_images;
    f->found = report->feature_images_found;
    snprintf(f->cache, sizeof f->cache, "%s", report->cache);
    snprintf(f->file, sizeof f->file, "%s", report->cache_file ? report->cache_file : "");
}

void test_job_begin(test_job *job, const char *arch, int classes, int each, int drawn, int size) {
    tl_preprocess preprocess;
    job->model = test_model(job->context, arch, classes);
    job->folder = test_folder(classes, each, drawn);
    tl_preprocess_init(&preprocess, sizeof preprocess);
    preprocess.resize = preprocess.crop = size;
    ok(tl_model_set_preprocess(job->model, &preprocess), job->context);
    ok(tl_dataset_open(job->context, job->folder, &job->data), job->context);
}

void test_job_end(test_job *job) {
    tl_dataset_destroy(job->data);
    tl_model_destroy(job->model);
    tl_device_close(job->device);
    tl_context_destroy(job->context);
    free(job->folder);
}
