# tests/cli
check_PROGRAMS += %reldir%/ini %reldir%/draw %reldir%/keys %reldir%/sheet
TESTS += %reldir%/ini
tl_cli_tests = %reldir%/verbs.sh %reldir%/config.sh %reldir%/train.sh %reldir%/stop.sh %reldir%/models.sh %reldir%/docs.sh %reldir%/devices.sh %reldir%/placement.sh \
	%reldir%/selftest.sh %reldir%/tune.sh \
	%reldir%/embed.sh %reldir%/cache.sh %reldir%/changed.sh %reldir%/masks.sh %reldir%/segment.sh %reldir%/augment.sh %reldir%/whole.sh
TESTS += $(tl_cli_tests)
EXTRA_DIST += $(tl_cli_tests) %reldir%/lib.sh

%canon_reldir%_ini_SOURCES = %reldir%/ini.c
%canon_reldir%_ini_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_ini_LDADD = libtl-ini.la $(TL_TEST_LDADD)

%canon_reldir%_keys_SOURCES = %reldir%/keys.c
%canon_reldir%_keys_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_keys_LDADD = libtl-ini.la $(TL_TEST_LDADD)

%canon_reldir%_draw_SOURCES = %reldir%/draw.c
%canon_reldir%_draw_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_draw_LDADD = $(PNG_LIBS) $(JPEG_LIBS)

%canon_reldir%_sheet_SOURCES = %reldir%/sheet.c
%canon_reldir%_sheet_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_sheet_LDADD = $(PNG_LIBS)
