/* safetensors: the writer and the reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"

static struct memory memory;
static tl_context *context;

static int setup(void **state) {
    (void)state;
    memory = (struct memory){0};
    context = context_with(&memory);
    return context == NULL;
}

static int teardown(void **state) {
    (void)state;
    tl_context_destroy(context);
    return memory.blocks != 0; /* a leak */
}

/* Byte j of tensor i; small and finite in every type. */
static uint8_t byte_of(size_t tensor, size_t j) {
    return (uint8_t)((tensor * 7 + j * 13) % 60);
}

struct source {
    const tl__output *outputs;
    size_t fail_at;
};

static int64_t bytes_of(const tl__output *output) {
    int64_t bytes = (int64_t)tl__dtype_size(output->dtype);
    for (int i = 0; i < output->rank; i++)
        bytes *= output->shape[i];
    return bytes;
}

static tl_status fill(void *user, size_t index, void *out) {
    struct source *source = user;
    if (index + 1 == source->fail_at)
        return TL_ERROR_DEVICE;
    for (int64_t j = 0; j < bytes_of(&source->outputs[index]); j++)
        ((uint8_t *)out)[j] = byte_of(index, (size_t)j);
    return TL_OK;
}

static tl_status write_outputs(const char *path, const tl__output *outputs, size_t count, size_t fail_at) {
    struct source source = {outputs, fail_at};
    tl__metadata metadata[] = {{"format", "pt"}, {"note", "\xce\xa9mega \"quoted\"\n"}};
    return tl__safetensors_write(context, path, outputs, count, metadata, 2, fill, &source);
}

static size_t files_in_folder(const char *path) {
    char folder[512];
    size_t count = 0;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries));)
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}

/* Every dtype at every rank, sizes of 0 and 1 among them. */
#define SETS 9
static size_t make_outputs(tl__output outputs[64 + SETS], char names[64 + SETS][32]) {
    size_t count = 0;
    for (int dtype = TL_DTYPE_F32; dtype <= TL_DTYPE_I64; dtype++)
        for (int rank = 0; rank <= TL__ARCHIVE_MAX_RANK; rank++, count++) {
            snprintf(names[count], sizeof names[count], "layer%d.\xc3\xa9.%d", dtype, rank);
            outputs[count] = (tl__output){.name = names[count], .dtype = dtype, .rank = rank};
            for (int i = 0; i < rank; i++)
                outputs[count].shape[i] = (i + rank) % 3 + (rank == 5 ? 0 : 1);
        }
    return count;
}

static void round_trip(void **state) {
    (void)state;
    static tl__output outputs[64 + SETS];
    static char names[64 + SETS][32];
    size_t count = make_outputs(outputs, names), size;
    const char *path = temporary("round-trip");
    assert_int_equal(write_outputs(path, outputs, count, 0), TL_OK);

    tl__archive *archive = NULL;
    assert_int_equal(tl__archive_open(context, path, &archive), TL_OK);
    assert_string_equal(archive->format, "safetensors");
    assert_int_equal(archive->entry_count, count);
    assert_string_equal(tl__archive_get(archive, "note"), "\xce\xa9mega \"quoted\"\n");
    assert_null(tl__archive_get(archive, "absent"));
    assert_null(tl__archive_find(archive, "absent"));
    for (size_t i = 0; i < count; i++) {
        const tl__entry *entry = tl__archive_find(archive, outputs[i].name);
        assert_ptr_equal(entry, &archive->entries[i]);
        assert_int_equal(entry->dtype, outputs[i].dtype);
        assert_int_equal(entry->rank, outputs[i].rank);
        assert_memory_equal(entry->shape, outputs[i].shape, sizeof entry->shape);
        assert_true(tl__entry_contiguous(entry));
        for (int64_t j = 0; j < bytes_of(&outputs[i]); j++)
            assert_int_equal(entry->data[j], byte_of(i, (size_t)j));
    }
    read_everything(archive);
    tl__archive_close(archive);

    uint8_t *raw = read_file(path, &size);
    assert_non_null(raw);
    assert_int_equal(raw[0] % 8, 0);
    assert_int_equal(raw[8], '{');
    free(raw);
}

static void values(void **state) {
    (void)state;
    static const struct {
        const char *type;
        size_t size;
        uint64_t bits[3];
        float values[3];
    } cases[] = {
        {"F32", 4, {0x3f800000, 0xc0490fdb, 0x00000001}, {1, -3.14159274f, 1.40129846e-45f}},
        {"F64", 8, {0x3ff0000000000000, 0xc00921fb54442d18, 0x7ff0000000000000}, {1, -3.14159274f, __builtin_inff()}},
        {"F16", 2, {0x3c00, 0xfbff, 0x0001}, {1, -65504, 5.9604644775390625e-08f}},
        {"BF16", 2, {0x3f80, 0xc049, 0x0001}, {1, -3.140625f, 9.18354962e-41f}},
        {"U8", 1, {0, 200, 255}, {0, 200, 255}},
        {"I8", 1, {0, 0x80, 0xff}, {0, -128, -1}},
        {"I32", 4, {5, 0x80000000, 0xffffffff}, {5, -2147483648.0f, -1}},
        {"I64", 8, {5, 0x8000000000000000, UINT64_MAX}, {5, -9223372036854775808.0f, -1}},
        {"BOOL", 1, {0, 1, 1}, {0, 1, 1}},
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        struct bytes bytes = {0};
        char header[200];
        tl_status status;
        int length = snprintf(header, sizeof header,
                              "{\"x\":{\"dtype\":\"%s\",\"shape\":[3,1],\"data_offsets\":[0,%zu]}}", cases[i].type,
                              3 * cases[i].size);
        put_le(&bytes, (uint64_t)length, 8);
        put_text(&bytes, header);
        for (int j = 0; j < 3; j++)
            put_le(&bytes, cases[i].bits[j], cases[i].size);
        tl__archive *archive = open_bytes(context, &bytes, &status);
        assert_non_null(archive);
        assert_true(has_values(tl__archive_find(archive, "x"), cases[i].values, 3));
        tl__archive_close(archive);
    }
}

static void unwritable(void **state) {
    (void)state;
    tl__output outputs[] = {{"a", TL_DTYPE_F32, 1, {300000}, 0, NULL}, {"b", TL_DTYPE_F32, 1, {300000}, 0, NULL}};
    char path[512];
    size_t size;
    snprintf(path, sizeof path, "%s", temporary("no-such-folder/x"));
    assert_int_equal(write_outputs(path, outputs, 2, 0), TL_ERROR_IO);
    assert_non_null(strstr(tl_context_message(context), "no-such-folder/x"));

    snprintf(path, sizeof path, "%s", temporary("kept"));
    assert_true(write_file(path, "old", 3));
    size_t files = files_in_folder(path);
    assert_int_equal(write_outputs(path, outputs, 2, 2), TL_ERROR_DEVICE);

    struct rlimit limit, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 1000000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tl_status status = write_outputs(path, outputs, 2, 0);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(status, TL_ERROR_IO);

    uint8_t *old = read_file(path, &size);
    assert_non_null(old);
    assert_int_equal(size, 3);
    assert_string_equal((char *)old, "old");
    assert_int_equal(files_in_folder(path), files);
    free(old);
    assert_int_equal(write_outputs(path, outputs, 2, 0), TL_OK);
    assert_int_equal(files_in_folder(path), files);
}

static void refused_outputs(void **state) {
    (void)state;
    const tl__output good = {"a", TL_DTYPE_F32, 1, {2}, 0, NULL};
    const tl__output bad[] = {
        {"a", TL_DTYPE_F32, 1, {2}, 0, NULL},         {"__metadata__", TL_DTYPE_F32, 1, {2}, 0, NULL}, {NULL, TL_DTYPE_F32, 1, {2}, 0, NULL},
        {"\xff", TL_DTYPE_F32, 1, {2}, 0, NULL},      {"b", TL_DTYPE_NONE, 1, {2}, 0, NULL},           {"b", 99, 1, {2}, 0, NULL},
        {"b", TL_DTYPE_F32, 9, {0}, 0, NULL},         {"b", TL_DTYPE_F32, -1, {0}, 0, NULL},           {"b", TL_DTYPE_F32, 1, {-2}, 0, NULL},
        {"b", TL_DTYPE_F32, 2, {INT64_MAX, 2}, 0, NULL},
        {"b", TL_DTYPE_U8, 1, {INT64_MAX}, 0, NULL},
    };
    char path[512];
    snprintf(path, sizeof path, "%s", temporary("refused"));
    for (size_t i = 0; i < TL__COUNT(bad); i++) {
        tl__output outputs[] = {good, bad[i]};
        assert_int_equal(write_outputs(path, outputs, 2, 0), TL_ERROR_ARGUMENT);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    tl__metadata metadata = {"note", "\xc0\x80"};
    struct source source = {&good, 0};
    assert_int_equal(tl__safetensors_write(context, path, &good, 1, &metadata, 1, fill, &source), TL_ERROR_ARGUMENT);
}

static void malformed(void **state) {
    (void)state;
#define F32 "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":"
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } cases[] = {
        {"{}", 1, "belong to no tensor"},
        {"{\"a\":" F32 "[0,8]}}", 7, "beyond"},
        {"{\"a\":" F32 "[0,8]}}", 9, "belong to no tensor"},
        {"{\"a\":" F32 "[8,0]}}", 8, "beyond"},
        {"{\"a\":" F32 "[-8,0]}}", 8, "beyond"},
        {"{\"a\":" F32 "[0,4]}}", 4, "does not fit"},
        {"{\"a\":" F32 "[0,8,8]}}", 8, "data_offsets"},
        {"{\"a\":" F32 "[0.0,8.0]}}", 8, "data_offsets"},
        {"{\"a\":" F32 "{\"x\":1}}}", 8, "not an object of"},
        {"{\"a\":" F32 "[[0],8]}}", 8, "not an object of"},
        {"{\"a\":[1]}", 0, "not an object of"},
        {"{\"a\":7}", 0, "dtype"},
        {"{\"a\":{}}", 0, "dtype"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,0]}}", 0, "unknown type"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,0]}}", 0, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0.5],\"data_offsets\":[0,0]}}", 0, "integers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]}}", 0, "too big"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "8 dimensions"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "does not fit"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "not text"},
        {"{\"__metadata__\":1}", 0, "not an object"},
        {"{\"a\\u0000b\":" F32 "[0,8]}}", 8, "u0000"},
        {"{\"\xff\":" F32 "[0,8]}}", 8, "decode"},
        {"{\"a\":" F32 "[0,8]}} x", 8, "end of file"},
        {"{\"a\":" F32 "[0,8]},", 8, "string"},
        {" {\"a\":" F32 "[0,8]}}", 8, "begin with"},
        {"{\"a\":" F32 "[0,8]},\"a\":" F32 "[8,16]}}", 16, "duplicate"},
        {"{\"a\":" F32 "[0,8]},\"b\":" F32 "[0,8]}}", 8, "overlaps"},
        {"{\"module.a\":" F32 "[0,8]},\"b\":{\"dtype\":\"I16\",\"shape\":[3],\"data_offsets\":[8,14]}}", 14, NULL},
        {"{\"a\":" F32 "[0,8]}}      ", 8, NULL},
        {"{}", 0, NULL},
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        struct bytes bytes = {0};
        tl_status status;
        put_le(&bytes, strlen(cases[i].header), 8);
        put_text(&bytes, cases[i].header);
        for (size_t j = 0; j < cases[i].data; j++)
            put_le(&bytes, 0, 1);
        tl__archive *archive = open_bytes(context, &bytes, &status);
        if (cases[i].says) {
            assert_null(archive);
            assert_int_equal(status, TL_ERROR_FORMAT);
            if (!strstr(tl_context_message(context), cases[i].says))
                fail_msg("%s: %s", cases[i].header, tl_context_message(context));
        } else {
            assert_int_equal(status, TL_OK);
        }
        tl__archive_close(archive);
    }
}

static void unread_types(void **state) {
    (void)state;
    struct bytes bytes = {0};
    tl_status status;
    const char *header = "{\"a\":" F32 "[0,8]},\"b\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[8,11]}}";
    put_le(&bytes, strlen(header), 8);
    put_text(&bytes, header);
    put(&bytes, "12345678901", 11);
    tl__archive *archive = open_bytes(context, &bytes, &status);
    assert_non_null(archive);
    assert_int_equal(archive->entry_count, 1);
    assert_int_equal(archive->unread_count, 1);
    assert_string_equal(archive->unread[0].key, "b");
    assert_string_equal(archive->unread[0].value, "F8_E4M3");
    tl__archive_close(archive);
}

static void no_memory(void **state) {
    (void)state;
    tl__output outputs[] = {{"a", TL_DTYPE_F32, 1, {30}, 0, NULL}, {"b", TL_DTYPE_I64, 0, {0}, 0, NULL}};
    char path[512];
    tl_status status = TL_ERROR_MEMORY;
    size_t blocks = memory.blocks, steps = 0;
    snprintf(path, sizeof path, "%s", temporary("memory"));
    for (; status == TL_ERROR_MEMORY; steps++) {
        memory.fail_at = memory.calls + steps + 1;
        status = write_outputs(path, outputs, 2, 0);
        memory.fail_at = 0;
        assert_int_equal(memory.blocks, blocks);
        assert_int_equal(access(path, F_OK), status == TL_OK ? 0 : -1);
    }
    assert_int_equal(status, TL_OK);
    assert_true(steps > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(values, setup, teardown),
        cmocka_unit_test_setup_teardown(unwritable, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_outputs, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(unread_types, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
