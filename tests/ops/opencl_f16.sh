#!/bin/sh
# Operations on values stored in f16, on opencl:0 (TL_OPENCL_DEVICE: another device) taken for a GPU: all forms with what it
# chooses by itself, and some with each of the tiles that a convolution may have.
. "$TL_TEST_SOURCE/tests/ops/opencl_cases.sh"
TL_OPENCL_VECTORS=no
export TL_OPENCL_VECTORS
cases stored_f16 stored_f16
cases conv2d_f16 conv2d_f16
for tile in "64x64 by 64" 32x32; do
    TL_OPENCL_CONV="implicit $tile"
    export TL_OPENCL_CONV
    cases conv2d_f16 "conv2d_f16 $tile" --filter "1x14x14x64 -> 64"
done
end_cases
