/* winograd_matrices.c: see the header. */
#include "tests/ops/winograd_matrices.h"

#define P 0.70710678118654752440
#define Q 1.41421356237309504880

const double winograd_bt[36] = {1, 0, 2.5, 0, 1, 0, 0, Q, 2,  P, 1, 0, 0, Q, 2, P, 1,   0,
                                0, P, .5,  Q, 1, 0, 0, P, .5, Q, 1, 0, 0, 1, 0, 2.5, 0, 1};
const double winograd_g[18] = {1, 0, 0, 2. / 3, 2. / 3 * P, 1. / 3, 2. / 3, 2. / 3 * P, 1. / 3,
                               1. / 6, Q / 6, 1. / 3, 1. / 6, Q / 6, 1. / 3, 0, 0, 1};
const double winograd_at[24] = {1, 1, 1, 1, 1, 0, 0, P, P, Q, Q, 0, 0, .5, .5, 2, 2, 0, 0, P / 2, P / 2, 2 * Q, 2 * Q, 1};

void winograd_both_sides(const double *m, int rows, int columns, const double *from, double *to) {
    double half[6][6];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            half[i][j] = 0;
            for (int k = 0; k < columns; k++)
                half[i][j] += m[i * columns + k] * from[k * columns + j];
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++) {
            double sum = 0;
            for (int k = 0; k < columns; k++)
                sum += half[i][k] * m[j * columns + k];
            to[i * rows + j] = sum;
        }
}

void winograd_transpose(const double *m, int rows, int columns, double *to) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            to[j * rows + i] = m[i * columns + j];
}

int winograd_next_tile(int at, int dilation) {
    return (at + 1) % dilation ? at + 1 : at + 1 + 3 * dilation;
}
