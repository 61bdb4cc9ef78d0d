/* winograd_matrices.h: the absolute values of the matrices of F(4x4, 3x3), see backends/cpu/winograd.h; bounds of its errors
 * are made of them. */
#ifndef TL_TESTS_OPS_WINOGRAD_MATRICES_H
#define TL_TESTS_OPS_WINOGRAD_MATRICES_H

extern const double winograd_bt[36]; /* 6 x 6 */
extern const double winograd_g[18];  /* 6 x 3 */
extern const double winograd_at[24]; /* 4 x 6 */

/* to [rows][rows] = m from m^T; m is [rows][columns], from is [columns][columns]. */
void winograd_both_sides(const double *m, int rows, int columns, const double *from, double *to);
/* to [columns][rows] = m^T. */
void winograd_transpose(const double *m, int rows, int columns, double *to);

#endif
