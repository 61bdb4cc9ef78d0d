# tests/fuzz: targets for libFuzzer, run here over the files that the other tests have
check_PROGRAMS += %reldir%/archive
TESTS += %reldir%/archive
%canon_reldir%_archive_SOURCES = %reldir%/archive.c %reldir%/driver.c %reldir%/fuzz.h
%canon_reldir%_archive_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_archive_LDADD = $(TL_TEST_LDADD)
