/* pickle: what no version of PyTorch wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

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
        refuse(context, &b, cases[i].says);
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
        {{"torch\nFloatStorage", "7", 6, 0, 2, {INT32_MAX, INT32_MAX}, {INT32_MAX, INT32_MAX}, NULL}, "beyond its"},
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
        refuse(context, &b, cases[i].says);
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
    refuse(context, &b, "two tensors are named a");

    begin(&b); /* a name that is not UTF-8 */
    put_text(&b, "}");
    named(&b, "\xed\xa0\x80");
    put_text(&b, "s.");
    refuse(context, &b, "not UTF-8");

    begin(&b); /* one storage as two types */
    put_text(&b, "}(");
    named(&b, "a");
    text(&b, "b");
    rebuild(&b, &(struct tensor){"torch\nIntStorage", "7", 6, 0, 1, {1}, {1}, NULL});
    put_text(&b, "u.");
    refuse(context, &b, "two types or sizes");

    begin(&b); /* a wrong tensor outside the network */
    put_text(&b, "}(");
    named(&b, "a");
    text(&b, "list");
    put_text(&b, "]");
    rebuild(&b, &(struct tensor){"torch\nFloatStorage", "7", 6, 9, 1, {1}, {1}, NULL});
    put_text(&b, "au.");
    refuse(context, &b, "beyond its storage");

    begin(&b); /* a Parameter that never gets a tensor */
    put_text(&b, "}");
    text(&b, "a");
    put_text(&b, "ctorch.nn.parameter\nParameter\n)\x81s.");
    refuse(context, &b, "without a tensor");

    begin(&b); /* too deep without a single mark */
    for (int i = 0; i < 70; i++)
        put_text(&b, "]");
    for (int i = 0; i < 69; i++)
        put_text(&b, "a");
    put_text(&b, ".");
    refuse(context, &b, "levels of nesting");

    begin(&b); /* more opcodes than anyone writes */
    for (int i = 0; i < 500001; i++)
        put_text(&b, "N0");
    put_text(&b, "N.");
    refuse(context, &b, "opcodes");
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
    refuse(context, &b, "beyond reason");
    assert_true(memory.peak - before < 65536 + 32 * size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(bushes, setup, teardown),
    };
    return cmocka_run_group_tests_name("pickle", tests, NULL, NULL);
}
