#!/usr/bin/env bash
# What the tests against real services need beside Python: GStreamer's RTSP server, mosquitto, Chromium, Xvfb.
# Usage: scripts/services.sh   Does nothing where all are there; installs what is missing where it may; else says how.
# A test whose service is absent skips, and names this script.
set -euo pipefail

rtsp() { # the modules and elements that tests/deploy/sources/services/rtsp_server.py uses
    [ -x /usr/bin/python3 ] && /usr/bin/python3 - >/dev/null 2>&1 <<'PY'
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
names = "videotestsrc", "x264enc", "h264parse", "rtph264pay", "qtdemux"
raise SystemExit(not all(map(Gst.ElementFactory.find, names)))
PY
}

packages=()
rtsp || packages+=(python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly})
command -v mosquitto >/dev/null || packages+=(mosquitto)
command -v mosquitto_sub >/dev/null || packages+=(mosquitto-clients)
command -v chromium >/dev/null || packages+=(chromium)
command -v Xvfb >/dev/null || packages+=(xvfb libxcb-{randr,render,shm,xfixes}0)
[ ${#packages[@]} -gt 0 ] || exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "services for the tests: installing ${packages[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
else
    echo "error: tests need ${packages[*]}; on Debian or Ubuntu: sudo apt-get install ${packages[*]}" >&2
    exit 3
fi
