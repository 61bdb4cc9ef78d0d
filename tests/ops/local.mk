# Operations on a device against slow references.
check_LTLIBRARIES += libtl-test-ops.la
libtl_test_ops_la_SOURCES = %reldir%/harness.h %reldir%/harness.c %reldir%/device.h %reldir%/device.c \
	%reldir%/conv_reference.h %reldir%/conv_reference.c %reldir%/conv_common.h %reldir%/conv_common.c \
	%reldir%/conv_cases.h
libtl_test_ops_la_CFLAGS = $(TL_TEST_CFLAGS)

TL_OPS_LDADD = libtl-test-ops.la $(TL_TEST_LDADD)
TL_OPS_TESTS = %reldir%/conv2d %reldir%/conv2d_grad_input %reldir%/conv2d_grad_weight %reldir%/relu
check_PROGRAMS += $(TL_OPS_TESTS)
TESTS += $(TL_OPS_TESTS)

%canon_reldir%_conv2d_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_conv2d_grad_input_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_grad_input_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_conv2d_grad_weight_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv2d_grad_weight_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_relu_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_relu_LDADD = $(TL_OPS_LDADD)
