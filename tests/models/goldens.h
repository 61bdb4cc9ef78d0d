/* models/goldens.h: cases whose results another framework computed in double precision. */
#ifndef TL_TEST_GOLDENS_H
#define TL_TEST_GOLDENS_H

#include <tl/tl.h>

#include "formats/formats.h"

enum { GROUP_LOGITS, GROUP_FEATURES, GROUP_LOSSES, GROUP_GRAD, GROUP_AFTER, GROUP_NORM, GROUP_OUT, GROUP_AUX, GROUP_COUNT };

typedef struct golden {
    tl_context *context;
    tl__archive *archive;
    char arch[64];
    bool train;
    uint64_t seed;
    int classes, n, height, width, steps;
    double lr, weight_decay;
    tl_bn bn;
    char trainable[4096];           /* names of layers and parameters, each with a space behind it */
    double tolerance[GROUP_COUNT];
    double error[GROUP_COUNT];      /* the worst found; negative: nothing of the group was compared */
    char worst[GROUP_COUNT][96];    /* where */
    char problem[1200];             /* other than a number too far off; "" if none */
} golden;

/* False, with the problem, where the file is not a case. The archive is closed by golden_close. */
bool golden_open(golden *g, tl_context *context, const char *path);
void golden_close(golden *g);
bool golden_fail(golden *g, const char *format, ...) TL__PRINTF(2, 3); /* keeps the first problem; false */

/* The model filled by the formula, seeing (byte - 128) / 64. */
tl_model *golden_model(golden *g);
bool golden_segments(const golden *g);
/* Images first .. first + count - 1 as rows of pixels, freed by the caller. */
uint8_t *golden_images(golden *g, int first, int count);
double *golden_read(golden *g, const char *name, int64_t count); /* NULL, with the problem, unless it has `count` */

/* Compares with the file; `relative`: to the largest magnitude. */
void golden_compare(golden *g, int group, const char *name, const float *got, int64_t count);
/* GROUP.NAME of the file against the whole tensor. */
void golden_compare_sample(golden *g, int group, const char *name, const float *tensor, int64_t count);
/* A map [n, height, width, classes] against the file's [n, classes, height, width]. */
void golden_compare_map(golden *g, int group, const char *name, const float *got);
void golden_note(golden *g, int group, double error, const char *where); /* keeps the worst */

bool golden_forward(golden *g, tl_device *device, tl_device *fallback);
bool golden_train(golden *g, tl_device *device);

#endif
