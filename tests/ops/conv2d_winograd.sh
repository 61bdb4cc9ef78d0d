#!/bin/sh
# conv2d with Winograd's algorithm where the CPU backend has it.
TL_CPU_WINOGRAD=1 exec "${TL_TEST_BUILD:-.}/tests/ops/conv2d"
