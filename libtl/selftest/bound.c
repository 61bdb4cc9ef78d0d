/* How far apart the results of two devices may be. Each side's rounding errors count, so everything is doubled: ROOT for
 * a sum of n terms, FEW for a handful of roundings, of divisions, roots and exponentials in a few ulp among them. */
#include "selftest/trial.h"

#include <math.h>
#include <string.h>

#define UNIT 0x1p-24
#define FEW (16 * UNIT)
#define ROOT(n) ((16 + 2 * sqrt((double)(n))) * UNIT)

static double magnitude(const tl__trial *trial, int i, int64_t at) {
    return trial->data[i] ? fabs((double)((const float *)trial->data[i])[at]) : 0;
}

static double value(const tl__trial *trial, int i, int64_t at) {
    return ((const float *)trial->data[i])[at];
}

/* ---- what is linear: the terms' sum of absolute values is the operation over absolute values ---- */

static double terms_of(const tl__trial *trial) {
    const tl_op_desc *op = &trial->op;
    const int64_t *a = trial->desc[0].shape, *b = trial->desc[1].shape;
    switch (op->op) {
    case TL_OP_CONV2D: return (double)(b[1] * b[2] * b[3] + 2);
    case TL_OP_CONV2D_GRAD_INPUT: return (double)(b[0] / op->groups * b[1] * b[2] + 1);
    case TL_OP_CONV2D_GRAD_WEIGHT: return (double)(b[0] * b[1] * b[2]);
    case TL_OP_MAXPOOL2D_GRAD: return (double)op->kernel[0] * op->kernel[1];
    case TL_OP_AVGPOOL2D:
    case TL_OP_AVGPOOL2D_GRAD: return (double)((a[1] / op->extent[0] + 2) * (a[2] / op->extent[1] + 2));
    case TL_OP_UPSAMPLE2D: return 4;
    case TL_OP_UPSAMPLE2D_GRAD:
        return (double)((2 * a[1] / op->extent[0] + 3) * (2 * a[2] / op->extent[1] + 3));
    default: return 1;
    }
}

/* A weight of an upsampling is the difference of a place in the smaller map and a whole number, off by a few u of that
 * place however small it is itself. No value here is larger than 1. */
static double weights_off(const tl__trial *trial) {
    const tl_op_desc *op = &trial->op;
    const int64_t *x = trial->desc[0].shape;
    if (op->op == TL_OP_UPSAMPLE2D)
        return FEW * (double)(x[1] + x[2]) * 4;
    return op->op == TL_OP_UPSAMPLE2D_GRAD ? FEW * (double)(op->extent[0] + op->extent[1]) * terms_of(trial) : 0;
}

/* Masks choose and are not summed: they stay as they are. */
static bool is_mask(const tl__trial *trial, int i) {
    return trial->op.op == TL_OP_CONV2D_GRAD_INPUT && i == 3;
}

static tl_status linear(tl_device *reference, tl_backend_queue *queue, const tl__trial *trial,
                        tl__trial_result *bound) {
    tl__trial absolute = *trial;
    tl__trial_result sums;
    tl_status status = tl__trial_result_create(trial, &sums);
    memset(absolute.data, 0, sizeof absolute.data);
    for (int o = 0; o < TL_MAX_OUTPUTS; o++)
        absolute.shares[o] = -1;
    for (int i = 0; i < trial->rule->input_count && status == TL_OK; i++) {
        size_t bytes = trial->data[i] ? tl__desc_bytes(&trial->desc[i]) : 0;
        if (!bytes)
            continue;
        absolute.data[i] = tl__alloc(trial->context, bytes);
        if (!absolute.data[i]) {
            status = TL_ERROR_MEMORY;
            break;
        }
        memcpy(absolute.data[i], trial->data[i], bytes);
        float *x = absolute.data[i];
        for (int64_t k = 0; k < tl__desc_count(&trial->desc[i]) && trial->desc[i].dtype == TL_DTYPE_F32; k++)
            x[k] = is_mask(trial, i) ? x[k] : fabsf(x[k]);
    }
    if (status == TL_OK)
        status = tl__trial_run(reference, queue, &absolute, &sums);
    for (int i = trial->rule->input_count; i < tl__trial_operands(trial) && status == TL_OK; i++)
        for (int64_t k = 0; bound->data[i] && k < tl__desc_count(&trial->desc[i]); k++)
            ((double *)bound->data[i])[k] =
                ROOT(terms_of(trial)) * ((const float *)sums.data[i])[k] + weights_off(trial);
    tl__trial_free(&absolute);
    tl__trial_result_free(trial, &sums);
    return status;
}

/* Where activations are stored in 16 bits a convolution's weights may be rounded to that type too: each product is then off
 * by the type's unit roundoff. The bound so far is ROOT of the sum of their magnitudes; of integers, which are exact, 0. */
void tl__trial_bound_weights(const tl__trial *stored, tl__trial_result *bound) {
    const int dtype = stored->desc[0].dtype, y = stored->rule->input_count;
    if (stored->op.op != TL_OP_CONV2D || (dtype != TL_DTYPE_BF16 && dtype != TL_DTYPE_F16))
        return;
    const double unit = dtype == TL_DTYPE_BF16 ? 0x1p-8 : 0x1p-11, more = 1 + unit / ROOT(terms_of(stored));
    for (int64_t k = 0; bound->data[y] && k < tl__desc_count(&stored->desc[y]); k++)
        ((double *)bound->data[y])[k] *= more;
}

/* ---- batch-norm ---- */

/* Of one channel: mean and variance, and how far off each may be. */
typedef struct moments {
    double mean, variance, mean_off, variance_off;
} moments;

static moments moments_of(const tl__trial *trial, int64_t c, int64_t channels, int64_t rows) {
    moments m = {.mean = value(trial, 3, c), .variance = value(trial, 4, c)};
    double absolute = 0;
    if (trial->op.statistics != TL_STATISTICS_BATCH)
        return m;
    m.mean = m.variance = 0;
    for (int64_t r = 0; r < rows; r++) {
        m.mean += value(trial, 0, r * channels + c) / (double)rows;
        absolute += magnitude(trial, 0, r * channels + c) / (double)rows;
    }
    for (int64_t r = 0; r < rows; r++)
        m.variance += pow(value(trial, 0, r * channels + c) - m.mean, 2) / (double)rows;
    /* about another centre a variance grows by the square of the distance */
    m.mean_off = ROOT(rows) * absolute;
    m.variance_off = (ROOT(rows) + FEW) * m.variance + m.mean_off * m.mean_off;
    return m;
}

static void batchnorm(const tl__trial *trial, double *const bound[]) {
    int64_t channels = trial->desc[0].shape[3], rows = tl__desc_count(&trial->desc[0]) / channels;
    bool batch = trial->op.statistics == TL_STATISTICS_BATCH;
    double momentum = trial->op.momentum;
    for (int64_t c = 0; c < channels; c++) {
        moments m = moments_of(trial, c, channels, rows);
        double spread = m.variance + trial->op.eps, invstd = 1 / sqrt(spread);
        double relative = m.variance_off / (2 * spread), factor = magnitude(trial, 1, c) * invstd;
        for (int64_t r = 0; r < rows; r++) {
            int64_t i = r * channels + c;
            double distance = fabs(value(trial, 0, i) - m.mean);
            bound[6][i] = factor * (m.mean_off + FEW * (fabs(m.mean) + distance) + relative * distance) +
                          FEW * (magnitude(trial, 2, c) + magnitude(trial, 5, i));
        }
        if (batch) {
            double unbiased = (double)rows / (double)(rows - 1);
            bound[3][c] = momentum * m.mean_off + FEW * (magnitude(trial, 3, c) + momentum * fabs(m.mean));
            bound[4][c] = momentum * unbiased * m.variance_off +
                          FEW * (magnitude(trial, 4, c) + momentum * m.variance * unbiased);
        }
        if (bound[7])
            bound[7][c] = m.mean_off + FEW * fabs(m.mean);
        if (bound[8])
            bound[8][c] = invstd * (relative + FEW);
    }
}

static void batchnorm_grad(const tl__trial *trial, double *const bound[]) {
    int64_t channels = trial->desc[0].shape[3], rows = tl__desc_count(&trial->desc[0]) / channels;
    bool batch = trial->op.statistics == TL_STATISTICS_BATCH;
    for (int64_t c = 0; c < channels; c++) {
        double mean = value(trial, 3, c), v = value(trial, 4, c), invstd = batch ? v : 1 / sqrt(v + trial->op.eps);
        double shift = 0, scale = 0, noise = 0, n = (double)rows;
        /* xhat is off by a few u of the two that it is the difference of */
        for (int64_t r = 0; r < rows; r++) {
            int64_t i = r * channels + c;
            double dz = trial->data[5] && !(value(trial, 5, i) > 0) ? 0 : magnitude(trial, 1, i);
            shift += dz;
            scale += dz * fabs(value(trial, 0, i) - mean) * invstd;
            noise += dz * FEW * (magnitude(trial, 0, i) + fabs(mean)) * invstd;
        }
        double shift_off = ROOT(rows) * shift, scale_off = ROOT(rows) * scale + noise;
        if (bound[7])
            bound[7][c] = scale_off;
        if (bound[8])
            bound[8][c] = shift_off;
        for (int64_t r = 0; r < rows && bound[6]; r++) {
            int64_t i = r * channels + c;
            double dz = trial->data[5] && !(value(trial, 5, i) > 0) ? 0 : magnitude(trial, 1, i);
            double xhat = fabs(value(trial, 0, i) - mean) * invstd;
            double off = FEW * (magnitude(trial, 0, i) + fabs(mean)) * invstd;
            double terms = FEW * dz;
            if (batch)
                terms += (shift_off + FEW * shift + xhat * scale_off + (off + FEW * xhat) * (scale + noise)) / n;
            bound[6][i] = magnitude(trial, 2, c) * invstd * terms;
        }
    }
}

/* ---- loss ---- */

static double weight_of(const tl__trial *trial, int64_t k) {
    return trial->data[2] ? value(trial, 2, k) : 1;
}

static void cross_entropy(const tl__trial *trial, double *const bound[]) {
    int64_t classes = trial->desc[0].shape[3], rows = tl__desc_count(&trial->desc[1]);
    const int32_t *target = trial->data[1];
    double part = trial->op.smoothing / (double)classes, *loss = bound[3], sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        double most = 0, row = 0;
        if (target[r] == trial->op.ignore_index)
            continue;
        /* log-sum-exp lies between the largest logit and log K above it */
        for (int64_t k = 0; k < classes; k++)
            most = fmax(most, magnitude(trial, 0, r * classes + k));
        for (int64_t k = 0; k < classes; k++)
            row += ((k == target[r] ? 1 : 0) + part) * weight_of(trial, k) *
                   (most + log((double)classes) + magnitude(trial, 0, r * classes + k) + 1);
        sum += row;
        loss[1] += weight_of(trial, target[r]) * ROOT(rows);
    }
    loss[0] = (ROOT(classes) + ROOT(rows)) * sum;
}

static void cross_entropy_grad(const tl__trial *trial, double *bound) {
    int64_t classes = trial->desc[0].shape[3], rows = tl__desc_count(&trial->desc[1]);
    const int32_t *target = trial->data[1];
    double all = 0, factor = fabs(trial->op.scale / value(trial, 3, 1));
    for (int64_t k = 0; k < classes; k++)
        all += trial->op.smoothing / (double)classes * weight_of(trial, k);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < classes && target[r] != trial->op.ignore_index; k++)
            bound[r * classes + k] = ROOT(classes) * factor * (2 * weight_of(trial, target[r]) + all);
}

/* ---- soft Dice ---- */

/* Probability k of row r, of which `off` says how far it may be off: by its row's sum, by its own exponential, and by the
 * difference of logits in that, which is rounded. What is below the smallest normal number may be 0. */
typedef struct chance {
    double p, off;
} chance;

static double row_sum(const tl__trial *trial, int64_t r, int64_t classes, double *most) {
    double sum = 0;
    *most = -INFINITY;
    for (int64_t k = 0; k < classes; k++)
        *most = fmax(*most, value(trial, 0, r * classes + k));
    for (int64_t k = 0; k < classes; k++)
        sum += exp(value(trial, 0, r * classes + k) - *most);
    return sum;
}

static chance chance_of(const tl__trial *trial, int64_t r, int64_t k, int64_t classes, double most, double sum) {
    double below = most - value(trial, 0, r * classes + k), p = exp(-below) / sum;
    return (chance){p, 0x1p-125 + p * (ROOT(classes) + FEW * (1 + below))};
}

/* 2 I + eps and P + Y + eps change by what the sums are off. */
static double score_off(const tl__trial *trial, const double both[2], const double predicted[2], double truth) {
    double above = 2 * both[0] + trial->op.eps, below = predicted[0] + truth + trial->op.eps;
    return (2 * both[1] + above / below * predicted[1]) / below + FEW * above / below;
}

static tl_status dice(const tl__trial *trial, double *const bound[]) {
    int64_t classes = trial->desc[0].shape[3], rows = tl__desc_count(&trial->desc[1]);
    const int32_t *target = trial->data[1];
    double there = 0, off = 0, *most = tl__calloc(trial->context, 2 * (size_t)rows, sizeof *most), *sum;
    if (!most)
        return TL_ERROR_MEMORY;
    sum = most + rows;
    for (int64_t r = 0; r < rows; r++)
        sum[r] = row_sum(trial, r, classes, &most[r]);
    for (int64_t k = 0; k < classes; k++) {
        double both[2] = {0}, predicted[2] = {0}, truth = 0;
        for (int64_t r = 0; r < rows; r++) {
            chance c = chance_of(trial, r, k, classes, most[r], sum[r]);
            if (target[r] == trial->op.ignore_index)
                continue;
            predicted[0] += c.p;
            predicted[1] += c.off + FEW * c.p;
            both[0] += target[r] == k ? c.p : 0;
            both[1] += target[r] == k ? c.off + FEW * c.p : 0;
            truth += target[r] == k;
        }
        bound[3][k] = both[1];
        bound[3][classes + k] = predicted[1];
        if (truth > 0) {
            off += score_off(trial, both, predicted, truth);
            there++;
        }
    }
    bound[2][0] = there > 0 ? off / there + FEW : 0;
    tl__free(trial->context, most);
    return TL_OK;
}

static void dice_grad(const tl__trial *trial, double *bound) {
    int64_t classes = trial->desc[0].shape[3], rows = tl__desc_count(&trial->desc[1]);
    const int32_t *target = trial->data[1];
    double there = 0;
    for (int64_t k = 0; k < classes; k++)
        there += value(trial, 2, 2 * classes + k) != 0;
    for (int64_t r = 0; r < rows; r++) {
        double most, sum, size = 0, off = 0; /* of the mean of slopes */
        if (target[r] == trial->op.ignore_index)
            continue;
        sum = row_sum(trial, r, classes, &most);
        for (int pass = 0; pass < 2; pass++)
            for (int64_t k = 0; k < classes; k++) {
                double truth = value(trial, 2, 2 * classes + k), below = value(trial, 2, classes + k) + truth + trial->op.eps;
                double slope = (2 * value(trial, 2, k) + trial->op.eps) / below + (target[r] == k ? 2 : 0);
                chance c = chance_of(trial, r, k, classes, most, sum);
                slope = truth != 0 ? slope * fabs(trial->op.scale) / (there * below) : 0;
                if (pass == 0) {
                    size += c.p * slope;
                    off += (c.off + c.p * ROOT(classes)) * slope;
                } else {
                    bound[r * classes + k] = 0x1p-125 + c.off * (slope + size) + c.p * (off + FEW * (slope + size));
                }
            }
    }
}

/* ---- Adam ---- */

static void adam(const tl__trial *trial, double *const bound[]) {
    const int64_t *bounds = trial->data[4];
    const float *row = trial->data[5];
    for (int64_t s = 0; s < trial->desc[5].shape[0]; s++, row += 8)
        for (int64_t i = bounds[s]; i < bounds[s + 1]; i++) {
            double p = value(trial, 0, i), g = value(trial, 1, i), decay = row[7] != 0 ? 0 : row[5];
            double size = fabs(g) + decay * fabs(p), gradient = g + decay * p;
            double m = (1 - row[2]) * value(trial, 2, i) + row[2] * gradient;
            double v = (1 - row[3]) * value(trial, 3, i) + row[3] * gradient * gradient;
            double root = sqrt(v) / row[1], denominator = root + row[4];
            double m_off = FEW * (magnitude(trial, 2, i) + row[2] * size);
            double v_off = FEW * (magnitude(trial, 3, i) + 2 * row[3] * size * size);
            bound[2][i] = m_off;
            bound[3][i] = v_off;
            double denominator_off = root * v_off / (2 * v);
            bound[0][i] = FEW * fabs(p) +
                          row[0] / denominator * (m_off + fabs(m) * (FEW + denominator_off / denominator));
        }
}

tl_status tl__trial_bound(tl_device *reference, tl_backend_queue *queue, const tl__trial *trial,
                          tl__trial_result *bound) {
    double *to[TL__TRIAL_OPERANDS];
    for (int i = 0; i < TL__TRIAL_OPERANDS; i++)
        to[i] = bound->data[i];
    switch (trial->op.op) {
    case TL_OP_CONV2D:
    case TL_OP_CONV2D_GRAD_INPUT:
    case TL_OP_CONV2D_GRAD_WEIGHT:
    case TL_OP_MAXPOOL2D_GRAD:
        return trial->integers ? TL_OK : linear(reference, queue, trial, bound);
    case TL_OP_AVGPOOL2D:
    case TL_OP_AVGPOOL2D_GRAD:
    case TL_OP_UPSAMPLE2D:
    case TL_OP_UPSAMPLE2D_GRAD:
    case TL_OP_DROPOUT: return linear(reference, queue, trial, bound);
    case TL_OP_BATCHNORM: batchnorm(trial, to); break;
    case TL_OP_BATCHNORM_GRAD: batchnorm_grad(trial, to); break;
    case TL_OP_CROSS_ENTROPY: cross_entropy(trial, to); break;
    case TL_OP_CROSS_ENTROPY_GRAD: cross_entropy_grad(trial, to[4]); break;
    case TL_OP_DICE: return dice(trial, to);
    case TL_OP_DICE_GRAD: dice_grad(trial, to[3]); break;
    case TL_OP_ADAM: adam(trial, to); break;
    default: break; /* nothing is rounded, or once, by a sum */
    }
    return TL_OK;
}
