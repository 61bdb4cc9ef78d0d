/* train/frozen.h: the proof that what is frozen stayed as it was. */
#ifndef TL__FROZEN_H
#define TL__FROZEN_H

#include "models/models.h"

/* A hash over names and contents of the parameters and buffers whose `changed` is false; `count` says how many. Where
 * `each` is not NULL, it gets their contents' hashes, by parameter. */
tl_status tl__frozen_hash(tl_model *model, const bool *changed, tl__hash *hash, size_t *count, tl__hash *each);
/* Of one parameter's contents. */
tl_status tl__parameter_hash(tl_context *context, const tl__parameter *parameter, tl__hash *hash);

#endif
