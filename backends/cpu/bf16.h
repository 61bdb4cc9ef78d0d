/* bf16.h: products of matrices in bf16 with sums in f32, for machines that have instructions for them.
 *
 * b is packed in panels of CPU_BLOCK_WIDTH columns, for each pair of k: [k / 2][column][2], zeros where there is no column
 * and up to whole steps of k. */
#ifndef TL_CPU_BF16_H
#define TL_CPU_BF16_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/cpu/blocks.h"
#include "backends/cpu/cpu.h"
#include "backends/cpu/peak.h"
#include "backends/cpu/stored.h"

/* Compilers that know the instructions; whether the machine does is asked at run time. */
#if defined(TL_CPU_X86) && defined(__x86_64__) && defined(__linux__) && \
    ((defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 11))
#define TL_CPU_BF16
#endif

/* NULL: the device's instruction set has no products of bf16. */
cpu_peak *tl__cpu_bf16_peak(const cpu_device *device);

#ifdef TL_CPU_BF16
/* As stored_finish, for all CPU_BLOCK_WIDTH columns and y in bf16. */
void tl__cpu_bf16_finish(const cpu_stored_rows *rows);
void tl__cpu_bf16_multiply_dot(const cpu_block_product *product); /* AVX512_BF16 */
void tl__cpu_bf16_multiply_amx(const cpu_block_product *product); /* between the two that follow */
void tl__cpu_amx_begin(void); /* a thread's tiles are set up, and given back */
void tl__cpu_amx_end(void);
#endif

#endif
