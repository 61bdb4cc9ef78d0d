/* graph/plan_internal.h: what the files that make up the plan share. */
#ifndef TL__PLAN_INTERNAL_H
#define TL__PLAN_INTERNAL_H

#include "graph/plan.h"

#define TL__MAX_CHUNKS 16

/* One device's memory and queue, for plans that run in turn. It only ever grows. */
struct tl__arena {
    tl_device *device;
    tl_backend_queue *queue;
    tl_backend_buffer *chunks[TL__MAX_CHUNKS]; /* several where one buffer may not be so large */
    uint64_t sizes[TL__MAX_CHUNKS];
    uint64_t generation; /* changes when a chunk is replaced */
};
tl_status tl__arena_reserve(tl__arena *arena, const uint64_t sizes[TL__MAX_CHUNKS]);

enum { TL__DEVICE = 0, TL__FALLBACK = 1 };
#define TL__FOREVER 0x7fffffff

/* A piece of memory of one device, for a value or a workspace, during a stretch of the steps. */
typedef struct tl__slot {
    int device;
    uint64_t bytes;
    int first, last; /* steps; first -1: written before the run; last TL__FOREVER: read after it */
    int same_as;     /* shares the place of this slot; -1: has its own */
    int chunk;
    uint64_t offset;
    bool copy;     /* of a value whose home is on the other device */
    bool external; /* `view` was given by the trainer */
    tl_view view;
} tl__slot;

typedef struct tl__step {
    int node;                  /* of the graph; for a transfer the one that needs it */
    int device;
    tl_backend_kernel *kernel; /* NULL: a transfer */
    int slots[TL_MAX_INPUTS + TL_MAX_OUTPUTS + 1]; /* operands, then the workspace; -1: none */
    int slot_count;
    int from, to;              /* of a transfer */
} tl__step;

/* What the device does not do, and the CPU does: nodes of one operation that were refused for one reason. */
typedef struct tl__refusal {
    uint32_t op;
    int count;
    const char *first; /* the first one's name */
    char *reason;      /* without the device's name */
} tl__refusal;

struct tl__plan {
    tl_context *context;
    tl__graph *graph;
    tl__plan_options options;
    tl__step *steps;
    size_t step_count, step_capacity;
    tl__slot *slots;
    size_t slot_count, slot_capacity;
    int (*value_slots)[2]; /* value -> slot on each device, -1: none */
    size_t value_capacity;
    uint64_t chunk_bytes[2][TL__MAX_CHUNKS];
    uint64_t generations[2];
    void *staging; /* of transfers */
    uint64_t staging_bytes;
    tl__refusal *refusals;
    size_t refusal_count, refusal_capacity;
    char *report;
};

static inline tl__arena *tl__plan_arena(const tl__plan *plan, int device) {
    return device == TL__DEVICE ? plan->options.arena : plan->options.fallback_arena;
}

/* Prepares every node on a device, and writes the steps with the transfers between devices and the slots. */
tl_status tl__plan_place(tl__plan *plan);
/* Gives every slot its place, so that those that live at the same time do not touch. */
tl_status tl__plan_layout(tl__plan *plan);
tl_status tl__plan_write_report(tl__plan *plan);
/* ---- refusals.c ---- */
/* Notes that the device refused the node, for the reason that the context's message gives. TL_ERROR_MEMORY. */
tl_status tl__plan_note_refusal(tl__plan *plan, const tl__node *node);
/* The same, where that is an error: TL_UNSUPPORTED, and the message names all that there is to know. */
tl_status tl__plan_refused(tl__plan *plan, const tl__node *node);
/* One warning that tells what runs on the CPU for reasons that this device had not given before. */
tl_status tl__plan_warn(tl__plan *plan);
void tl__plan_free_refusals(tl__plan *plan);

const char *tl__plan_bytes_text(uint64_t bytes, char text[16]); /* "1.5 MiB"; returns text */
const char *tl__plan_operation(const tl__plan *plan, const tl__step *step);

#endif
