# The OpenCL backend: a plugin (opencl.so in pkglibdir) or built in. kernels/*.cl become strings in one C file.
OPENCL_KERNELS = %reldir%/kernels/common.cl \
	%reldir%/kernels/adam.cl \
	%reldir%/kernels/batchnorm.cl \
	%reldir%/kernels/channels.cl \
	%reldir%/kernels/conv2d_gpu.cl \
	%reldir%/kernels/conv2d_gpu_parts.cl \
	%reldir%/kernels/conv2d_gpu_tile.cl \
	%reldir%/kernels/conv2d_gpu_weight.cl \
	%reldir%/kernels/conv2d_vectors.cl \
	%reldir%/kernels/conv2d_vectors_spread.cl \
	%reldir%/kernels/conv2d_vectors_tile.cl \
	%reldir%/kernels/conv2d_vectors_weight.cl \
	%reldir%/kernels/conv2d_winograd.cl \
	%reldir%/kernels/conv2d_winograd_gpu.cl \
	%reldir%/kernels/cross_entropy.cl \
	%reldir%/kernels/dice.cl \
	%reldir%/kernels/dropout.cl \
	%reldir%/kernels/elementwise.cl \
	%reldir%/kernels/normalize.cl \
	%reldir%/kernels/pool.cl \
	%reldir%/kernels/upsample2d.cl
EXTRA_DIST += $(OPENCL_KERNELS) tools/embed.sh
%reldir%/sources.c: $(OPENCL_KERNELS) tools/embed.sh
	$(AM_V_GEN)$(MKDIR_P) %reldir% && $(SHELL) $(top_srcdir)/tools/embed.sh \
		$(OPENCL_KERNELS:%=$(top_srcdir)/%) >$@.part && mv $@.part $@
CLEANFILES += %reldir%/sources.c

OPENCL_SOURCES = \
	backends/cache.h \
	backends/axis.h \
	backends/conv2d_shape.h \
	backends/form.h \
	backends/half.h \
	backends/tuned.h \
	backends/winograd.h \
	%reldir%/adam.c \
	%reldir%/add.c \
	%reldir%/avgpool2d.c \
	%reldir%/avgpool2d_grad.c \
	%reldir%/batchnorm.c \
	%reldir%/batchnorm.h \
	%reldir%/batchnorm_grad.c \
	%reldir%/blas.c \
	%reldir%/blas.h \
	%reldir%/buffer.c \
	%reldir%/cache.c \
	%reldir%/cache.h \
	%reldir%/canary.c \
	%reldir%/canary.h \
	%reldir%/canary_blas.c \
	%reldir%/canary_ops.c \
	%reldir%/channels.h \
	%reldir%/cl.c \
	%reldir%/concat.c \
	%reldir%/constant.c \
	%reldir%/conv2d.c \
	%reldir%/conv2d_gpu.c \
	%reldir%/conv2d_gpu.h \
	%reldir%/conv2d_gpu_gemm.c \
	%reldir%/conv2d_gpu_tile.c \
	%reldir%/conv2d_gpu_weight.c \
	%reldir%/conv2d_grad_input.c \
	%reldir%/conv2d_grad_weight.c \
	%reldir%/conv2d_vectors.c \
	%reldir%/conv2d_vectors.h \
	%reldir%/conv2d_vectors_pack.c \
	%reldir%/conv2d_vectors_spread.c \
	%reldir%/conv2d_vectors_weight.c \
	%reldir%/conv2d_winograd.c \
	%reldir%/conv2d_winograd.h \
	%reldir%/conv2d_winograd_gpu.c \
	%reldir%/cross_entropy.c \
	%reldir%/cross_entropy.h \
	%reldir%/cross_entropy_grad.c \
	%reldir%/dice.c \
	%reldir%/dice_grad.c \
	%reldir%/dropout.c \
	%reldir%/elementwise.h \
	%reldir%/kernel.c \
	%reldir%/launch.c \
	%reldir%/launch.h \
	%reldir%/maxpool2d.c \
	%reldir%/maxpool2d_grad.c \
	%reldir%/normalize.c \
	%reldir%/notes.c \
	%reldir%/opencl.c \
	%reldir%/opencl.h \
	%reldir%/pool.h \
	%reldir%/probe.c \
	%reldir%/probe.h \
	%reldir%/probe_child.c \
	%reldir%/program.c \
	%reldir%/relu.c \
	%reldir%/relu_grad.c \
	%reldir%/slice.c \
	%reldir%/tune.c \
	%reldir%/tune.h \
	%reldir%/tune_blas.c \
	%reldir%/tune_store.c \
	%reldir%/tune_time.c \
	%reldir%/upsample2d.c \
	%reldir%/upsample2d.h \
	%reldir%/upsample2d_grad.c \
	%reldir%/vendors.c
OPENCL_CPPFLAGS = $(AM_CPPFLAGS) $(OPENCL_CFLAGS) $(XXHASH_CFLAGS)

if TL_OPENCL_PLUGIN
pkglib_LTLIBRARIES += %reldir%/opencl.la
%canon_reldir%_opencl_la_SOURCES = $(OPENCL_SOURCES)
nodist_%canon_reldir%_opencl_la_SOURCES = %reldir%/sources.c
%canon_reldir%_opencl_la_CPPFLAGS = $(OPENCL_CPPFLAGS)
%canon_reldir%_opencl_la_LDFLAGS = -module -avoid-version -shared
%canon_reldir%_opencl_la_LIBADD = $(CLBLAST_LIBS) $(OPENCL_LIBS)
endif
if TL_OPENCL_BUILTIN
noinst_LTLIBRARIES += libtl-opencl.la
libtl_all_la_LIBADD += libtl-opencl.la
libtl_opencl_la_SOURCES = $(OPENCL_SOURCES)
nodist_libtl_opencl_la_SOURCES = %reldir%/sources.c
libtl_opencl_la_CPPFLAGS = $(OPENCL_CPPFLAGS) -DTL_BACKEND_BUILTIN
libtl_opencl_la_LIBADD = $(CLBLAST_LIBS) $(OPENCL_LIBS)
endif
