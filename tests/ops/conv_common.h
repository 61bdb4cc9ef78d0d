/* conv_common.h: what the three convolution tests share. */
#ifndef TL_TEST_OPS_CONV_COMMON_H
#define TL_TEST_OPS_CONV_COMMON_H

#include <stdbool.h>

#include "tests/ops/conv_reference.h"
#include "tests/ops/harness.h"

void conv_begin(t_op *op, tl_op which, const conv_shape *s); /* t_begin and the attributes */
void conv_give_x(t_op *op, int i, const conv_shape *s, bool integers);
void conv_give_w(t_op *op, int i, const conv_shape *s, bool integers);
void conv_give_y(t_op *op, int i, const conv_shape *s, bool integers);
void conv_give_bias(t_op *op, int i, const conv_shape *s, bool integers);
/* What the operation's attribute `exact` is in these tests: 1 unless TL_CPU_WINOGRAD or TL_OPENCL_WINOGRAD is 1 in the
 * environment. */
int conv_exact(void);
const char *conv_text(const conv_shape *s); /* "2x7x7x64 -> 65 3x3 s2 p1"; static */

/* How far a sum of `terms` products in f32 may be off, as a multiple of the sum of their absolute values. A
 * rounding error of at most u occurs in each addition and multiplication, in whatever order, and errors of random
 * sign grow with the root of their number: sqrt(terms) u (Higham and Mary, "A new approach to probabilistic
 * rounding error analysis", 2019, with a failure probability that 8 u more makes negligible for few terms).
 * Integers whose sums stay below 2^24 are exact. */
double conv_tolerance(double terms, bool integers);

#endif
