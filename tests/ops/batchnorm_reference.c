#include "tests/ops/batchnorm_reference.h"

#include <math.h>

void norm_moments(const norm_case *k, const double *x, double *mean, double *var) {
    for (int64_t c = 0; c < k->channels; c++) {
        mean[c] = var[c] = 0;
        for (int64_t r = 0; r < k->rows; r++)
            mean[c] += x[r * k->channels + c] / (double)k->rows;
        for (int64_t r = 0; r < k->rows; r++)
            var[c] += pow(x[r * k->channels + c] - mean[c], 2) / (double)k->rows;
    }
}

void norm_forward(const norm_case *k, const double *x, const double *scale, const double *shift, const double *mean,
                  const double *var, double *y) {
    for (int64_t i = 0; i < k->rows * k->channels; i++) {
        int64_t c = i % k->channels;
        y[i] = (x[i] - mean[c]) / sqrt(var[c] + k->eps) * scale[c] + shift[c];
    }
}

void norm_backward(const norm_case *k, const double *x, const double *dz, const double *scale, const double *mean,
                   const double *invstd, double *dx, double *dscale, double *dshift) {
    double count = (double)k->rows;
    for (int64_t c = 0; c < k->channels; c++) {
        dscale[c] = dshift[c] = 0;
        for (int64_t i = c; i < k->rows * k->channels; i += k->channels) {
            dshift[c] += dz[i];
            dscale[c] += dz[i] * (x[i] - mean[c]) * invstd[c];
        }
        for (int64_t i = c; i < k->rows * k->channels; i += k->channels) {
            double xhat = (x[i] - mean[c]) * invstd[c];
            dx[i] = dz[i] * scale[c] * invstd[c];
            if (k->batch)
                dx[i] = scale[c] * invstd[c] * (dz[i] - dshift[c] / count - xhat * dscale[c] / count);
        }
    }
}
