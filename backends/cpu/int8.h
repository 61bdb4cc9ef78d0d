/* int8.h: products of u8 and s8 with sums in s32, for machines that have instructions for them. Rows, panels and
 * results are those of quantised.h; every way gives the same sums. */
#ifndef TL_CPU_INT8_H
#define TL_CPU_INT8_H

#include <stdbool.h>

#include "backends/cpu/bf16.h"
#include "backends/cpu/quantised.h"

/* The compilers that know the instructions are those that know those for bf16. */
#ifdef TL_CPU_BF16
#define TL_CPU_INT8
#endif

typedef enum cpu_int8_way { CPU_INT8_PAIRS, CPU_INT8_VNNI, CPU_INT8_AMX } cpu_int8_way;

/* What the machine has, and the device's instruction set admits: PAIRS is quantised_multiply. */
cpu_int8_way tl__cpu_int8_way(const cpu_device *device);
cpu_peak *tl__cpu_int8_peak(const cpu_device *device);

#ifdef TL_CPU_INT8
void tl__cpu_int8_multiply_vnni(const cpu_block_product *product);
void tl__cpu_int8_multiply_amx(const cpu_block_product *product); /* between tl__cpu_amx_begin and _end */
/* As quantised_finish, for all CPU_BLOCK_WIDTH columns and y in u8. */
void tl__cpu_int8_finish(const cpu_int8_rows *rows);
#endif

#endif
