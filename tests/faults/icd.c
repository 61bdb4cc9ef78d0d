/* icd.c: a driver that does no good: it aborts (or, with ICD_HANGS, waits for ever) when the ICD loader first calls it. Who
 * wants to know whether it was called names a file in ICD_TRACE. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static void misbehave(void) {
    const char *trace = getenv("ICD_TRACE");
    int file = trace ? open(trace, O_CREAT | O_WRONLY, 0600) : -1;
    if (file >= 0)
        close(file);
#ifdef ICD_HANGS
    for (;;)
        pause();
#else
    abort();
#endif
}

EXPORT void *clGetExtensionFunctionAddress(const char *name);
EXPORT void *clGetExtensionFunctionAddress(const char *name) {
    (void)name;
    misbehave();
    return NULL;
}

EXPORT int clGetPlatformIDs(unsigned capacity, void *platforms, unsigned *count);
EXPORT int clGetPlatformIDs(unsigned capacity, void *platforms, unsigned *count) {
    (void)capacity, (void)platforms, (void)count;
    misbehave();
    return 0;
}

EXPORT int clIcdGetPlatformIDsKHR(unsigned capacity, void *platforms, unsigned *count);
EXPORT int clIcdGetPlatformIDsKHR(unsigned capacity, void *platforms, unsigned *count) {
    return clGetPlatformIDs(capacity, platforms, count);
}
