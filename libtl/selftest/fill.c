#include "selftest/trial.h"

#include <math.h>

static float uniform(tl__random *random, double low, double high) {
    return (float)(low + (high - low) * tl__random_unit(random));
}

static int between(tl__random *random, int low, int high) {
    return low + (int)tl__random_below(random, (uint32_t)(high - low + 1));
}

static void fill_floats(float *x, int64_t count, char letter, bool integers, tl__random *random) {
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    /* Where statistics lose digits; the widest logits whose exponential is none that f32 holds. */
    double offset = letter == 'o' && tl__random_below(random, 4) == 0 ? 1000 : 0;
    double width = letter == 'g' && tl__random_below(random, 4) == 0 ? 200 : 3;
    bool ties = (letter == 'g' || letter == 'f') && tl__random_below(random, 3) == 0;
    bool finite = letter != 'f' || tl__random_below(random, 3) > 0;
    for (int64_t i = 0; i < count; i++) {
        if (letter == 'm' || ties)
            x[i] = (float)between(random, -1, 1);
        else if (letter == 'i' && integers)
            x[i] = (float)between(random, -3, 3);
        else if (letter == 'p' || letter == 'w')
            x[i] = uniform(random, 0.1, 3);
        else if (letter == 'g')
            x[i] = uniform(random, -width, width);
        else
            x[i] = uniform(random, offset - 1, offset + 1);
        if (!finite && tl__random_below(random, 8) == 0)
            x[i] = odd[tl__random_below(random, TL__COUNT(odd))];
    }
}

/* A tap of each window that lies in the image, as maxpool2d would give. */
static void fill_indices(const tl__trial *trial, uint8_t *index, tl__random *random) {
    const tl_op_desc *op = &trial->op;
    const int64_t *shape = trial->desc[1].shape;
    for (int64_t i = 0; i < tl__desc_count(&trial->desc[1]); i++) {
        int64_t at[2] = {i / shape[3] / shape[2] % shape[1], i / shape[3] % shape[2]};
        int tap[2];
        for (int axis = 0; axis < 2; axis++) {
            int first = (int)at[axis] * op->stride[axis] - op->pad[axis], last = op->extent[axis] - 1 - first;
            last = last < op->kernel[axis] - 1 ? last : op->kernel[axis] - 1;
            tap[axis] = between(random, first < 0 ? -first : 0, last);
        }
        index[i] = (uint8_t)(tap[0] * op->kernel[1] + tap[1]);
    }
}

static void fill_targets(const tl__trial *trial, int i, int32_t *target, tl__random *random) {
    int classes = (int)trial->desc[0].shape[3];
    for (int64_t k = 0; k < tl__desc_count(&trial->desc[i]); k++)
        target[k] = k && trial->op.ignore_index == 255 && tl__random_below(random, 3) == 0
                        ? 255 : between(random, 0, classes < 255 ? classes - 1 : 254);
}

/* Of the loss its gradient reads only the weights' sum. */
static void fill_loss(const tl__trial *trial, float *loss) {
    const int32_t *target = trial->data[1];
    const float *weight = trial->data[2];
    double sum = 0;
    for (int64_t k = 0; k < tl__desc_count(&trial->desc[1]); k++)
        if (target[k] != trial->op.ignore_index)
            sum += weight ? weight[target[k]] : 1;
    loss[0] = loss[2] = loss[3] = 1;
    loss[1] = (float)sum;
}

/* What dice sums up of rows of which none is sure: no more in both than in either; some classes are not there. */
static void fill_dice(float *sums, int64_t classes, tl__random *random) {
    for (int64_t k = 0; k < classes; k++) {
        float both = uniform(random, 0, 1);
        sums[classes + k] = both + uniform(random, 0, 2);
        sums[2 * classes + k] = (float)between(random, 0, 3);
        sums[k] = sums[2 * classes + k] > 0 ? both : 0;
    }
}

/* With batch statistics those of x, as the operation is given them; otherwise any near them. */
static void fill_statistics(const tl__trial *trial, float *out, char letter, tl__random *random) {
    const float *x = trial->data[0];
    int64_t channels = trial->desc[0].shape[3], rows = tl__desc_count(&trial->desc[0]) / channels;
    bool batch = trial->op.statistics == TL_STATISTICS_BATCH;
    for (int64_t c = 0; c < channels; c++) {
        double mean = 0, variance = 0;
        for (int64_t r = 0; r < rows; r++)
            mean += x[r * channels + c] / (double)rows;
        for (int64_t r = 0; r < rows; r++)
            variance += (x[r * channels + c] - mean) * (x[r * channels + c] - mean) / (double)rows;
        if (letter == 'u')
            out[c] = batch ? (float)mean : (float)mean + uniform(random, -0.5, 0.5);
        else
            out[c] = batch ? (float)(1 / sqrt(variance + trial->op.eps)) : uniform(random, 0.1, 3);
    }
}

static void fill_segments(const tl__trial *trial, int64_t *bounds, int64_t segments) {
    int64_t count = tl__desc_count(&trial->desc[0]);
    for (int64_t s = 0; s <= segments; s++)
        bounds[s] = count * s / segments;
}

static void fill_rates(float *row, int64_t segments, tl__random *random) {
    for (int64_t s = 0; s < segments; s++, row += 8) {
        int step = between(random, 1, 1000);
        double lr = uniform(random, 1e-4, 1e-1);
        row[0] = (float)(lr / (1 - pow(0.9, step)));
        row[1] = (float)sqrt(1 - pow(0.999, step));
        row[2] = 0.1f;
        row[3] = 0.001f;
        row[4] = 1e-8f;
        row[5] = tl__random_below(random, 2) ? 0.01f : 0;
        row[6] = (float)lr;
        row[7] = (float)tl__random_below(random, 2);
    }
}

void tl__trial_fill(tl__trial *trial, int i, char letter, tl__random *random) {
    int64_t count = tl__desc_count(&trial->desc[i]);
    void *data = trial->data[i];
    switch (letter) {
    case 'b':
        for (int64_t k = 0; k < count; k++)
            ((uint8_t *)data)[k] = (uint8_t)tl__random_u32(random);
        break;
    case 'n':
        for (int64_t k = 0; k < count; k++)
            ((uint32_t *)data)[k] = tl__random_u32(random);
        break;
    case 'x': fill_indices(trial, data, random); break;
    case 't': fill_targets(trial, i, data, random); break;
    case 'l': fill_loss(trial, data); break;
    case 'u':
    case 'v': fill_statistics(trial, data, letter, random); break;
    case 'd': fill_dice(data, count / 3, random); break;
    case 'q': fill_segments(trial, data, count - 1); break;
    case 'a': fill_rates(data, count / 8, random); break;
    default: fill_floats(data, count, letter, trial->integers, random);
    }
}
