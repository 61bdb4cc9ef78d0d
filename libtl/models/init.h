/* models/init.h: where a new network's values come from. Each sets the parameter's source: the numbers are made when
 * they are read, any part of them alike, from the seed, the parameter's name and the element's index alone. They are
 * the same on every machine to the last bit: only operations that IEEE 754 defines are used, none of them fused. */
#ifndef TL__INIT_H
#define TL__INIT_H

#include "graph/parameter.h"

void tl__init_constant(tl__parameter *parameter, double value);
void tl__init_normal(tl__parameter *parameter, double deviation, uint64_t seed);
void tl__init_uniform(tl__parameter *parameter, double low, double high, uint64_t seed); /* [low, high] */

#endif
