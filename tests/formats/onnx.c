/* onnx: graphs put together by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

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

/* ---- protobuf ---- */

static void varint(struct bytes *b, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        put_le(b, (value & 0x7f) | 0x80, 1);
    put_le(b, value, 1);
}

static void number(struct bytes *b, uint32_t field, uint64_t value) {
    varint(b, field << 3);
    varint(b, value);
}

static void blob(struct bytes *b, uint32_t field, const void *data, size_t size) {
    varint(b, field << 3 | 2);
    varint(b, size);
    if (size)
        put(b, data, size);
}

static void word(struct bytes *b, uint32_t field, const char *text) {
    blob(b, field, text, strlen(text));
}

static void nest(struct bytes *b, uint32_t field, struct bytes *inner) {
    blob(b, field, inner->data, inner->size);
    free(inner->data);
    *inner = (struct bytes){0};
}

/* ---- ONNX ---- */

enum { FLOAT = 1, UINT8 = 2, INT8 = 3, INT32 = 6, INT64 = 7, STRING = 8, FLOAT16 = 10, DOUBLE = 11, BFLOAT16 = 16 };

static struct bytes tensor(const char *name, int type, int rank, const int64_t *shape) {
    struct bytes b = {0};
    for (int i = 0; i < rank; i++)
        number(&b, 1, (uint64_t)shape[i]);
    number(&b, 2, (uint64_t)type);
    word(&b, 8, name);
    return b;
}

/* An initialiser of floats 0, 1, 2, ... */
static void floats(struct bytes *graph, const char *name, int rank, const int64_t *shape) {
    struct bytes b = tensor(name, FLOAT, rank, shape);
    float values[1000];
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= (size_t)shape[i];
    for (size_t i = 0; i < count; i++)
        values[i] = (float)i;
    blob(&b, 9, values, count * sizeof *values);
    nest(graph, 5, &b);
}

static void start_node(struct bytes *b, const char *type, const char *output, const char *a, const char *c,
                       const char *d) {
    const char *const inputs[] = {a, c, d};
    for (int i = 0; i < 3 && inputs[i]; i++)
        word(b, 1, inputs[i]);
    word(b, 2, output);
    word(b, 4, type);
}

static void node(struct bytes *graph, const char *type, const char *output, const char *a, const char *c,
                 const char *d) {
    struct bytes b = {0};
    start_node(&b, type, output, a, c, d);
    nest(graph, 1, &b);
}

static void attribute(struct bytes *b, const char *name, int64_t value) {
    struct bytes inner = {0};
    word(&inner, 1, name);
    number(&inner, 3, (uint64_t)value);
    nest(b, 5, &inner);
}

static tl__archive *open_graph(struct bytes *graph, tl_status *status) {
    struct bytes b = {0};
    number(&b, 1, 7);
    word(&b, 2, "test");
    nest(&b, 7, graph);
    return open_bytes(context, &b, status);
}

static tl__archive *open_good(struct bytes *graph) {
    tl_status status;
    tl__archive *archive = open_graph(graph, &status);
    if (!archive)
        fail_msg("%s", tl_context_message(context));
    assert_string_equal(archive->format, "onnx");
    return archive;
}

static void refuse(struct bytes *graph, tl_status wanted, const char *says) {
    tl_status status;
    assert_null(open_graph(graph, &status));
    assert_int_equal(status, wanted);
    if (!strstr(tl_context_message(context), says))
        fail_msg("not \"%s\": %s", says, tl_context_message(context));
}

static size_t index_of(const tl__archive *archive, const char *name) {
    const tl__entry *entry = tl__archive_find(archive, name);
    return entry ? (size_t)(entry - archive->entries) : SIZE_MAX - 1;
}

/* ---- tests ---- */

/* Every way in which a TensorProto may hold its values. */
static void ways_of_values(void **state) {
    (void)state;
    static const int64_t three[] = {3};
    static const float plain[] = {0, 1, 2}, odd[] = {-1, 300, 2};
    static const double doubles[] = {0, 1, 2};
    struct bytes graph = {0}, b, packed = {0};

    floats(&graph, "raw", 1, three);
    b = tensor("packed", FLOAT, 1, three);
    blob(&b, 4, plain, sizeof plain);
    nest(&graph, 5, &b);
    b = tensor("singles", FLOAT, 1, three);
    for (int i = 0; i < 3; i++) {
        varint(&b, 4 << 3 | 5);
        put(&b, &plain[i], 4);
    }
    nest(&graph, 5, &b);
    b = tensor("pieces", FLOAT, 1, three);
    blob(&b, 4, plain, 4);
    blob(&b, 4, plain + 1, 8);
    nest(&graph, 5, &b);
    b = tensor("doubles", DOUBLE, 1, three);
    blob(&b, 10, doubles, sizeof doubles);
    nest(&graph, 5, &b);
    for (int i = 0; i < 3; i++)
        varint(&packed, (uint64_t)(int64_t)odd[i]);
    b = tensor("int64", INT64, 1, three);
    blob(&b, 7, packed.data, packed.size);
    nest(&graph, 5, &b);
    b = tensor("int32", INT32, 1, three);
    nest(&b, 5, &packed);
    nest(&graph, 5, &b);
    b = tensor("half", FLOAT16, 1, three);
    for (int i = 0; i < 3; i++)
        number(&b, 5, tl__f32_to_f16(odd[i]));
    nest(&graph, 5, &b);
    b = tensor("bfloat", BFLOAT16, 0, NULL);
    number(&b, 5, 0xc049);
    nest(&graph, 5, &b);
    b = tensor("packed.dims", UINT8, 0, NULL);
    blob(&b, 1, "\x01\x03", 2);
    blob(&b, 9, "\x00\x01\x02", 3);
    nest(&graph, 5, &b);
    b = tensor("empty", FLOAT, 1, (int64_t[]){0});
    nest(&graph, 5, &b);
    b = tensor("text", STRING, 1, three);
    nest(&graph, 5, &b);

    tl__archive *archive = open_good(&graph);
    static const char *const names[] = {"raw", "packed", "singles", "pieces", "doubles", "packed.dims"};
    for (size_t i = 0; i < TL__COUNT(names); i++)
        assert_true(has_values(tl__archive_find(archive, names[i]), plain, 3));
    assert_true(has_values(tl__archive_find(archive, "int64"), odd, 3));
    assert_true(has_values(tl__archive_find(archive, "int32"), odd, 3));
    assert_true(has_values(tl__archive_find(archive, "half"), odd, 3));
    assert_true(has_values(tl__archive_find(archive, "bfloat"), (float[]){-3.140625f}, 1));
    assert_true(has_values(tl__archive_find(archive, "empty"), NULL, 0));
    assert_int_equal(tl__archive_find(archive, "packed.dims")->rank, 2);
    assert_int_equal(archive->unread_count, 1);
    assert_string_equal(archive->unread[0].value, "STRING");
    tl__archive_close(archive);
}

static void layers(void **state) {
    (void)state;
    struct bytes graph = {0}, b = {0}, value;
    floats(&graph, "w1", 4, (int64_t[]){4, 3, 2, 2});
    floats(&graph, "b1", 1, (int64_t[]){4});
    floats(&graph, "b2", 3, (int64_t[]){4, 1, 1});
    floats(&graph, "w3", 2, (int64_t[]){5, 4});
    floats(&graph, "b3", 1, (int64_t[]){5});
    floats(&graph, "w5", 2, (int64_t[]){4, 5});
    floats(&graph, "hwio", 4, (int64_t[]){2, 2, 3, 4});

    node(&graph, "Conv", "y1", "x", "w1", "b1");
    start_node(&b, "BatchNormalization", "n1", "y1", "b1", "b1");
    word(&b, 1, "b1");
    word(&b, 1, "b1");
    nest(&graph, 1, &b);
    node(&graph, "Conv", "y2", "n1", "w1", NULL);
    node(&graph, "Add", "a2", "b2", "y2", NULL);
    start_node(&b, "Gemm", "y3", "a2", "w3", "b3");
    attribute(&b, "transB", 1);
    nest(&graph, 1, &b);
    node(&graph, "Identity", "w4", "w5", NULL, NULL);
    node(&graph, "Gemm", "y4", "y3", "w4", "b3");
    node(&graph, "MatMul", "y5", "y4", "w5", NULL);
    node(&graph, "Add", "a5", "y5", "b3", NULL);
    node(&graph, "MatMul", "y6", "a5", "w5", NULL);
    node(&graph, "Add", "a6", "y6", "b1", NULL); /* no bias: of another size */
    start_node(&b, "Transpose", "oihw", "hwio", NULL, NULL);
    value = (struct bytes){0};
    word(&value, 1, "perm");
    blob(&value, 8, "\x03\x02\x00\x01", 4);
    nest(&b, 5, &value);
    nest(&graph, 1, &b);
    node(&graph, "Cast", "cast", "oihw", NULL, NULL);
    node(&graph, "Conv", "y7", "a6", "cast", "");
    start_node(&b, "Constant", "w8", NULL, NULL, NULL);
    value = (struct bytes){0};
    struct bytes inner = tensor("", FLOAT, 2, (int64_t[]){1, 2});
    blob(&inner, 9, (float[]){8, 9}, 8);
    word(&value, 1, "value");
    nest(&value, 5, &inner);
    nest(&b, 5, &value);
    nest(&graph, 1, &b);
    node(&graph, "MatMul", "y8", "y7", "w8", NULL);
    node(&graph, "MatMul", "y9", "y7", "y8", NULL); /* of two activations: no layer */
    start_node(&b, "Gemm", "y10", "y3", "w5", NULL);
    attribute(&b, "transA", 1); /* nor is this one */
    nest(&graph, 1, &b);
    start_node(&b, "Conv", "z", "y7", "w1", NULL);
    word(&b, 7, "com.elsewhere");
    nest(&graph, 1, &b);

    tl__archive *archive = open_good(&graph);
    static const struct {
        const char *weight, *bias;
        bool convolution, transposed, norm;
    } wanted[] = {
        {"w1", "b1", true, false, true},  {"w1", "b2", true, false, false}, {"w3", "b3", false, false, false},
        {"w4", "b3", false, true, false}, {"w5", "b3", false, true, false}, {"w5", NULL, false, true, false},
        {"oihw", NULL, true, false, false}, {"w8", NULL, false, true, false},
    };
    assert_int_equal(archive->layer_count, TL__COUNT(wanted));
    for (size_t i = 0; i < TL__COUNT(wanted); i++) {
        const tl__archive_layer *layer = &archive->layers[i];
        assert_int_equal(layer->weight, index_of(archive, wanted[i].weight));
        assert_int_equal(layer->bias, wanted[i].bias ? index_of(archive, wanted[i].bias) : SIZE_MAX);
        assert_int_equal(layer->convolution, wanted[i].convolution);
        assert_int_equal(layer->transposed, wanted[i].transposed);
        assert_int_equal(layer->norm[3], wanted[i].norm ? index_of(archive, "b1") : SIZE_MAX);
    }
    const tl__entry *entry = tl__archive_find(archive, "oihw");
    assert_memory_equal(entry->shape, ((int64_t[]){4, 3, 2, 2}), 4 * sizeof(int64_t));
    assert_memory_equal(entry->strides, ((int64_t[]){1, 4, 24, 12}), 4 * sizeof(int64_t));
    assert_true(has_values(tl__archive_find(archive, "w8"), (float[]){8, 9}, 2));
    read_everything(archive);
    tl__archive_close(archive);
}

static void bad_tensors(void **state) {
    (void)state;
    static const int64_t three[] = {3}, huge[] = {INT64_MAX, 2}, negative[] = {-1}, nine[9] = {1};
    struct bytes graph = {0}, b;

    b = tensor("a", FLOAT, 1, three);
    blob(&b, 9, "12345678", 8);
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "a: its shape does not fit its bytes");
    b = tensor("a", FLOAT, 1, three);
    blob(&b, 4, "12345678", 8);
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "a: its shape does not fit its values");
    b = tensor("a", FLOAT, 1, three);
    blob(&b, 4, "1234567", 7);
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "malformed");
    b = tensor("a", FLOAT, 1, three);
    number(&b, 4, 7);
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "malformed");
    b = tensor("a", INT64, 1, (int64_t[]){1});
    blob(&b, 7, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11);
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "malformed");
    b = tensor("a", FLOAT, 2, huge);
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "too large");
    b = tensor("a", FLOAT, 1, negative);
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "negative");
    b = tensor("a", FLOAT, 9, nine);
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "8 dimensions");
    b = tensor("a", FLOAT, 1, three);
    word(&b, 3, "");
    nest(&graph, 5, &b);
    refuse(&graph, TL_ERROR_FORMAT, "segment");
    blob(&graph, 5, "\x0a", 1);
    refuse(&graph, TL_ERROR_FORMAT, "malformed");
}

static void external(struct bytes *tensor, const char *key, const char *value) {
    struct bytes pair = {0};
    word(&pair, 1, key);
    word(&pair, 2, value);
    nest(tensor, 13, &pair);
}

/* Values in a file beside the model. */
static void companions(void **state) {
    (void)state;
    static const struct {
        const char *file, *offset, *length, *says; /* NULL: good */
        tl_status status;
    } cases[] = {
        {"values", "4", "12", NULL, TL_OK},
        {"values", NULL, NULL, NULL, TL_OK},
        {"values", "8", NULL, "does not fit", TL_ERROR_FORMAT},
        {"values", "4", "11", "does not fit", TL_ERROR_FORMAT},
        {"values", "18446744073709551615", NULL, "does not fit", TL_ERROR_FORMAT},
        {"values", "18446744073709551616", NULL, "where its values are", TL_ERROR_FORMAT},
        {"values", "-4", NULL, "where its values are", TL_ERROR_FORMAT},
        {"absent", "4", "12", "absent", TL_ERROR_NOT_FOUND},
        {"../values", "4", "12", "no file beside it", TL_ERROR_FORMAT},
        {"/etc/passwd", "4", "12", "no file beside it", TL_ERROR_FORMAT},
        {"", "4", "12", "no file beside it", TL_ERROR_FORMAT},
        {"..", "4", "12", "folder", TL_ERROR_IO},
    };
    assert_true(write_file(temporary("values"), (float[]){5, 6, 7, 8}, 16));
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        struct bytes graph = {0};
        for (int j = 0; j < 2; j++) {
            struct bytes b = tensor(j ? "a" : "b", FLOAT, 1, (int64_t[]){3});
            external(&b, "location", cases[i].file);
            if (cases[i].offset)
                external(&b, "offset", cases[i].offset);
            if (cases[i].length)
                external(&b, "length", cases[i].length);
            number(&b, 14, 1);
            nest(&graph, 5, &b);
        }
        if (cases[i].says) {
            refuse(&graph, cases[i].status, cases[i].says);
            continue;
        }
        tl__archive *archive = open_good(&graph);
        float first = cases[i].offset ? 6 : 5;
        assert_true(has_values(tl__archive_find(archive, "a"), (float[]){first, first + 1, first + 2}, 3));
        assert_int_equal(archive->companion_count, 1);
        tl__archive_close(archive);
    }
}

static void bad_graphs(void **state) {
    (void)state;
    struct bytes graph = {0}, b = {0};
    refuse(&graph, TL_ERROR_FORMAT, "not an ONNX file");
    word(&graph, 2, "empty");
    refuse(&graph, TL_ERROR_FORMAT, "no tensors");
    floats(&graph, "a", 1, (int64_t[]){2});
    floats(&graph, "a", 1, (int64_t[]){2});
    refuse(&graph, TL_ERROR_FORMAT, "a: is defined twice");
    floats(&graph, "a", 1, (int64_t[]){2});
    node(&graph, "Relu", "a", "x", NULL, NULL);
    refuse(&graph, TL_ERROR_FORMAT, "a: is defined twice");
    floats(&graph, "a", 2, (int64_t[]){2, 2});
    start_node(&b, "Transpose", "y", "a", NULL, NULL);
    struct bytes perm = {0};
    word(&perm, 1, "perm");
    blob(&perm, 8, "\x01\x01", 2);
    nest(&b, 5, &perm);
    nest(&graph, 1, &b);
    refuse(&graph, TL_ERROR_FORMAT, "Transpose");
    floats(&graph, "a", 1, (int64_t[]){2});
    blob(&graph, 1, "\x0a\x05x", 3);
    refuse(&graph, TL_ERROR_FORMAT, "malformed");
    floats(&graph, "a", 1, (int64_t[]){2});
    put_text(&graph, "\x0b");
    refuse(&graph, TL_ERROR_FORMAT, "malformed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ways_of_values, setup, teardown),
        cmocka_unit_test_setup_teardown(layers, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(companions, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_graphs, setup, teardown),
    };
    return cmocka_run_group_tests_name("onnx", tests, NULL, NULL);
}
