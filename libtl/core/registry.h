/* core/registry.h: the backends of a context and the devices that were opened on them.
 *
 * Everything that libtl asks of a backend goes through the functions below. They stand between two tables that may
 * be of different age, so this is the one place where sizes, missing functions and odd answers are looked at:
 * what passes here can be relied on everywhere else. A failure's message begins with the device's name; where a
 * backend fails without a word, it names the call and the status.
 *
 * A device and what was made from it is used by one thread at a time, as its context is. */
#ifndef TL__REGISTRY_H
#define TL__REGISTRY_H

#include <tl/device.h>

#include "core/core.h"

/* ---- registry.c, plugin.c: which backends there are ---- */

/* A backend that was admitted. `table` is a copy of its table: what its size does not cover is NULL or 0. */
typedef struct tl__backend {
    tl_backend table;
    char *path; /* of its library; NULL: built in */
} tl__backend;

struct tl__registry {
    tl__backend **backends; /* in order of admission: those built in, then plugins */
    size_t count, capacity;
    bool plugins; /* the plugin folders were searched */
};

/* The registry of the context, with the builtin backends; with `plugins`, the plugin folders have been searched
 * too, which happens once. A library that is refused is logged as a warning with its path and the reason, and
 * costs nothing else. TL_ERROR_MEMORY. */
tl_status tl__registry_get(tl_context *context, bool plugins, struct tl__registry **registry);
void tl__registry_destroy(tl_context *context, struct tl__registry *registry); /* NULL is fine */

/* By name; NULL if there is none. */
tl__backend *tl__registry_find(const struct tl__registry *registry, const char *name);

/* Asks an entry point for its table and admits it, or logs why not. `path` is NULL for one that is built in.
 * TL_ERROR_MEMORY; a refusal is TL_OK. */
tl_status tl__registry_admit(tl_context *context, struct tl__registry *registry, tl_backend_entry_fn entry,
                             const char *path);

/* Searches the plugin folders: the context's backend_path (or TL_BACKEND_PATH, unless the program is setuid), then
 * TL_PLUGIN_DIR; in each the files *.so in the order of their bytes. Relative folders are logged and left out.
 * TL_ERROR_MEMORY. */
tl_status tl__plugins_load(tl_context *context, struct tl__registry *registry);

/* getenv for what must not be believed in a setuid program. */
const char *tl__environment(const char *name);

/* ---- host.c: what a backend reaches libtl through ---- */

/* The `user` of a tl_host. Initialised by tl__host_start, it must stay where it is while the backend may call. */
typedef struct tl__host {
    tl_host table;
    tl_context *context;
    const char *name;    /* of the device or backend, for messages */
    const char *backend; /* of the backend, for the environment's TL_<BACKEND>_<OPTION>; NULL: no options */
    char threads[16];    /* "" where the user did not set it */
    const char *isa;     /* NULL where the user did not set it */
    char text[512];      /* what the backend said of its failure; "" if nothing yet */
    tl_status status;    /* of which failure: it may try one way, be refused, and fail on the next without a word */
} tl__host;
void tl__host_start(tl__host *host, tl_context *context, const char *name);

/* What came of a call into a backend, TL_OK or a failure whose message is recorded: "NAME: what the backend said",
 * or "NAME: CALL: text of the status" if it said nothing. A number that is no status becomes TL_ERROR_DEVICE. */
tl_status tl__host_result(tl__host *host, tl_status status, const char *call);

/* The same words into text[size], for a failure that does not end the work. */
void tl__host_describe(const tl__host *host, tl_status status, const char *call, char *text, size_t size);

/* ---- probe.c: which devices there are ---- */

typedef struct tl__found {
    tl__backend *backend;
    size_t admitted; /* the backend's place in the registry */
    uint32_t index;  /* in the backend */
    char name[48];   /* "cpu", "opencl:0" */
    tl_backend_device_info info;
} tl__found;

/* Asks one backend (or, with NULL, every one) for its devices. They come best first: usable GPUs, libtl's own CPU
 * backend, other usable ones, those that cannot be used, remarks; among equals the backend with the higher priority,
 * then the one that was admitted earlier, then the lower index. A backend that fails here is logged as a warning.
 * `*found` is the caller's, to be freed with tl__free. TL_ERROR_MEMORY. */
tl_status tl__probe(tl_context *context, tl__backend *backend, tl__found **found, size_t *count);

/* Why `auto` takes `best`, the first of them, rather than this one; "" for itself and for remarks. */
const char *tl__found_why_not(const tl__found *best, const tl__found *found);

/* ---- device.c ---- */

struct tl_device {
    tl_context *context;
    tl__backend *backend;
    char name[48];
    char *isa;
    tl__host host;
    tl_backend_device *handle;
    tl_device_ops ops; /* a copy: what the backend's size does not cover is NULL */
    tl_device_properties properties;
    tl_fallback fallback;
    char **warned; /* why it left something to the CPU: each is said once */
    size_t warned_count, warned_capacity;
};

/* Is it of libtl's own CPU backend? */
bool tl__device_is_own_cpu(const tl_device *device);

/* libtl's own CPU backend, which runs what another device cannot. Errors as tl_device_open. */
tl_status tl__device_open_cpu(tl_context *context, const tl_device_options *options, tl_device **out);

/* ---- device_ops.c: what is asked of a device ---- */

/* Memory of the device, contents undefined. 0 bytes give a valid buffer. TL_ERROR_LIMIT: more than
 * properties.max_buffer. TL_ERROR_MEMORY, TL_ERROR_DEVICE. */
tl_status tl__device_buffer_create(tl_device *device, uint64_t bytes, tl_backend_buffer **out);
void tl__device_buffer_destroy(tl_device *device, tl_backend_buffer *buffer); /* NULL is fine */
/* The buffer's memory for the host to read and write after tl__device_queue_finish; NULL unless
 * properties.host_visible. */
void *tl__device_buffer_host(tl_device *device, tl_backend_buffer *buffer);

/* A queue; commands run in order. Those below may fail with whatever status the backend gives, TL_ERROR_DEVICE as
 * a rule; what an earlier command failed with may come with a later one, at the latest with finish. A view of
 * 0 bytes does nothing. */
tl_status tl__device_queue_create(tl_device *device, tl_backend_queue **out);
void tl__device_queue_destroy(tl_device *device, tl_backend_queue *queue); /* NULL is fine */
tl_status tl__device_queue_write(tl_device *device, tl_backend_queue *queue, const tl_view *to, const void *data);
tl_status tl__device_queue_read(tl_device *device, tl_backend_queue *queue, const tl_view *from, void *data);
tl_status tl__device_queue_zero(tl_device *device, tl_backend_queue *queue, const tl_view *what);
tl_status tl__device_queue_flush(tl_device *device, tl_backend_queue *queue);
tl_status tl__device_queue_finish(tl_device *device, tl_backend_queue *queue);
/* finish on the way out: a failure is left unsaid, the message of what went wrong before stays. */
void tl__device_queue_settle(tl_device *device, tl_backend_queue *queue);

/* Makes an operation ready, see prepare in tl/backend.h (op->size is filled in here). TL_UNSUPPORTED: the device
 * does not do this form; the message says why. On success the kernel has all its functions. */
tl_status tl__device_prepare(tl_device *device, const tl_op_desc *op, const tl_operand *operands,
                             uint32_t input_count, uint32_t output_count, tl_backend_kernel **out);
/* Operations a second at most on numbers of a type; 0 where the device does not tell. */
double tl__device_peak(tl_device *device, int32_t dtype);
/* Measures an operation's implementations, see tune in tl/backend.h; TL_UNSUPPORTED where there is no such function. */
tl_status tl__device_tune(tl_device *device, const tl_op_desc *op, const tl_operand *operands, uint32_t input_count,
                          uint32_t output_count, const tl_tuning *tuning);
tl_status tl__device_bind(tl_device *device, tl_backend_kernel *kernel, const tl_view *views);
tl_status tl__device_enqueue(tl_device *device, tl_backend_kernel *kernel, tl_backend_queue *queue);
void tl__device_release(tl_device *device, tl_backend_kernel *kernel); /* NULL is fine */
/* "gemm 6x64", never NULL. */
const char *tl__kernel_implementation(const tl_backend_kernel *kernel);

/* ---- reading tables of another size ---- */

/* Bytes of a table up to and including a field. */
#define TL__SIZE_UP_TO(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))

/* Copies a table that begins with its size: what that does not cover is 0, what is beyond ours is left out. */
#define TL__TABLE_COPY(to, from) \
    memcpy(memset((to), 0, sizeof *(to)), (from), (from)->size < sizeof *(to) ? (from)->size : sizeof *(to))

#endif
