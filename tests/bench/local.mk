# Measurements, built by `make check` and run by hand.
EXTRA_DIST += %reldir%/cache.sh %reldir%/peers.sh %reldir%/peers.py %reldir%/roundtrip.py

check_PROGRAMS += %reldir%/conv %reldir%/ops
%canon_reldir%_conv_SOURCES = %reldir%/conv.c %reldir%/peak.h %reldir%/peak.c
%canon_reldir%_conv_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_conv_LDADD = $(TL_OPS_LDADD)
%canon_reldir%_ops_SOURCES = %reldir%/ops.c
%canon_reldir%_ops_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_ops_LDADD = $(TL_OPS_LDADD)

check_PROGRAMS += %reldir%/decode
%canon_reldir%_decode_SOURCES = %reldir%/decode.c
%canon_reldir%_decode_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_decode_LDADD = $(TL_TEST_LDADD)
