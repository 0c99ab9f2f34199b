#!/usr/bin/env bash
# OpenCV's wheel leaves two system libraries out: libGL.so.1 and libgthread-2.0.so.0 (found with ldd on cv2.abi3.so).
# Usage: scripts/apt.sh PYTHON   Does nothing where PYTHON can import cv2; installs the two where it may; else says how.
set -euo pipefail
python=${1:?usage: scripts/apt.sh PYTHON}
packages=(libgl1 libglib2.0-0)

if reason=$("$python" -c 'import cv2' 2>&1); then exit 0; fi
reason=${reason##*$'\n'}

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "OpenCV does not load ($reason): installing ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
    "$python" -c 'import cv2'
else
    echo "error: OpenCV does not load ($reason); on Debian or Ubuntu: sudo apt-get install ${packages[*]}" >&2
    exit 3
fi
