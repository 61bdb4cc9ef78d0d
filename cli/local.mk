# The program tl. What reads INI files is a library of its own, which the unit tests link too.
noinst_LTLIBRARIES += libtl-ini.la
libtl_ini_la_SOURCES = %reldir%/config.c %reldir%/config_write.c %reldir%/config.h %reldir%/ini.c %reldir%/ini.h %reldir%/keys.c \
	%reldir%/text.c %reldir%/text.h
libtl_ini_la_CFLAGS = $(AM_CFLAGS) $(INIH_CFLAGS)
libtl_ini_la_LIBADD = $(INIH_LIBS)

bin_PROGRAMS += tl
tl_SOURCES = %reldir%/main.c \
	%reldir%/bench.c %reldir%/chart.c %reldir%/chart.h %reldir%/convert.c %reldir%/devices.c %reldir%/eval.c %reldir%/features.c \
	%reldir%/files.c %reldir%/files.h %reldir%/guess.c %reldir%/guess.h %reldir%/inspect.c %reldir%/job.c \
	%reldir%/job.h %reldir%/json.c %reldir%/json.h %reldir%/masks.c %reldir%/masks.h %reldir%/options.c %reldir%/options.h %reldir%/predict.c \
	%reldir%/report.c %reldir%/run.c %reldir%/run.h %reldir%/score.c %reldir%/score.h %reldir%/selftest.c \
	%reldir%/session.c %reldir%/session.h %reldir%/sheet.c %reldir%/sheet.h %reldir%/term.c %reldir%/term.h %reldir%/train.c %reldir%/tune.c
tl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tl_LDADD = libtl-ini.la libtl.la $(JANSSON_LIBS)
