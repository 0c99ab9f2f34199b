"""What decodes a video: the CPU, or a device of this machine that FFmpeg knows."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl.edge.optional_import import need_pyav

if TYPE_CHECKING:
    from av.container import InputContainer

AUTO, CPU = "auto", "cpu"
# FFmpeg's names of devices; which of them a PyAV has, `built_in` tells.
DEVICES = ("cuda", "vaapi", "qsv", "vdpau", "vulkan", "drm", "amf", "videotoolbox", "d3d11va")
DECODERS = (AUTO, CPU, *DEVICES)
CODECS = ("h264", "hevc", "av1", "vp9", "mpeg2video", "mpeg4", "mjpeg")  # a device is asked for

log = logging.getLogger(__name__)


class Decoder:
    """What decodes one video, and what it has come to.

    A device may refuse a codec, a profile or a size, or have no room left. The CPU takes over then,
    and one line says so.

    Args:
        device: One that `choose_decoder` gave, or "cpu".
        name: Of the video, for that line.

    Attributes:
        used: What decoded the newest picture; before the first what will be tried.
    """

    def __init__(self, device: str = CPU, name: str = "") -> None:
        self._device = device
        self._name = name
        self.used = device

    @property
    def on_device(self) -> bool:
        """Whether pictures are to be decoded on a device."""
        return self._device != CPU

    def options(self) -> dict[str, Any]:
        """Arguments of `av.open`, which then asks the device first."""
        if not self.on_device:
            return {}
        from av.codec.hwaccel import HWAccel

        return {"hwaccel": HWAccel(self._device, allow_software_fallback=True)}

    def open_file(self, path: Path, **arguments: Any) -> InputContainer:
        """Open a file as `av.open` does with these arguments; by the CPU where the device fails."""
        import av

        reason = ""
        if more := self.options():
            try:
                opened: InputContainer = av.open(str(path), "r", **arguments, **more)
                return opened
            except (av.error.FFmpegError, OSError) as error:  # of the device, or of the file
                reason = error.strerror or type(error).__name__
        container: InputContainer = av.open(str(path), "r", **arguments)
        if reason:
            self.give_up(reason)
        return container

    def saw(self, context: Any) -> None:
        """Take notice of the codec context that has just given a picture."""
        if not self.on_device:
            return
        self.used = self._device if _is_on_device(context) else CPU
        if self.used == CPU:
            self.give_up(f"{context.name} of this kind is not decoded there")

    def give_up(self, reason: str) -> None:
        """Leave the rest to the CPU."""
        log.warning("%s: --decode %s: %s; the CPU decodes", self._name, self._device, reason)
        self._device = self.used = CPU


def _is_on_device(context: Any) -> bool:
    """Whether a codec context decodes into a device's memory, not into this machine's.

    `is_hwaccel` alone says that it was meant to: FFmpeg changes the pixel format where it falls
    back.
    """
    formats = {config.format.name for config in context.codec.hardware_configs if config.format}
    return bool(context.is_hwaccel) and context.pix_fmt in formats


def built_in() -> list[str]:
    """Devices that this PyAV's FFmpeg was built for, whether or not they are there."""
    need_pyav()
    from av.codec.hwaccel import hwdevices_available

    return list(hwdevices_available())


@lru_cache
def why_not(device: str) -> str:
    """Why nothing is decoded on a device here; "" where it can be. It is opened for a moment."""
    known = built_in()
    if device not in known:
        return f"this FFmpeg was built for {', '.join(known) or 'no device'}"
    import av
    from av.codec.hwaccel import HWAccel

    for name in CODECS:
        try:
            HWAccel(device).create(av.Codec(name, "r"))
        except (NotImplementedError, ValueError):  # its decoder does not know the device, or none
            continue
        except (av.error.FFmpegError, OSError) as error:
            return f"it cannot be opened ({error.strerror or type(error).__name__})"
        return ""
    return "no decoder of this FFmpeg uses it"


def choose_decoder(asked: str) -> str:
    """The device that decodes: the one that was asked for, or with "auto" the first that is there.

    Where it is not there the CPU decodes, and one line says why.

    Args:
        asked: One of DECODERS.

    Returns:
        "cpu" or a device.

    Raises:
        UserError: PyAV is missing; exit code 3.
    """
    if asked == CPU:
        return CPU
    tried = built_in() if asked == AUTO else [asked]
    reasons = {device: why_not(device) for device in tried}
    found = next((device for device, reason in reasons.items() if not reason), CPU)
    if found != CPU:
        log.info("--decode %s: %s", asked, found)
    elif asked == AUTO:
        shown = "; ".join(f"{device}: {reason}" for device, reason in reasons.items())
        log.info("--decode auto: the CPU decodes (%s)", shown or "FFmpeg knows no device")
    else:
        log.warning("--decode %s: %s; the CPU decodes", asked, reasons[asked])
    return found
