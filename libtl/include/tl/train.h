/* tl/train.h: fine-tuning and evaluation. */
#ifndef TL_TRAIN_H
#define TL_TRAIN_H

#include <tl/augment.h>
#include <tl/dataset.h>
#include <tl/device.h>
#include <tl/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where every batch-norm of the network takes its statistics from while training. */
typedef enum tl_bn {
    TL_BN_EVAL = 0,  /* stored ones, which stay as they are */
    TL_BN_BATCH = 1, /* the batch's, and the stored ones move: model.train() */
    TL_BN_MIXED = 2, /* the batch's where its scale or shift trains, the stored ones elsewhere */
} tl_bn;

/* What of an image a segmenter is judged by, while training and by tl_evaluate. */
typedef enum tl_extent {
    TL_EXTENT_WHOLE = 0, /* all of it: resized but not cropped, as tl_segmenter has it, logits brought to the size of
                          * the mask's file; every pixel of it that is not ignored counts once */
    TL_EXTENT_CROP =
        1, /* what training sees of it without random changes: resized, its middle cropped, the mask with it */
} tl_extent;

/* How a stage's learning rates change with its steps: step 0 has them whole. */
typedef enum tl_schedule {
    TL_SCHEDULE_CONSTANT = 0,
    TL_SCHEDULE_POLY = 1,   /* times (1 - step / steps) ^ power: PyTorch's PolynomialLR, stepped with every batch */
    TL_SCHEDULE_COSINE = 2, /* times (1 + cos(pi * step / steps)) / 2: CosineAnnealingLR, stepped with every batch */
} tl_schedule;

/* A learning rate of their own for some parameters, as PyTorch's parameter groups give it. */
typedef struct tl_rate {
    const char *parameters; /* patterns as in tl_stage */
    double lr;              /* > 0, or 0: `factor` times the stage's */
    double factor;          /* > 0 where lr is 0 */
} tl_rate;

/* One stage: which parameters train, how, for how long. Stages run in order; Adam's moments of a parameter that
 * trains again go on from where they were. */
typedef struct tl_stage {
    size_t size;
    const char *name;  /* for messages; default "head" */
    const char *train; /* patterns over parameter names, separated by commas or spaces: '*' any run of characters,
                        * '?' one, '[...]' a set; default: the head, "fc.*" or "classifier.6.*" */
    int epochs;        /* >= 1; default 10 */
    double lr;         /* > 0; default 1e-3 */
    double beta1, beta2, eps, weight_decay; /* Adam's; default 0.9, 0.999, 1e-8, 0 */
    tl_schedule schedule;  /* default TL_SCHEDULE_CONSTANT */
    double power;          /* > 0; default 0.9 */
    int64_t steps;         /* that the schedule spans, after which rates stay at its end; 0: all of the stage's, which
                            * tl_train knows and a tl_trainer must be told */
    const tl_rate *rates;  /* of parameters that do not have `lr`; where several match one, the last counts */
    size_t rate_count;
    const float *class_weights; /* [classes], of an image or pixel of each in the loss while training, which is then the
                                 * mean by weight; > 0; NULL (default): all count the same. tl_class_weights makes some.
                                 * Evaluation does without */
    double dice; /* >= 0; default 0. A segmenter's loss while training is cross-entropy + dice * D, D the soft Dice loss
                  * over the batch's pixels that are not ignored: D = 1 - mean over classes of (2 I + 1) / (P + Y + 1),
                  * where I is the sum of a class's probabilities (softmax) in its own pixels, P their sum everywhere,
                  * Y the number of its pixels. Classes without pixels in the batch have no part in the mean. It weighs
                  * classes alike however large they are, whatever class_weights says. (Drozdzal et al. 2016, "The
                  * Importance of Skip Connections in Biomedical Image Segmentation", with 1 added above and below.)
                  * Evaluation does without */
} tl_stage;
TL_API void tl_stage_init(tl_stage *stage, size_t size);

/* Means over samples, so that a smaller last batch counts for what it is. A segmenter's samples are the pixels that are
 * not ignored. */
typedef struct tl_score {
    double loss;     /* cross-entropy; of a segmenter's steps also the stage's Dice loss, and half of the same of its
                      * auxiliary classifier; a batch's Dice loss counts in the mean like its cross-entropy */
    double accuracy; /* 0 .. 1 */
    int64_t images;
    int64_t pixels;  /* that count, of a segmenter; with TL_EXTENT_WHOLE in the files of the masks */
    double mean_iou; /* of a segmenter's evaluation, as tl_confusion_mean has it; otherwise NaN */
} tl_score;

typedef struct tl_epoch {
    size_t size;
    const char *stage;
    int stage_index, epoch, epochs; /* epoch counts from 1 over all stages; epochs is their sum */
    int stage_epoch;                /* counts from 1 within the stage */
    tl_score train, val;            /* train: as seen while training; val.images is 0 without a validation set */
    bool best;                      /* the best validation accuracy so far (of a segmenter, mean IoU; without
                                     * validation, train loss) */
    double lr, seconds;             /* lr: the stage's own in the epoch's first step */
    const int64_t *confusion;       /* of val: confusion[truth * class_count + predicted]; until the callback returns; NULL without val */
} tl_epoch;

typedef enum tl_phase { TL_PHASE_FEATURES = 0, TL_PHASE_TRAIN = 1, TL_PHASE_VALIDATE = 2 } tl_phase;

typedef struct tl_progress {
    size_t size;
    tl_phase phase;
    int stage_index, epoch, epochs;
    int64_t done, total; /* images */
    double loss;         /* mean so far; NaN where there is none */
    double seconds;      /* since the phase began */
} tl_progress;

typedef struct tl_stage_report {
    size_t size;
    const char *stage;
    int stage_index;
    int64_t trainable, parameters;    /* elements */
    size_t trainable_tensors, tensors;
    bool features_cached;             /* the frozen prefix is computed once per image */
    const char *cache;                /* up to where ("avgpool"), or why not: "batch statistics in the prefix" */
    const char *plan;                 /* a report in several lines, of each plan: nodes by backend, transfers, memory */
    uint64_t frozen_bytes;            /* on the device: parameters that do not change, while all of them are in use */
    uint64_t state_bytes;             /* those that train, gradients, Adam's moments; statistics that move */
    uint64_t activation_bytes;        /* activations and workspace of the largest plan */
    uint64_t device_bytes;            /* what the device has; 0 if unknown */
    uint64_t device_buffer_bytes;     /* of that in one buffer */
    int64_t feature_images;           /* whose features the stage reads, val's included, each view of an image counted; 0
                                       * where none are cached */
    int64_t feature_images_found;     /* of them, those that an earlier run had left, or an earlier stage */
    const char *cache_file;           /* that keeps them; NULL: none */
} tl_stage_report;

typedef struct tl_train_options {
    size_t size;
    int batch;             /* >= 1; default 32; the last batch of an epoch is smaller where it does not divide */
    bool shuffle;          /* default true; by seed and epoch, the same on every machine */
    uint64_t seed;         /* default 0 */
    tl_bn bn;              /* default TL_BN_EVAL */
    bool cache_features;   /* default true; false computes the frozen prefix anew every step: same result */
    uint64_t cache_limit;  /* bytes that features may take: in memory (0: a quarter of the machine's), or with a
                            * cache_folder all that is in it (0: a quarter of what is free there, at most 32 GiB) */
    int workers;           /* decoding threads; 0: chosen */
    const tl_stage *stages;
    size_t stage_count;    /* >= 1 */
    void *user;            /* for the callbacks, each of which may be NULL */
    void (*on_stage)(void *user, const tl_stage_report *report);
    void (*on_progress)(void *user, const tl_progress *progress);
    /* After every epoch; model holds its parameters then (save it where epoch->best, say). A failure ends the
     * training with that status. */
    tl_status (*on_epoch)(void *user, const tl_epoch *epoch, tl_model *model);
    tl_precision precision; /* of the part whose features could be cached, up to the first of several values; default
                             * TL_PRECISION_FP32 */
    /* Where features are kept for other runs, which find them by the contents of the images and all that was done to
     * those. NULL (default): nowhere, in memory only; "": $XDG_CACHE_HOME/libtl/features, or that in ~/.cache. What does
     * not work there is logged as a warning and done without; features that have no room there go to memory, up to a
     * quarter of the machine's. */
    const char *cache_folder;
    const tl_augment *augment; /* random changes to the training images, not to val's; NULL (default): none. With any,
                                * features are cached where its `views` says how many of each image there are, for all of
                                * them; without views every epoch sees other images, and none are */
    /* Of a segmenter: how val is judged. With TL_EXTENT_WHOLE (default) and cache_features, what the frozen part makes
     * of its images stays in memory from epoch to epoch, as far as it has room beside train's: in a quarter of the
     * machine's, or without a cache_folder in cache_limit. In cache_folder it has a file of its own. */
    tl_extent extent;
    int tile; /* as in tl_segmenter_options */
    double overlap;
} tl_train_options;
TL_API void tl_train_options_init(tl_train_options *options, size_t size);

typedef struct tl_train_result {
    size_t size;
    tl_epoch last, best;
    size_t frozen_tensors;     /* that no stage trained or moved */
    char frozen_hash[33];      /* of them all, before and after (equal, or tl_train fails) */
    double seconds;
} tl_train_result;

/* Trains the model on `train`, judging it on `val` (may be NULL) after every epoch. The model must have as many
 * classes as the data; its classes are set. On failure or cancellation the model holds what it had learned by
 * the last completed step. `result` may be NULL.
 * TL_ERROR_ARGUMENT: an option out of range, or a pattern that matches no parameter (the message names it).
 * TL_ERROR_DATA: one class, other classes in val, fewer than two values a channel for batch statistics.
 * TL_ERROR_NUMERIC: the loss is not finite. TL_ERROR_IO, TL_ERROR_FORMAT: an image cannot be read.
 * TL_ERROR_INTERNAL: something frozen changed. TL_CANCELLED. TL_ERROR_MEMORY, TL_ERROR_LIMIT: it does not fit the
 * device; the message tells a batch that would. TL_ERROR_DEVICE. TL_UNSUPPORTED: the device lacks an operation, and
 * the CPU may not do it. */
TL_API tl_status tl_train(tl_model *model, tl_device *device, const tl_dataset *train, const tl_dataset *val,
                          const tl_train_options *options, tl_train_result *result);

/* Makes everything ready that tl_train would, stage by stage, and calls on_stage; reads no image and trains nothing.
 * Errors as tl_train. */
TL_API tl_status tl_train_dry_run(tl_model *model, tl_device *device, const tl_dataset *train, const tl_dataset *val,
                                  const tl_train_options *options);

/* The largest batch, up to `limit` (>= 1) and to the number of images, with which every stage fits the device's memory;
 * on the CPU half of the memory that is free. Tried are `limit`, and 1, 2, 3, 4, 6, 8, 12 and so on up to 256.
 * options->batch does not count. TL_ERROR_MEMORY: none does. Otherwise errors as tl_train. */
TL_API tl_status tl_train_largest_batch(tl_model *model, tl_device *device, const tl_dataset *train,
                                        const tl_dataset *val, const tl_train_options *options, int limit, int *batch);

/* Loss and accuracy of the model on a data set, and, where `confusion` is not NULL, class_count * class_count
 * counts, of images or a segmenter's pixels: confusion[truth * class_count + predicted]. Errors as tl_train. */
typedef struct tl_evaluate_options {
    size_t size;
    int batch;   /* 0: 32 */
    int workers; /* 0: chosen */
    void *user;
    void (*on_progress)(void *user, const tl_progress *progress);
    tl_extent extent; /* of a segmenter */
    int tile;         /* with TL_EXTENT_WHOLE, as in tl_segmenter_options */
    double overlap;
} tl_evaluate_options;
TL_API tl_status tl_evaluate(tl_model *model, tl_device *device, const tl_dataset *dataset, const tl_evaluate_options *options,
                             tl_score *score, int64_t *confusion);

/* ---- step by step: for programs that bring their own data ---- */

typedef struct tl_trainer tl_trainer;

/* A trainer for batches of up to `batch` images of height * width pixels. Uses options' batch, seed and bn; the
 * first stage begins. The model belongs to the trainer until it is destroyed: its values are up to date only
 * after tl_trainer_sync. Errors as tl_train. */
TL_API tl_status tl_trainer_create(tl_model *model, tl_device *device, int height, int width,
                                   const tl_train_options *options, tl_trainer **out);
TL_API void tl_trainer_destroy(tl_trainer *trainer);
TL_API tl_status tl_trainer_stage(tl_trainer *trainer, size_t index); /* begins another stage */

/* One step on `count` images (1 .. batch) of height * width * 3 bytes with labels 0 .. classes - 1 (a segmenter takes
 * count * height * width of them, 255 where a pixel does not count; its loss, with the stage's Dice loss, is that of its
 * output and half of that of its auxiliary classifier, its accuracy that of pixels; where none counts, both are 0 and so
 * are the gradients): forward, loss, backward, Adam. `score`, if not NULL, is of this batch before the update. TL_ERROR_NUMERIC. */
TL_API tl_status tl_trainer_step(tl_trainer *trainer, const uint8_t *rgb, const int32_t *labels, int count, tl_score *score);

/* Of the last step: the logits (count * classes), the gradient of one trained parameter (torchvision's order).
 * TL_ERROR_NOT_FOUND: it does not train. */
TL_API tl_status tl_trainer_logits(tl_trainer *trainer, float *logits);
TL_API tl_status tl_trainer_gradient(tl_trainer *trainer, const char *name, float *out);

/* Brings the model's values up to date with the device's. */
TL_API tl_status tl_trainer_sync(tl_trainer *trainer);

#ifdef __cplusplus
}
#endif
#endif
