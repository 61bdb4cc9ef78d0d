libtl_all_la_SOURCES += %reldir%/formats.h %reldir%/reader.h %reldir%/archive.c %reldir%/values.c %reldir%/weights.c \
	%reldir%/safetensors.c %reldir%/safetensors_write.c \
	%reldir%/pickle.h %reldir%/pickle.c %reldir%/pickle_globals.c \
	%reldir%/torch.h %reldir%/torch.c %reldir%/torch_zip.c %reldir%/torch_legacy.c \
	%reldir%/protobuf.h %reldir%/protobuf.c %reldir%/onnx.h %reldir%/npy.c %reldir%/npy.h %reldir%/onnx.c %reldir%/onnx_tensor.c
