"""What a frame shows: faces, tracks, complete clips, and why a face has none yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.telemetry import NullTelemetry
from keras_ddl.edge.clipper import FaceClipper, Step
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.faces import Track
from keras_ddl.edge.video import Frame


@dataclass(frozen=True)
class Sight:
    """One frame, looked at.

    Attributes:
        step: Frame, tracks, crops and clips.
        reasons: Track id → why it has no clip so far; only tracks without one.
        captured_s: When the frame was captured, on this process' monotonic clock.
    """

    step: Step
    reasons: Mapping[int, str] = field(default_factory=dict)
    captured_s: float = 0.0

    def track(self, clip: Clip) -> Track:
        """The track that a clip of this frame belongs to."""
        return next(track for track in self.step.tracks if track.id == clip.track_id)


class Spotter:
    """Looks at one source's frames in order; belongs to one thread.

    Args:
        clipper: Faces, tracks and clips.
        telemetry: Is told how long detection and cropping took.
        source: Name of the source, for the telemetry.
    """

    def __init__(
        self, clipper: FaceClipper, telemetry: NullTelemetry | None = None, source: str = ""
    ) -> None:
        self._clipper = clipper
        self._clipped: set[int] = set()
        observer = telemetry or NullTelemetry()
        clipper.measure = lambda stage: observer.measure(stage, source)

    def look(self, frame: Frame, captured_s: float = 0.0) -> Sight:
        """Take the next frame.

        Args:
            frame: A picture.
            captured_s: When it was captured, on this process' monotonic clock.
        """
        step = self._clipper.push(frame)
        self._clipped.update(clip.track_id for clip in step.clips)
        self._clipped.difference_update(step.ended)
        without = [track.id for track in step.tracks if track.id not in self._clipped]
        reasons = {track: self._clipper.reason(track) for track in without}
        return Sight(step, reasons, captured_s)
