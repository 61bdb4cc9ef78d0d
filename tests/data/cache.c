/* The file of features by itself: what is written is found again, what is damaged is not, one at a time adds. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/cache.h"

enum { COUNT = 37, ROWS = 9 };

static char folder[4096];
static tl_context *context;

static int begin(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/libtl-cache-XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) && tl_context_create(NULL, &context) == TL_OK ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    tl_context_destroy(context);
    return system(command);
}

static tl__hash key_of(int i) {
    return tl__hash_bytes(&i, sizeof i, 77);
}

static void row_of(int i, float *row) {
    for (int c = 0; c < COUNT; c++)
        row[c] = (float)(1000 * i + c);
}

static tl__cache *open_cache(const char *about, uint64_t limit) {
    tl__cache *cache;
    assert_int_equal(tl__cache_open(context, folder, "net-layer", about, COUNT, limit, &cache), TL_OK);
    return cache;
}

static void lock(tl__cache *cache, tl__cache_lock expected) {
    tl__cache_lock got;
    assert_int_equal(tl__cache_try_lock(cache, &got), TL_OK);
    assert_int_equal(got, expected);
}

static void add(tl__cache *cache, int first, int last) {
    float row[COUNT];
    for (int i = first; i <= last; i++) {
        row_of(i, row);
        assert_int_equal(tl__cache_add(cache, key_of(i), row), TL_OK);
    }
}

static void fill(const char *about, int first, int last) {
    tl__cache *cache = open_cache(about, 0);
    lock(cache, TL__CACHE_MINE);
    add(cache, first, last);
    tl__cache_close(cache);
}

/* Which of the rows are there, by bit; each that is must be right. */
static unsigned found(tl__cache *cache) {
    unsigned bits = 0;
    float row[COUNT];
    for (int i = 0; i < ROWS; i++) {
        uint64_t slot = tl__cache_find(cache, key_of(i));
        if (slot == TL__CACHE_NONE)
            continue;
        row_of(i, row);
        assert_memory_equal(tl__cache_row(cache, slot), row, sizeof row);
        bits |= 1u << i;
    }
    return bits;
}

static unsigned found_again(const char *about) {
    tl__cache *cache = open_cache(about, 0);
    unsigned bits = found(cache);
    tl__cache_close(cache);
    return bits;
}

static char *path_of(const char *about) {
    tl__cache *cache = open_cache(about, 0);
    char *path = strdup(cache->path);
    tl__cache_close(cache);
    return path;
}

static void test_rows_are_found_again(void **state) {
    (void)state;
    bool grown;
    tl__cache *cache = open_cache("one", 0), *reader = open_cache("one", 0);
    assert_int_equal(found(cache), 0);
    lock(cache, TL__CACHE_MINE);
    add(cache, 0, 3);
    assert_true(tl__cache_has(cache, key_of(3)));
    assert_int_equal(found(cache), 0); /* not mapped yet */
    assert_int_equal(tl__cache_refresh(cache, &grown), TL_OK);
    assert_true(grown);
    assert_int_equal(found(cache), 15);
    add(cache, 4, 4);
    assert_int_equal(tl__cache_refresh(cache, &grown), TL_OK);
    assert_int_equal(found(cache), 31);
    assert_int_equal(cache->used, 5); /* each slot once in the table */
    assert_int_equal(found(reader), 0);
    tl__cache_close(cache);
    tl__cache_close(reader);
    assert_int_equal(found_again("one"), 31);
    assert_int_equal(found_again("two"), 0);
}

static void test_many_rows(void **state) {
    (void)state;
    fill("many", 0, 2999);
    tl__cache *cache = open_cache("many", 0);
    for (int i = 0; i < 3000; i++)
        assert_true(tl__cache_find(cache, key_of(i)) != TL__CACHE_NONE);
    assert_true(tl__cache_find(cache, key_of(3000)) == TL__CACHE_NONE);
    tl__cache_close(cache);
}

static void test_one_at_a_time(void **state) {
    (void)state;
    tl__cache *a = open_cache("locks", 0), *b = open_cache("locks", 0);
    lock(a, TL__CACHE_MINE);
    lock(b, TL__CACHE_TAKEN);
    add(a, 0, 0);
    bool grown;
    assert_int_equal(tl__cache_refresh(b, &grown), TL_OK);
    assert_true(grown);
    assert_int_equal(found(b), 1);
    tl__cache_unlock(a);
    lock(b, TL__CACHE_MINE);
    add(b, 1, 1);
    lock(a, TL__CACHE_TAKEN);
    tl__cache_close(b);
    lock(a, TL__CACHE_MINE);
    assert_int_equal(found(a), 3);
    tl__cache_close(a);
}

static void test_file_that_was_taken_away(void **state) {
    (void)state;
    fill("gone", 0, 1);
    tl__cache *a = open_cache("gone", 0);
    assert_int_equal(unlink(a->path), 0);
    assert_int_equal(found(a), 3); /* still mapped */
    fill("gone", 2, 2);            /* another one of that name */
    lock(a, TL__CACHE_MINE);
    assert_int_equal(found(a), 4);
    add(a, 3, 3);
    tl__cache_close(a);
    assert_int_equal(found_again("gone"), 12);
}

/* Cut anywhere, the whole slots before are there, and nothing else is. */
static void test_truncated_anywhere(void **state) {
    (void)state;
    uint64_t stride = TL__CACHE_SLOT + (COUNT * sizeof(float) + 63) / 64 * 64, whole = TL__CACHE_HEADER + 3 * stride;
    char *path = path_of("cut");
    for (uint64_t size = 0; size <= whole; size += size < 64 || size % 61 == 0 ? 1 : 23) {
        unlink(path);
        fill("cut", 0, 2);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, whole);
        assert_int_equal(truncate(path, (off_t)size), 0);
        unsigned slots = size < TL__CACHE_HEADER ? 0 : (unsigned)((size - TL__CACHE_HEADER) / stride);
        assert_int_equal(found_again("cut"), (1u << slots) - 1);
        fill("cut", 3, 3); /* takes the place of what was cut */
        assert_int_equal(found_again("cut"), ((1u << slots) - 1) | 8);
    }
    free(path);
}

static void flip(const char *path, off_t at) {
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1u << (at % 8);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* A flipped bit costs at most what it is in: no row that is found is wrong. */
static void test_flipped_anywhere(void **state) {
    (void)state;
    uint64_t stride = TL__CACHE_SLOT + (COUNT * sizeof(float) + 63) / 64 * 64, whole = TL__CACHE_HEADER + 3 * stride;
    char *path = path_of("flip");
    for (uint64_t at = 0; at < whole; at += at >= TL__CACHE_HEADER ? 1 : 7) {
        unlink(path);
        fill("flip", 0, 2);
        flip(path, (off_t)at);
        uint64_t slot = (at - TL__CACHE_HEADER) / stride, within = (at - TL__CACHE_HEADER) % stride;
        bool counts = within < 32 || (within >= TL__CACHE_SLOT && within < TL__CACHE_SLOT + COUNT * sizeof(float));
        unsigned expected = at < TL__CACHE_HEADER ? 0 : counts ? 7u & ~(1u << slot) : 7u;
        assert_int_equal(found_again("flip"), expected);
    }
    free(path);
}

static void test_holes_are_no_rows(void **state) {
    (void)state;
    char *path = path_of("hole");
    struct stat st;
    fill("hole", 0, 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size + (1 << 20)), 0); /* as after a power cut: long, and never written */
    assert_int_equal(found_again("hole"), 3);
    fill("hole", 2, 2);
    assert_int_equal(found_again("hole"), 7);
    free(path);
}

static void test_foreign_files(void **state) {
    (void)state;
    char *path = path_of("foreign");
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 10000; i++)
        fputs("no features", file);
    fclose(file);
    assert_int_equal(found_again("foreign"), 0);
    fill("foreign", 0, 1);
    assert_int_equal(found_again("foreign"), 3);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    fill("foreign", 0, 2);
    assert_int_equal(found_again("foreign"), 7);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    tl__cache *cache;
    assert_int_equal(tl__cache_open(context, folder, "net-layer", "foreign", COUNT, 0, &cache), TL_ERROR_IO);
    rmdir(path);
    free(path);
}

static void set_age(const char *about, int seconds) {
    char *path = path_of(about); /* opening it is using it: afterwards */
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

static void test_limit_takes_the_oldest(void **state) {
    (void)state;
    bool anew;
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'/*", folder);
    assert_int_equal(system(command), 0);
    uint64_t stride = TL__CACHE_SLOT + (COUNT * sizeof(float) + 63) / 64 * 64, file = TL__CACHE_HEADER + 4 * stride;
    char *old = path_of("old"), *older = path_of("older"), *held = path_of("held");
    fill("old", 0, 3);
    fill("older", 0, 3);
    fill("held", 0, 3);
    tl__cache *writer = open_cache("held", 0);
    lock(writer, TL__CACHE_MINE);
    set_age("old", 100);
    set_age("older", 200);
    set_age("held", 300);
    tl__cache *cache = open_cache("new", 3 * file);
    lock(cache, TL__CACHE_MINE);
    assert_int_equal(tl__cache_reserve(cache, 4, NULL, 0, &anew), TL_OK);
    assert_false(anew);
    assert_true(exists(old));
    assert_false(exists(older));
    assert_true(exists(held)); /* another process adds to it */
    add(cache, 0, 3);
    assert_int_equal(tl__cache_reserve(cache, 1000, NULL, 0, &anew), TL_ERROR_LIMIT);
    assert_non_null(strstr(tl_context_message(context), "limit"));
    assert_true(exists(old)); /* nothing goes where it would not help */
    tl__cache_close(writer);
    /* the oldest, but to stay, and to count as much as our own */
    assert_int_equal(tl__cache_evict(context, folder, cache->path, held, 2 * file, 2 * file, 3 * file), TL_ERROR_LIMIT);
    assert_true(exists(old));
    assert_int_equal(tl__cache_evict(context, folder, cache->path, held, 2 * file, file, 3 * file), TL_OK);
    assert_true(exists(held));
    assert_false(exists(old));
    tl__cache_close(cache);
    free(old);
    free(older);
    free(held);
}

/* A file full of features of images that are no longer there makes way for those that are. */
static void test_limit_begins_anew(void **state) {
    (void)state;
    uint64_t stride = TL__CACHE_SLOT + (COUNT * sizeof(float) + 63) / 64 * 64;
    bool anew;
    fill("full", 0, 5);
    tl__cache *cache = open_cache("full", TL__CACHE_HEADER + 6 * stride), *reader = open_cache("full", 0);
    lock(cache, TL__CACHE_MINE);
    tl__hash kept[] = {key_of(1), key_of(4)};
    assert_int_equal(tl__cache_reserve(cache, 2, kept, 2, &anew), TL_OK);
    assert_true(anew);
    assert_int_equal(found(cache), 1 << 1 | 1 << 4);
    assert_int_equal(found(reader), 63); /* who had mapped it keeps it */
    add(cache, 6, 7);
    tl__cache_close(reader);
    tl__cache_close(cache);
    assert_int_equal(found_again("full"), 1 << 1 | 1 << 4 | 1 << 6 | 1 << 7);
    cache = open_cache("full", TL__CACHE_HEADER + 6 * stride);
    lock(cache, TL__CACHE_MINE);
    assert_int_equal(tl__cache_reserve(cache, 5, kept, 2, &anew), TL_ERROR_LIMIT);
    tl__cache_close(cache);
}

static void test_folders(void **state) {
    (void)state;
    char path[4200], *made;
    snprintf(path, sizeof path, "%s/a/b/c", folder);
    assert_int_equal(tl__cache_make_folder(context, path), TL_OK);
    assert_true(exists(path));
    snprintf(path, sizeof path, "%s/file", folder);
    fclose(fopen(path, "w"));
    assert_int_equal(tl__cache_make_folder(context, path), TL_ERROR_IO);
    strcat(path, "/below");
    assert_int_equal(tl__cache_make_folder(context, path), TL_ERROR_IO);
    assert_non_null(strstr(tl_context_message(context), path));
    setenv("XDG_CACHE_HOME", folder, 1);
    assert_int_equal(tl__cache_default_folder(context, &made), TL_OK);
    assert_string_equal(made + strlen(folder), "/libtl/features");
    tl__free(context, made);
    setenv("XDG_CACHE_HOME", "relative", 1); /* as if it were not set */
    setenv("HOME", "/somewhere", 1);
    assert_int_equal(tl__cache_default_folder(context, &made), TL_OK);
    assert_string_equal(made, "/somewhere/.cache/libtl/features");
    tl__free(context, made);
    unsetenv("HOME");
    assert_int_equal(tl__cache_default_folder(context, &made), TL_OK);
    assert_null(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_found_again),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_file_that_was_taken_away),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_flipped_anywhere),
        cmocka_unit_test(test_holes_are_no_rows),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_limit_takes_the_oldest),
        cmocka_unit_test(test_limit_begins_anew),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests_name("the file of features", tests, begin, end);
}
