/* cache.c: see cache.h. */
#include "backends/opencl/cache.h"

void tl__opencl_cache_key(const char *stem, const char *const *parts, size_t count, opencl_key *key) {
    *key = cache_key_of(stem, parts, count);
}

bool tl__opencl_cache_read(opencl_device *device, const opencl_key *key, opencl_blob *blob) {
    const cache files = tl__opencl_cache(device);
    return cache_read(&files, key, blob);
}

void tl__opencl_cache_write(opencl_device *device, const opencl_key *key, const opencl_blob *blob) {
    const cache files = tl__opencl_cache(device);
    cache_write(&files, key, blob);
}
