#!/usr/bin/env bash
# Installs the programs that tests compare with: FFmpeg's, and a browser. On Debian, as root. Does
# nothing where all of it is there. Tests whose program is missing are skipped, with the reason.
set -euo pipefail

missing=()
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || missing+=(ffmpeg)
command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
    echo "not installed, for want of root or apt-get: ${missing[*]}" >&2
    exit 1
}
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
for package in "${missing[@]}"; do # one by one: what one mirror lacks must not stop the others
    apt-get -o DPkg::Lock::Timeout=600 install -qq -y --no-install-recommends "$package" >/dev/null ||
        echo "cannot install $package" >&2
done
