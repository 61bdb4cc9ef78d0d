# Measurements: built by `make check`, run by hand.
check_PROGRAMS += %reldir%/conv
%canon_reldir%_conv_SOURCES = %reldir%/conv.c %reldir%/peak.h %reldir%/peak.c
%canon_reldir%_conv_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv_LDADD = $(TL_OPS_LDADD)
