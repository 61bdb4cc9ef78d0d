/* file.c: hashes, mapped files, and files that are replaced whole or not at all. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[256], path[300];
static tl_context *context;

static int set_up(void **state) {
    (void)state;
    const char *top = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tl-file-XXXXXX", top && *top == '/' && strlen(top) < 200 ? top : "/tmp");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    context = plain_context();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    rmdir(path);
    tl_context_destroy(context);
    return rmdir(folder); /* fails where something was left behind */
}

static int entries(void) {
    DIR *stream = opendir(folder);
    int count = -2; /* . and .. */
    assert_non_null(stream);
    while (readdir(stream))
        count++;
    closedir(stream);
    return count;
}

static void put(const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_holds(const void *data, size_t bytes) {
    tl__mapping mapping;
    assert_int_equal(tl__map(context, path, &mapping), TL_OK);
    assert_int_equal(mapping.size, bytes);
    if (bytes)
        assert_memory_equal(mapping.data, data, bytes);
    tl__unmap(&mapping);
    assert_null(mapping.data);
    tl__unmap(&mapping);
}

/* ---- hashes ---- */

static void hashes(void **state) {
    (void)state;
    char text[33];
    /* xxHash's own value for no bytes and seed 0 */
    tl__hash_text(tl__hash_bytes("", 0, 0), text);
    assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
    tl__hash a = tl__hash_bytes("a", 1, 0), b = tl__hash_bytes("b", 1, 0), seeded = tl__hash_bytes("a", 1, 1);
    tl__hash ab = tl__hash_mix(a, b), ba = tl__hash_mix(b, a);
    assert_true(a.low != b.low && a.high != b.high);
    assert_true(a.low != seeded.low);
    assert_true(ab.low != ba.low && ab.high != ba.high);
    tl__hash_text((tl__hash){.low = 0x0123456789abcdef, .high = 1}, text);
    assert_string_equal(text, "00000000000000010123456789abcdef");
    assert_true(tl__fnv1a64("") == 0xcbf29ce484222325);
    assert_true(tl__fnv1a64("a") == 0xaf63dc4c8601ec8c);
    assert_true(tl__fnv1a64("foobar") == 0x85944171f73967e8);
}

static void clocks(void **state) {
    (void)state;
    double before = tl__seconds();
    assert_true(tl__seconds() >= before);
}

/* ---- mapping ---- */

static void mapping(void **state) {
    (void)state;
    put("contents");
    assert_holds("contents", 8);
    put("");
    assert_holds("", 0);
}

static void mapping_failures(void **state) {
    (void)state;
    char message[400];
    tl__mapping mapped = {.data = (const uint8_t *)"untouched", .size = 9};
    assert_int_equal(tl__map(context, path, &mapped), TL_ERROR_NOT_FOUND);
    snprintf(message, sizeof message, "%s: No such file or directory", path);
    assert_string_equal(tl_context_message(context), message);
    assert_int_equal(tl__map(context, folder, &mapped), TL_ERROR_IO);
    snprintf(message, sizeof message, "%s: is a folder", folder);
    assert_string_equal(tl_context_message(context), message);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(tl__map(context, path, &mapped), TL_ERROR_IO);
    snprintf(message, sizeof message, "%s: not a regular file", path);
    assert_string_equal(tl_context_message(context), message);
    assert_int_equal(mapped.size, 9);
}

static void forgetting(void **state) {
    (void)state;
    static const size_t ranges[][2] = {{0, 100000}, {1, 99999}, {5000, 10}, {4096, 4096}, {0, 0}, {99999, 1}};
    char *text = malloc(100001);
    for (int i = 0; i < 100000; i++)
        text[i] = (char)('a' + i % 26);
    text[100000] = '\0';
    put(text);
    tl__mapping mapped;
    assert_int_equal(tl__map(context, path, &mapped), TL_OK);
    for (size_t i = 0; i < TL__COUNT(ranges); i++) {
        tl__map_forget(&mapped, ranges[i][0], ranges[i][1]);
        assert_memory_equal(mapped.data, text, 100000);
    }
    tl__unmap(&mapped);
    free(text);
}

/* What was written just now has no stamp to go by; otherwise it is that of the path, and every fact counts. */
static void stamps(void **state) {
    (void)state;
    struct stat st;
    uint64_t stamp;
    put("text");
    assert_int_equal(stat(path, &st), 0);
    assert_true(tl__stamp_read(path, &stamp));
    struct stat old = st, other;
    old.st_mtim.tv_sec = old.st_ctim.tv_sec = 1000;
    const uint64_t settled = tl__stamp_settled(&old);
    assert_true(settled != 0);
    for (int i = 0; i < 7; i++) {
        other = old;
        other.st_size += i == 0;
        other.st_ino += i == 1;
        other.st_dev += i == 2;
        other.st_mtim.tv_sec += i == 3;
        other.st_mtim.tv_nsec ^= i == 4;
        other.st_ctim.tv_sec += i == 5;
        other.st_ctim.tv_nsec ^= i == 6;
        assert_true(tl__stamp_settled(&other) != settled && tl__stamp_settled(&other) != 0);
    }
    for (int i = 0; i < 3; i++) { /* either time, and one that is to come */
        const struct timespec now = {.tv_sec = time(NULL) + (i == 2 ? 1000 : 0)};
        other = old;
        if (i > 0)
            other.st_mtim = now;
        else
            other.st_ctim = now;
        assert_true(tl__stamp_settled(&other) == 0);
    }
    assert_int_equal(unlink(path), 0);
    assert_false(tl__stamp_read(path, &stamp));
}

/* ---- writing ---- */

static void writing(void **state) {
    (void)state;
    tl__writer writer;
    put("old");
    assert_int_equal(tl__writer_open(context, path, &writer), TL_OK);
    assert_int_equal(tl__writer_write(&writer, "new ", 4), TL_OK);
    assert_int_equal(tl__writer_write(&writer, "", 0), TL_OK);
    assert_int_equal(tl__writer_write(&writer, "text", 4), TL_OK);
    assert_holds("old", 3);
    assert_int_equal(tl__writer_commit(&writer), TL_OK);
    assert_holds("new text", 8);
    assert_int_equal(entries(), 1);
}

static void writing_nothing(void **state) {
    (void)state;
    tl__writer writer;
    assert_int_equal(tl__writer_open(context, path, &writer), TL_OK);
    assert_int_equal(tl__writer_commit(&writer), TL_OK);
    assert_holds("", 0);
}

/* Pieces smaller and larger than the writer's buffer. */
static void writing_much(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 300000, 262144, 262143, 2, 262144, 1000000, 7, 0, 131072, 131072, 131072};
    size_t total = 0, done = 0;
    for (size_t i = 0; i < TL__COUNT(pieces); i++)
        total += pieces[i];
    uint8_t *data = malloc(total);
    for (size_t i = 0; i < total; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    tl__writer writer;
    assert_int_equal(tl__writer_open(context, path, &writer), TL_OK);
    for (size_t i = 0; i < TL__COUNT(pieces); done += pieces[i++])
        assert_int_equal(tl__writer_write(&writer, data + done, pieces[i]), TL_OK);
    assert_int_equal(tl__writer_commit(&writer), TL_OK);
    assert_holds(data, total);
    free(data);
}

static void abandoning(void **state) {
    (void)state;
    tl__writer writer;
    put("old");
    assert_int_equal(tl__writer_open(context, path, &writer), TL_OK);
    assert_int_equal(tl__writer_write(&writer, "new", 3), TL_OK);
    assert_int_equal(entries(), 2);
    tl__writer_abandon(&writer);
    tl__writer_abandon(&writer);
    assert_holds("old", 3);
    assert_int_equal(entries(), 1);
}

static void two_at_once(void **state) {
    (void)state;
    tl__writer first, second;
    assert_int_equal(tl__writer_open(context, path, &first), TL_OK);
    assert_int_equal(tl__writer_open(context, path, &second), TL_OK);
    assert_int_equal(tl__writer_write(&first, "first", 5), TL_OK);
    assert_int_equal(tl__writer_write(&second, "second", 6), TL_OK);
    assert_int_equal(tl__writer_commit(&second), TL_OK);
    assert_holds("second", 6);
    assert_int_equal(tl__writer_commit(&first), TL_OK);
    assert_holds("first", 5);
    assert_int_equal(entries(), 1);
}

static void no_such_folder(void **state) {
    (void)state;
    char below[400], message[500];
    tl__writer writer;
    snprintf(below, sizeof below, "%s/none/file", folder);
    snprintf(message, sizeof message, "%s: cannot be written: No such file or directory", below);
    assert_int_equal(tl__writer_open(context, below, &writer), TL_ERROR_IO);
    assert_string_equal(tl_context_message(context), message);
    assert_int_equal(entries(), 0);
}

static void over_a_folder(void **state) {
    (void)state;
    tl__writer writer;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(tl__writer_open(context, path, &writer), TL_OK);
    assert_int_equal(tl__writer_commit(&writer), TL_ERROR_IO);
    assert_non_null(strstr(tl_context_message(context), "/file: cannot be replaced: "));
    assert_int_equal(entries(), 1);
}

/* A limit on the size of files stands for a disk that is full. */
static void disk_full(void **state) {
    (void)state;
    struct rlimit before, limit;
    static uint8_t data[1000000];
    put("old");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 500000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    for (int way = 0; way < 3; way++) {
        tl__writer writer;
        tl_status status = tl__writer_open(context, path, &writer);
        assert_int_equal(status, TL_OK);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        if (way == 0) { /* at once */
            status = tl__writer_write(&writer, data, sizeof data);
            tl__writer_abandon(&writer);
        } else { /* in pieces, then committed in spite of the failure, or failing only there */
            for (size_t done = 0; status == TL_OK && done < (way == 1 ? 1000000 : 520000); done += 1000)
                status = tl__writer_write(&writer, data, 1000);
            if (way == 1)
                tl__writer_abandon(&writer);
            else
                status = tl__writer_commit(&writer);
        }
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(status, TL_ERROR_IO);
        assert_non_null(strstr(tl_context_message(context), "/file: cannot be written: File too large"));
        assert_holds("old", 3);
        assert_int_equal(entries(), 1);
    }
    signal(SIGXFSZ, SIG_DFL);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes),
        cmocka_unit_test(clocks),
        CASE(mapping),
        CASE(mapping_failures),
        CASE(forgetting),
        CASE(stamps),
        CASE(writing),
        CASE(writing_nothing),
        CASE(writing_much),
        CASE(abandoning),
        CASE(two_at_once),
        CASE(no_such_folder),
        CASE(over_a_folder),
        CASE(disk_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
