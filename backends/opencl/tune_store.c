/* tune_store.c: what was measured on a device; see backends/tuned.h. */
#include "backends/opencl/cache.h"
#include "backends/opencl/tune.h"

static tuned_store *store_of(opencl_device *device) {
    return tuned_open(&device->tuned, device->host, "opencl", device->identity);
}

tuned_choice *tl__opencl_tuned_list(opencl_device *device) {
    tuned_store *store = store_of(device);
    return store ? tuned_list(store) : NULL;
}

tuned_choice *tl__opencl_tuned_find(opencl_device *device, const char *form) {
    tuned_store *store = store_of(device);
    return store ? tuned_find(store, form) : NULL;
}

tl_status tl__opencl_tuned_keep(opencl_device *device, const char *form, const char *implementation, double seconds) {
    tuned_store *store = store_of(device);
    return store ? tuned_keep(store, form, implementation, seconds) : TL_ERROR_MEMORY;
}

void tl__opencl_tuned_release(opencl_device *device) {
    tuned_close(device->tuned);
    device->tuned = NULL;
}

tl_status tl__opencl_tuned_each(const tl_host *host, uint32_t index, int forget, void *user,
                                void (*each)(void *user, const tl_tuned *tuned)) {
    opencl_device device = {.host = host}; /* no device: what its identity is made from */
    tl_status status = index == TL_EVERY_DEVICE ? TL_OK : tl__opencl_identify(&device, index);
    const cache files = tl__opencl_cache(&device);
    if (status == TL_OK)
        tuned_each(&files, index == TL_EVERY_DEVICE ? NULL : device.identity, forget != 0, user, each);
    return status;
}
