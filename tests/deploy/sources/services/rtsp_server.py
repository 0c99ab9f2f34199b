"""An RTSP server on loopback, GStreamer's; runs under the system's Python (scripts/services.sh).

Usage: /usr/bin/python3 rtsp_server.py [--port N] [--size 320x240] [--fps 25] [--file VIDEO.mp4]
                                       [--user NAME --password WORD] [--udp]
Serves /live, H.264: a moving test pattern, or an MP4 file, once through for each viewer. Prints
"ready PORT" when it listens; `kill -9` is how a test takes it away.
"""

from __future__ import annotations

import argparse

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

PATTERN = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},"
    "framerate={fps}/1 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
FILE = '( filesrc location="{file}" ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 )'


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--file")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--udp", action="store_true", help="refuse to send over TCP")
    args = parser.parse_args()
    width, height = args.size.split("x")
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    launch = FILE if args.file else PATTERN
    factory.set_launch(launch.format(width=width, height=height, fps=args.fps, file=args.file))
    if args.udp:
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    if args.user:
        protect(server, factory, args.user, args.password)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(f"ready {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()


def protect(server, factory, user: str, password: str) -> None:
    """Let in only who knows the password (basic authentication)."""
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
