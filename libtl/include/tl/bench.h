/* tl/bench.h: how fast a network runs on a device. */
#ifndef TL_BENCH_H
#define TL_BENCH_H

#include <tl/device.h>
#include <tl/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tl_bench_mode {
    TL_BENCH_FORWARD = 0, /* inference */
    TL_BENCH_TRAIN = 1,   /* a training step of the parameters that `train` matches, nothing cached */
} tl_bench_mode;

typedef struct tl_bench_options {
    size_t size;
    tl_bench_mode mode;
    const char *train; /* as in tl_stage */
    int batch;         /* 0: 32 */
    int pixels;        /* side of the square input; 0: 224 */
    double seconds;    /* how long to repeat, at least 3 steps; 0: 3 */
    void *user;
    /* If not NULL: called for each node of the plan after the timing, in its order, with the time that it took by itself
     * (the shortest of five) and its operations, 0 where they do not matter; both for as many images as the plan computes at
     * once, which may be a part of the batch. */
    void (*on_node)(void *user, const char *node, const char *operation, const char *implementation,
                    double seconds, double flops);
    /* Of the whole network in inference, of the frozen part in training; TL_PRECISION_INT8 is calibrated on a few of the
     * made-up images. */
    tl_precision precision;
} tl_bench_options;

typedef struct tl_bench_result {
    size_t size;
    double images_per_second;      /* of the median step */
    double best_images_per_second; /* of the fastest */
    double first_seconds;          /* from the call to the first result: preparation and one step */
    double flops_per_image;        /* multiplications and additions of the plan's nodes, as direct convolutions */
    uint64_t arena_bytes;          /* activations and workspaces */
    int steps;
    /* Operations a second that the device's arithmetic does at most, on numbers of type `peak_type` ("fp32", "bf16",
     * "int8"), measured after the steps; 0 and NULL where the device does not tell. Other than fp32 only for inference in
     * it. Convolutions that need fewer operations than direct ones can pass it. */
    double peak_flops;
    const char *peak_type;
} tl_bench_result;

/* Runs the model on made-up images. Its values stay as they are. Errors as tl_predictor_create
 * and tl_trainer_create. */
TL_API tl_status tl_bench(tl_model *model, tl_device *device, const tl_bench_options *options, tl_bench_result *result);

#ifdef __cplusplus
}
#endif
#endif
