/* unroll.h: accumulators must be registers, so every loop over them has to be unrolled away. */
#ifndef TL_CPU_UNROLL_H
#define TL_CPU_UNROLL_H

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
