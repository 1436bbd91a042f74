#!/usr/bin/env bash
# Installs the programs that tests compare with, on Debian, as root. Does nothing where all of it is
# there. Tests whose program is missing are skipped, with the reason.
set -euo pipefail

command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null && exit 0
echo "installing ffmpeg"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -qq -y \
    --no-install-recommends ffmpeg >/dev/null
