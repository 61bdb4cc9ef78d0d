# Operations on a device against slow references. They link the CPU backend alone: it needs nothing of libtl.
check_LTLIBRARIES += libtl-test-ops.la
libtl_test_ops_la_SOURCES = %reldir%/harness.h %reldir%/harness.c %reldir%/device.h %reldir%/device.c \
	%reldir%/conv_reference.h %reldir%/conv_reference.c %reldir%/conv_common.h %reldir%/conv_common.c \
	%reldir%/conv_cases.h %reldir%/stored_type.h %reldir%/batchnorm_reference.h %reldir%/batchnorm_reference.c %reldir%/dice_torch.h \
	%reldir%/winograd_matrices.h %reldir%/winograd_matrices.c
libtl_test_ops_la_CFLAGS = $(TL_TEST_CFLAGS)

TL_OPS_LDADD = libtl-test-ops.la libtl-cpu.la
TL_OPS_TESTS = %reldir%/accept \
	%reldir%/adam \
	%reldir%/avgpool2d \
	%reldir%/batchnorm \
	%reldir%/batchnorm_grad \
	%reldir%/concat \
	%reldir%/conv2d \
	%reldir%/conv2d_bf16 \
	%reldir%/conv2d_int8 \
	%reldir%/conv2d_batch \
	%reldir%/conv2d_grad_input \
	%reldir%/conv2d_grad_weight \
	%reldir%/cpu_device \
	%reldir%/cpu_tune \
	%reldir%/cross_entropy \
	%reldir%/dice \
	%reldir%/dropout \
	%reldir%/maxpool2d \
	%reldir%/normalize \
	%reldir%/quantised \
	%reldir%/relu \
	%reldir%/stored \
	%reldir%/upsample2d \
	%reldir%/winograd \
	%reldir%/winograd_grad
check_PROGRAMS += $(TL_OPS_TESTS)
TESTS += $(TL_OPS_TESTS)

%canon_reldir%_adam_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_adam_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_avgpool2d_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_avgpool2d_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_batchnorm_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_batchnorm_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_batchnorm_grad_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_batchnorm_grad_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_conv2d_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_conv2d_bf16_SOURCES = %reldir%/conv2d_stored.c
%canon_reldir%_conv2d_bf16_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_bf16_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_conv2d_int8_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_int8_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_conv2d_batch_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_batch_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_conv2d_grad_input_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_grad_input_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_conv2d_grad_weight_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_grad_weight_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_cross_entropy_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_cross_entropy_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_dice_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_dice_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_dropout_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_dropout_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_maxpool2d_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_maxpool2d_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_normalize_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_normalize_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_relu_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_relu_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_accept_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_accept_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_cpu_device_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_cpu_device_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_cpu_tune_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_cpu_tune_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_concat_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_concat_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_upsample2d_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_upsample2d_LDADD = $(TL_OPS_LDADD)

%canon_reldir%_quantised_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_quantised_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_stored_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_stored_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_winograd_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_winograd_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_winograd_grad_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_winograd_grad_LDADD = $(TL_OPS_LDADD)

TL_OPS_WINOGRAD = %reldir%/conv2d_winograd.sh %reldir%/conv2d_batch_winograd.sh
TESTS += $(TL_OPS_WINOGRAD)
EXTRA_DIST += $(TL_OPS_WINOGRAD)

# What a CPU does not do, on OpenCL devices that are taken for GPUs.
check_PROGRAMS += %reldir%/conv2d_f16 %reldir%/stored_f16
%canon_reldir%_conv2d_f16_SOURCES = %reldir%/conv2d_stored.c
%canon_reldir%_conv2d_f16_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_f16_CPPFLAGS = $(AM_CPPFLAGS) -DT_F16
%canon_reldir%_conv2d_f16_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_stored_f16_SOURCES = %reldir%/stored.c
%canon_reldir%_stored_f16_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_stored_f16_CPPFLAGS = $(AM_CPPFLAGS) -DT_F16
%canon_reldir%_stored_f16_LDADD = $(TL_OPS_LDADD)

TESTS += %reldir%/opencl.sh %reldir%/opencl_gpu.sh %reldir%/opencl_f16.sh %reldir%/opencl_winograd.sh
EXTRA_DIST += %reldir%/opencl_cases.sh %reldir%/opencl.sh %reldir%/opencl_gpu.sh %reldir%/opencl_f16.sh %reldir%/opencl_winograd.sh %reldir%/tap.awk
