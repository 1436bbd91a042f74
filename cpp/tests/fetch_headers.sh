#!/usr/bin/env bash
# ONNX Runtime's C headers into the folder $1. The library comes with the Python package, which has
# no headers; an npm package has them.
set -euo pipefail

mkdir -p "$1"
[ -e "$1/onnxruntime_c_api.h" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent com.github.asus4.onnxruntime@0.4.9 >/dev/null
tar --extract --gzip --file ./*.tgz --wildcards '*/ios-arm64/*/Headers/*.h' ||
    tar --extract --gzip --file ./*.tgz --wildcards '*/Headers/*.h'
cd - >/dev/null
find "$work" -name '*.h' -path '*Headers*' -exec cp {} "$1" \;
test -e "$1/onnxruntime_c_api.h"
