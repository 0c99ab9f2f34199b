"""Frames to an H.264 file whose quality does not depend on what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from keras_ddl.edge.files import atomic_write

# One thread, so that the same frames give the same bytes on any machine whose processor has the
# same vector instructions (x264 rounds otherwise without AVX-512). Constant quantiser (qcomp=1,
# mbtree=0): x264 would otherwise spend less on faces that change in every frame, and the blur of
# single frames would give the fakes away.
_X264 = "threads=1:qcomp=1:mbtree=0:rc-lookahead=10:scenecut=0:keyint=250"


def write_video(
    path: Path, frames: Iterable[np.ndarray], *, size: tuple[int, int], fps: int, crf: int
) -> int:
    """Write uint8 RGB frames (H, W, 3) as libx264 yuv420p; the file appears only when complete.

    Args:
        path: The mp4 file.
        frames: The frames, all of `size`.
        size: Width and height, pixels.
        fps: Frames per second.
        crf: x264's quality, 0 to 51.

    Returns:
        The number of frames written.
    """
    import av

    count = 0
    with (
        atomic_write(path) as unfinished,
        av.open(str(unfinished), "w", format="mp4") as container,
    ):
        options = {"crf": str(crf), "preset": "veryfast", "x264-params": _X264}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            count += 1
        container.mux(stream.encode(None))
    return count
