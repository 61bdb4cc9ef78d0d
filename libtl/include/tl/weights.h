/* tl/weights.h: what is inside a file of weights, without making a network of it. */
#ifndef TL_WEIGHTS_H
#define TL_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include <tl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_WEIGHTS_MAX_RANK 8

typedef struct tl_weights tl_weights;

/* Opens a file of tensors: PyTorch's .pth (zip or legacy), .safetensors or ONNX, told by its contents. "module."
 * and a wrapping dictionary ("state_dict", "model") are taken off the names. Nothing in the file is executed. It is
 * mapped and must stay as it is until it is closed; close it before its context. Of a file of tl_model_save_changed these
 * are the tensors that it has itself, not those of its base.
 * TL_ERROR_ARGUMENT, TL_ERROR_IO, TL_ERROR_FORMAT (what is wrong, and where), TL_ERROR_LIMIT, TL_ERROR_MEMORY. */
TL_API tl_status tl_weights_open(tl_context *context, const char *path, tl_weights **out);
TL_API void tl_weights_close(tl_weights *weights); /* NULL is fine */

/* "safetensors", "torch zip", "torch legacy" or "onnx". Static. */
TL_API const char *tl_weights_format(const tl_weights *weights);

typedef struct tl_weights_info {
    size_t size;
    const char *name;
    const char *type; /* of its elements: "f32", "f16", "bf16", "f64", "u8", "i8", "i32", "i64" */
    int rank;         /* 0 .. TL_WEIGHTS_MAX_RANK */
    int64_t shape[TL_WEIGHTS_MAX_RANK]; /* as in the file */
    int64_t count;    /* elements */
} tl_weights_info;

/* The tensors, in the file's order. The strings live until the file is closed. `info->size` is set by the caller.
 * TL_ERROR_ARGUMENT: no such index, or a size of 0. */
TL_API size_t tl_weights_count(const tl_weights *weights);
TL_API tl_status tl_weights_tensor(const tl_weights *weights, size_t index, tl_weights_info *info);

/* The file's metadata: the key at `index`, its text in *value; NULL beyond the last. They live as the tensors do. */
TL_API const char *tl_weights_metadata(const tl_weights *weights, size_t index, const char **value);

#ifdef __cplusplus
}
#endif
#endif
