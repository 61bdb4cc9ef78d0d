/* train/store.h: the tensors that change, on the device.
 *
 * Parameters that train lie one behind the other in one buffer, their gradients at the same offsets in another,
 * Adam's moments in two more; running statistics that move have a buffer of their own. So the optimiser is one
 * kernel, and unfreezing is moving a segment. */
#ifndef TL__STORE_H
#define TL__STORE_H

#include "core/registry.h"
#include "graph/graph.h"
#include "models/models.h"

/* What Adam remembers of a parameter between stages; NULL moments count as zeros. */
typedef struct tl__moments {
    float *first, *second; /* in the graph's order */
    int64_t steps;
} tl__moments;

typedef struct tl__store {
    tl_model *model;
    tl_device *device;
    tl_backend_queue *queue;
    tl_backend_buffer *buffers[4]; /* by tl__flat; NULL where nothing trains */
    tl_backend_buffer *statistics; /* NULL where none move */
    uint64_t bytes, statistics_bytes;
    tl__parameter **segments;      /* what trains, in the order of the buffer */
    int64_t *bounds;               /* segment_count + 1 element offsets */
    size_t segment_count;
    tl__moments *moments;          /* for each parameter of the model, kept over stages; owned by the trainer */
} tl__store;

/* Lays out what model->parameters say trains or moves, and writes values and moments to the device.
 * TL_ERROR_MEMORY, TL_ERROR_LIMIT, TL_ERROR_DEVICE. */
tl_status tl__store_create(tl_model *model, tl_device *device, tl_backend_queue *queue, tl__moments *moments, tl__store **out);
void tl__store_destroy(tl__store *store);

/* Brings the values back into the model; with `moments` Adam's too. */
tl_status tl__store_sync(tl__store *store, bool moments);
/* For tl__plan_options.locate. */
tl_status tl__store_locate(const tl__store *store, const tl__value *value, tl_view *view);
/* The gradient of the last step, in the graph's order. */
tl_status tl__store_gradient(tl__store *store, const tl__parameter *parameter, float *out);

#endif
