/* formats/formats.h: files of named tensors. Knows core only. */
#ifndef TL__FORMATS_H
#define TL__FORMATS_H

#include "core/core.h"

#define TL__ARCHIVE_MAX_RANK 8

/* One tensor in a file. `data` points into a mapping (at no particular alignment, little endian); where `strides`
 * is not plain C order the elements lie apart (PyTorch's views). Every index was checked to stay inside the file
 * when the archive was opened, and the elements of one never take more bytes than its file has. Booleans are U8. */
typedef struct tl__entry {
    char *name; /* UTF-8 */
    int dtype;  /* tl_dtype */
    int rank;
    int64_t shape[TL__ARCHIVE_MAX_RANK];
    int64_t strides[TL__ARCHIVE_MAX_RANK]; /* in elements, not negative */
    int64_t count;
    const uint8_t *data; /* of the element at index 0; not NULL */
} tl__entry;

typedef struct tl__metadata {
    char *key, *value;
} tl__metadata;

/* What ONNX adds to a tensor list: which initialisers the Conv and Gemm/MatMul nodes use, in graph order. Each is
 * an index into entries, or SIZE_MAX. What Constant, Identity and Transpose nodes make of initialisers are entries
 * too, under the name of their output (Transpose: with other strides); through Cast they are followed. */
typedef struct tl__archive_layer {
    size_t weight;    /* always there */
    size_t bias;      /* one value an output; an Add that follows counts too, so its shape may be [1,O,1,1] */
    size_t norm[4];   /* scale, shift, mean, variance of the BatchNormalization that follows */
    bool convolution; /* weight [out, in / groups, kernel...]; otherwise a linear one */
    bool transposed;  /* of a linear one: the weight is [in, out], not [out, in] */
} tl__archive_layer;

/* A file beside the archive that holds values for it (ONNX with external data). */
typedef struct tl__companion {
    char *name;
    tl__mapping mapping;
} tl__companion;

typedef struct tl__archive {
    tl_context *context;
    char *path;
    const char *format; /* "safetensors", "torch zip", "torch legacy", "onnx" */
    tl__mapping mapping;
    tl__entry *entries; /* in the file's order */
    size_t entry_count, entry_capacity;
    tl__metadata *metadata;
    size_t metadata_count, metadata_capacity;
    tl__metadata *unread; /* tensors of a type that libtl does not read: key is the name, value the type */
    size_t unread_count, unread_capacity;
    tl__archive_layer *layers; /* ONNX only */
    size_t layer_count;
    const tl__entry **by_name; /* sorted */
    void **owned;              /* values that had to be decoded (ONNX) */
    size_t owned_count, owned_capacity;
    tl__companion *companions;
    size_t companion_count, companion_capacity;
    struct tl__archive *upper, *lower; /* of one that is composed of others: closed with it */
} tl__archive;

/* Opens a file of any known format, told by its contents. Names have "module." and the wrapping dictionary
 * ("state_dict", "model", ...) taken off. Nothing in the file is executed, and no more memory is used than its
 * size explains: about 32 bytes for each of the file's at the very worst, some KiB for real ones. ONNX may name files
 * in the same folder that hold its values; they are mapped too. All of them must stay as they are while the archive
 * is open. TL_ERROR_NOT_FOUND, TL_ERROR_IO, TL_ERROR_FORMAT (what is wrong, where), TL_ERROR_MEMORY, TL_ERROR_LIMIT,
 * TL_UNSUPPORTED (big endian). */
tl_status tl__archive_open(tl_context *context, const char *path, tl__archive **out);
void tl__archive_close(tl__archive *archive); /* NULL is fine */

/* An archive of what lies in two others: the entries are copied with their names, `upper` gives path, format and metadata.
 * Both belong to it after success. TL_ERROR_FORMAT: a name twice. TL_ERROR_MEMORY. */
tl_status tl__archive_compose(tl__archive *upper, tl__archive *lower, const tl__entry *entries, size_t count,
                              tl__archive **out);

/* The archive frees the block when it is closed; on failure it is freed at once. */
tl_status tl__archive_own(tl__archive *archive, void *block);

/* The mapping that these bytes of an entry lie in; NULL: they were decoded. */
const tl__mapping *tl__archive_mapping(const tl__archive *archive, const uint8_t *data);

const tl__entry *tl__archive_find(const tl__archive *archive, const char *name); /* or NULL */
const char *tl__archive_get(const tl__archive *archive, const char *key);        /* metadata, or NULL */

/* Elements first .. first + count - 1 in C order of the shape, as f32 (from any type; rounded to nearest). */
void tl__entry_read_f32(const tl__entry *entry, int64_t first, int64_t count, float *out);

/* Whether the elements lie in plain C order, one after the other. */
bool tl__entry_contiguous(const tl__entry *entry);

/* One tensor to be written; read(user, index, out) fills its bytes (C order) when its turn comes, so that a large
 * model need not be in memory. */
typedef struct tl__output {
    const char *name;
    int dtype, rank;
    int64_t shape[TL__ARCHIVE_MAX_RANK];
    int64_t pieces;   /* read is called so often for it, for one equal part after another; 0: once */
    const void *data; /* where its bytes lie already, or NULL; read is called with NULL once they were written */
} tl__output;

/* What such a file begins with: length and header, after which the tensors follow one another; freed with tl__free.
 * Errors as tl__safetensors_write. */
tl_status tl__safetensors_header(tl_context *context, const char *path, const tl__output *outputs, size_t count,
                                 const tl__metadata *metadata, size_t metadata_count, char **header, size_t *bytes);

/* Writes a .safetensors file, whole or not at all. Header padded to 8 bytes with spaces; tensors in the given
 * order, which the caller sorts as it likes; one buffer of the largest tensor's size is used. A failure of `read` ends
 * the writing and is returned. TL_ERROR_ARGUMENT (a name twice or not UTF-8, a shape that makes no sense), TL_ERROR_IO
 * (no space left included), TL_ERROR_MEMORY. */
tl_status tl__safetensors_write(tl_context *context, const char *path, const tl__output *outputs, size_t count,
                                const tl__metadata *metadata, size_t metadata_count,
                                tl_status (*read)(void *user, size_t index, void *out), void *user);

#endif
