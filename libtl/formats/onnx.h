/* formats/onnx.h: between the graph and its tensors. */
#ifndef TL__ONNX_H
#define TL__ONNX_H

#include "formats/protobuf.h"

/* Adds the TensorProto in `bytes` as an entry; under another name than its own where one is given. *added is false
 * where its type is not read. */
tl_status tl__onnx_add_tensor(tl__archive *archive, tl__slice bytes, tl__slice name, bool *added);

tl_status tl__onnx_tensor_name(tl__archive *archive, tl__slice bytes, tl__slice *name);

#endif
