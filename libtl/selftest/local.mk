libtl_all_la_SOURCES += %reldir%/trial.h %reldir%/trials.c %reldir%/fill.c %reldir%/trial_run.c %reldir%/bound.c \
	%reldir%/store.c %reldir%/selftest.c
