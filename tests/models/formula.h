/* models/formula.h: weights that need no file: every value of a network follows from a tensor's name, an element's
 * index and a seed, the same in any language, so that results can be compared with another framework's.
 *
 *     h = FNV-1a-64(name) ^ seed;  z = h + (i + 1) * 0x9E3779B97F4A7C15, then splitmix64's mixing of z
 *     u = (z >> 40) / 2^24;  value = (float)(a + b * u)
 *
 * for element i in C order of torchvision's shape; a and b depend on what the tensor is. */
#ifndef TL_TEST_FORMULA_H
#define TL_TEST_FORMULA_H

#include <tl/model.h>

double formula_unit(const char *name, uint64_t seed, uint64_t index); /* [0, 1) */

/* One tensor; `two_conv_block`: the network's residual branches end in bn2. */
void formula_tensor(const tl_parameter_info *info, uint64_t seed, bool two_conv_block, float *out);

/* Whether the network's residual branches end in bn2: it has no bn3. */
bool formula_two_conv_block(const tl_model *model);

/* Every tensor of the model, through tl_model_write. */
tl_status formula_fill(tl_model *model, uint64_t seed);

#endif
