# TL_CPU_ISAS: which variants of the CPU backend's kernels this compiler and target can build. Which of them runs
# is decided when the device is opened.
AC_DEFUN([TL_CPU_ISAS], [
  TL_CPU_ISA_NAMES=baseline
  tl_cpu_x86=no tl_cpu_neon=no
  AS_CASE([$host_cpu],
    [x86_64|i?86], [tl_cpu_x86=yes; TL_CPU_ISA_NAMES="baseline avx2 avx512"
      AC_DEFINE([TL_CPU_X86], [1], [The kernels for AVX2 and AVX-512 are built.])],
    [aarch64*], [tl_cpu_neon=yes; TL_CPU_ISA_NAMES="neon"
      AC_DEFINE([TL_CPU_NEON], [1], [The baseline is arm64 with NEON.])])
  AM_CONDITIONAL([TL_CPU_X86], [test $tl_cpu_x86 = yes])
  AM_CONDITIONAL([TL_CPU_NEON], [test $tl_cpu_neon = yes])
])
