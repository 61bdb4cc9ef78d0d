/* cache.h: what is kept on disk between runs: binaries of programs, and what `tl tune` measured; see backends/cache.h. */
#ifndef TL_OPENCL_CACHE_H
#define TL_OPENCL_CACHE_H

#include "backends/cache.h"
#include "backends/opencl/opencl.h"

typedef cache_key opencl_key;
typedef cache_blob opencl_blob;

/* A driver may end the process over a damaged binary, so what does not fit its checksum and key is as good as none. */
static inline cache tl__opencl_cache(const opencl_device *device) {
    return (cache){device->host, "opencl"};
}
void tl__opencl_cache_key(const char *stem, const char *const *parts, size_t count, opencl_key *key);
/* True with blob->data, the caller's to release with tl__opencl_release. */
bool tl__opencl_cache_read(opencl_device *device, const opencl_key *key, opencl_blob *blob);
void tl__opencl_cache_write(opencl_device *device, const opencl_key *key, const opencl_blob *blob);

#endif
