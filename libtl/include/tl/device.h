/* tl/device.h: finding and opening the devices that backends offer. */
#ifndef TL_DEVICE_H
#define TL_DEVICE_H

#include <tl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tl_device tl_device;

/* What becomes of an operation that a device does not do. */
typedef enum tl_fallback {
    TL_FALLBACK_WARN = 0,  /* the CPU does it; a warning says which and why, each reason once for the device */
    TL_FALLBACK_ERROR = 1, /* TL_UNSUPPORTED */
    TL_FALLBACK_ALLOW = 2, /* the CPU does it, as reports of plans say */
} tl_fallback;

/* What may be set when a device is opened. Fill with zeros, set `size`, then the fields you want. */
typedef struct tl_device_options {
    size_t size;
    int threads;     /* of the CPU backend; 0: as many as this process may use */
    const char *isa; /* of the CPU backend: "baseline", "avx2", "avx512", "neon"; NULL: TL_CPU_ISA from the
                      * environment, then the best the machine has */
    tl_fallback fallback; /* for every use of the device */
} tl_device_options;

/* A device as tl_device_list shows it; the strings live until the callback returns. */
typedef struct tl_device_info {
    size_t size;
    const char *name;        /* "cpu", "opencl:0": what tl_device_open takes */
    const char *backend;     /* "cpu" */
    const char *version;     /* of the backend */
    const char *kind;        /* "cpu", "gpu" or "other"; "remark": no device, see tl_device_list */
    const char *description; /* what the vendor calls it */
    const char *driver;      /* driver or instruction set */
    const char *note;        /* why it cannot be used, or a remark; "" if nothing */
    uint64_t memory;         /* bytes; 0 if unknown */
    unsigned units;          /* threads or compute units */
    bool usable;
    bool automatic;          /* what "auto" takes, if it opens */
    const char *why_not;     /* why "auto" does not take it; "" for the one that it takes, and for remarks */
} tl_device_info;

/* Calls `each` for every device of every backend, best first; stops when it returns false. What a backend has to say
 * besides, such as why it has no device, comes last: kind is "remark", name the backend's, note the words, usable
 * false. Backends that could not be loaded are logged as warnings with their reason. TL_ERROR_MEMORY. */
TL_API tl_status tl_device_list(tl_context *context, bool (*each)(void *user, const tl_device_info *info), void *user);

/* Opens a device: "cpu", "opencl:0", a backend's name alone for its first device, or "auto" (NULL is the same):
 * a GPU before libtl's own CPU backend before anything else. `options` may be NULL.
 * TL_ERROR_NOT_FOUND: no such device (the message lists those there are). TL_ERROR_DEVICE: it does not open.
 * TL_ERROR_ARGUMENT: an option's value. TL_ERROR_MEMORY. */
TL_API tl_status tl_device_open(tl_context *context, const char *name, const tl_device_options *options, tl_device **out);

/* Closes it; models that trained on it stay usable. NULL is fine. */
TL_API void tl_device_close(tl_device *device);

/* "cpu"; and "AVX-512, 2 threads". Owned by the device. */
TL_API const char *tl_device_name(const tl_device *device);
TL_API const char *tl_device_description(const tl_device *device);

#ifdef __cplusplus
}
#endif
#endif
