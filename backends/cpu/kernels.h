/* kernels.h: the inner loops that are compiled once for each instruction set.
 *
 * Files in CPU_ISA_SOURCES (local.mk) are compiled several times, with CPU_ISA defined as baseline, avx2, avx512 or
 * neon and with the compiler's flags for it. They hold functions on ranges, written with the vectors of vector.h;
 * threads and memory are the business of the operations' files, which reach them through device->kernels. Nothing
 * in them but the functions named here has external linkage, so that the linker cannot take a shared copy of a
 * function that the machine at hand does not run.
 *
 * Every function is a line in a list: X(result, name, (arguments)). */
#ifndef TL_CPU_KERNELS_H
#define TL_CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "backends/cpu/blocks.h"
#include "backends/cpu/channels.h"
#include "backends/cpu/elementwise.h"
#include "backends/cpu/gemm.h"
#include "backends/cpu/peak.h"
#include "backends/cpu/pool.h"
#include "backends/cpu/quantised.h"
#include "backends/cpu/stored.h"
#include "backends/cpu/resample.h"
#include "backends/cpu/winograd.h"

#define CPU_KERNEL_LIST(X) \
    CPU_BLOCKS_LIST(X) \
    CPU_ELEMENTWISE_LIST(X) \
    CPU_CHANNELS_LIST(X) \
    CPU_GEMM_LIST(X) \
    CPU_PEAK_LIST(X) \
    CPU_POOL_LIST(X) \
    CPU_QUANTISED_LIST(X) \
    CPU_STORED_LIST(X) \
    CPU_RESAMPLE_LIST(X) \
    CPU_WINOGRAD_LIST(X)

typedef struct cpu_kernels {
    int lanes; /* floats in a vector */
#define CPU_MEMBER(result, name, arguments) result(*name) arguments;
    CPU_KERNEL_LIST(CPU_MEMBER)
#undef CPU_MEMBER
} cpu_kernels;

extern const cpu_kernels tl__cpu_kernels_baseline, tl__cpu_kernels_avx2, tl__cpu_kernels_avx512, tl__cpu_kernels_neon;

#ifdef CPU_ISA
#define CPU_PASTE2(name, isa) tl__cpu_##name##_##isa
#define CPU_PASTE(name, isa) CPU_PASTE2(name, isa)
#define CPU_NAME(name) CPU_PASTE(name, CPU_ISA) /* what a function of the list is called where it is defined */
#define CPU_PROTOTYPE(result, name, arguments) result CPU_NAME(name) arguments;
CPU_KERNEL_LIST(CPU_PROTOTYPE)
#undef CPU_PROTOTYPE
#endif

#endif
