#include "tests/models/onnx_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

struct onnx_writer {
    bytes graph;
};

static void append(bytes *b, const void *data, size_t size) {
    b->data = realloc(b->data, b->size + size + 1);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void varint(bytes *b, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
        append(b, &byte, 1);
        value >>= 7;
    } while (value);
}

static void number(bytes *b, unsigned field, uint64_t value) {
    varint(b, field << 3);
    varint(b, value);
}

static void block(bytes *b, unsigned field, const void *data, size_t size) {
    varint(b, field << 3 | 2);
    varint(b, size);
    append(b, data, size);
}

static void text(bytes *b, unsigned field, const char *string) {
    block(b, field, string, strlen(string));
}

/* Ends `inner` as a field of `outer`. */
static void nest(bytes *outer, unsigned field, bytes *inner) {
    block(outer, field, inner->data ? inner->data : (uint8_t *)"", inner->size);
    free(inner->data);
    *inner = (bytes){0};
}

onnx_writer *onnx_begin(void) {
    return calloc(1, sizeof(onnx_writer));
}

void onnx_tensor(onnx_writer *writer, const char *name, int rank, const int64_t *dims, const float *values) {
    bytes tensor = {0};
    size_t count = 1;
    for (int i = 0; i < rank; i++) {
        number(&tensor, 1, (uint64_t)dims[i]);
        count *= (size_t)dims[i];
    }
    number(&tensor, 2, 1); /* FLOAT */
    text(&tensor, 8, name);
    block(&tensor, 9, values, count * sizeof *values);
    nest(&writer->graph, 5, &tensor);
}

void onnx_node(onnx_writer *writer, const char *type, const char *inputs, const char *output, bool transposed_b) {
    bytes node = {0};
    for (const char *at = inputs; *at;) {
        size_t length = strcspn(at, " ");
        block(&node, 1, at, length);
        at += length + strspn(at + length, " ");
    }
    text(&node, 2, output);
    text(&node, 4, type);
    if (transposed_b) {
        bytes attribute = {0};
        text(&attribute, 1, "transB");
        number(&attribute, 3, 1);
        number(&attribute, 20, 2); /* INT */
        nest(&node, 5, &attribute);
    }
    nest(&writer->graph, 1, &node);
}

bool onnx_end(onnx_writer *writer, const char *path) {
    bytes model = {0};
    number(&model, 1, 8);
    nest(&model, 7, &writer->graph);
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(model.data, 1, model.size, file) == model.size;
    if (file)
        good = fclose(file) == 0 && good;
    free(model.data);
    free(writer);
    return good;
}
