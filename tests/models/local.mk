# Networks, their values, and the golden cases.
TL_MODEL_TESTS = %reldir%/networks %reldir%/initial %reldir%/patterns %reldir%/weights %reldir%/layers %reldir%/segmenters \
	%reldir%/saving %reldir%/changed
check_PROGRAMS += $(TL_MODEL_TESTS) %reldir%/goldens
TESTS += $(TL_MODEL_TESTS) %reldir%/goldens
TL_MODEL_TEST_SUPPORT = %reldir%/support.c %reldir%/support.h

%canon_reldir%_networks_SOURCES = %reldir%/networks.c $(TL_MODEL_TEST_SUPPORT)
%canon_reldir%_networks_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_networks_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_initial_SOURCES = %reldir%/initial.c $(TL_MODEL_TEST_SUPPORT)
%canon_reldir%_initial_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_initial_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_patterns_SOURCES = %reldir%/patterns.c $(TL_MODEL_TEST_SUPPORT)
%canon_reldir%_patterns_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_patterns_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_weights_SOURCES = %reldir%/weights.c %reldir%/formula.c %reldir%/formula.h $(TL_MODEL_TEST_SUPPORT)
%canon_reldir%_weights_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_weights_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_segmenters_SOURCES = %reldir%/segmenters.c $(TL_MODEL_TEST_SUPPORT)
%canon_reldir%_segmenters_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_segmenters_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_saving_SOURCES = %reldir%/saving.c $(TL_MODEL_TEST_SUPPORT)
%canon_reldir%_saving_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_saving_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_changed_SOURCES = %reldir%/changed.c %reldir%/onnx_writer.c %reldir%/onnx_writer.h %reldir%/formula.c \
	%reldir%/formula.h $(TL_MODEL_TEST_SUPPORT)
%canon_reldir%_changed_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_changed_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_layers_SOURCES = %reldir%/layers.c %reldir%/onnx_writer.c %reldir%/onnx_writer.h %reldir%/formula.c \
	%reldir%/formula.h $(TL_MODEL_TEST_SUPPORT)
%canon_reldir%_layers_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_layers_LDADD = $(TL_TEST_LDADD)

# goldens DIR --device NAME runs cases from anywhere; without arguments the project's own, in data/.
%canon_reldir%_goldens_SOURCES = %reldir%/goldens.c %reldir%/goldens.h %reldir%/golden.c %reldir%/golden_run.c \
	%reldir%/formula.c %reldir%/formula.h
%canon_reldir%_goldens_CPPFLAGS = $(AM_CPPFLAGS) -DTEST_SOURCE='"$(abs_top_srcdir)"'
%canon_reldir%_goldens_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_goldens_LDADD = $(TL_TEST_LDADD)
EXTRA_DIST += %reldir%/data %reldir%/torchvision.txt

TESTS += %reldir%/goldens_opencl.sh
EXTRA_DIST += %reldir%/goldens_opencl.sh
