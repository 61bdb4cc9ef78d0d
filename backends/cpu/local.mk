# The CPU backend, built in. Files whose loops profit from an instruction set (CPU_ISA_SOURCES) are compiled once for
# each, with CPU_ISA naming it.
noinst_LTLIBRARIES += libtl-cpu.la
libtl_all_la_LIBADD += libtl-cpu.la

CPU_CPPFLAGS = $(AM_CPPFLAGS) $(XXHASH_CFLAGS) -DTL_BACKEND_BUILTIN
CPU_CFLAGS = $(AM_CFLAGS) -fno-math-errno -fno-trapping-math

libtl_cpu_la_CPPFLAGS = $(CPU_CPPFLAGS)
libtl_cpu_la_CFLAGS = $(CPU_CFLAGS)
libtl_cpu_la_LIBADD =
libtl_cpu_la_SOURCES = \
	backends/axis.h backends/cache.h backends/conv2d_shape.h backends/form.h backends/tuned.h backends/winograd.h %reldir%/cpu.h %reldir%/cpu.c %reldir%/kernel.c %reldir%/constant.c %reldir%/isa.c %reldir%/parallel.c \
	%reldir%/measure.c %reldir%/peak.h %reldir%/tune.h %reldir%/tune.c %reldir%/tune_time.c \
	%reldir%/kernels.h %reldir%/elementwise.h %reldir%/flat.h %reldir%/vector.h %reldir%/channels.h \
	%reldir%/pool.h %reldir%/pool_common.h %reldir%/batchnorm_common.h %reldir%/batchnorm_common.c \
	%reldir%/gemm.h %reldir%/gemm_tile.h %reldir%/conv2d.h %reldir%/conv2d_walk.c %reldir%/conv2d_pack.c \
	%reldir%/conv2d_run.c %reldir%/conv2d.c %reldir%/conv2d_winograd.c %reldir%/blocks.h %reldir%/unroll.h %reldir%/amx.h %reldir%/conv2d_blocks.h %reldir%/conv2d_blocks.c \
	%reldir%/conv2d_bf16.c %reldir%/conv2d_converted.c \
	%reldir%/conv2d_int8.c %reldir%/int8.h %reldir%/int8.c %reldir%/quantised.h \
	%reldir%/conv2d_grad_input.c %reldir%/bf16.h %reldir%/bf16.c %reldir%/stored.h \
	%reldir%/conv2d_grad_bias.c %reldir%/conv2d_grad_weight.c %reldir%/conv2d_grad_weight_spread.c \
	%reldir%/conv2d_grad_weight_winograd.c %reldir%/winograd.h %reldir%/winograd_tiles.h \
	%reldir%/adam.c \
	%reldir%/add.c \
	%reldir%/avgpool2d.c \
	%reldir%/batchnorm.c \
	%reldir%/batchnorm_grad.c \
	%reldir%/concat.c \
	%reldir%/cross_entropy.c \
	%reldir%/dice.c \
	%reldir%/dropout.c \
	%reldir%/maxpool2d.c \
	%reldir%/normalize.c \
	%reldir%/relu.c \
	%reldir%/resample.h \
	%reldir%/upsample2d.c

CPU_ISA_SOURCES = \
	%reldir%/kernels.c \
	%reldir%/blocks.c \
	%reldir%/elementwise.c \
	%reldir%/channels.c \
	%reldir%/gemm.c \
	%reldir%/gemm_outer.c \
	%reldir%/gemm_spread.c \
	%reldir%/gemm_spread_outer.c \
	%reldir%/peak.c \
	%reldir%/pool.c \
	%reldir%/quantised.c \
	%reldir%/resample.c \
	%reldir%/special.c \
	%reldir%/stored.c \
	%reldir%/winograd.c

if TL_CPU_NEON
noinst_LTLIBRARIES += libtl-cpu-neon.la
libtl_cpu_la_LIBADD += libtl-cpu-neon.la
libtl_cpu_neon_la_SOURCES = $(CPU_ISA_SOURCES)
libtl_cpu_neon_la_CPPFLAGS = $(CPU_CPPFLAGS) -DCPU_ISA=neon
libtl_cpu_neon_la_CFLAGS = $(CPU_CFLAGS)
else
noinst_LTLIBRARIES += libtl-cpu-baseline.la
libtl_cpu_la_LIBADD += libtl-cpu-baseline.la
libtl_cpu_baseline_la_SOURCES = $(CPU_ISA_SOURCES)
libtl_cpu_baseline_la_CPPFLAGS = $(CPU_CPPFLAGS) -DCPU_ISA=baseline
libtl_cpu_baseline_la_CFLAGS = $(CPU_CFLAGS)
endif

if TL_CPU_X86
noinst_LTLIBRARIES += libtl-cpu-avx2.la libtl-cpu-avx512.la
libtl_cpu_la_LIBADD += libtl-cpu-avx2.la libtl-cpu-avx512.la
libtl_cpu_avx2_la_SOURCES = $(CPU_ISA_SOURCES)
libtl_cpu_avx2_la_CPPFLAGS = $(CPU_CPPFLAGS) -DCPU_ISA=avx2
libtl_cpu_avx2_la_CFLAGS = $(CPU_CFLAGS) -mavx2 -mfma -mf16c
libtl_cpu_avx512_la_SOURCES = $(CPU_ISA_SOURCES)
libtl_cpu_avx512_la_CPPFLAGS = $(CPU_CPPFLAGS) -DCPU_ISA=avx512
libtl_cpu_avx512_la_CFLAGS = $(CPU_CFLAGS) -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma -mf16c \
	-mprefer-vector-width=512
endif
