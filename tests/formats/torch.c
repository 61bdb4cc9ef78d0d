/* torch: PyTorch's files, put together by hand, as older and newer versions wrote them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "pickles.h"

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
    return memory.blocks != 0;
}

static const struct tensor table = {"torch\nFloatStorage", "7", 6, 0, 2, {3, 2}, {1, 3}, NULL};
static const float table_values[] = {1, 4, 2, 5, 3, 6};

/* ---- what versions wrote ---- */

static void plain_and_strided(void **state) {
    (void)state;
    struct bytes b = {0};
    begin(&b);
    put_text(&b, "}(");
    text(&b, "a.weight");
    rebuild(&b, &four);
    text(&b, "b.weight");
    rebuild(&b, &table);
    put_text(&b, "u.");
    tl__archive *archive = open_good(context, &b);
    assert_string_equal(archive->format, "torch legacy");
    assert_int_equal(archive->entry_count, 2);
    assert_true(has_values(tl__archive_find(archive, "a.weight"), four_values, 4));
    const tl__entry *entry = tl__archive_find(archive, "b.weight");
    assert_true(has_values(entry, table_values, 6));
    assert_false(tl__entry_contiguous(entry));
    float part[4];
    tl__entry_read_f32(entry, 1, 4, part);
    assert_memory_equal(part, table_values + 1, sizeof part);
    tl__archive_close(archive);
}

/* OrderedDict([[key, value], ...]) with str as bytes, and Parameters that get their tensor by BUILD. */
static void python_2(void **state) {
    (void)state;
    struct bytes b = {0};
    begin(&b);
    put_text(&b, "ccollections\nOrderedDict\nq\x01](](U");
    put(&b, "\x08", 1);
    put_text(&b, "a.weightctorch.nn.parameter\nParameter\nq\x02)\x81q\x03(");
    rebuild(&b, &four);
    put_text(&b, "\x88\x89N\x89tbee\x85R.");
    tl__archive *archive = open_good(context, &b);
    assert_true(has_values(tl__archive_find(archive, "a.weight"), four_values, 4));
    tl__archive_close(archive);
}

static void wrapped_tensors(void **state) {
    (void)state;
    struct bytes b = {0};
    begin(&b);
    put_text(&b, "}(");
    text(&b, "v1");
    put_text(&b, "ctorch._utils\n_rebuild_tensor\n(");
    arguments(&b, &four);
    put_text(&b, "tR");
    text(&b, "v3");
    put_text(&b, "ctorch._utils\n_rebuild_tensor_v3\n(");
    arguments(&b, &four);
    put_text(&b, "\x89)ctorch\nfloat32\nNtR");
    text(&b, "parameter");
    put_text(&b, "ctorch._utils\n_rebuild_parameter_with_state\n(");
    rebuild(&b, &four);
    put_text(&b, "\x88)}tR");
    text(&b, "subclass");
    put_text(&b, "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n(");
    arguments(&b, &four);
    put_text(&b, "\x89)t}tR");
    text(&b, "view");
    rebuild(&b, &(struct tensor){"torch\nFloatStorage", "7", 6, 1, 1, {4}, {1}, (int32_t[]){1, 5}});
    text(&b, "scalar");
    rebuild(&b, &(struct tensor){"torch.cuda\nFloatStorage", "7", 6, 5, 0, {0}, {0}, NULL});
    text(&b, "empty");
    rebuild(&b, &(struct tensor){"torch\nFloatStorage", "7", 6, 6, 2, {0, 1000}, {1000, 1}, NULL});
    text(&b, "repeated");
    rebuild(&b, &(struct tensor){"torch\nFloatStorage", "7", 6, 2, 2, {3, 1}, {0, 1}, NULL});
    put_text(&b, "u.");
    tl__archive *archive = open_good(context, &b);
    static const char *const names[] = {"v1", "v3", "parameter", "subclass", "view"};
    for (size_t i = 0; i < TL__COUNT(names); i++)
        assert_true(has_values(tl__archive_find(archive, names[i]), four_values, 4));
    assert_true(has_values(tl__archive_find(archive, "scalar"), (float[]){6}, 1));
    assert_true(has_values(tl__archive_find(archive, "empty"), NULL, 0));
    assert_true(has_values(tl__archive_find(archive, "repeated"), (float[]){3, 3, 3}, 3));
    tl__archive_close(archive);
}

/* Which names come out of which dictionaries. */
static void wrappers(void **state) {
    (void)state;
    static const struct {
        const char *prefix[2]; /* dictionaries around the two tensors, "a" and "module.b" */
        const char *names[2];
    } cases[] = {
        {{"state_dict", NULL}, {"a", "b"}},  {{"model", "state_dict"}, {"a", "b"}}, {{"anything", NULL}, {"a", "b"}},
        {{"net", "anything"}, {"a", "b"}},   {{NULL, NULL}, {"a", "b"}},
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        struct bytes b = {0};
        int depth = 0;
        begin(&b);
        put_text(&b, "}(");
        for (; depth < 2 && cases[i].prefix[depth]; depth++) {
            text(&b, "epoch");
            integer(&b, 3);
            text(&b, cases[i].prefix[depth]);
            put_text(&b, "}(");
        }
        named(&b, "a");
        named(&b, "module.b");
        while (depth-- > 0)
            put_text(&b, "u");
        put_text(&b, "u.");
        tl__archive *archive = open_good(context, &b);
        assert_int_equal(archive->entry_count, 2);
        for (int j = 0; j < 2; j++)
            assert_non_null(tl__archive_find(archive, cases[i].names[j]));
        tl__archive_close(archive);
    }
}

static void parts(void **state) {
    (void)state;
    struct bytes b = {0};
    begin(&b);
    put_text(&b, "}(");
    text(&b, "trunk");
    put_text(&b, "}(");
    named(&b, "a");
    put_text(&b, "u");
    text(&b, "optimizer");
    put_text(&b, "}(");
    named(&b, "momentum");
    put_text(&b, "u");
    text(&b, "head");
    put_text(&b, "}(");
    named(&b, "a");
    put_text(&b, "uu.");
    tl__archive *archive = open_good(context, &b);
    assert_int_equal(archive->entry_count, 2);
    assert_non_null(tl__archive_find(archive, "trunk.a"));
    assert_non_null(tl__archive_find(archive, "head.a"));
    tl__archive_close(archive);
}

/* "module." stays where taking it off would make two names equal; a common "model." goes. */
static void prefixes(void **state) {
    (void)state;
    static const char *const cases[][4] = {
        {"module.a", "a", "module.a", "a"},
        {"module.a", "n_averaged", "a", "n_averaged"},
        {"model.module.a", "model.b", "a", "b"},
        {"model.a", "loss.b", "model.a", "loss.b"},
        {"module._orig_mod.a", "module._orig_mod.b", "a", "b"},
        {"module.", "b", "module.", "b"},
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        struct bytes b = {0};
        begin(&b);
        put_text(&b, "}(");
        named(&b, cases[i][0]);
        named(&b, cases[i][1]);
        put_text(&b, "u.");
        tl__archive *archive = open_good(context, &b);
        assert_string_equal(archive->entries[0].name, cases[i][2]);
        assert_string_equal(archive->entries[1].name, cases[i][3]);
        assert_ptr_equal(tl__archive_find(archive, cases[i][2]), &archive->entries[0]);
        tl__archive_close(archive);
    }
}

/* What scripts keep beside the weights is let through, and nothing comes of it. */
static void companions(void **state) {
    (void)state;
    struct bytes b = {0};
    begin(&b);
    put_text(&b, "}(");
    named(&b, "a");
    text(&b, "args");
    put_text(&b, "cargparse\nNamespace\n)\x81}");
    text(&b, "lr");
    put(&b, "G\x3f\xb9\x99\x99\x99\x99\x99\x9as", 10);
    put_text(&b, "b");
    text(&b, "best");
    put_text(&b, "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(");
    text(&b, "f8");
    put_text(&b, "\x89\x88tR(K\x03NtbC\x03xyztR");
    text(&b, "milestones");
    put_text(&b, "ccollections\nCounter\n}K\x01K\x02s\x85R");
    text(&b, "set");
    put_text(&b, "\x8f(K\x01\x90");
    text(&b, "big");
    put(&b, "\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    text(&b, "when");
    put_text(&b, "cdatetime\ndatetime\nC\x01x\x85R2(NNN10"); /* with detours over the stack */
    put_text(&b, "u.");
    tl__archive *archive = open_good(context, &b);
    assert_int_equal(archive->entry_count, 1);
    tl__archive_close(archive);
}

/* ---- the older container ---- */

static void containers(void **state) {
    (void)state;
    static const char *const wrong[][2] = {
        {"\x80\x02N.", "not PyTorch's"},
        {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x18.", "not PyTorch's"},
        {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe8\x03.", "unknown version"},
        {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02N.", "which machine"},
        {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}U\x0dlittle_endian\x89s.",
         "big endian"},
    };
    for (size_t i = 0; i < TL__COUNT(wrong); i++) {
        struct bytes b = {0};
        tl_status status;
        put_text(&b, wrong[i][0]);
        assert_null(open_bytes(context, &b, &status));
        assert_int_equal(status, strstr(wrong[i][1], "endian") ? TL_UNSUPPORTED : TL_ERROR_FORMAT);
        assert_non_null(strstr(tl_context_message(context), wrong[i][1]));
    }
}

/* ---- the zip container ---- */

struct part {
    const char *name;
    const void *data;
    size_t size;
    bool deflated;
};

static void write_zip(const char *path, const struct part *files, size_t count) {
    unlink(path);
    zip_t *zip = zip_open(path, ZIP_CREATE, NULL);
    assert_non_null(zip);
    for (size_t i = 0; i < count; i++) {
        zip_source_t *source = zip_source_buffer(zip, files[i].data, files[i].size, 0);
        zip_int64_t index = zip_file_add(zip, files[i].name, source, 0);
        assert_true(index >= 0);
        zip_set_file_compression(zip, (zip_uint64_t)index, files[i].deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
    }
    assert_int_equal(zip_close(zip), 0);
}

static void zips(void **state) {
    (void)state;
    static const float floats[] = {1, 2, 3, 4, 5, 6};
    static const char zeros[1000] = {0};
    struct bytes b = {0};
    begin(&b);
    put_text(&b, "}");
    named(&b, "a");
    put_text(&b, "s.");
    const struct part pickle = {"x/data.pkl", b.data, b.size, false}, data = {"x/data/7", floats, sizeof floats, false};
    const struct {
        struct part files[4];
        size_t count;
        const char *says; /* NULL: good */
        tl_status status;
    } cases[] = {
        {{pickle, data}, 2, NULL, TL_OK},
        {{pickle, data, {"x/byteorder", "little", 6, false}, {"x/.data/id", "1", 1, false}}, 4, NULL, TL_OK},
        {{{"x/version", "3\n", 2, false}, data, pickle}, 3, NULL, TL_OK},
        {{{"data.pkl", b.data, b.size, false}, {"data/7", floats, sizeof floats, false}}, 2, NULL, TL_OK},
        {{{"y/version", "3\n", 2, false}, data, pickle}, 3, "data.pkl: is not in it", TL_ERROR_FORMAT},
        {{data}, 1, "data.pkl: is not in it", TL_ERROR_FORMAT},
        {{pickle}, 1, "data/7 is not in it", TL_ERROR_FORMAT},
        {{pickle, {"x/data/7", floats, 20, false}}, 2, "size that its tensors need", TL_ERROR_FORMAT},
        {{pickle, {"x/data/7", zeros, sizeof zeros, false}}, 2, "size that its tensors need", TL_ERROR_FORMAT},
        {{pickle, data, {"x/code", zeros, sizeof zeros, true}}, 3, "compressed", TL_ERROR_FORMAT},
        {{pickle, data, {"x/byteorder", "big", 3, false}}, 3, "byte order", TL_UNSUPPORTED},
        {{pickle, data, {"x/byteorder", "pdp", 3, false}}, 3, "byte order", TL_ERROR_FORMAT},
        {{{"x/data.pkl", "", 0, false}, data}, 2, "data.pkl: is not in it", TL_ERROR_FORMAT},
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        char path[512];
        tl__archive *archive = NULL;
        snprintf(path, sizeof path, "%s", temporary("zip.pth"));
        write_zip(path, cases[i].files, cases[i].count);
        assert_int_equal(tl__archive_open(context, path, &archive), cases[i].status);
        if (cases[i].says)
            assert_non_null(strstr(tl_context_message(context), cases[i].says));
        else
            assert_true(has_values(tl__archive_find(archive, "a"), four_values, 4));
        tl__archive_close(archive);
    }
    free(b.data);
}

/* A name twice, which libzip does not write: a second entry is renamed in place. */
static void zip_twice(void **state) {
    (void)state;
    const struct part files[] = {{"x/data.pkl", "N.", 2, false}, {"x/data.pkm", "N.", 2, false}};
    char path[512];
    size_t size;
    tl__archive *archive = NULL;
    snprintf(path, sizeof path, "%s", temporary("twice.pth"));
    write_zip(path, files, 2);
    uint8_t *raw = read_file(path, &size);
    assert_non_null(raw);
    for (size_t i = 0; i + 10 < size; i++)
        if (memcmp(raw + i, "x/data.pkm", 10) == 0)
            raw[i + 9] = 'l';
    assert_true(write_file(path, raw, size));
    free(raw);
    assert_int_equal(tl__archive_open(context, path, &archive), TL_ERROR_FORMAT);
    assert_non_null(strstr(tl_context_message(context), "twice"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_and_strided, setup, teardown),
        cmocka_unit_test_setup_teardown(python_2, setup, teardown),
        cmocka_unit_test_setup_teardown(wrapped_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(wrappers, setup, teardown),
        cmocka_unit_test_setup_teardown(parts, setup, teardown),
        cmocka_unit_test_setup_teardown(prefixes, setup, teardown),
        cmocka_unit_test_setup_teardown(companions, setup, teardown),
        cmocka_unit_test_setup_teardown(containers, setup, teardown),
        cmocka_unit_test_setup_teardown(zips, setup, teardown),
        cmocka_unit_test_setup_teardown(zip_twice, setup, teardown),
    };
    return cmocka_run_group_tests_name("torch", tests, NULL, NULL);
}
