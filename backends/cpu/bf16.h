/* bf16.h: products of matrices in bf16 with sums in f32, for machines that have instructions for them.
 *
 * Rows of a are gathered into a block, or read where they are where they lie side by side. b is packed in panels of
 * CPU_BF16_WIDTH columns, for each pair of k: [k / 2][column][2], zeros where there is no column and up to whole
 * CPU_BF16_DEPTH of k. */
#ifndef TL_CPU_BF16_H
#define TL_CPU_BF16_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/stored.h"

/* Compilers that know the instructions; whether the machine does is asked at run time. */
#if defined(TL_CPU_X86) && defined(__x86_64__) && defined(__linux__) && \
    ((defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 11))
#define TL_CPU_BF16
#endif

#define CPU_BF16_WIDTH 32
#define CPU_BF16_DEPTH 32 /* of one step of tiles */
#define CPU_BF16_ROWS 32  /* of one call of a product */

/* Where the rows of a come from. */
typedef struct cpu_bf16_source {
    const uint16_t *x;
    int64_t height, width, channels, out_height, out_width;
    int64_t kernel[2], stride[2], pad[2], dilation[2];
    int64_t k, row; /* elements of a row; elements from row to row, CPU_BF16_DEPTH or more above k */
} cpu_bf16_source;

typedef struct cpu_bf16_product {
    const uint16_t *a; /* CPU_BF16_ROWS rows, or `rows` where those are whole tiles of 16 */
    int64_t a_row;     /* elements from row to row */
    int rows;
    const uint16_t *b;
    int64_t k;         /* whole CPU_BF16_DEPTH */
    float *sums;       /* [CPU_BF16_ROWS][CPU_BF16_WIDTH] */
    const char *soon;  /* what will be needed soon: `soon_lines` cache lines for each step of k are fetched */
    int64_t soon_lines;
} cpu_bf16_product;

#ifdef TL_CPU_BF16
/* Rows first .. first + count - 1 (pixels of y) into to. */
void tl__cpu_bf16_gather(const cpu_bf16_source *source, int64_t first, int64_t count, uint16_t *to);
/* As stored_finish, for all CPU_BF16_WIDTH columns and y in bf16. */
void tl__cpu_bf16_finish(const cpu_stored_rows *rows);
void tl__cpu_bf16_multiply_dot(const cpu_bf16_product *product); /* AVX512_BF16 */
void tl__cpu_bf16_multiply_amx(const cpu_bf16_product *product); /* between the two that follow */
void tl__cpu_bf16_amx_begin(void); /* a thread's tiles are set up, and given back */
void tl__cpu_bf16_amx_end(void);
#endif

#endif
