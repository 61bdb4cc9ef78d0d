libtl_all_la_SOURCES += %reldir%/core.h %reldir%/context.c %reldir%/tensor.c %reldir%/random.c %reldir%/hash.c \
	%reldir%/clock.c %reldir%/file.c %reldir%/registry.h %reldir%/registry.c %reldir%/plugin.c %reldir%/host.c \
	%reldir%/probe.c %reldir%/device.c %reldir%/device_ops.c %reldir%/tuned.c %reldir%/build.c %reldir%/work.c
