# tests/data
check_PROGRAMS += images
TESTS += images
EXTRA_DIST += %reldir%/images

images_SOURCES = %reldir%/images.c
images_CFLAGS = $(TL_TEST_CFLAGS)
images_LDADD = $(TL_TEST_LDADD)
