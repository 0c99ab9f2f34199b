"""Report on a machine, TensorRT aside: memory, runtimes, OpenCV, encoders, cameras."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deploy.backends.ort import RTX_PLUGIN
from deploy.machine.quiet import silence_libraries
from deploy.sources.camera import DEV, list_cameras
from deploy.sources.csi import gstreamer
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video.decoder import built_in, why_not

MEMINFO = Path("/proc/meminfo")
BOARD = Path("/proc/device-tree/model")  # of a Jetson: "NVIDIA Jetson Orin Nano …"
ENCODERS = ("v4l2-nvenc", "nvhost-msenc")  # device files of a Jetson's H.264 encoder


@dataclass(frozen=True)
class Line:
    """One finding: "yes", "no" or "warning", and what there is or how to get it."""

    topic: str
    state: str
    text: str


def memory(path: Path = MEMINFO) -> Line:
    """Free memory of the machine; a Jetson's GPU shares it."""
    try:
        text = path.read_text(encoding="ascii")
    except OSError:
        return Line("memory", "warning", "this system does not tell")
    found = {
        key: int(size) // 1024
        for key, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)
    }
    free, total = found.get("MemAvailable", 0), found.get("MemTotal", 0)
    state = "yes" if free >= 1024 else "warning"
    return Line("memory", state, f"{free} of {total} MiB free")


def runtimes() -> Line:
    """ONNX Runtime and what it can run on."""
    ort = _module("onnxruntime")
    if ort is None:
        return Line("ONNX Runtime", "no", "pip install 'keras-ddl[edge]'")
    providers = ort.get_available_providers()
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    plugin = ", plugin NvTensorRTRTX (--device rtx)" if find_spec(RTX_PLUGIN) else ""
    return Line("ONNX Runtime", "yes", f"{ort.__version__}: {names}{plugin}")


def opencv() -> list[Line]:
    """OpenCV, whether it has GStreamer, and what encodes video."""
    silence_libraries()
    lines = []
    cv2 = _module("cv2")
    if cv2 is None:
        lines.append(Line("OpenCV", "no", "pip install 'keras-ddl[edge]'; JetPack brings its own"))
    else:
        has = gstreamer(cv2.getBuildInformation()) == "YES"
        text = "has GStreamer" if has else "no GStreamer: pip's wheel has none, JetPack's build has"
        lines.append(Line("OpenCV", "yes" if has else "warning", f"{cv2.__version__}, {text}"))
    av = _module("av")
    if av is None:
        lines.append(Line("encoder", "no", "PyAV is missing: pip install 'keras-ddl[edge]'"))
    else:
        has = "libx264" in av.codecs_available
        text = f"PyAV {av.__version__}, H.264 {'in software' if has else 'not available'}"
        board = [name for name in ENCODERS if (DEV / name).exists()]
        text += f", hardware encoder /dev/{board[0]}" if board else ""
        lines.append(Line("encoder", "yes" if has else "warning", text))
    return lines


def decoders() -> Line:
    """What decodes video beside the CPU: `--decode auto` takes the first that can be opened."""
    try:
        known = built_in()
    except UserError as error:
        return Line("decoders", "no", str(error))
    reasons = {device: why_not(device) for device in known}
    there = [device for device, reason in reasons.items() if not reason]
    absent = [f"{device}: {reason}" for device, reason in reasons.items() if reason]
    text = ", ".join(["cpu", *there]) + (f" ({'; '.join(absent)})" if absent else "")
    return Line("decoders", "yes" if there else "no", text)


def faces() -> Line:
    """YuNet's model file, by which faces are found."""
    from keras_ddl.edge.faces.detect import HaarDetector
    from keras_ddl.edge.faces.yunet import look_for_yunet

    try:
        path = look_for_yunet()
    except UserError as error:
        return Line("faces", "warning", str(error))
    if path is not None:
        return Line("faces", "yes", f"YuNet, {path}")
    fetched = f"YuNet is fetched by {typed('doctor')} --fetch"
    try:
        HaarDetector()
    except UserError as error:
        return Line("faces", "no", f"{error}; {fetched}")
    return Line("faces", "warning", f"Haar, which misses many faces; {fetched}")


def devices(dev: Path = DEV, board: Path = BOARD) -> list[Line]:
    """Cameras, and the board's name where it is one."""
    lines = []
    if board.is_file():
        name = board.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
        lines.append(Line("board", "yes", name))
    text = ", ".join(f"/dev/{path.name}" for path in list_cameras(dev).values())
    lines.append(
        Line("cameras", "yes", text)
        if text
        else Line("cameras", "no", f"no {dev}/video*; --source takes files and URLs")
    )
    return lines


def _module(name: str) -> Any | None:
    """A package, None where it or one of its libraries is missing."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):
        return None
