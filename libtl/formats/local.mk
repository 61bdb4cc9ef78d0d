libtl_all_la_SOURCES += %reldir%/formats.h %reldir%/weights.c
