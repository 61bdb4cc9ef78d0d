libtl_all_la_SOURCES += %reldir%/ops.h %reldir%/rule.c %reldir%/adam.c %reldir%/add.c %reldir%/avgpool2d.c \
	%reldir%/batchnorm.c %reldir%/concat.c %reldir%/conv2d.c %reldir%/cross_entropy.c %reldir%/dice.c %reldir%/dropout.c %reldir%/maxpool2d.c \
	%reldir%/normalize.c %reldir%/relu.c %reldir%/upsample2d.c
