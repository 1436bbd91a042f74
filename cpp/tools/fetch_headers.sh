#!/usr/bin/env bash
# The C and C++ headers of the libraries behind the plug-ins, from package indexes.
#
#   fetch_headers.sh FOLDER [onnxruntime] [tensorrt] [cuda] [windows]
#
# makes FOLDER/onnxruntime and so on, those that are named or the first three; libcudart lies in
# cuda/lib. "windows" brings DLLs, of the versions of ONNX Runtime and OpenVINO that PYTHON has, for
# tests under Wine. Needs npm for onnxruntime, pip for the others. PYTHON: an interpreter with pip;
# python3 by default.
set -euo pipefail

target=$(realpath --canonicalize-missing "$1")
PYTHON=$(command -v "${PYTHON:-python3}")
PYTHON=$(realpath --no-symlinks "$PYTHON")
wanted=" ${*:2} "
[ "$wanted" != "  " ] || wanted=" onnxruntime tensorrt cuda "
wants() { [[ $wanted = *" $1 "* ]]; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# ONNX Runtime's library comes with its Python package, which has no headers; an npm package has.
if wants onnxruntime && [ ! -e "$target/onnxruntime/onnxruntime_c_api.h" ]; then
    npm pack --silent com.github.asus4.onnxruntime@0.4.9 >/dev/null
    tar --extract --gzip --file ./*.tgz --wildcards '*/ios-arm64/*/Headers/*.h'
    mkdir -p "$target/onnxruntime"
    find package -name '*.h' -exec cp {} "$target/onnxruntime" \;
fi

# TensorRT 10: Apache-2.0 headers inside kernel-lens.
if wants tensorrt && [ ! -e "$target/tensorrt/NvInferRuntime.h" ]; then
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --dest wheels \
        kernel-lens==2.0.1
    "$PYTHON" -m zipfile -e wheels/kernel_lens-*.whl kernel-lens
    mkdir -p "$target/tensorrt"
    cp kernel-lens/kernel_lens/include/tensorrt/*.h "$target/tensorrt"
fi

if wants cuda && [ ! -e "$target/cuda/include/cuda_runtime_api.h" ]; then
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --dest wheels \
        nvidia-cuda-runtime==13.5.37 nvidia-cuda-crt==13.5.37
    for wheel in wheels/nvidia_cuda_*.whl; do "$PYTHON" -m zipfile -e "$wheel" cuda; done
    mkdir -p "$target/cuda"
    cp -r cuda/nvidia/cu13/include cuda/nvidia/cu13/lib "$target/cuda"
fi

if wants windows && [ ! -e "$target/windows/onnxruntime" ]; then
    for package in onnxruntime openvino; do
        version=$("$PYTHON" -c "from importlib.metadata import version as v; print(v('$package'))") || continue
        "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --dest windows \
            --platform win_amd64 --only-binary :all: "$package==$version"
    done
    for wheel in windows/*.whl; do "$PYTHON" -m zipfile -e "$wheel" unpacked; done
    mkdir -p "$target/windows"
    for package in openvino onnxruntime; do
        [ ! -e "unpacked/$package" ] || cp -r "unpacked/$package" "$target/windows"
    done
fi
