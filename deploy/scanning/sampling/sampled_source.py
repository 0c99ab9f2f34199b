"""A video file looked at in a few places only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.sources.base import DEFAULT_FPS
from deploy.sources.recorded_source import RecordedSource
from keras_ddl.edge.clips import TOLERANCE
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces.track import MIN_HITS
from keras_ddl.edge.video import Frame
from keras_ddl.edge.video.container import MOST_PIXELS
from keras_ddl.edge.video.decoder import CPU, Decoder
from keras_ddl.edge.video.sampled import SampledVideo
from keras_ddl.edge.video.windows import Sampling


def sampling(spec: ClipSpec, places: int, detect_every: int, stride_ms: float) -> Sampling:
    """Return how a video is sampled: long enough at each place for a clip of a face.

    Args:
        spec: What a clip is.
        places: In how many places.
        detect_every: Frames from one search for faces to the next.
        stride_ms: Time between two clips of a face in a video that is read whole: one that would
            give no more than `places` of them is.
    """
    span_ms = (spec.frames - 1) * spec.slowest_ms * (1 + TOLERANCE)
    return Sampling(places, detect_every * (MIN_HITS - 1), span_ms, places * stride_ms)


class SampledSource(RecordedSource):
    """The frames of a video's windows, each a segment of its own, at their own time stamps.

    Args:
        path: The file.
        sampled: How.
        most_pixels: Of a picture; larger ones are refused.
        device: What decodes it.

    Attributes:
        video: The file.
    """

    def __init__(
        self, path: Path, sampled: Sampling, most_pixels: int = MOST_PIXELS, device: str = CPU
    ) -> None:
        super().__init__(str(path))
        self.decoder = Decoder(device, self.name)
        self.video = SampledVideo(path, sampled, most_pixels, self.decoder)
        self.fps = self.video.fps or DEFAULT_FPS

    @property
    def sample(self) -> Mapping[str, float] | None:  # type: ignore[override]
        """In how many places it is looked at; None where it turned out that it is read whole."""
        places, seconds = len(self.video.windows), round(self.video.length_ms / 1000.0, 3)
        return {"places": places, "seconds": seconds} if places else None

    def _frames(self) -> Iterator[Frame]:
        return self.video.frames(self._health.dropped)

    def close(self) -> None:
        """End the iteration and close the file."""
        super().close()
        self.video.close()
