/* cache.h: what is kept on disk between runs, under $XDG_CACHE_HOME/libtl (or ~/.cache/libtl): binaries of programs, and what `tl tune`
 * measured.
 *
 * A driver may end the process over a damaged binary, so every file carries a checksum of its contents and the whole key
 * it was made for; one that does not fit is as good as none. Files are written under another name and then renamed.
 * Nothing here is ever an error: what cannot be read is made again, what cannot be written is not kept. The option
 * "cache" is another folder, or "none". */
#ifndef TL_OPENCL_CACHE_H
#define TL_OPENCL_CACHE_H

#include "backends/opencl/opencl.h"

typedef struct opencl_key {
    char name[64];  /* of the file: the stem and a hash */
    uint64_t hash[2];
} opencl_key;

typedef struct opencl_blob {
    unsigned char *data;
    size_t bytes;
} opencl_blob;

void tl__opencl_cache_key(const char *stem, const char *const *parts, size_t count, opencl_key *key);
/* True with blob->data, the caller's to release with tl__opencl_release. */
bool tl__opencl_cache_read(opencl_device *device, const opencl_key *key, opencl_blob *blob);
void tl__opencl_cache_write(opencl_device *device, const opencl_key *key, const opencl_blob *blob);
/* Calls `each` with every file whose name begins so and whose contents are whole; the blob is released afterwards. */
void tl__opencl_cache_each(opencl_device *device, const char *beginning, void (*each)(void *user, const char *name, opencl_blob *blob),
                           void *user);
void tl__opencl_cache_remove(opencl_device *device, const char *name);
/* The folder, made where it is not there; false: none. */
bool tl__opencl_cache_folder(const tl_host *host, char *path, size_t size);

#endif
