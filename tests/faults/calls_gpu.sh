#!/bin/sh
# Every call fails once in a training with the kernels for GPUs, too, whatever the device is.
TL_OPENCL_VECTORS=no exec "${TL_TEST_BUILD:-.}/tests/faults/calls"
