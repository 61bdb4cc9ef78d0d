/* models/frozen.h: hashes of parameters: the proof that what is frozen stayed as it was, the key of what is computed
 * from it, and by what a file that holds only changes knows what it was changed from. They are of contents in
 * torchvision's order, wherever these come from. */
#ifndef TL__FROZEN_H
#define TL__FROZEN_H

#include "models/models.h"

/* A hash over names and contents of the parameters and buffers whose `changed` is false; `count` says how many.
 * Contents that were hashed before and are still the same by their id are not read, but for `again`, which takes nothing
 * on trust but what a generator makes. TL_ERROR_MEMORY, TL_ERROR_IO. */
tl_status tl__frozen_hash(tl_model *model, const bool *changed, bool again, tl__hash *hash, size_t *count);
/* Of one parameter's contents, likewise. */
tl_status tl__parameter_hash(tl_context *context, tl__parameter *parameter, tl__hash *hash);

#endif
