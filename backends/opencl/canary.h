/* canary.h: is the device right? Small operations whose results are compared with plain C, because compilers of drivers
 * are wrong now and then and nothing else would tell. What was found right is kept in the cache of binaries, keyed by
 * device, driver, libtl's version and sources, so that a device is looked at once. */
#ifndef TL_OPENCL_CANARY_H
#define TL_OPENCL_CANARY_H

#include "backends/opencl/opencl.h"

typedef enum opencl_trust {
    OPENCL_TRUST_UNASKED,
    OPENCL_TRUST_NONE,
    OPENCL_TRUST_DIRECT, /* CLBlast's small products alone: no larger one could be looked at */
    OPENCL_TRUST_ALL,
} opencl_trust;

/* CLBlast's products, direct and indirect. Where they are wrong or fail, that is logged as a warning and *trust is less
 * than OPENCL_TRUST_ALL; a failure is returned only where no memory is left or the device is lost. */
tl_status tl__opencl_canary_blas(opencl_device *device, int *trust);

/* Whether `what` was found right before; and that it was. */
bool tl__opencl_canary_stamped(opencl_device *device, const char *what);
void tl__opencl_canary_stamp(opencl_device *device, const char *what);

/* The option "trust": yes, and a mismatch is a warning. */
bool tl__opencl_canary_trusting(const opencl_device *device);

#endif
