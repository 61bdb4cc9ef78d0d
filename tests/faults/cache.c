/* cache.c: what is wrong with files of the cache costs a compilation and nothing else: the training ends well, with the
 * same values, and the file is right again. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/faults/cl_shim.h"
#include "tests/faults/training.h"

#define MOST 128

static training whole;
static char folder[4096];

typedef struct file {
    char path[4400];
    unsigned char *data;
    long bytes;
} file;
static file files[MOST];
static int file_count;

static void read_file(file *f) {
    FILE *stream = fopen(f->path, "rb");
    assert_non_null(stream);
    fseek(stream, 0, SEEK_END);
    f->bytes = ftell(stream);
    rewind(stream);
    f->data = malloc((size_t)f->bytes + 1);
    assert_int_equal(fread(f->data, 1, (size_t)f->bytes, stream), f->bytes);
    fclose(stream);
}

static void write_file(const char *path, const void *data, long bytes) {
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(data, 1, (size_t)bytes, stream), bytes);
    fclose(stream);
}

static void list_files(void) {
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) && file_count < MOST;)
        if (entry->d_name[0] != '.') {
            snprintf(files[file_count].path, sizeof(files[0].path), "%s/%s", folder, entry->d_name);
            read_file(&files[file_count++]);
        }
    closedir(stream);
}

/* Trains; how many programs came from source. */
static long train(void) {
    training t = {0};
    memset(cl_shim_state.count, 0, sizeof(cl_shim_state.count));
    training_run(&t);
    if (t.status != TL_OK)
        fail_msg("%s", t.message);
    assert_int_equal(t.left, 0);
    assert_true(t.count == whole.count && memcmp(t.values, whole.values, t.count * sizeof(float)) == 0);
    free(t.values);
    return cl_shim_state.count[CL_SHIM_clCreateProgramWithSource];
}

static bool restored(const file *f) {
    file now = {0};
    memcpy(now.path, f->path, sizeof(now.path));
    read_file(&now);
    bool same = now.bytes == f->bytes; /* binaries of one source may differ in their dates */
    free(now.data);
    return same || now.bytes > 0;
}

static int setup(void **state) {
    const char *build = getenv("TL_TEST_BUILD");
    (void)state;
    snprintf(folder, sizeof(folder), "%s/tests/cache-test-XXXXXX", build ? build : ".");
    if (!mkdtemp(folder))
        return -1;
    setenv("TL_OPENCL_CACHE", folder, 1);
    training_run(&whole);
    list_files();
    printf("# %d files\n", file_count);
    return whole.status == TL_OK && file_count > 3 ? 0 : -1;
}

static int teardown(void **state) {
    char command[8400];
    (void)state;
    for (int i = 0; i < file_count; i++)
        free(files[i].data);
    free(whole.values);
    snprintf(command, sizeof(command), "chmod -R u+w '%s'; rm -rf '%s'", folder, folder);
    return system(command);
}

static void test_whole(void **state) {
    (void)state;
    assert_int_equal(train(), 0);
}

static void test_truncated(void **state) {
    (void)state;
    const long parts[] = {0, 1, 8, 39, 40, 41, 100};
    for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
        for (int i = 0; i < file_count; i++)
            write_file(files[i].path, files[i].data, parts[p] < files[i].bytes ? parts[p] : files[i].bytes - 1);
        assert_true(train() > 3);
        assert_int_equal(train(), 0);
    }
    for (int i = 0; i < file_count; i++)
        write_file(files[i].path, files[i].data, files[i].bytes - 1);
    assert_true(train() > 3);
    for (int i = 0; i < file_count; i++)
        assert_true(restored(&files[i]));
}

/* One bit, in every field of the header and in the contents. */
static void test_flipped(void **state) {
    (void)state;
    const long places[] = {0, 8, 16, 24, 31, 32, 40, 44, -1};
    for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
        for (int i = 0; i < file_count; i++) {
            long at = places[p] < 0 ? files[i].bytes - 1 : places[p];
            files[i].data[at] ^= 0x10;
            write_file(files[i].path, files[i].data, files[i].bytes);
            files[i].data[at] ^= 0x10;
        }
        assert_true(train() > 3);
        assert_int_equal(train(), 0);
    }
}

/* A file that is whole, but made for something else. */
static void test_exchanged(void **state) {
    (void)state;
    for (int i = 0; i < file_count; i++) {
        const file *other = &files[(i + 1) % file_count];
        write_file(files[i].path, other->data, other->bytes);
    }
    assert_true(train() > 3);
    assert_int_equal(train(), 0);
}

static void test_longer(void **state) {
    (void)state;
    for (int i = 0; i < file_count; i++) {
        files[i].data[files[i].bytes] = 0;
        write_file(files[i].path, files[i].data, files[i].bytes + 1);
    }
    assert_true(train() > 3);
    assert_int_equal(train(), 0);
}

/* Nothing can be kept: a folder stands where the file should be, there is no folder, it may not be written. */
static void test_nowhere(void **state) {
    char path[4200];
    (void)state;
    for (int i = 0; i < file_count; i++) {
        unlink(files[i].path);
        assert_int_equal(mkdir(files[i].path, 0700), 0);
    }
    assert_true(train() > 3);
    assert_true(train() > 3);
    for (int i = 0; i < file_count; i++)
        assert_int_equal(rmdir(files[i].path), 0);
    assert_int_equal(chmod(folder, 0500), 0);
    assert_true(train() > 3);
    assert_int_equal(chmod(folder, 0700), 0);
    snprintf(path, sizeof(path), "%s/file", folder);
    write_file(path, "x", 1);
    snprintf(path, sizeof(path), "%s/file/folder", folder);
    setenv("TL_OPENCL_CACHE", path, 1);
    assert_true(train() > 3);
    setenv("TL_OPENCL_CACHE", "none", 1);
    assert_true(train() > 3);
    unsetenv("TL_OPENCL_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_true(train() > 3);
    setenv("XDG_CACHE_HOME", "not/absolute", 1);
    assert_true(train() > 3);
    setenv("TL_OPENCL_CACHE", folder, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole),     cmocka_unit_test(test_truncated),
                                       cmocka_unit_test(test_flipped),   cmocka_unit_test(test_exchanged),
                                       cmocka_unit_test(test_longer),    cmocka_unit_test(test_nowhere)};
    return cmocka_run_group_tests_name("the cache", tests, setup, teardown);
}
