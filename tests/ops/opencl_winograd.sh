#!/bin/sh
# conv2d with Winograd's algorithm wherever the OpenCL backend has it, on opencl:0 (TL_OPENCL_DEVICE: another device), as
# a device like a CPU and as a GPU.
. "$TL_TEST_SOURCE/tests/ops/opencl_cases.sh"
export TL_OPENCL_WINOGRAD=1 TL_OPENCL_VECTORS
for TL_OPENCL_VECTORS in yes no; do
    for name in winograd conv2d conv2d_batch; do
        cases "$name" "$name, vectors $TL_OPENCL_VECTORS"
    done
done
end_cases
