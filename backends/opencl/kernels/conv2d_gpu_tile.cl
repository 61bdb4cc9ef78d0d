/* conv2d_gpu_tile.cl: what conv2d_gpu.cl and conv2d_gpu_weight.cl share. Both are built once for each tile, as options say:
 *   TILED   a group shares what it reads in local memory; otherwise every work-item reads for itself and no group has a
 *           meaning: for devices whose local memory is no faster than their caches, and for narrow groups of channels.
 *   TM TN   rows and columns of a group's tile (TILED), TK the terms that are in local memory at a time.
 *   RM RN   rows and columns of a work-item's part of it; multiples of four, RN = 4 without TILED.
 *   VA VB   numbers that are read at once from the two matrices: 4 where channels allow it, else 1.
 *
 * Every sum is in the order of its terms, whatever the tile: results do not depend on it. */

#ifdef FP_FAST_FMAF
#define MADD fma
#else
#define MADD mad /* a slow fma is slower than all else; mad is a multiplication and an addition */
#endif

/* A table's numbers, as conv2d_gpu.h has them (struct opencl_gather). */
enum {
    SRC_H, SRC_W, SRC_C, /* the source: its pixels, its channels in all groups */
    DEPTH,               /* its channels in a group */
    TAPS_H, TAPS_W,
    MUL_H, MUL_W, BASE_H, BASE_W, STEP_H, STEP_W, /* pixel (a, b), tap (i, j): source (a MUL + BASE + i STEP, ...) */
    ROWS_H, ROWS_W,                               /* pixels (a, b) of an image */
    DST_H, DST_W, DST_C, TO_H, TO_W, AT_H, AT_W,  /* pixel (a, b) is the destination's (a TO + AT, ...) */
    COLUMNS,                                      /* the destination's channels in a group */
    W_GROUP, W_FIRST, W_COLUMN, W_DEPTH, W_I, W_J, /* strides of the weights */
};

#ifdef TILED
#define ITEMS (TM / RM * (TN / RN))
#define PITCH_A (TM + 4)
#define PITCH_B (TN + 4)

/* A work-item's part of the product of what is in local memory. */
#define ROW_OF_SUMS(r, value)                                   \
    _Pragma("unroll") for (int j = 0; j < RN / 4; j++)          \
        sums[r][j] = MADD((float4)(value), b[j], sums[r][j]);
#define MULTIPLY                                                       \
    _Pragma("unroll") for (int k = 0; k < TK; k++) {                   \
        float4 b[RN / 4];                                              \
        _Pragma("unroll") for (int j = 0; j < RN / 4; j++)             \
            b[j] = bs[k * (PITCH_B / 4) + j * (TN / RN) + column];     \
        _Pragma("unroll") for (int i = 0; i < RM / 4; i++) {           \
            float4 a = as[k * (PITCH_A / 4) + i * (TM / RM) + line];   \
            ROW_OF_SUMS(4 * i, a.x)                                    \
            ROW_OF_SUMS(4 * i + 1, a.y)                                \
            ROW_OF_SUMS(4 * i + 2, a.z)                                \
            ROW_OF_SUMS(4 * i + 3, a.w)                                \
        }                                                              \
    }
/* Rows and columns of a tile that sums[r][j] belongs to. */
#define SUM_ROW(r) (((r) / 4 * (TM / RM) + line) * 4 + (r) % 4)
#define SUM_COLUMN(j) (((j) * (TN / RN) + column) * 4)
#endif
