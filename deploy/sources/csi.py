"""A camera on a Jetson's CSI connector."""

from __future__ import annotations

import re
from typing import Any

from deploy.sources.camera import CameraConnection
from deploy.sources.options import read_options, split_address, whole
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need

FORM = "csi://SENSOR such as csi://0"
DEFAULTS = {"width": 1280, "height": 720, "fps": 30, "flip": 0}
OPTIONS = {
    "width": whole(16, 8192),  # pixels
    "height": whole(16, 8192),
    "fps": whole(1, 240),
    "flip": whole(0, 7),  # nvvidconv's flip-method; 2 = upside down
}


def csi_pipeline(text: str) -> str:
    """Return the GStreamer pipeline of `csi://SENSOR?width=1280&height=720&fps=30&flip=0`.

    Raises:
        UserError: no sensor number, an unknown option or a value out of range.
    """
    parts = split_address(text, FORM)
    if not parts.netloc.isdecimal() or parts.path not in ("", "/"):
        raise UserError(f"expected {FORM}, received {text}")
    value = {**DEFAULTS, **read_options(text, parts.query, OPTIONS)}
    return (
        f"nvarguscamerasrc sensor-id={int(parts.netloc)} ! "
        f"video/x-raw(memory:NVMM), width=(int){value['width']}, height=(int){value['height']}, "
        f"framerate={value['fps']}/1, format=(string)NV12 ! "
        f"nvvidconv flip-method={value['flip']} ! video/x-raw, format=BGRx ! "
        "videoconvert ! video/x-raw, format=BGR ! appsink drop=1 max-buffers=1 sync=false"
    )


def gstreamer(information: str) -> str:
    """What OpenCV's build information says of GStreamer: "YES", "NO", or here "absent"."""
    line = re.search(r"GStreamer:\s*(\S+)", information)
    return line[1] if line else "absent"


def check_gstreamer(cv2: Any) -> None:
    """Raise a UserError where OpenCV was built without GStreamer, as pip's is."""
    said = gstreamer(cv2.getBuildInformation())
    if said != "YES":
        raise UserError(
            f"csi:// needs an OpenCV with GStreamer, this one ({cv2.__version__}) says GStreamer: "
            f"{said}; pip's hides JetPack's: pip uninstall opencv-python (docs/jetson.md)",
            MISSING,
        )


def connect_csi(pipeline: str, name: str) -> CameraConnection:
    """Open the camera.

    Raises:
        UserError: it does not open.
    """
    cv2 = need("cv2", "reading a camera")
    capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        capture.release()
        raise UserError(
            f"cannot open {name}: nvarguscamerasrc gives no picture; check the ribbon cable, and "
            "that no other program has the camera (systemctl restart nvargus-daemon)",
            MISSING,
        )
    return CameraConnection(capture, name)
