/* models/onnx_writer.h: small ONNX files for tests, written field by field. */
#ifndef TL_TEST_ONNX_WRITER_H
#define TL_TEST_ONNX_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct onnx_writer onnx_writer;

onnx_writer *onnx_begin(void);
/* An initialiser of floats. */
void onnx_tensor(onnx_writer *writer, const char *name, int rank, const int64_t *dims, const float *values);
/* A node whose inputs are separated by spaces. transposed_b: the attribute transB = 1. */
void onnx_node(onnx_writer *writer, const char *type, const char *inputs, const char *output, bool transposed_b);
bool onnx_end(onnx_writer *writer, const char *path); /* writes the file and frees everything */

#endif
