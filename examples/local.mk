# Examples go where documentation goes.
exampledir = $(docdir)/examples
dist_example_DATA = %reldir%/seed.ini %reldir%/medical.ini %reldir%/deeper.ini %reldir%/quickstart.ini \
	%reldir%/segment.ini
exampleembeddir = $(exampledir)/embed
dist_exampleembed_DATA = %reldir%/embed/finetune.c %reldir%/embed/Makefile
examplestampsdir = $(exampledir)/stamps
dist_examplestamps_DATA = %reldir%/stamps/compose.c %reldir%/stamps/Makefile
examplebackenddir = $(exampledir)/backend
dist_examplebackend_DATA = %reldir%/backend/sleepy.c %reldir%/backend/Makefile
