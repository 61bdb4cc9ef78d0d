/* winograd_matrices.h: the absolute values of the matrices of F(4x4, 3x3), see backends/cpu/winograd.h; bounds of its errors
 * are made of them. */
#ifndef TL_TESTS_OPS_WINOGRAD_MATRICES_H
#define TL_TESTS_OPS_WINOGRAD_MATRICES_H

extern const double winograd_bt[36]; /* 6 x 6 */
extern const double winograd_g[18];  /* 6 x 3 */
extern const double winograd_at[24]; /* 4 x 6 */

/* to [rows][rows] = m from m^T; m is [rows][columns], from is [columns][columns]. */
void winograd_both_sides(const double *m, int rows, int columns, const double *from, double *to);
/* Where the tile after the one at `at` begins along an axis: every `dilation`-th pixel is of one sub-map, with tiles of four;
 * those of a sub-map come one after the other's. 0, 4, 8 without dilation; 0, 1, 8, 9 with 2. */
int winograd_next_tile(int at, int dilation);
/* to [columns][rows] = m^T. */
void winograd_transpose(const double *m, int rows, int columns, double *to);

#endif
