# tests/formats
formats_tests = %reldir%/checkpoints %reldir%/archive %reldir%/safetensors %reldir%/torch \
	%reldir%/pickle %reldir%/onnx
check_PROGRAMS += $(formats_tests)
TESTS += $(formats_tests)
formats_support = %reldir%/support.c %reldir%/support.h

%canon_reldir%_checkpoints_SOURCES = %reldir%/checkpoints.c $(formats_support)
%canon_reldir%_checkpoints_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_checkpoints_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_archive_SOURCES = %reldir%/archive.c $(formats_support)
%canon_reldir%_archive_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_archive_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_safetensors_SOURCES = %reldir%/safetensors.c $(formats_support)
%canon_reldir%_safetensors_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_safetensors_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_torch_SOURCES = %reldir%/torch.c %reldir%/pickles.c %reldir%/pickles.h $(formats_support)
%canon_reldir%_torch_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_torch_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_pickle_SOURCES = %reldir%/pickle.c %reldir%/pickles.c %reldir%/pickles.h $(formats_support)
%canon_reldir%_pickle_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_pickle_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_onnx_SOURCES = %reldir%/onnx.c $(formats_support)
%canon_reldir%_onnx_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_onnx_LDADD = $(TL_TEST_LDADD)

EXTRA_DIST += %reldir%/data
