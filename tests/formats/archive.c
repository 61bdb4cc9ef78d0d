/* archive: what holds for every format: files that are cut off, damaged, missing; memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static struct memory memory;
static tl_context *context;

static const char *const good_files[] = {
    "zip.pth",           "legacy.pth",          "zip-protocol4.pth", "wrapped.pth", "parameters.pth",
    "channels-last.pth", "shared-storage.pth",  "plain.safetensors", "bfloat16.safetensors",
};

static int setup(void **state) {
    (void)state;
    memory = (struct memory){0};
    context = context_with(&memory);
    return context == NULL;
}

static int teardown(void **state) {
    (void)state;
    tl_context_destroy(context);
    return memory.blocks != 0;
}

static uint8_t *load(const char *name, size_t *size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", data_folder(), name);
    uint8_t *data = read_file(path, size);
    if (!data)
        fail_msg("%s cannot be read", path);
    return data;
}

/* A writable copy, to be damaged. */
static int copy_of(const char *name, char path[512], uint8_t **data, size_t *size) {
    *data = load(name, size);
    snprintf(path, 512, "%s", temporary("copy"));
    assert_true(write_file(path, *data, *size));
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

static void not_there(void **state) {
    (void)state;
    tl__archive *archive = NULL;
    struct bytes empty = {0};
    tl_status status;
    assert_int_equal(tl__archive_open(context, temporary("absent.pth"), &archive), TL_ERROR_NOT_FOUND);
    assert_non_null(strstr(tl_context_message(context), "absent.pth"));
    assert_int_equal(tl__archive_open(context, data_folder(), &archive), TL_ERROR_IO);
    assert_null(open_bytes(context, &empty, &status));
    assert_int_equal(status, TL_ERROR_FORMAT);
    assert_non_null(strstr(tl_context_message(context), "is empty"));
    assert_null(archive);
    tl__archive_close(NULL);
}

/* A safetensors header may be as long as other formats' first bytes read: 0x0280 begins like a pickle. */
static void look_alike(void **state) {
    (void)state;
    static const uint64_t lengths[] = {0x0280, 0x0108, 0x4b50};
    for (size_t i = 0; i < TL__COUNT(lengths); i++) {
        const char *header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
        struct bytes bytes = {0};
        tl_status status;
        put_le(&bytes, lengths[i], 8);
        put_text(&bytes, header);
        for (uint64_t at = strlen(header); at < lengths[i]; at++)
            put_text(&bytes, " ");
        put_le(&bytes, 9, 1);
        tl__archive *archive = open_bytes(context, &bytes, &status);
        assert_non_null(archive);
        assert_string_equal(archive->format, "safetensors");
        assert_true(has_values(tl__archive_find(archive, "a"), (float[]){9}, 1));
        tl__archive_close(archive);
    }
}

/* No beginning of a good file is a good file. */
static void cut_off(void **state) {
    (void)state;
    for (size_t i = 0; i < TL__COUNT(good_files); i++) {
        char path[512];
        uint8_t *data;
        size_t size;
        int fd = copy_of(good_files[i], path, &data, &size);
        free(data);
        while (size > 0) {
            size -= size < 700 ? 1 : size % 211 + 397;
            tl__archive *archive = NULL;
            assert_int_equal(ftruncate(fd, (off_t)size), 0);
            if (tl__archive_open(context, path, &archive) == TL_OK)
                fail_msg("%s: %zu bytes of it were opened", good_files[i], size);
            assert_null(archive);
        }
        close(fd);
    }
}

/* One wrong byte: an error, or an archive all of whose values can be read. */
static void damaged(void **state) {
    (void)state;
    for (size_t i = 0; i < TL__COUNT(good_files); i++) {
        char path[512];
        uint8_t *data;
        size_t size, opened = 0, tried = 0;
        int fd = copy_of(good_files[i], path, &data, &size);
        for (size_t at = 0; at < size; tried++) {
            static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x20};
            uint8_t wrong = data[at] ^ flips[tried % TL__COUNT(flips)];
            tl__archive *archive = NULL;
            assert_int_equal(pwrite(fd, &wrong, 1, (off_t)at), 1);
            if (tl__archive_open(context, path, &archive) == TL_OK) {
                opened++;
                read_everything(archive);
            }
            tl__archive_close(archive);
            assert_int_equal(pwrite(fd, &data[at], 1, (off_t)at), 1);
            at += at < 200 || size - at < 200 ? 1 : 61 + tried % 97;
        }
        assert_true(opened < tried);
        free(data);
        close(fd);
    }
}

/* Every allocation fails once. */
static void no_memory(void **state) {
    (void)state;
    for (size_t i = 0; i < TL__COUNT(good_files); i++) {
        char path[4096];
        size_t blocks = memory.blocks, step = 0;
        tl_status status = TL_ERROR_MEMORY;
        snprintf(path, sizeof path, "%s/%s", data_folder(), good_files[i]);
        while (status == TL_ERROR_MEMORY) {
            tl__archive *archive = NULL;
            memory.fail_at = memory.calls + ++step;
            status = tl__archive_open(context, path, &archive);
            memory.fail_at = 0;
            assert_int_equal(archive != NULL, status == TL_OK);
            tl__archive_close(archive);
            assert_int_equal(memory.blocks, blocks);
        }
        assert_int_equal(status, TL_OK);
        assert_true(step > 10);
    }
}

/* Reading from any place on gives the same as reading at once. */
static void any_part(void **state) {
    (void)state;
    static const char *const files[] = {"channels-last.pth", "shared-storage.pth", "half.pth", "double.pth"};
    for (size_t i = 0; i < TL__COUNT(files); i++) {
        char path[4096];
        tl__archive *archive = NULL;
        snprintf(path, sizeof path, "%s/%s", data_folder(), files[i]);
        assert_int_equal(tl__archive_open(context, path, &archive), TL_OK);
        const tl__entry *entry = tl__archive_find(archive, "conv1.weight");
        assert_non_null(entry);
        assert_int_equal(entry->count, 4 * 3 * 7 * 7);
        float whole[4 * 3 * 7 * 7], part[4 * 3 * 7 * 7];
        tl__entry_read_f32(entry, 0, entry->count, whole);
        for (int64_t first = 0; first < entry->count; first += 11)
            for (int64_t count = 0; first + count <= entry->count; count += 23) {
                tl__entry_read_f32(entry, first, count, part);
                assert_memory_equal(part, whole + first, (size_t)count * sizeof *part);
            }
        tl__archive_close(archive);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(look_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(any_part, setup, teardown),
    };
    return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
