# libtl itself. libtl-all.la is everything as a convenience library; the tests link it to reach what is not exported.
tl_includedir = $(includedir)/tl
tl_include_HEADERS = \
	%reldir%/include/tl/augment.h %reldir%/include/tl/backend.h %reldir%/include/tl/bench.h %reldir%/include/tl/context.h \
	%reldir%/include/tl/dataset.h %reldir%/include/tl/device.h %reldir%/include/tl/features.h \
	%reldir%/include/tl/image.h %reldir%/include/tl/metrics.h \
	%reldir%/include/tl/model.h %reldir%/include/tl/segment.h %reldir%/include/tl/selftest.h %reldir%/include/tl/status.h \
	%reldir%/include/tl/tl.h %reldir%/include/tl/train.h %reldir%/include/tl/tune.h \
	%reldir%/include/tl/version.h %reldir%/include/tl/weights.h

pkgconfig_DATA = %reldir%/libtl.pc

TL_DEPS_CFLAGS = $(PNG_CFLAGS) $(JPEG_CFLAGS) $(JANSSON_CFLAGS) $(ZIP_CFLAGS) $(XXHASH_CFLAGS)
TL_DEPS_LIBS = $(PNG_LIBS) $(JPEG_LIBS) $(JANSSON_LIBS) $(ZIP_LIBS) $(XXHASH_LIBS)

noinst_LTLIBRARIES += libtl-all.la
libtl_all_la_CPPFLAGS = $(AM_CPPFLAGS) -DTL_PLUGIN_DIR='"$(pkglibdir)"'
libtl_all_la_CFLAGS = $(AM_CFLAGS) $(TL_DEPS_CFLAGS)
libtl_all_la_LIBADD = $(TL_DEPS_LIBS)
libtl_all_la_SOURCES =

lib_LTLIBRARIES += libtl.la
libtl_la_SOURCES =
libtl_la_LIBADD = libtl-all.la
libtl_la_LDFLAGS = -version-info 0:0:0 -no-undefined -Wl,--version-script=$(top_srcdir)/%reldir%/libtl.map
EXTRA_libtl_la_DEPENDENCIES = $(top_srcdir)/%reldir%/libtl.map
EXTRA_DIST += %reldir%/libtl.map

include %reldir%/core/local.mk
include %reldir%/formats/local.mk
include %reldir%/data/local.mk
include %reldir%/ops/local.mk
include %reldir%/graph/local.mk
include %reldir%/models/local.mk
include %reldir%/train/local.mk
include %reldir%/selftest/local.mk
