/* train/engine.h: a model on a device: what its plans share. */
#ifndef TL__ENGINE_H
#define TL__ENGINE_H

#include "graph/plan.h"
#include "train/store.h"

typedef struct tl__engine {
    tl_model *model;
    tl_device *device, *cpu; /* cpu: for what the device refuses; NULL where the device is the CPU itself,
                              * or must do everything */
    tl__arena *arena, *cpu_arena;
    tl_dtype storage;        /* of the frozen part's values */
    struct tl__calibration *calibration; /* storage u8: NULL until there is one (train/calibrate.h) */
    tl__hash calibrated_on;  /* of the images that it is from or will be from, where features are kept on disk */
    tl__store *store;        /* NULL while nothing trains: every parameter is a constant then */
    uint64_t allowed;        /* bytes that all of this may take on the device; 0: nobody knows, or nobody asks */
    bool measure;            /* plans only find out whether they fit */
    bool too_large;          /* the last plan could not be made because it does not fit */
} tl__engine;

/* What a model takes on its device beside the arena, in bytes. */
typedef struct tl__memory {
    uint64_t frozen; /* parameters that are constants */
    uint64_t state;  /* those that train, their gradients and Adam's moments; statistics that move */
    uint64_t allowed, largest_buffer;
} tl__memory;
tl__memory tl__engine_memory(const tl__engine *engine);

tl_status tl__engine_create(tl_model *model, tl_device *device, tl__engine **out);
/* TL_ERROR_ARGUMENT: no such precision. */
tl_status tl__engine_set_precision(tl__engine *engine, tl_precision precision);
void tl__engine_destroy(tl__engine *engine); /* the store too */
/* Makes a plan of the graph, which becomes the plan's; `what` and `images` are the title of its report. Sets
 * engine->too_large. */
tl_status tl__engine_plan(tl__engine *engine, tl__graph *graph, const char *what, int images, tl__plan **out);
tl_backend_queue *tl__engine_queue(const tl__engine *engine);
/* How many images at once when the results are independent: enough to fill the device, few enough to need little memory. */
int tl__engine_chunk(const tl__engine *engine, int batch);

#endif
