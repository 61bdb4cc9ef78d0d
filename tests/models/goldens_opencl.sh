#!/bin/sh
# PyTorch's results on opencl:0: forward and training, every operation on the device.
case ${TL_TEST_OPENCL-} in
    plugin) TL_BACKEND_PATH=$TL_TEST_BUILD/backends/opencl/.libs; export TL_BACKEND_PATH ;;
    builtin) ;;
    *) echo "1..0 # SKIP the OpenCL backend was not built"; exit 0 ;;
esac
exec "$TL_TEST_BUILD/tests/models/goldens" --device "${TL_OPENCL_DEVICE:-opencl:0}"
