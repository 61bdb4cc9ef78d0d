libtl_all_la_SOURCES += %reldir%/models.h %reldir%/families.h %reldir%/weights.h %reldir%/arch.c %reldir%/base.h %reldir%/base.c \
	%reldir%/changed.c %reldir%/draw.c %reldir%/frozen.h %reldir%/frozen.c %reldir%/match.c %reldir%/model.c %reldir%/pattern.c %reldir%/resnet.c %reldir%/segmentation.c %reldir%/save.h %reldir%/save.c %reldir%/saving.c %reldir%/vgg.c \
	%reldir%/weights.c

# Random values are the same on every machine: nothing may be fused into something that rounds otherwise.
noinst_LTLIBRARIES += libtl-init.la
libtl_init_la_SOURCES = %reldir%/init.h %reldir%/init.c
libtl_init_la_CFLAGS = $(AM_CFLAGS) -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math
libtl_all_la_LIBADD += libtl-init.la
