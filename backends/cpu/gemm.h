/* gemm.h: the matrix kernels under convolution and linear layers; compiled for each instruction set (kernels.h).
 *
 * y[i][o] = act(sum over k of row_i[k] * b[k][o] + bias[o] + residual[i][o]). The rows are read where they are,
 * through pointers: row i is `taps` pieces of `depth` floats, each of which may lie anywhere. b is packed: columns are
 * cut into panels of gemm_width() columns, the last one rounded up to whole vectors and filled with zeros, and a panel
 * holds its columns side by side for each k.
 *
 * Every element of y is a sum of chains of multiply-adds over k in order, whatever the tile it falls into: results do
 * not depend on how the rows are cut, nor on which rows are computed together. */
#ifndef TL_CPU_GEMM_H
#define TL_CPU_GEMM_H

#include <stddef.h>
#include <stdint.h>

#define CPU_GEMM_GROUP 48 /* the most rows of one call */

/* A chain ends after so many steps of k, or up to LINE - 1 more: one sum over thousands of products would gather the
 * rounding errors of them all. About the square root of the longest sum is best, and costs nothing that shows. */
#ifndef CPU_GEMM_CHAIN
#define CPU_GEMM_CHAIN 80
#endif

typedef struct cpu_gemm_panel {
    const float *const *rows; /* piece t of row i begins at rows[t * CPU_GEMM_GROUP + i] + offset */
    const float *zeros;   /* NULL, or what rows[] is where a piece holds nothing but zeros: those are not multiplied */
    int64_t offset;
    int64_t taps, depth;
    const float *b;       /* the panel: [taps * depth][columns, rounded up to whole vectors] */
    float *y;             /* these begin at the panel's first column: */
    const float *bias;    /* NULL: none */
    const float *residual, *mask; /* NULL: none; laid out as y. Where mask <= 0 (or NaN) y becomes 0 */
    const int64_t *at;    /* where row i begins in y, residual and mask */
    int count;            /* of rows, 1 .. CPU_GEMM_GROUP */
    int columns;          /* 1 .. gemm_width() */
    int relu;
    int stream;           /* store past the caches; y and all of `at` are then aligned to vectors */
    /* A product may come in several calls, each with a part of k: all but the first add `sums` to theirs, all but the
     * last leave theirs there: [count][columns, rounded up to whole vectors]. */
    float *sums;
    int resume, suspend;
    /* What will be needed soon, to be fetched meanwhile: floats soon_first .. soon_end - 1 of soon[i] for each row, and
     * residual and mask at `ahead` floats from where they are used now (0: not). */
    const float *const *soon;
    int64_t soon_first, soon_end, ahead;
    const float *b_soon;  /* the panel that comes next; nothing is fetched where b_soon_bytes is 0 */
    int64_t b_soon_bytes;
} cpu_gemm_panel;

/* y[i][j] = sum over p of a[p][i] * b[p][j], or += that sum: what weights get from many pixels. */
typedef struct cpu_gemm_outer {
    const float *a, *b; /* a[p * a_step + i], b[p * b_step + j]; b is readable up to whole vectors of j */
    int64_t a_step, b_step; /* a_step 0: a is as gemm_arrange made it for as many rows and columns */
    int64_t count;      /* of p */
    float *y;           /* y[i * y_step + j] */
    int64_t y_step;
    int64_t rows;       /* i */
    int columns;        /* j, 1 .. gemm_width() */
    int add;
    /* What will be needed soon, to be fetched meanwhile: a_soon[p * a_soon_step + i], and rows of `columns` floats at
     * b_soon[p]. Neither may be NULL; what is in use already costs nothing. */
    const float *a_soon;
    int64_t a_soon_step;
    const float *const *b_soon;
} cpu_gemm_outer;

/* sums[t][k][l] = sum over p of x[t][p][k] * dy[p * dy_step + l], or += that sum, for the lanes l of a vector;
 * x[t][p][k] is channel k of lane l's group of `depth` channels in the row at rows[t * rows_step + p] + offset; depth
 * as for gemm_spread. Rows and dy are read in whole vectors. */
typedef struct cpu_gemm_spread_outer {
    const float *const *rows;
    int64_t rows_step, offset;
    const float *dy;
    int64_t dy_step;
    int64_t count, taps, depth;
    float *sums; /* [taps][depth][lanes] */
    int add;
} cpu_gemm_spread_outer;

/* gemm_arrange: writes a (count x rows) in the order in which gemm_outer reads it.
 * gemm_spread: as gemm_panel, for a group of `depth` channels in and out, a power of two that divides the lanes of a
 * vector. Column o is a sum over its own group's channels only: piece t of a row begins at the panel's first column in
 * the source, and b is [taps][depth][lanes]. The pieces are read in whole vectors.
 * gemm_gather: to[p][...] = `columns` floats at rows[p], then zeros up to whole vectors. */
#define CPU_GEMM_LIST(X)                                             \
    X(int, gemm_width, (void))                                       \
    X(void, gemm_panel, (const cpu_gemm_panel *panel))               \
    X(void, gemm_spread, (const cpu_gemm_panel *panel))              \
    X(void, gemm_spread_outer, (const cpu_gemm_spread_outer *outer)) \
    X(void, gemm_outer, (const cpu_gemm_outer *outer))               \
    X(void, gemm_arrange, (const cpu_gemm_outer *outer, float *to))  \
    X(void, gemm_gather, (const float *const *rows, int64_t count, int columns, float *to))

#endif
