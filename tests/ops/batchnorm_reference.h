/* batchnorm_reference.h: batch-norm in f64. */
#ifndef TL_TEST_OPS_BATCHNORM_REFERENCE_H
#define TL_TEST_OPS_BATCHNORM_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct norm_case {
    int64_t rows, channels;
    double eps;
    bool batch; /* statistics of the batch */
} norm_case;

/* The mean and the biased variance of each channel. */
void norm_moments(const norm_case *k, const double *x, double *mean, double *var);
/* y = (x - mean) / sqrt(var + eps) * scale + shift. */
void norm_forward(const norm_case *k, const double *x, const double *scale, const double *shift, const double *mean,
                  const double *var, double *y);
/* From dz; mean and invstd as the operation takes them. */
void norm_backward(const norm_case *k, const double *x, const double *dz, const double *scale, const double *mean,
                   const double *invstd, double *dx, double *dscale, double *dshift);

#endif
