# Tests. Each folder adds its programs to check_PROGRAMS and TESTS.
TL_TEST_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(TL_DEPS_CFLAGS)
TL_TEST_LDADD = libtl-all.la $(CMOCKA_LIBS) $(TL_DEPS_LIBS)

# What takes longest begins first.
include %reldir%/faults/local.mk
include %reldir%/unit/local.mk
include %reldir%/ops/local.mk
include %reldir%/bench/local.mk
include %reldir%/models/local.mk
include %reldir%/data/local.mk
include %reldir%/formats/local.mk
include %reldir%/fuzz/local.mk
include %reldir%/cli/local.mk
include %reldir%/plugin/local.mk
include %reldir%/train/local.mk
