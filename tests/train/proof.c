/* The proof that what is frozen stayed as it was, and the hashes that it leaves for the next run. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/cache.h"
#include "models/frozen.h"
#include "models/weights.h"
#include "train/proof.h"

enum { CLASSES = 3, EACH = 4, SIZE = 32 };

typedef struct fixture {
    test_job job;
    char weights[4200], cache[4200];
} fixture;

typedef struct outcome {
    tl_status status;
    tl__hash values;
    char hash[33];
    int64_t found;
} outcome;

static void begin(fixture *f, counter *count) {
    *f = (fixture){.job.context = test_context(count)};
    f->job.device = test_device(f->job.context, 1);
    test_job_begin(&f->job, "resnet18", CLASSES, EACH, 40, SIZE);
    char *folder = test_folder(0, 0, 0);
    snprintf(f->weights, sizeof f->weights, "%s/weights.safetensors", folder);
    snprintf(f->cache, sizeof f->cache, "%s/cache", folder);
    free(folder);
    ok(tl_model_save(f->job.model, f->weights), f->job.context);
}

/* As if the file had been written long ago: tests do not wait. */
static tl_model *open_model(const fixture *f, uint64_t stamp) {
    tl_model *model;
    ok(tl_model_open(f->job.context, f->weights, &model), f->job.context);
    model->loaded->archive->mapping.stamp = stamp;
    return model;
}

static void on_stage(void *user, const tl_stage_report *report) {
    ((outcome *)user)->found = report->feature_images_found;
}

static outcome run(const fixture *f, uint64_t stamp) {
    outcome o = {.status = TL_OK};
    tl_train_options options;
    tl_train_result result = {.size = sizeof result};
    tl_stage stage;
    tl_model *model = open_model(f, stamp);
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.epochs = 2;
    options.stages = &stage;
    options.stage_count = 1;
    options.batch = 4;
    options.workers = 1;
    options.cache_folder = f->cache;
    options.user = &o;
    options.on_stage = on_stage;
    o.status = tl_train(model, f->job.device, f->job.data, NULL, &options, &result);
    if (o.status == TL_OK) {
        size_t count;
        float *values = test_values(model, &count);
        o.values = tl__hash_bytes(values, count * sizeof *values, 0);
        free(values);
        memcpy(o.hash, result.frozen_hash, sizeof o.hash);
    }
    tl_model_destroy(model);
    return o;
}

/* How many files of hashes there are; the last one's path. */
static int kept(const fixture *f, char path[4600]) {
    DIR *stream = opendir(f->cache);
    int count = 0;
    for (const struct dirent *e; stream && (e = readdir(stream));)
        if (strstr(e->d_name, TL__CACHE_HASHES)) {
            snprintf(path, 4600, "%s/%s", f->cache, e->d_name);
            count++;
        }
    if (stream)
        closedir(stream);
    return count;
}

/* One byte of the file, so many before its end. */
static void change_byte(const char *path, off_t before_end) {
    struct stat st;
    char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, &byte, 1, st.st_size - before_end), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size - before_end), 1);
    close(fd);
}

/* Behind the head's 3 x 32 + 3 numbers from the end of the file: of a frozen tensor. */
#define FROZEN_BYTE 4000

static bool same(const outcome *a, const outcome *b) {
    return a->values.low == b->values.low && a->values.high == b->values.high && strcmp(a->hash, b->hash) == 0;
}

static void test_recalled(void **state) {
    (void)state;
    fixture f;
    char path[4600];
    begin(&f, NULL);
    outcome unsettled = run(&f, 0);
    assert_int_equal(unsettled.status, TL_OK);
    assert_int_equal(kept(&f, path), 0);
    outcome first = run(&f, 7), second = run(&f, 7), other = run(&f, 8);
    assert_int_equal(kept(&f, path), 2);
    assert_true(first.status == TL_OK && second.status == TL_OK && other.status == TL_OK);
    assert_true(same(&first, &unsettled) && same(&first, &second) && same(&first, &other));
    assert_int_equal(second.found, CLASSES * EACH);
    /* without what was left, and with other features that are missing */
    assert_int_equal(unlink(path), 0);
    assert_true(kept(&f, path) == 1);
    outcome third = run(&f, 7);
    assert_true(same(&first, &third));
    char command[4300];
    snprintf(command, sizeof command, "rm '%s'/*.features", f.cache);
    assert_int_equal(system(command), 0);
    outcome computed = run(&f, 7);
    assert_int_equal(computed.found, 0);
    assert_true(same(&first, &computed));
    test_job_end(&f.job);
}

/* Files with another time are other files; one whose time does not show that it was changed is found out. */
static void test_changed_weights(void **state) {
    (void)state;
    fixture f;
    char path[4600];
    begin(&f, NULL);
    outcome first = run(&f, 7);
    change_byte(f.weights, FROZEN_BYTE);
    outcome honest = run(&f, 8);
    assert_int_equal(honest.status, TL_OK);
    assert_int_equal(honest.found, 0);
    assert_true(strcmp(first.hash, honest.hash) != 0);
    change_byte(f.weights, FROZEN_BYTE); /* back */
    assert_int_equal(run(&f, 9).found, CLASSES * EACH);

    assert_int_equal(kept(&f, path), 3);
    outcome lie = run(&f, 8); /* its features are there, so that only the end tells */
    assert_int_equal(lie.status, TL_ERROR_INTERNAL);
    assert_non_null(strstr(tl_context_message(f.job.context), "the file of weights changed without a trace"));
    assert_int_equal(kept(&f, path), 2);
    outcome again = run(&f, 8);
    assert_int_equal(again.status, TL_OK);
    assert_true(same(&again, &first));

    /* where features would be computed it is found out before they are kept under a wrong name */
    char command[4300];
    snprintf(command, sizeof command, "rm '%s'/*.features", f.cache);
    assert_int_equal(system(command), 0);
    change_byte(f.weights, FROZEN_BYTE);
    assert_int_equal(run(&f, 7).status, TL_ERROR_INTERNAL);
    outcome right = run(&f, 7);
    assert_int_equal(right.status, TL_OK);
    assert_int_equal(right.found, 0);
    assert_true(same(&right, &honest));
    test_job_end(&f.job);
}

static void test_damaged(void **state) {
    (void)state;
    fixture f;
    char path[4600];
    begin(&f, NULL);
    outcome first = run(&f, 7);
    assert_int_equal(kept(&f, path), 1);
    struct stat st, now;
    assert_int_equal(stat(path, &st), 0);
    for (int i = 0; i < 6; i++) {
        if (i < 3)
            change_byte(path, i == 0 ? 1 : i == 1 ? 100 : st.st_size);
        else
            assert_int_equal(truncate(path, i == 3 ? 0 : i == 4 ? st.st_size - 1 : st.st_size + 16), 0);
        outcome o = run(&f, 7);
        assert_int_equal(o.status, TL_OK);
        assert_true(same(&o, &first));
        assert_int_equal(stat(path, &now), 0);
        assert_int_equal(now.st_size, st.st_size); /* mended */
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0777), 0); /* nothing can be left there */
    outcome o = run(&f, 7);
    assert_true(same(&o, &first));
    assert_int_equal(rmdir(path), 0);
    test_job_end(&f.job);
}

/* What training changes, and what does not lie plainly in a file, is not recalled. */
static void test_key(void **state) {
    (void)state;
    fixture f;
    begin(&f, NULL);
    tl_model *model = open_model(&f, 7);
    bool *changed = calloc(model->parameter_count, sizeof *changed);
    tl__proof all, some, other;
    char path[4600];
    assert_int_equal(mkdir(f.cache, 0777), 0);
    ok(tl__proof_begin(model, changed, f.cache, &all), f.job.context);
    assert_false(all.recalled);
    ok(tl__proof_end(&all), f.job.context);
    changed[0] = true;
    ok(tl__proof_begin(model, changed, f.cache, &some), f.job.context);
    assert_false(some.recalled);
    assert_string_not_equal(some.path, all.path);
    snprintf(path, sizeof path, "%s", some.path);
    tl__proof_release(&some);
    changed[0] = false;
    int64_t count = tl__desc_count(&model->parameters[0]->desc);
    float *values = calloc((size_t)count, sizeof *values);
    ok(tl_model_write(model, model->parameters[0]->name, values), f.job.context);
    ok(tl__proof_begin(model, changed, f.cache, &other), f.job.context);
    assert_string_equal(other.path, path); /* of the same contents in the same files */
    assert_false(other.recalled);
    assert_true(other.hash.low != all.hash.low);
    ok(tl__proof_end(&other), f.job.context);
    tl__proof_release(&other);
    tl__proof_release(&all);
    ok(tl__proof_begin(model, changed, NULL, &all), f.job.context);
    assert_null(all.path);
    /* a frozen value that changes after all */
    values[0] = 1;
    ok(tl_model_write(model, model->parameters[0]->name, values), f.job.context);
    assert_int_equal(tl__proof_end(&all), TL_ERROR_INTERNAL);
    assert_non_null(strstr(tl_context_message(f.job.context), "something frozen changed while training"));
    tl__proof_release(&all);
    free(values);
    free(changed);
    tl_model_destroy(model);
    test_job_end(&f.job);
}

static void test_memory_failures(void **state) {
    (void)state;
    fixture f;
    counter count = {0};
    begin(&f, &count);
    assert_int_equal(mkdir(f.cache, 0777), 0);
    bool *changed = calloc(f.job.model->parameter_count, sizeof *changed);
    for (int recalled = 0; recalled < 2; recalled++) {
        bool failed = true;
        for (long n = 1; failed; n++) {
            tl_model *model = open_model(&f, 7);
            tl__proof proof;
            const long live = count.live;
            char path[4600];
            if (!recalled && kept(&f, path))
                assert_int_equal(unlink(path), 0);
            count.fail_at = count.made + n;
            tl_status status = tl__proof_begin(model, changed, f.cache, &proof);
            if (status == TL_OK)
                status = tl__proof_end(&proof);
            failed = count.made >= count.fail_at;
            count.fail_at = 0;
            tl__proof_release(&proof);
            assert_true(status == TL_OK || (failed && status == TL_ERROR_MEMORY));
            assert_int_equal(count.live, live);
            tl_model_destroy(model);
        }
    }
    free(changed);
    test_job_end(&f.job);
    assert_int_equal(count.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recalled), cmocka_unit_test(test_changed_weights),
                                       cmocka_unit_test(test_damaged), cmocka_unit_test(test_key),
                                       cmocka_unit_test(test_memory_failures)};
    return cmocka_run_group_tests_name("proof", tests, NULL, NULL);
}
