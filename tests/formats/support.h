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

/* A path in a temporary folder of this process, which is made when first asked for. Static. */
const char *temporary(const char *name);
void remove_temporary(void);

#endif
