/* graph/parameter.h: one named tensor of a model: a parameter that can train, or a buffer of a batch-norm. */
#ifndef TL__PARAMETER_H
#define TL__PARAMETER_H

#include "core/core.h"

typedef enum tl__parameter_kind {
    TL__PARAMETER_WEIGHT,   /* of a convolution or linear layer: OHWI */
    TL__PARAMETER_BIAS,     /* of the same: [O] */
    TL__PARAMETER_SCALE,    /* of a batch-norm: [C] each */
    TL__PARAMETER_SHIFT,
    TL__PARAMETER_MEAN,     /* running statistics: buffers */
    TL__PARAMETER_VARIANCE,
    TL__PARAMETER_COUNTER,  /* num_batches_tracked: i64 scalar, a buffer; never in a graph */
} tl__parameter_kind;

/* Where its values come from while nothing has changed them: a file, or a generator of random numbers. Reading
 * the same source again gives the same values, so frozen weights need not be held in memory twice. */
typedef struct tl__source {
    /* Elements first .. first + count - 1 in torchvision's order, as f32: in parts, so that reading a large weight
     * into another order needs no second copy of it. */
    tl_status (*read)(tl_context *context, const struct tl__source *source, int64_t first, int64_t count, float *out);
    /* Where all of them lie as they are in that order, at no particular alignment; NULL: nowhere, or elsewhere than in
     * that form. pages: these elements will be read there now, or were and need not stay in memory. Both may be NULL. */
    const void *(*plain)(const struct tl__source *source);
    void (*pages)(const struct tl__source *source, int64_t first, int64_t count, bool wanted);
    bool generated; /* by arithmetic alone: read needs no context and cannot fail */
    const void *data; /* what read needs; owned by the model */
    double a, b;
    uint64_t seed;
} tl__source;

typedef struct tl__parameter {
    char *name; /* torchvision's */
    tl__parameter_kind kind;
    tl_tensor_desc desc; /* as the graph has it */
    int rank;            /* torchvision's shape, O I H W order */
    int64_t shape[4];
    uint64_t id; /* of the contents: changes whenever they do; unique within the process */
    tl__hash hash;   /* of the contents that had the id `hashed`: models/frozen.h */
    uint64_t hashed; /* 0: none yet */

    float *values; /* in the graph's order; NULL: `source` holds them */
    tl__source source;
    int64_t counter; /* TL__PARAMETER_COUNTER's value */

    /* Set while a trainer has the model. A live parameter is in the trainer's device buffers at `offset` bytes, and
     * may differ from `values`; every other one is a constant. */
    bool trains; /* gets a gradient */
    bool moves;  /* running statistics that follow the batch */
    uint64_t offset;
} tl__parameter;

static inline bool tl__parameter_live(const tl__parameter *parameter) {
    return parameter->trains || parameter->moves;
}

static inline bool tl__parameter_is_buffer(const tl__parameter *parameter) {
    return parameter->kind >= TL__PARAMETER_MEAN;
}

uint64_t tl__parameter_new_id(void);

/* The host's values (not the device's) into out[count], in the graph's order; or in torchvision's. */
tl_status tl__parameter_read(tl_context *context, const tl__parameter *parameter, float *out);
tl_status tl__parameter_read_torch(tl_context *context, const tl__parameter *parameter, float *out);

/* Between the orders: torchvision's O I H W and the graph's O H W I. For a linear layer on a C x H x W map (VGG's
 * classifier.0) the graph's weight is [O, H, W, C], torchvision's [O, C * H * W]: the same permutation. */
void tl__parameter_from_torch(const tl__parameter *parameter, const float *torch, float *out);
void tl__parameter_to_torch(const tl__parameter *parameter, const float *ours, float *out);

/* Makes `values` (which the parameter owns from then on, allocated with tl__alloc) its contents, with a new id. */
void tl__parameter_set(tl_context *context, tl__parameter *parameter, float *values);

#endif
