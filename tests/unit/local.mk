# The core of libtl, the public headers and what the libraries export.
TL_UNIT_TESTS = %reldir%/context %reldir%/tensor %reldir%/random %reldir%/file %reldir%/team
check_PROGRAMS += $(TL_UNIT_TESTS)
TESTS += $(TL_UNIT_TESTS) %reldir%/headers.sh %reldir%/symbols.sh
EXTRA_DIST += %reldir%/headers.sh %reldir%/symbols.sh

%canon_reldir%_context_SOURCES = %reldir%/unit.h %reldir%/context.c
%canon_reldir%_context_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_context_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_tensor_SOURCES = %reldir%/unit.h %reldir%/tensor.c
%canon_reldir%_tensor_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_tensor_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_random_SOURCES = %reldir%/unit.h %reldir%/random.c
%canon_reldir%_random_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_random_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_file_SOURCES = %reldir%/unit.h %reldir%/file.c
%canon_reldir%_file_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_file_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_team_SOURCES = %reldir%/unit.h %reldir%/team.c
%canon_reldir%_team_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_team_LDADD = $(TL_TEST_LDADD)
