#!/usr/bin/env bash
# Installs what 'make cpp-test' can use, on Debian, as root. Does nothing where all of it is there.
set -euo pipefail

missing=()
# need PACKAGE COMMAND...: the package, unless the command succeeds.
need() { "${@:2}" >/dev/null 2>&1 || missing+=("$1"); }

need g++ c++ --version
need npm npm --version
need pkg-config pkg-config --version
need libpng-dev pkg-config --exists libpng
need clang clang++ --version
need libclang-rt-14-dev sh -c 'echo "int main(void) { return 0; }" |
    clang -fsanitize=address,undefined -x c -o /dev/null -'
need doxygen doxygen --version
need g++-mingw-w64-x86-64-posix x86_64-w64-mingw32-g++-posix --version
need wine64 test -e /usr/lib/wine/wine64
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -qq -y \
    --no-install-recommends "${missing[@]}" >/dev/null
