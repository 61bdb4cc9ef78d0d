/* train/trainer.h: the trainer's insides, for tl_train. */
#ifndef TL__TRAINER_H
#define TL__TRAINER_H

#include <tl/train.h>

#include "train/engine.h"
#include "train/rows.h"
#include "train/score.h"

struct tl_trainer {
    tl_context *context;
    tl_model *model;
    tl__engine *engine;
    tl_train_options options; /* stages and their strings are our own copies */
    tl_stage *stages;
    int height, width;
    size_t stage;
    int64_t stage_steps;  /* made in it */
    tl__moments *moments; /* one for each parameter of the model */
    bool features;        /* steps take the values at `cut` in place of images */
    tl__cut cut;          /* none: nothing to keep, because of `cut_reason` */
    const char *cut_reason;
    int64_t steps;        /* in all stages: dropout's counter */
    struct tl__step_plan {
        int count; /* images; 0: none */
        tl__plan *plan;
        tl__cut inputs;
        int target, counter, table, logits, loss;
        int auxiliary, second_loss; /* of the auxiliary classifier, or -1 */
        int dice, second_dice;      /* the Dice losses, or -1 */
    } plans[2];           /* the full batch, and the last other count */
    struct tl__step_plan *last;
    float *table;         /* of Adam: [segments][8] */
    double *rates;        /* [segments]: before the schedule */
    tl__rows rows;
};

/* Which parameters train and which statistics move in this stage: sets their flags.
 * TL_ERROR_ARGUMENT: a pattern that matches none. */
tl_status tl__stage_mark(tl_model *model, const tl_stage *stage, tl_bn bn);
tl_status tl__stage_check(tl_context *context, const tl_stage *stage);
double tl__stage_factor(const tl_stage *stage, int64_t step);         /* what the schedule makes of a rate */
double tl__stage_rate(const tl_stage *stage, const char *parameter); /* before the schedule */

/* Steps take features from now on (trainer->cut.count > 0). */
void tl__trainer_use_features(tl_trainer *trainer, bool features);
/* As tl_trainer_step, into sums; `input` is images or features. */
tl_status tl__trainer_step(tl_trainer *trainer, const void *input, const int32_t *labels, int count, tl__sums *sums);
/* Makes the plan for so many images now; it stays the trainer's. */
tl_status tl__trainer_prepare(tl_trainer *trainer, int count, tl__plan **plan);
/* Whether a step on so many images would fit the device, as far as is known without doing it. */
tl_status tl__trainer_fits(tl_trainer *trainer, int count, bool *fits);

/* ---- fit.c ---- */
/* The largest batch up to `limit` whose step fits; 0: none. Tried are 1, 2, 3, 4, 6, 8, 12, ... 256 and the limit. */
tl_status tl__trainer_largest(tl_trainer *trainer, int limit, int *batch);
/* Puts the batch that would fit into the message of a failure because `count` did not. */
void tl__trainer_say_what_fits(tl_trainer *trainer, int count);
uint64_t tl__free_memory(void); /* bytes that the machine can still give; 0: unknown */
/* How the graph is drawn for training, with this many images. */
tl__draw_options tl__trainer_draw(const tl_trainer *trainer, int count);

#endif
