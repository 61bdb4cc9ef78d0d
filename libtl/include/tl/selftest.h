/* tl/selftest.h: does a device compute what it should? */
#ifndef TL_SELFTEST_H
#define TL_SELFTEST_H

#include <tl/device.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tl_selftest_verdict {
    TL_SELFTEST_RIGHT = 0,   /* within the bounds wherever the device took the operation */
    TL_SELFTEST_WRONG = 1,   /* beyond a bound, not the same twice, outside its outputs, or failed */
    TL_SELFTEST_REFUSED = 2, /* the device took it in no form: it runs on the CPU */
} tl_selftest_verdict;

/* What came of one operation; the strings live until the callback returns. */
typedef struct tl_selftest_line {
    size_t size;
    const char *operation;       /* "conv2d" */
    tl_selftest_verdict verdict;
    int shapes, cases;           /* how many were tried; a shape is tried in several forms */
    int refused, wrong;          /* cases among them */
    double worst;                /* the largest error, with its bound as the unit; infinite where that is 0 */
    const char *implementations; /* "gemm 6x64, direct": those that were used; "" if it refused everything */
    const char *detail;          /* the first wrong case in words, or else why the first refused one was; or "" */
    const char *storage;         /* how activations are stored: "f32", or "bf16", "f16", "u8" as in a frozen part */
} tl_selftest_line;

/* Runs every operation, forward and backward, on the device and on libtl's CPU backend, there in its plainest form,
 * over small shapes: odd sizes, strides, dilation, groups; optional operands there and not, constants and not,
 * outputs in place of inputs. Outputs, workspace and what lies between them hold NaN before. The cases are the same
 * every time.
 *
 * An error is measured against a bound. For a sum of n terms that is 2 (8 + sqrt(n)) u times the sum of their
 * absolute values, u = 2^-24: rounding errors of f32 sums on both sides, which grow with the root of n (Higham and
 * Mary, 2019), and a few roundings more. Convolutions of small integers, and whatever rounds nothing, must agree
 * exactly.
 *
 * An operation that the device takes with activations stored in 16 or 8 bits has a line for that, too. In 8 bits sums are
 * of integers, and the bits of what is stored must be the CPU backend's.
 *
 * Calls `each` after every line; stops when it returns false.
 * TL_ERROR_DEVICE: something is wrong; the message names the operations. TL_ERROR_MEMORY, TL_CANCELLED. */
TL_API tl_status tl_device_selftest(tl_device *device, bool (*each)(void *user, const tl_selftest_line *line),
                                    void *user);

#ifdef __cplusplus
}
#endif
#endif
