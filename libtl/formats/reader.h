/* formats/reader.h: between the archive and the readers of the single formats. */
#ifndef TL__READER_H
#define TL__READER_H

#include "formats/formats.h"

/* A reader gets an archive with its mapping and fills in the rest. On failure the caller closes the archive. */
tl_status tl__safetensors_read(tl__archive *archive);
tl_status tl__torch_zip_read(tl__archive *archive);
tl_status tl__torch_legacy_read(tl__archive *archive);
tl_status tl__onnx_read(tl__archive *archive);

/* Text inside the mapping: not NUL-terminated, not yet known to be UTF-8. */
typedef struct tl__slice {
    const char *text;
    size_t length;
} tl__slice;

int tl__slice_compare(tl__slice a, tl__slice b);
bool tl__slice_is(tl__slice slice, const char *text);

/* For "%.*s" in messages: long names are cut. */
#define TL__SLICE(slice) (int)((slice).length < 200 ? (slice).length : 200), (slice).text

/* Room for exactly this many entries. */
tl_status tl__archive_reserve(tl__archive *archive, size_t count);

/* Adds a copy of *entry under the joined name. Fails unless the name is UTF-8 without NUL and the entry's bytes
 * (rank, shape, dtype, count) could be in the file. `prefix` may be empty. */
tl_status tl__archive_add(tl__archive *archive, tl__slice prefix, tl__slice name, const tl__entry *entry);

/* Notes a tensor of a type that is not read. */
tl_status tl__archive_add_unread(tl__archive *archive, tl__slice name, const char *type);

tl_status tl__archive_add_metadata(tl__archive *archive, const char *key, const char *value);

/* The file `name` in the archive's own folder, mapped until the archive is closed. A name with a slash is refused. */
tl_status tl__archive_companion(tl__archive *archive, tl__slice name, tl__mapping *mapping);

/* Product of the shape in *count; false where it is negative or overflows. */
bool tl__shape_count(int rank, const int64_t *shape, int64_t *count);
void tl__shape_strides(int rank, const int64_t *shape, int64_t *strides); /* of C order */

static inline uint64_t tl__read_le(const uint8_t *data, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | data[i];
    return value;
}

#endif
