# tests/data
EXTRA_DIST += %reldir%/pictures

check_PROGRAMS += %reldir%/augment %reldir%/masks %reldir%/masks_loader %reldir%/pairs %reldir%/images %reldir%/dataset %reldir%/decode %reldir%/loader %reldir%/cache %reldir%/picture
TESTS += %reldir%/augment %reldir%/masks %reldir%/masks_loader %reldir%/pairs %reldir%/images %reldir%/dataset %reldir%/decode %reldir%/loader %reldir%/cache %reldir%/picture

%canon_reldir%_images_SOURCES = %reldir%/images.c
%canon_reldir%_images_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_images_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_dataset_SOURCES = %reldir%/dataset.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_dataset_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_dataset_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_decode_SOURCES = %reldir%/decode.c %reldir%/draw.h %reldir%/draw.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_decode_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_decode_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_loader_SOURCES = %reldir%/loader.c %reldir%/draw.h %reldir%/draw.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_loader_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_loader_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_cache_SOURCES = %reldir%/cache.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_cache_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_cache_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_picture_SOURCES = %reldir%/picture.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_picture_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_picture_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_augment_SOURCES = %reldir%/augment.c %reldir%/draw.h %reldir%/draw.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_augment_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_augment_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_masks_SOURCES = %reldir%/masks.c %reldir%/masks.h %reldir%/draw.h %reldir%/draw.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_masks_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_masks_LDADD = $(TL_TEST_LDADD)
%canon_reldir%_masks_loader_SOURCES = %reldir%/masks_loader.c %reldir%/masks.h %reldir%/draw.h %reldir%/draw.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_masks_loader_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_masks_loader_LDADD = $(TL_TEST_LDADD)

%canon_reldir%_pairs_SOURCES = %reldir%/pairs.c %reldir%/support.h %reldir%/support.c
%canon_reldir%_pairs_CFLAGS = $(TL_TEST_CFLAGS)
%canon_reldir%_pairs_LDADD = $(TL_TEST_LDADD)
