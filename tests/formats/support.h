/* support.h: what the tests of the formats share. */
#ifndef TL_TEST_FORMATS_SUPPORT_H
#define TL_TEST_FORMATS_SUPPORT_H

#include "formats/formats.h"

/* An allocator that counts, and that can be told to fail. */
struct memory {
    size_t used, peak, blocks, calls;
    size_t fail_at; /* the call that fails, from 1 on; 0: none */
};

tl_context *context_with(struct memory *memory);

/* "$TL_TEST_SOURCE/tests/formats/data", or beside where the test is run. */
const char *data_folder(void);

/* The whole file; *size bytes and a NUL. To be freed with free(). NULL where it cannot be read. */
uint8_t *read_file(const char *path, size_t *size);
bool write_file(const char *path, const void *data, size_t size);

/* Bytes that a test puts together. */
struct bytes {
    uint8_t *data;
    size_t size, capacity;
};

void put(struct bytes *bytes, const void *data, size_t size);
void put_text(struct bytes *bytes, const char *text);
void put_le(struct bytes *bytes, uint64_t value, size_t size);
bool write_bytes(struct bytes *bytes, const char *path); /* and empties them */

/* Opens the bytes as a file and empties them. On failure NULL; why is in *status and in the context. */
tl__archive *open_bytes(tl_context *context, struct bytes *bytes, tl_status *status);

/* All values of the entry equal those given. */
bool has_values(const tl__entry *entry, const float *values, int64_t count);

/* Reads every value, so that a wrong bound is noticed. */
void read_everything(const tl__archive *archive);

/* A path in a temporary folder of this process, which is made when first asked for. Static. */
const char *temporary(const char *name);
void remove_temporary(void);

#endif
