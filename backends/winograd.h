/* winograd.h: the weights of Winograd's F(4x4, 3x3), for our own backends. backends/cpu/winograd.h has the three matrices
 * and why its points are what they are. */
#ifndef TL_BACKENDS_WINOGRAD_H
#define TL_BACKENDS_WINOGRAD_H

#include <stdint.h>

#define WINOGRAD_TILE 4   /* outputs along an axis */
#define WINOGRAD_PATCH 6  /* inputs along an axis */
#define WINOGRAD_PLANES 36

#define WINOGRAD_P 0.70710678118654752440
#define WINOGRAD_Q 1.41421356237309504880

/* G w G^T of channel c of one output, whose weights are w[3][3][channels]; in double, so that they are rounded once. */
static inline void winograd_weights(const float *w, int64_t channels, int64_t c, double t[WINOGRAD_PLANES]) {
    static const double g[WINOGRAD_PATCH][3] = {
        {1, 0, 0},
        {-2.0 / 3, -2.0 / 3 * WINOGRAD_P, -1.0 / 3},
        {-2.0 / 3, 2.0 / 3 * WINOGRAD_P, -1.0 / 3},
        {1.0 / 6, WINOGRAD_Q / 6, 1.0 / 3},
        {1.0 / 6, -WINOGRAD_Q / 6, 1.0 / 3},
        {0, 0, 1},
    };
    double half[WINOGRAD_PATCH][3];
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < WINOGRAD_PATCH; i++)
            half[i][j] = g[i][0] * w[j * channels + c] + g[i][1] * w[(3 + j) * channels + c] +
                         g[i][2] * w[(6 + j) * channels + c];
    for (int i = 0; i < WINOGRAD_PATCH; i++)
        for (int j = 0; j < WINOGRAD_PATCH; j++)
            t[i * WINOGRAD_PATCH + j] = half[i][0] * g[j][0] + half[i][1] * g[j][1] + half[i][2] * g[j][2];
}

#endif
