/* train/runner.h: inference, of the whole network or of one side of a cut (tl__graph_frozen_cut). */
#ifndef TL__RUNNER_H
#define TL__RUNNER_H

#include "train/engine.h"
#include "train/rows.h"

typedef enum tl__part {
    TL__PART_WHOLE,    /* images to logits */
    TL__PART_FEATURES, /* images to the values at the cut */
    TL__PART_REST,     /* the values at the cut to logits */
} tl__part;

typedef struct tl__runner {
    tl__engine *engine;
    tl__draw_options draw; /* batch: the largest */
    tl__part part;
    tl__cut cut;           /* to which the engine's storage reaches; none: to the end */
    struct tl__runner_plan {
        int count;         /* images; 0: none */
        tl__plan *plan;
        tl__cut inputs, outputs;
    } plans[2];            /* the full batch, and the last other count that was asked for */
    size_t input_bytes, output_count; /* of one image */
    tl__rows rows;
} tl__runner;

/* `cut`: NULL, or of the network as it is drawn. `draw->batch` images at once, or as many as fit the device: runner->draw.batch. */
tl_status tl__runner_create(tl__engine *engine, const tl__draw_options *draw, tl__part part, const tl__cut *cut, tl__runner **out);
/* The names of the values at its cut, into text[size]; returns text. */
const char *tl__runner_cut_text(const tl__runner *runner, char *text, size_t size);
void tl__runner_destroy(tl__runner *runner);
/* count images (1 .. any number, taken in batches): out[count * output_count]. */
tl_status tl__runner_run(tl__runner *runner, const void *input, int count, float *out);

#endif
