/* models/models.h: networks as functions that draw graphs. */
#ifndef TL__MODELS_H
#define TL__MODELS_H

#include <tl/model.h>
#include <tl/train.h>

#include "formats/formats.h"
#include "graph/graph.h"

typedef struct tl__draw tl__draw;

/* The values that a head may read: the last map of each stage, the deepest last. */
typedef struct tl__trunk {
    int maps[5];
    int count;
} tl__trunk;

/* A family of networks: one file and one line in arch.c. */
typedef struct tl__arch {
    const char *name;
    /* Draws from the normalised image to the logits [N,1,1,classes]; the first time also declares the parameters,
     * in torchvision's order. */
    int (*draw)(tl__draw *draw, int x);
    /* The same without a classifier, for segmentation; the last map has 1/stride of the image's size. */
    tl__trunk (*draw_trunk)(tl__draw *draw, int x, int stride);
    const char *head; /* prefix of the last layer's parameters: "fc", "classifier.6" */
    int min_size;     /* of the input in pixels, for the message */
    /* What the family needs: */
    bool bottleneck, norm;
    int layers[5];
    int groups, width_per_group;
} tl__arch;
const tl__arch *tl__arch_find(const char *name); /* or NULL */
const char *tl__arch_nearest(const char *name);  /* for the message */

struct tl__loaded; /* a file that parameters read from: models/weights.h */
typedef struct tl__base tl__base; /* what they were read from last: models/base.h */

struct tl_model {
    tl_context *context;
    const tl__arch *arch;
    tl_model_options options; /* arch, classes, head, width, dropout, seed; layers points to `layers` or is NULL */
    int layers[4];
    tl__parameter **parameters; /* in torchvision's order */
    size_t parameter_count, parameter_capacity;
    tl_preprocess preprocess;
    float table[3 * 256]; /* what a byte of channel c becomes, from preprocess */
    char **classes;       /* options.classes names, or NULL */
    struct tl__loaded *loaded; /* files that parameters still read from, a list */
    tl__base *base;       /* or NULL */
    bool in_use;          /* a trainer has it */
    int saving;           /* files that are being written: sources must stay */
};

struct tl__draw {
    tl_model *model;
    tl__graph *graph;
    bool declare;  /* creates the parameters that layers name */
    bool training; /* dropout is drawn; batch statistics where bn says so */
    tl_bn bn;
    int counter;   /* the input that dropout draws from; -1 until the first */
    uint32_t stream; /* of the next dropout */
    size_t next;     /* where to look for the next parameter first */
    const char *prefix; /* of the names of layers: "backbone." or "" */
    int auxiliary;      /* the second output, or -1 */
};

/* Layers as torchvision names them: parameters NAME.weight, NAME.bias, NAME.running_mean ... */
int tl__draw_conv2d(tl__draw *draw, int x, const char *name, int out, int kernel, int stride, int pad, int dilation,
                    int groups, bool bias);
int tl__draw_batchnorm(tl__draw *draw, int x, const char *name);
int tl__draw_linear(tl__draw *draw, int x, const char *name, int out); /* over all of [H,W,C], flattened as C,H,W */
int tl__draw_dropout(tl__draw *draw, int x, const char *name);
/* Convolution, batch-norm and ReLU with names of their own; padded so that only the stride changes the size. */
int tl__draw_unit(tl__draw *draw, int x, const char *conv, const char *norm, int out, int kernel, int dilation);
/* The same dropout with a p of its own. */
int tl__draw_dropout_of(tl__draw *draw, int x, const char *name, double p);
/* A segmentation head, from the trunk's maps to logits of height x width. */
int tl__draw_segmentation(tl__draw *draw, const tl__trunk *trunk, int height, int width);
bool tl__model_segments(const tl_model *model);
/* Channels after the model's width factor. */
int tl__draw_width(const tl__draw *draw, int channels);

typedef struct tl__draw_options {
    int batch, height, width;
    bool floats;   /* the input is f32, normalised already; otherwise u8 and `table` does it */
    bool training;
    tl_bn bn;
} tl__draw_options;

typedef struct tl__drawn {
    int input, logits;
    int auxiliary; /* logits of the auxiliary classifier, or -1; pruned unless something wants them */
    int counter; /* input i32 [4] of dropout, or -1 where there is none */
} tl__drawn;

/* A new graph of the model. The caller destroys it. TL_ERROR_SHAPE: the size is too small for the network. */
tl_status tl__model_draw(tl_model *model, const tl__draw_options *options, tl__graph **graph, tl__drawn *drawn);

tl__parameter *tl__model_find(const tl_model *model, const char *name); /* or NULL */

/* Does `name` match one of the patterns, which are separated by commas or spaces? '*', '?', '[...]', '[!...]'. */
bool tl__pattern_match(const char *patterns, const char *name);
/* Is it a parameter of the head: of the last layer ("fc", "classifier.6") or of a segmentation head? And the patterns that
 * match those, "fc.*", written to text[size]. */
bool tl__model_in_head(const tl_model *model, const char *name);
void tl__model_head_pattern(const tl_model *model, char *text, size_t size);

#endif
