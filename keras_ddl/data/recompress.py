"""A clip through a real H.264 encoder and back, in memory."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def recompress(clip: np.ndarray, crf: Any) -> np.ndarray:
    """Encode a clip as H.264 (4:2:0, one thread) and decode it again.

    Args:
        clip: uint8, (T, H, W, 3), RGB. An odd side gets its last row or column twice for the
            encoder, whose chroma is half as wide and high, and loses it again.
        crf: Constant rate factor, 0 (nearly lossless) to 51.

    Returns:
        uint8, (T, H, W, 3).
    """
    import av

    height, width = clip.shape[1:3]
    even = np.pad(clip, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = even.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(int(crf)), "preset": "veryfast", "threads": "1"}
        for image in even:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames)[:, :height, :width]
