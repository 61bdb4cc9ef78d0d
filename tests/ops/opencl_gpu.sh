#!/bin/sh
# The same with the kernels for GPUs, whatever the device is.
TL_OPENCL_VECTORS=no exec sh "$TL_TEST_SOURCE/tests/ops/opencl.sh"
