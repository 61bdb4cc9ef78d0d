/* graph/plan.h: a graph made ready to run on a device.
 *
 * tl__plan_create prunes, folds and fuses the graph, places every node (the device's backend, or the CPU with
 * transfers where the backend refuses), prepares kernels, lays all values out in one arena and binds them. Running
 * then allocates nothing. */
#ifndef TL__PLAN_H
#define TL__PLAN_H

#include "core/registry.h"
#include "graph/graph.h"

/* The memory of activations and workspaces, shared by plans that run in turn: it is as large as the largest needs.
 * The values of a plan hold until another plan of the same arena runs. */
typedef struct tl__arena tl__arena;
tl_status tl__arena_create(tl_device *device, tl__arena **out);
void tl__arena_destroy(tl__arena *arena);
/* Gives its memory back, while there is no plan that uses it. */
tl_status tl__arena_empty(tl__arena *arena);
uint64_t tl__arena_bytes(const tl__arena *arena);

typedef struct tl__plan tl__plan;

typedef struct tl__plan_options {
    tl_device *device;
    tl_device *fallback; /* the CPU, for what device refuses; NULL: that is an error */
    tl__arena *arena, *fallback_arena;
    const char *title; /* of its report: "training step, 8 images"; NULL: "plan" */
    uint64_t budget;   /* bytes that the arena may have on the device; 0: as many as there are */
    bool measure;      /* only find out whether it fits and what it needs: the plan cannot run */
    bool *too_large;   /* if not NULL: becomes true where it is not made because it does not fit the device */
    /* Where live parameters, gradients and flat buffers lie (value->kind PARAMETER, COMPUTED with gradient_of, FLAT). */
    tl_status (*locate)(void *user, const tl__value *value, tl_view *view);
    void *user;
} tl__plan_options;

/* The graph becomes the plan's, whatever the outcome. */
tl_status tl__plan_create(tl__graph *graph, const tl__plan_options *options, tl__plan **out);
void tl__plan_destroy(tl__plan *plan);

tl_status tl__plan_write(tl__plan *plan, int value, const void *data); /* an input, before run */
tl_status tl__plan_run(tl__plan *plan);
tl_status tl__plan_read(tl__plan *plan, int value, void *data);        /* a kept value, after run */
const tl__value *tl__plan_value(const tl__plan *plan, int value);
const tl__graph *tl__plan_graph(const tl__plan *plan);

/* Runs, and tells of each observed value when it has just been computed and tl__plan_read can have it: later its place is
 * another one's. A failure of `each` ends the run. */
tl_status tl__plan_run_observed(tl__plan *plan, void *user, tl_status (*each)(void *user, int value));

/* Runs with a wait after each node, and tells how long each took. */
tl_status tl__plan_run_timed(tl__plan *plan, void *user,
                             void (*each)(void *user, const char *node, const char *op, const char *implementation,
                                          double seconds, double flops));

/* Has the device measure how to do each node; says before which one it is. The plan itself stays as it is. */
tl_status tl__plan_tune(tl__plan *plan, const tl_tuning *tuning, void *user,
                        void (*at)(void *user, const char *node, const char *operation));

double tl__plan_flops(const tl__plan *plan);
uint64_t tl__plan_bytes(const tl__plan *plan); /* of the arenas that it needs */
uint64_t tl__plan_device_bytes(const tl__plan *plan); /* of that on the device */
/* Several lines: nodes by backend and implementation, transfers and where, what fell back and why, memory. Owned by
 * the plan; "" of one that only measured. */
const char *tl__plan_report(const tl__plan *plan);
/* Logs it, line by line, as information. */
void tl__plan_log(const tl__plan *plan);

#endif
