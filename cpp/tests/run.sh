#!/usr/bin/env bash
# Builds and tests the C library in every way that works here: fetches headers, then calls the
# presets of cpp/CMakePresets.json. What is missing is said and left out.
#
# PYTHON: an interpreter with swinir-deploy[cpu,openvino] and the group dev. PRESETS: those to run,
# all by default. JOBS: how many compilers at once. Results lie under build/cpp.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=$(realpath --no-symlinks "$PYTHON")
export PYTHON CMAKE_GENERATOR=Ninja CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-$(nproc)}"
build=$PWD/build/cpp
mkdir -p "$build"

title() { echo "cpp-test: $*"; }
have() { command -v "$1" >/dev/null; }
# Presets with workflows came with CMake 3.25.
cmake_is_new() {
    local found
    found=$(cmake --version 2>/dev/null | sed -n '1s/[^0-9]*//p')
    [ "$(printf '%s\n' 3.25 "${found:-0}" | sort --version-sort | head -n 1)" = 3.25 ]
}

# A machine of our CI gets the tools; any other is asked to.
[ -z "${CI:-}" ] || bash cpp/tools/install_tools.sh || title "not all tools could be installed"
have c++ || { title "skipped: no C++ compiler (Debian: apt-get install g++)"; exit 0; }
if ! have ninja || ! cmake_is_new; then
    title "cmake and ninja from PyPI"
    [ -e "$build/tools/bin/python" ] || "$PYTHON" -m venv "$build/tools"
    "$build/tools/bin/python" -m pip install --quiet --disable-pip-version-check 'cmake>=3.25' ninja
    export PATH="$build/tools/bin:$PATH"
fi

title "headers"
headers=(tensorrt cuda)
if have npm; then
    headers+=(onnxruntime)
else
    title "skipped: ONNX Runtime's headers: no npm (Debian: apt-get install npm)"
fi
! have x86_64-w64-mingw32-g++-posix || headers+=(windows)
bash cpp/tools/fetch_headers.sh "$build/headers" "${headers[@]}"

# Whether a program that is built with a sanitizer, by compiler $2, runs here; not all kernels let it.
runs() {
    case $1 in
    fuzzer*) echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return (d - d) * n; }' ;;
    *) echo 'int main(void) { return 0; }' ;;
    esac >"$build/probe.c"
    "${2:-cc}" "-fsanitize=$1" "$build/probe.c" -o "$build/probe" 2>/dev/null &&
        "$build/probe" -runs=1 >/dev/null 2>&1
}

# Why a preset cannot run here; nothing where it can.
obstacle() {
    case $1 in
    clang) have clang++ || echo "no clang (Debian: apt-get install clang)" ;;
    fuzz)
        runs fuzzer,address,undefined clang ||
            echo "libFuzzer does not run here (Debian: apt-get install clang libclang-rt-14-dev)"
        ;;
    asan) runs address || echo "AddressSanitizer does not run here" ;;
    ubsan) runs undefined || echo "UndefinedBehaviorSanitizer does not run here" ;;
    tsan) runs thread || echo "ThreadSanitizer does not run here" ;;
    mingw)
        have x86_64-w64-mingw32-g++-posix ||
            echo "no MinGW-w64 (Debian: apt-get install g++-mingw-w64-x86-64-posix)"
        ;;
    esac
}

cd cpp
for preset in ${PRESETS:-default clang fuzz asan ubsan tsan mingw}; do
    why=$(obstacle "$preset")
    if [ -n "$why" ]; then
        title "skipped: $preset: $why"
        continue
    fi
    title "$preset"
    log=$build/$preset.log
    cmake --workflow --fresh --preset "$preset" >"$log" 2>&1 || { tail -100 "$log"; exit 1; }
    grep '^-- skipped:' "$log" || true
    # What pytest has to say inside a test: how much passed, what was skipped and why.
    grep -hE '^(SKIPPED|[0-9]+ passed)' "$build/$preset/Testing/Temporary/LastTest.log" || true
    sed -n '/tests passed/,$p' "$log"
done
