/* core/registry.h: the backends of a context. */
#ifndef TL__REGISTRY_H
#define TL__REGISTRY_H

#include "core/core.h"

void tl__registry_destroy(tl_context *context, struct tl__registry *registry); /* NULL is fine */

#endif
