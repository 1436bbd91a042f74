#!/usr/bin/env bash
# Builds and tests the C library: gcc and clang without warnings, the sanitizers, programs that use
# the installed package, and the same pictures through C and Python.
#
# PYTHON: an interpreter with swinir-deploy[cpu,openvino] and the group dev. Everything else comes
# from package indexes or is looked for here; what is missing is said and left out. Results lie
# under build/cpp.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=$(realpath --no-symlinks "$PYTHON")
here=$PWD
build=$here/build/cpp
mkdir -p "$build"

skip() {
    echo "cpp-test: skipped: $*"
    exit 0
}
title() { echo "cpp-test: $*"; }

command -v c++ >/dev/null || skip "no C++ compiler (Debian: apt-get install g++)"
command -v npm >/dev/null || skip "no npm, which brings ONNX Runtime's headers (apt-get install npm)"
if ! command -v cmake >/dev/null || ! command -v ninja >/dev/null; then
    title "cmake and ninja from PyPI"
    [ -e "$build/tools/bin/python" ] || "$PYTHON" -m venv "$build/tools"
    "$build/tools/bin/python" -m pip install --quiet --disable-pip-version-check cmake ninja
    export PATH="$build/tools/bin:$PATH"
fi

title "headers and models"
PYTHON=$PYTHON bash cpp/tools/fetch_headers.sh "$build/headers"
"$PYTHON" cpp/tests/make_models.py "$build/models"
library=$("$PYTHON" -c "
import onnxruntime, pathlib
print(next(pathlib.Path(onnxruntime.__file__).parent.glob('capi/libonnxruntime.so.*')))")
options=(
    -DONNXRUNTIME_INCLUDE_DIR="$build/headers/onnxruntime"
    -DSWINIR_TEST_ORT_LIBRARY="$library"
    -DSWINIR_TEST_MODELS="$build/models"
    -DSWINIR_TENSORRT=ON
    -DTENSORRT_INCLUDE_DIR="$build/headers/tensorrt"
    -DCUDA_INCLUDE_DIR="$build/headers/cuda/include"
    -DSWINIR_TEST_CUDA_LIBRARIES="$build/headers/cuda/lib"
)
rtx=$("$PYTHON" -c "
from importlib.util import find_spec
spec = find_spec('tensorrt_rtx_libs')
print(spec.submodule_search_locations[0] if spec else '')")
[ -z "$rtx" ] ||
    options+=(-DSWINIR_TEST_RTX_LIBRARY="$(find "$rtx" -name 'libtensorrt_rtx.so.*' | head -1)")
openvino=$("$PYTHON" -c "
from importlib.util import find_spec
spec = find_spec('openvino')
print(spec.submodule_search_locations[0] if spec else '')")
if [ -n "$openvino" ]; then
    options+=(
        -DSWINIR_OPENVINO=ON
        -DOPENVINO_INCLUDE_DIR="$openvino/include"
        -DSWINIR_TEST_OPENVINO_LIBRARY="$(find "$openvino/libs" -name 'libopenvino_c.so*' | head -1)"
    )
else
    title "skipped: OpenVINO's plug-in (pip install openvino)"
fi

build_and_test() { # preset, what it is, options of ctest
    title "$2"
    (
        cd cpp
        cmake --preset "$1" -G Ninja "${options[@]}" >"$build/$1.log" || { cat "$build/$1.log"; exit 1; }
        cmake --build --preset "$1" --parallel "${JOBS:-$(nproc)}" >>"$build/$1.log" ||
            { tail -50 "$build/$1.log"; exit 1; }
    )
    ctest --test-dir "$build/$1" --output-on-failure --no-tests=error "${@:3}"
}

# Whether a program that is built with a sanitizer, by compiler $2, runs here; not all kernels let it.
sanitizer_works() {
    case $1 in
    fuzzer*) echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return (d - d) * n; }' ;;
    *) echo 'int main(void) { return 0; }' ;;
    esac >"$build/probe.c"
    "${2:-cc}" "-fsanitize=$1" "$build/probe.c" -o "$build/probe" 2>/dev/null &&
        "$build/probe" -runs=1 >/dev/null 2>&1
}

build_and_test test "the system's compiler, every warning an error"
if command -v clang++ >/dev/null; then
    build_and_test clang "clang, every warning an error"
    if sanitizer_works fuzzer,address,undefined clang; then
        build_and_test fuzz "libFuzzer on JSON, ONNX properties and sidecars" --parallel "$(nproc)"
    else
        title "skipped: libFuzzer does not run here (Debian: apt-get install libclang-rt-14-dev)"
    fi
else
    title "skipped: no clang (Debian: apt-get install clang)"
fi
if sanitizer_works address,undefined; then
    build_and_test asan "AddressSanitizer, LeakSanitizer and UBSan"
else
    title "skipped: AddressSanitizer does not run here"
fi
if sanitizer_works thread; then
    # Without those that have one thread and read thousands of files.
    build_and_test tsan "ThreadSanitizer" --exclude-regex 'test_(metadata|ort_models)'
else
    title "skipped: ThreadSanitizer does not run here"
fi

title "the installed package: find_package, pkg-config, and what the library shows"
prefix=$build/prefix
rm -rf "$prefix" "$build/consumer"
cmake --install "$build/test" --prefix "$prefix" >/dev/null
cmake -S cpp/tests/consumer -B "$build/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$build/consumer" >/dev/null
for program in consumer consumer_static; do
    "$build/consumer/$program" "$build/models/tensor.onnx" "$library"
done
libdir=$(dirname "$(find "$prefix" -name libswinir.so)")
if command -v pkg-config >/dev/null; then
    # shellcheck disable=SC2046 # the flags are several words
    PKG_CONFIG_PATH=$libdir/pkgconfig cc -std=c11 -Wall -Wextra -Werror \
        cpp/tests/consumer/consumer.c -o "$build/consumer/by_pkg_config" \
        $(PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --cflags --libs swinir) "-Wl,-rpath,$libdir"
    "$build/consumer/by_pkg_config" "$build/models/tensor.onnx" "$library"
else
    title "skipped: no pkg-config"
fi
foreign=$(nm --dynamic --defined-only "$libdir/libswinir.so" | awk '$3 !~ /^swinir_/ {print $3}')
[ -z "$foreign" ] || { title "libswinir.so shows foreign names: $foreign"; exit 1; }
objdump -p "$libdir/libswinir.so" | grep -q 'SONAME.*libswinir\.so\.0\.1$'
# Neither the library nor a plug-in is linked to what it runs on.
for file in "$libdir/libswinir.so" "$libdir"/swinir/libswinir_*.so; do
    linked=$(objdump -p "$file" | awk '$1 == "NEEDED" && $2 !~ /^(libc|libm|libdl|libgcc_s|libstdc\+\+|ld-linux.*)\.so/ {print $2}')
    [ -z "$linked" ] || { title "$file is linked to $linked"; exit 1; }
done

title "the examples, against the installed package"
cmake -S cpp/examples -B "$build/examples" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_FLAGS="-Wall -Wextra -Werror" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" >/dev/null
cmake --build "$build/examples" >/dev/null
"$PYTHON" cpp/tests/check_examples.py "$build/examples" "$libdir" "$build/models/tensor.onnx" "$library"

title "the same pictures through C and Python, and a bundle that is built and run"
SWINIR_CPP_PREFIX=$prefix SWINIR_CPP_BUILD=$build/test SWINIR_CPP_MODELS=$build/models \
    "$PYTHON" -m pytest -q tests/cpp
