/* train/frozen.h: the proof that what is frozen stayed as it was. */
#ifndef TL__FROZEN_H
#define TL__FROZEN_H

#include "models/models.h"

/* A hash over names and contents of the parameters and buffers whose `changed` is false; `count` says how many. `each`
 * gets their contents' hashes, by parameter; `again` says that it has them from before, where those of values that still
 * come from a generator stay. */
tl_status tl__frozen_hash(tl_model *model, const bool *changed, bool again, tl__hash *each, tl__hash *hash, size_t *count);
/* Of one parameter's contents. */
tl_status tl__parameter_hash(tl_context *context, const tl__parameter *parameter, tl__hash *hash);

#endif
