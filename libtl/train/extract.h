/* train/extract.h: tl_features' insides, for what writes them. */
#ifndef TL__EXTRACT_H
#define TL__EXTRACT_H

#include <tl/features.h>

#include "train/features.h"

struct tl_features {
    tl_model *model;
    const tl_dataset *dataset;
    tl_features_options options;
    tl__features *features;
    int cut;
    int64_t shape[3]; /* as the graph has it: height, width, channels */
    double start;
};

#endif
