# sources of data
libtl_all_la_SOURCES += %reldir%/cache.h %reldir%/cache.c %reldir%/cache_folder.c %reldir%/augment.h %reldir%/augment.c \
	%reldir%/dataset.h %reldir%/dataset.c %reldir%/dataset_masks.c %reldir%/image.c %reldir%/jpeg.c %reldir%/loader.h \
	%reldir%/loader.c %reldir%/mask.h %reldir%/mask.c %reldir%/mask_count.c %reldir%/png.c %reldir%/png_write.c %reldir%/reader.h %reldir%/reader.c %reldir%/resize.h %reldir%/resize.c \
	%reldir%/resize_avx2.c %reldir%/scan.c %reldir%/scan_masks.c
