# tests/formats
check_PROGRAMS += %reldir%/checkpoints
TESTS += %reldir%/checkpoints
%canon_reldir%_checkpoints_SOURCES = %reldir%/checkpoints.c %reldir%/support.c %reldir%/support.h
%canon_reldir%_checkpoints_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_checkpoints_LDADD = $(TL_TEST_LDADD)

EXTRA_DIST += %reldir%/data
