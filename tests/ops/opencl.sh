#!/bin/sh
# Every operation's test on opencl:0 (PoCL, where nothing else is there), as one: what is compared is the plugin as it was
# built with what the CPU's tests compare with. TL_OPENCL_DEVICE: another device. What no order of sums can change (sums of
# small integers, values that are copied, chosen or come from a table) must be the CPU backend's, bit for bit.
. "$TL_TEST_SOURCE/tests/ops/opencl_cases.sh"
for name in accept adam avgpool2d batchnorm batchnorm_grad concat conv2d conv2d_batch conv2d_grad_input \
    conv2d_grad_weight cross_entropy dice dropout maxpool2d normalize relu upsample2d; do
    cases "$name" "$name"
done
for name in conv2d conv2d_grad_input conv2d_grad_weight; do
    cases "$name" "$name, the CPU's bits" --equal cpu --filter integers
done
for name in concat dropout normalize relu; do
    cases "$name" "$name, the CPU's bits" --equal cpu
done
end_cases
