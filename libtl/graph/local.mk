libtl_all_la_SOURCES += %reldir%/graph.h %reldir%/graph.c %reldir%/draw.c %reldir%/backward.c %reldir%/fold.c \
	%reldir%/fuse.c %reldir%/lower.c %reldir%/cut.c %reldir%/parameter.h %reldir%/plan.h %reldir%/plan.c %reldir%/place.c \
	%reldir%/layout.c %reldir%/arena.c %reldir%/refusals.c %reldir%/report.c %reldir%/plan_internal.h %reldir%/parameter.c
