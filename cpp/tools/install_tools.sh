#!/usr/bin/env bash
# Installs what 'make cpp-test' can use, on Debian, as root. Does nothing where all of it is there.
set -euo pipefail

packages=(g++ pkg-config npm clang libclang-rt-14-dev libpng-dev doxygen
    g++-mingw-w64-x86-64-posix wine64)
missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null | grep -q ' installed$' ||
        missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing ${missing[*]}"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -qq -y \
    --no-install-recommends "${missing[@]}" >/dev/null
