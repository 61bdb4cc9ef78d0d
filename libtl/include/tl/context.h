/* tl/context.h: the context, which everything else of libtl belongs to.
 *
 * libtl keeps no global state. A context holds the allocator, the callbacks, the backends that were found and
 * the message of the last failure. Use a context, and everything made from it, from one thread at a time: one
 * context per thread, or a lock of your own. Different contexts are independent. */
#ifndef TL_CONTEXT_H
#define TL_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tl/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tl_context tl_context;

typedef enum tl_log_level {
    TL_LOG_ERROR = 0,   /* something was lost or refused */
    TL_LOG_WARNING = 1, /* the result may not be what was meant: a fallback, an odd file */
    TL_LOG_INFO = 2,    /* what was chosen */
    TL_LOG_DEBUG = 3,
} tl_log_level;

/* Fill with zeros, set `size` to sizeof(tl_context_options), then the fields you want. */
typedef struct tl_context_options {
    size_t size;
    void *user; /* handed to the callbacks below */

    /* Both or neither. allocate returns `bytes` (> 0) bytes aligned to `alignment` (a power of two, at least
     * sizeof(void *)), or NULL, which becomes TL_ERROR_MEMORY. release gets what allocate returned, never NULL.
     * Loader threads call them too, so they must be thread-safe. Default: aligned_alloc and free. */
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory);

    /* One message without a newline, at the time of the call only. Called from the thread that called libtl.
     * Default: messages are dropped. libtl itself never prints. */
    void (*log)(void *user, tl_log_level level, const char *text);
    tl_log_level log_level; /* messages above it are not built; 0: errors only */

    /* Asked between steps and images; true ends the call in progress with TL_CANCELLED. Must be cheap; it may
     * read a flag that a signal handler sets. */
    bool (*cancelled)(void *user);

    /* Folders with backend plugins, separated by ':', absolute, searched before the installed ones. NULL: the
     * environment's TL_BACKEND_PATH (ignored in setuid programs). "" : none but those built in. */
    const char *backend_path;
} tl_context_options;

/* Makes a context; `options` may be NULL. Cheap: no backend is looked for until a device is asked for.
 * TL_ERROR_MEMORY; TL_ERROR_ARGUMENT (out is NULL, size is 0, one allocator callback without the other). */
TL_API tl_status tl_context_create(const tl_context_options *options, tl_context **out);

/* Ends a context. Everything made from it must have been destroyed before. NULL is fine. */
TL_API void tl_context_destroy(tl_context *context);

/* What the last failed call on this context said: one line, no newline, "" if nothing failed yet. Owned by the
 * context, valid until its next failure. With a NULL context: "". */
TL_API const char *tl_context_message(const tl_context *context);

/* libtl's version, "0.1.0", of the library in use (TL_VERSION in tl/version.h is that of the headers). */
TL_API const char *tl_version(void);

#ifdef __cplusplus
}
#endif
#endif
