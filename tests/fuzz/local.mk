# tests/fuzz: targets for libFuzzer. make check runs them over the files that the other tests have. To fuzz:
#   configure --disable-shared CC=clang CFLAGS='-g -O1 -fsanitize=fuzzer-no-link,address,undefined'
#   make tests/fuzz/archive-libfuzzer && tests/fuzz/archive-libfuzzer -max_len=8192 CORPUS
check_PROGRAMS += %reldir%/archive
TESTS += %reldir%/archive
%canon_reldir%_archive_SOURCES = %reldir%/archive.c %reldir%/driver.c %reldir%/fuzz.h
%canon_reldir%_archive_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_archive_LDADD = $(TL_TEST_LDADD)

EXTRA_PROGRAMS = %reldir%/archive-libfuzzer
%canon_reldir%_archive_libfuzzer_SOURCES = %reldir%/archive.c %reldir%/fuzz.h
%canon_reldir%_archive_libfuzzer_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_archive_libfuzzer_LDFLAGS = -fsanitize=fuzzer
%canon_reldir%_archive_libfuzzer_LDADD = $(TL_TEST_LDADD)

check_PROGRAMS += %reldir%/image
TESTS += %reldir%/image
%canon_reldir%_image_SOURCES = %reldir%/image.c %reldir%/png.c %reldir%/driver.c %reldir%/fuzz.h
%canon_reldir%_image_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_image_LDADD = $(TL_TEST_LDADD)

check_PROGRAMS += %reldir%/masks
TESTS += %reldir%/masks
%canon_reldir%_masks_SOURCES = %reldir%/masks.c %reldir%/png.c %reldir%/driver.c %reldir%/fuzz.h
%canon_reldir%_masks_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_masks_LDADD = libtl-ini.la $(TL_TEST_LDADD)
EXTRA_DIST += %reldir%/masks-data

EXTRA_PROGRAMS += %reldir%/masks-libfuzzer
%canon_reldir%_masks_libfuzzer_SOURCES = %reldir%/masks.c %reldir%/png.c %reldir%/fuzz.h
%canon_reldir%_masks_libfuzzer_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_masks_libfuzzer_LDFLAGS = -fsanitize=fuzzer
%canon_reldir%_masks_libfuzzer_LDADD = libtl-ini.la $(TL_TEST_LDADD)
