/* axis.h: which inputs the outputs of bilinear upsampling read along one dimension, for our own backends; see form.h. */
#ifndef TL_BACKENDS_AXIS_H
#define TL_BACKENDS_AXIS_H

#include <stdint.h>
#include <string.h>

/* A table of words: for each input the outputs from .. to - 1 that read it; for each output the inputs low and high, and
 * the weight of high as a float's bits, low having the rest. */
#define AXIS_WORDS(size, outputs) (2 * (size) + 3 * (outputs))
#define AXIS_FROM(size, outputs) 0
#define AXIS_TO(size, outputs) (size)
#define AXIS_LOW(size, outputs) (2 * (size))
#define AXIS_HIGH(size, outputs) (2 * (size) + (outputs))
#define AXIS_WEIGHT(size, outputs) (2 * (size) + 2 * (outputs))

/* PyTorch's source index for align_corners = False, in double. The outputs that read an input are an interval, since low
 * and high only grow. */
static inline void axis_fill(int64_t size, int64_t outputs, int32_t *table) {
    int32_t *from = table + AXIS_FROM(size, outputs), *to = table + AXIS_TO(size, outputs);
    int32_t *low = table + AXIS_LOW(size, outputs), *high = table + AXIS_HIGH(size, outputs);
    int32_t *weight = table + AXIS_WEIGHT(size, outputs);
    for (int64_t i = 0; i < size; i++) {
        from[i] = (int32_t)outputs;
        to[i] = 0;
    }
    const double scale = (double)size / (double)outputs;
    for (int64_t o = 0; o < outputs; o++) {
        double at = ((double)o + 0.5) * scale - 0.5;
        at = at < 0 ? 0 : at;
        int64_t first = (int64_t)at;
        first = first < size - 1 ? first : size - 1;
        int64_t second = first + (first < size - 1);
        float part = (float)(at - (double)first);
        low[o] = (int32_t)first;
        high[o] = (int32_t)second;
        memcpy(&weight[o], &part, sizeof(part));
        for (int64_t i = first; i <= second; i++) {
            from[i] = from[i] < o ? from[i] : (int32_t)o;
            to[i] = (int32_t)o + 1;
        }
    }
}

#endif
