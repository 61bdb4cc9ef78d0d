/* torch: PyTorch's files, put together by hand: what older and newer versions wrote, and what none would. */
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
    return memory.blocks != 0;
}

/* ---- pickles: text is written as Python would, one letter commands after it ---- */

static void text(struct bytes *b, const char *value) {
    put_text(b, "X");
    put_le(b, strlen(value), 4);
    put_text(b, value);
}

static void integer(struct bytes *b, int32_t value) {
    put_text(b, "J");
    put_le(b, (uint32_t)value, 4);
}

static void integers(struct bytes *b, const int32_t *values, int count) {
    put_text(b, "(");
    for (int i = 0; i < count; i++)
        integer(b, values[i]);
    put_text(b, "t");
}

static void storage(struct bytes *b, const char *type, const char *key, int32_t count, const int32_t view[2]) {
    put_text(b, "(");
    text(b, "storage");
    put_text(b, "c");
    put_text(b, type);
    put_text(b, "\n");
    text(b, key);
    text(b, "cpu");
    integer(b, count);
    if (view) {
        put_text(b, "(");
        text(b, "view");
        integer(b, view[0]);
        integer(b, view[1]);
        put_text(b, "t");
    }
    put_text(b, "tQ");
}

/* The arguments of a _rebuild_tensor function, without its mark and tuple. */
struct tensor {
    const char *type, *key;
    int32_t elements, offset;
    int rank;
    int32_t shape[10], strides[10];
    const int32_t *view;
};

static void arguments(struct bytes *b, const struct tensor *t) {
    storage(b, t->type, t->key, t->elements, t->view);
    integer(b, t->offset);
    integers(b, t->shape, t->rank);
    integers(b, t->strides, t->rank);
}

static void rebuild(struct bytes *b, const struct tensor *t) {
    put_text(b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    arguments(b, t);
    put_text(b, "\x89"
                "ccollections\nOrderedDict\n)RtR");
}

static const struct tensor four = {"torch\nFloatStorage", "7", 6, 2, 1, {4}, {1}, NULL};
static const struct tensor table = {"torch\nFloatStorage", "7", 6, 0, 2, {3, 2}, {1, 3}, NULL};
static const float four_values[] = {3, 4, 5, 6}, table_values[] = {1, 4, 2, 5, 3, 6};

static void begin(struct bytes *b) {
    put(b, "\x80\x02", 2);
}

static bool mentions(const struct bytes *b, const char *word) {
    for (size_t i = 0; i + strlen(word) <= b->size; i++)
        if (memcmp(b->data + i, word, strlen(word)) == 0)
            return true;
    return false;
}

/* An older file around an object: storage "7", where the object has one, is the floats 1 .. 6. */
static void legacy(struct bytes *file, struct bytes *object) {
    bool stored = mentions(object, "storage");
    put(file, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    put(file, "\x80\x02M\xe9\x03.", 6);
    put(file, "\x80\x02}", 3);
    text(file, "little_endian");
    put(file, "\x88s.", 3);
    put(file, object->data, object->size);
    put(file, "\x80\x02]", 3);
    if (stored) {
        text(file, "7");
        put_text(file, "a");
    }
    put_text(file, ".");
    if (stored)
        put_le(file, 6, 8);
    for (int i = 1; i <= 6 && stored; i++) {
        float value = (float)i;
        put(file, &value, sizeof value);
    }
    free(object->data);
    *object = (struct bytes){0};
}

static tl__archive *open_object(struct bytes *object, tl_status *status) {
    struct bytes file = {0};
    legacy(&file, object);
    return open_bytes(context, &file, status);
}

static tl__archive *open_good(struct bytes *object) {
    tl_status status;
    tl__archive *archive = open_object(object, &status);
    if (!archive)
        fail_msg("%s", tl_context_message(context));
    return archive;
}

static void refuse(struct bytes *object, const char *says) {
    tl_status status;
    assert_null(open_object(object, &status));
    assert_true(status == TL_ERROR_FORMAT || status == TL_ERROR_LIMIT);
    if (!strstr(tl_context_message(context), says))
        fail_msg("not \"%s\": %s", says, tl_context_message(context));
}

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
    tl__archive *archive = open_good(&b);
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
    tl__archive *archive = open_good(&b);
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
    tl__archive *archive = open_good(&b);
    static const char *const names[] = {"v1", "v3", "parameter", "subclass", "view"};
    for (size_t i = 0; i < TL__COUNT(names); i++)
        assert_true(has_values(tl__archive_find(archive, names[i]), four_values, 4));
    assert_true(has_values(tl__archive_find(archive, "scalar"), (float[]){6}, 1));
    assert_true(has_values(tl__archive_find(archive, "empty"), NULL, 0));
    assert_true(has_values(tl__archive_find(archive, "repeated"), (float[]){3, 3, 3}, 3));
    tl__archive_close(archive);
}

static void named(struct bytes *b, const char *name) {
    text(b, name);
    rebuild(b, &four);
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
        tl__archive *archive = open_good(&b);
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
    tl__archive *archive = open_good(&b);
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
        tl__archive *archive = open_good(&b);
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
    tl__archive *archive = open_good(&b);
    assert_int_equal(archive->entry_count, 1);
    tl__archive_close(archive);
}

static void refused(void **state) {
    (void)state;
#define D2 "\x80\x02"
#define CASE(object, says) {object, sizeof object - 1, says}
    static const struct {
        const char *object;
        size_t size;
        const char *says;
    } cases[] = {
        CASE(D2 "cposix\nsystem\n.", "posix.system"),
        CASE(D2 "cos\nsystem\nX\1\0\0\0x\x85R.", "os.system"),
        CASE(D2 "c__builtin__\neval\n)R.", "__builtin__.eval"),
        CASE(D2 "ctorch.nn.modules.linear\nLinear\n)\x81.", "torch.nn.modules.linear.Linear"),
        CASE(D2 "ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"),
        CASE(D2 "K\1)R.", "no function"),
        CASE(D2 "ccollections\nOrderedDict\nK\1R.", "no function"),
        CASE(D2 "ctorch._utils\n_rebuild_tensor_v2\n)R.", "would not give it"),
        CASE(D2 "ctorch._utils\n_rebuild_parameter\nN\x85R.", "would not give it"),
        CASE(D2 "ctorch\nSize\nN\x85R.", "would not give it"),
        CASE(D2 "ccollections\nOrderedDict\n]K\1a\x85R.", "no pairs"),
        CASE(D2 ".", "one object"),
        CASE(D2 "NN.", "one object"),
        CASE(D2 "(N.", "one object"),
        CASE(D2 "0.", "stack"),
        CASE(D2 "(0t.", "mark"),
        CASE(D2 "t.", "mark"),
        CASE(D2 "N(\x85.", "stack"),
        CASE(D2 "N(R.", "stack"),
        CASE(D2 "a.", "stack"),
        CASE(D2 "Na.", "stack"),
        CASE(D2 "NNa.", "no list"),
        CASE(D2 "]NNs.", "no dictionary"),
        CASE(D2 "(NNu.", "stack"),
        CASE(D2 "}(Nu.", "no dictionary"),
        CASE(D2 "(Nd.", "without a value"),
        CASE(D2 "h\1.", "memo"),
        CASE(D2 "Nq\5.", "memo"),
        CASE(D2 "q\1.", "stack"),
        CASE(D2 "Nb.", "stack"),
        CASE(D2 "NQ.", "persistent"),
        CASE(D2 ")Q.", "whole Python object"),
        CASE(D2 "NN\x93.", "no text"),
        CASE(D2 "X\xff\xff\xff\xff", "cut off"),
        CASE(D2 "\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "cut off"),
        CASE(D2 "\x8b\xff\xff\xff\xff", "cut off"),
        CASE(D2 "ccollections", "cut off"),
        CASE(D2 "P1\n.", "opcode 0x50"),
        CASE(D2 "\x82\x01.", "opcode 0x82"),
        CASE(D2 "i__main__\nX\n.", "opcode 0x69"),
        CASE("\x80\x01N.", "protocol 1"),
        CASE("\x80\x09N.", "protocol 9"),
        CASE(D2 "N.", "no dictionary of tensors"),
        CASE(D2 "].", "no dictionary of tensors"),
        CASE(D2 "}.", "no tensors"),
        CASE(D2 "}q\0X\1\0\0\0ah\0s.", "no tensors"),
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        struct bytes b = {0};
        put(&b, cases[i].object, cases[i].size);
        refuse(&b, cases[i].says);
    }
}

static void bad_tensors(void **state) {
    (void)state;
    static const int32_t view[] = {2, 5}, negative[] = {-1, 5};
    static const struct {
        struct tensor tensor;
        const char *says;
    } cases[] = {
        {{"torch\nFloatStorage", "7", 6, 3, 1, {4}, {1}, NULL}, "beyond its storage"},
        {{"torch\nFloatStorage", "7", 6, -1, 1, {4}, {1}, NULL}, "beyond its storage"},
        {{"torch\nFloatStorage", "7", 6, 0, 1, {2}, {6}, NULL}, "beyond its storage"},
        {{"torch\nFloatStorage", "7", 6, 7, 1, {0}, {1}, NULL}, "beyond its storage"},
        {{"torch\nFloatStorage", "7", 6, 0, 3, {INT32_MAX, INT32_MAX, 1}, {INT32_MAX, INT32_MAX, 1}, NULL}, "beyond its"},
        {{"torch\nFloatStorage", "7", 6, 0, 3, {INT32_MAX, INT32_MAX, INT32_MAX}, {0, 0, 0}, NULL}, "impossible"},
        {{"torch\nFloatStorage", "7", 6, 0, 2, {INT32_MAX, INT32_MAX}, {0, 0}, NULL}, "repeats"},
        {{"torch\nFloatStorage", "7", 6, 0, 1, {-1}, {1}, NULL}, "impossible"},
        {{"torch\nFloatStorage", "7", 6, 5, 1, {2}, {-1}, NULL}, "impossible"},
        {{"torch\nFloatStorage", "7", 6, 0, 9, {1}, {1}, NULL}, "8 dimensions"},
        {{"torch\nFloatStorage", "7", 7, 0, 1, {1}, {1}, NULL}, "does not have the size"},
        {{"torch\nFloatStorage", "7", -6, 0, 1, {1}, {1}, NULL}, "larger than the file"},
        {{"torch\nFloatStorage", "7", INT32_MAX, 0, 1, {1}, {1}, NULL}, "larger than the file"},
        {{"torch\nFloatStorage", "6", 6, 0, 1, {1}, {1}, NULL}, "belongs to no tensor"},
        {{"torch\nDoubleStorage", "7", 6, 0, 1, {1}, {1}, NULL}, "cut off"},
        {{"torch\nSize", "7", 6, 0, 1, {1}, {1}, NULL}, "not described"},
        {{"torch\nFloatStorage", "7", 6, 0, 1, {4}, {1}, view}, "beyond its storage"},
        {{"torch\nFloatStorage", "7", 6, 0, 1, {4}, {1}, negative}, "beyond its storage"},
    };
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        struct bytes b = {0};
        begin(&b);
        put_text(&b, "}");
        text(&b, "name.of.it");
        rebuild(&b, &cases[i].tensor);
        put_text(&b, "s.");
        refuse(&b, cases[i].says);
    }
}

static void bad_objects(void **state) {
    (void)state;
    struct bytes b = {0};
    begin(&b); /* a name twice */
    put_text(&b, "}(");
    named(&b, "a");
    named(&b, "a");
    put_text(&b, "u.");
    refuse(&b, "two tensors are named a");

    begin(&b); /* a name that is not UTF-8 */
    put_text(&b, "}");
    named(&b, "\xed\xa0\x80");
    put_text(&b, "s.");
    refuse(&b, "not UTF-8");

    begin(&b); /* one storage as two types */
    put_text(&b, "}(");
    named(&b, "a");
    text(&b, "b");
    rebuild(&b, &(struct tensor){"torch\nIntStorage", "7", 6, 0, 1, {1}, {1}, NULL});
    put_text(&b, "u.");
    refuse(&b, "two types or sizes");

    begin(&b); /* a wrong tensor outside the network */
    put_text(&b, "}(");
    named(&b, "a");
    text(&b, "list");
    put_text(&b, "]");
    rebuild(&b, &(struct tensor){"torch\nFloatStorage", "7", 6, 9, 1, {1}, {1}, NULL});
    put_text(&b, "au.");
    refuse(&b, "beyond its storage");

    begin(&b); /* a Parameter that never gets a tensor */
    put_text(&b, "}");
    text(&b, "a");
    put_text(&b, "ctorch.nn.parameter\nParameter\n)\x81s.");
    refuse(&b, "without a tensor");

    begin(&b); /* too deep without a single mark */
    for (int i = 0; i < 70; i++)
        put_text(&b, "]");
    for (int i = 0; i < 69; i++)
        put_text(&b, "a");
    put_text(&b, ".");
    refuse(&b, "levels of nesting");

    begin(&b); /* more opcodes than anyone writes */
    for (int i = 0; i < 500001; i++)
        put_text(&b, "N0");
    put_text(&b, "N.");
    refuse(&b, "opcodes");
}

/* Dictionaries that hold one another many times over: 20 ** 4 paths to one tensor. */
static void bushes(void **state) {
    (void)state;
    struct bytes b = {0};
    begin(&b);
    put_text(&b, "}(");
    named(&b, "a");
    put_text(&b, "uq"); /* memo 0: the innermost */
    put_le(&b, 0, 1);
    for (int level = 1; level < 4; level++) {
        put_text(&b, "0}(");
        for (int i = 0; i < 100; i++) {
            char name[16];
            snprintf(name, sizeof name, "k%d", i);
            text(&b, name);
            put_text(&b, "h");
            put_le(&b, (uint64_t)level - 1, 1);
        }
        put_text(&b, "uq");
        put_le(&b, (uint64_t)level, 1);
    }
    put_text(&b, ".");
    size_t before = memory.used, size = b.size;
    memory.peak = before;
    refuse(&b, "beyond reason");
    assert_true(memory.peak - before < 65536 + 32 * size);
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
        {{pickle, data, {"x/byteorder", "little", 6, false}, {"x/.data/serialization_id", "1", 1, false}}, 4, NULL, TL_OK},
        {{{"x/version", "3\n", 2, false}, data, pickle}, 3, NULL, TL_OK},
        {{{"data.pkl", b.data, b.size, false}, {"data/7", floats, sizeof floats, false}}, 2, NULL, TL_OK},
        {{{"y/version", "3\n", 2, false}, data, pickle}, 3, "data.pkl: is not in it", TL_ERROR_FORMAT},
        {{data}, 1, "data.pkl: is not in it", TL_ERROR_FORMAT},
        {{pickle}, 1, "data/7, which its tensors need", TL_ERROR_FORMAT},
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
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(bushes, setup, teardown),
        cmocka_unit_test_setup_teardown(containers, setup, teardown),
        cmocka_unit_test_setup_teardown(zips, setup, teardown),
        cmocka_unit_test_setup_teardown(zip_twice, setup, teardown),
    };
    return cmocka_run_group_tests_name("torch", tests, NULL, NULL);
}
