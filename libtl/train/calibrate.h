/* train/calibrate.h: between which numbers the values of a frozen part lie, which says what bytes stand for where they
 * are stored in 8 bits (TL_PRECISION_INT8). Some images are computed in f32, one after another on memory of its own; the
 * ranges depend on the images, the weights and the device's arithmetic alone, neither on threads nor on the batch. */
#ifndef TL__CALIBRATE_H
#define TL__CALIBRATE_H

#include "data/loader.h"
#include "train/engine.h"

#define TL__CALIBRATION_IMAGES 64 /* the most that are taken, spread evenly */

typedef struct tl__calibration tl__calibration;

/* Whether plans of the engine need a calibration that is not there. */
bool tl__calibration_missing(const tl__engine *engine);
/* From these images, of the size that `draw` says, up to the first value of the cut (none: to the logits). Becomes the
 * engine's. TL_ERROR_DATA: a value that is not finite, by name. TL_CANCELLED. */
tl_status tl__calibrate(tl__engine *engine, const tl__draw_options *draw, const tl__cut *cut, const uint8_t *rgb,
                        int count);
/* The same from a data set, through its loader, whose epoch in progress ends: the images as in epoch 0. */
tl_status tl__calibrate_on(tl__engine *engine, const tl__draw_options *draw, const tl__cut *cut,
                           const tl_dataset *dataset, tl__loader *loader);
/* Sets engine->calibrated_on for such a data set, whose loader changes images by `augment` (NULL: not at random).
 * TL_ERROR_IO, TL_ERROR_MEMORY. */
tl_status tl__calibration_hash(tl__engine *engine, const tl_dataset *dataset, const tl_augment *augment);
void tl__calibration_destroy(tl__calibration *calibration);

/* What the graph is to know before a plan is made of it: storage, and the ranges. */
void tl__engine_store_in(const tl__engine *engine, tl__graph *graph, int stored_to);

#endif
