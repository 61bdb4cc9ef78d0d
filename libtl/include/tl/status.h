/* tl/status.h: what every libtl function that can fail returns. */
#ifndef TL_STATUS_H
#define TL_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TL_API __attribute__((visibility("default")))
#else
#define TL_API
#endif

/* The one list of results: name, value, text. Values never change; new ones are added at the end.
 * 0 is success, everything else is negative. The text is general; what exactly went wrong (file, line,
 * tensor, node, shapes, the driver's own code) is in tl_context_message(). */
#define TL_STATUS_LIST(X)                                             \
    X(TL_OK, 0, "success")                                            \
    X(TL_ERROR_MEMORY, -1, "out of memory")                           \
    X(TL_ERROR_ARGUMENT, -2, "invalid argument")                      \
    X(TL_ERROR_IO, -3, "input/output error")                          \
    X(TL_ERROR_NOT_FOUND, -4, "not found")                            \
    X(TL_ERROR_EXISTS, -5, "already exists")                          \
    X(TL_ERROR_FORMAT, -6, "malformed file")                          \
    X(TL_ERROR_SHAPE, -7, "shapes do not fit")                        \
    X(TL_ERROR_WEIGHTS, -8, "weights do not fit the network")         \
    X(TL_ERROR_DATA, -9, "unusable data set")                         \
    X(TL_ERROR_LIMIT, -10, "beyond a limit")                          \
    X(TL_ERROR_DEVICE, -11, "device error")                           \
    X(TL_ERROR_ABI, -12, "incompatible backend")                      \
    X(TL_ERROR_NUMERIC, -13, "not a finite number")                   \
    X(TL_ERROR_INTERNAL, -14, "internal error")                       \
    X(TL_UNSUPPORTED, -15, "not supported")                           \
    X(TL_CANCELLED, -16, "cancelled")

typedef enum tl_status {
#define TL_STATUS_ENUM(name, value, text) name = value,
    TL_STATUS_LIST(TL_STATUS_ENUM)
#undef TL_STATUS_ENUM
} tl_status;

/* The text of a status, never NULL ("unknown status" for other values). Static; any thread. */
TL_API const char *tl_status_text(tl_status status);

#ifdef __cplusplus
}
#endif
#endif
