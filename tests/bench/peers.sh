#!/bin/sh
# Measures libtl beside PyTorch, ONNX Runtime and OpenVINO on this machine, in turns, and prints ratios.
#
#   tests/bench/peers.sh [--venv DIR] [OPTION]... [forward] [bf16] [train] [segment] [job]
#
# --venv DIR   a Python environment that has them; without it one is made, from PyPI, in ~/.cache/libtl/peers (about 7 GB)
# The other options are those of peers.py beside this file: --help shows them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=
if [ "${1-}" = --venv ]; then
    [ $# -ge 2 ] || { echo "peers.sh: --venv needs a folder" >&2; exit 2; }
    venv=$2
    shift 2
    [ -x "$venv/bin/python" ] || { echo "peers.sh: $venv is no Python environment" >&2; exit 2; }
else
    venv=${XDG_CACHE_HOME:-$HOME/.cache}/libtl/peers
    # The mark is set last: an environment that was left half made is completed.
    if [ ! -e "$venv/complete" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check torch torchvision onnx onnxruntime openvino numpy pillow
        : >"$venv/complete"
    fi
fi
exec "$venv/bin/python" "$here/peers.py" "$@"
