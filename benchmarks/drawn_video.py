"""A file of drawn faces."""

from __future__ import annotations

from pathlib import Path


def write_drawn(path: Path, address: str, fps: float) -> Path:
    """Write what `synthetic://…&seconds=…` draws as a video, and return its path."""
    from deploy.sources import open_source
    from keras_ddl.edge.video import VideoWriter

    with VideoWriter(path, fps) as writer, open_source(f"{address}&live=0") as source:
        for frame in source:
            writer.write(frame.image, frame.time_ms)
    return path
