/* tl/tune.h: measuring which implementation of an operation is the fastest on a device, and what was measured before. */
#ifndef TL_TUNE_H
#define TL_TUNE_H

#include <tl/device.h>
#include <tl/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tl_tune_options {
    size_t size;
    int batch;  /* images at once; 0: 32. What is chosen serves every batch */
    int pixels; /* side of the square input; 0: 224 */
    void *user; /* first argument of what follows; both may be NULL */
    /* An implementation was measured: seconds of one run; below 0 where it does not work, and `note` says why. */
    void (*on_candidate)(void *user, const char *node, const char *operation, const char *implementation, double seconds,
                         const char *note);
    /* The choice for a form of an operation, "conv2d 56x56x64 -> 56x56x64 3x3 ...". */
    void (*on_choice)(void *user, const char *form, const char *implementation, double seconds);
    tl_precision precision; /* other than TL_PRECISION_FP32: inference with values stored so is measured, too */
} tl_tune_options;

typedef struct tl_tune_result {
    size_t size;
    int forms;      /* that a choice was made for */
    int candidates; /* that were measured */
} tl_tune_result;

/* Measures the device's implementations of everything that the model needs, in inference and in training of all its
 * parameters, on made-up numbers. The device's backend keeps what is fastest, on disk, for its later plans: for the
 * device, its driver and this version of libtl. The model's values stay as they are. `options` may be NULL.
 * TL_UNSUPPORTED: the backend has nothing to choose, or does not store values so. TL_ERROR_IO: it cannot keep anything. TL_ERROR_LIMIT: the batch is
 * too large for the device. TL_CANCELLED: what was measured so far is kept. Otherwise as tl_trainer_create. */
TL_API tl_status tl_tune(tl_model *model, tl_device *device, const tl_tune_options *options, tl_tune_result *result);

/* A choice that was kept; the strings live until the callback returns. */
typedef struct tl_tune_choice {
    size_t size;
    const char *backend;     /* "opencl" */
    const char *device;      /* as its backend tells it from others: version of libtl, name, driver */
    const char *form, *implementation;
    double seconds;
} tl_tune_choice;

/* Calls `each` for every choice that was kept for a device, given as to tl_device_open; NULL: for all that there ever were
 * on this machine. TL_ERROR_NOT_FOUND: no such device. TL_ERROR_MEMORY. */
TL_API tl_status tl_tune_list(tl_context *context, const char *device,
                              void (*each)(void *user, const tl_tune_choice *choice), void *user);

/* Forgets them, and says how many there were. Errors as tl_tune_list. */
TL_API tl_status tl_tune_forget(tl_context *context, const char *device, int *count);

#ifdef __cplusplus
}
#endif
#endif
