"""Surroundings of a face: wide crops of a clip's frames, with five points on each face."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from keras_ddl.data.prepared import WIDER, EncodedClip, encode_clip, encode_image
from keras_ddl.edge.clipper import FrameResult
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces import FaceDetector
from keras_ddl.edge.faces.crop import square_crop

DETAIL = 1.25  # pixels of a wide crop over those of the model's crop, for the same length
LARGEST = 384  # side of a wide crop in pixels


def wide_size(size: int) -> int:
    """Side of a wide crop in pixels, even, for a model's crop of `size`."""
    return min(LARGEST, round(size * WIDER * DETAIL / 2) * 2)


@dataclass(frozen=True)
class WideClip(Clip):
    """A clip with the wide crops of its frames.

    Args:
        wide: uint8, (W, W, 3), RGB, each; shared with other clips.
    """

    wide: tuple[np.ndarray, ...] = ()


class Surroundings:
    """Wide crops of the newest frames, kept as long as a clip may need them.

    Args:
        spec: What a clip is.
    """

    def __init__(self, spec: ClipSpec) -> None:
        self._spec = spec
        self._newest: deque[tuple[float, dict[int, np.ndarray]]] = deque()

    def push(self, step: FrameResult) -> list[WideClip]:
        """Take a frame; return its clips with their wide crops."""
        spec, time = self._spec, step.frame.time_ms
        boxes = {track.id: track.box for track in step.tracks if track.id in step.crops}
        crops = {
            track: square_crop(step.frame.image, box, spec.margin * WIDER, wide_size(spec.size))
            for track, box in boxes.items()
        }
        self._newest.append((time, crops))
        reach = 1.1 * spec.frames * spec.slowest_ms
        while not time - reach <= self._newest[0][0] <= time:
            self._newest.popleft()
        at = dict(self._newest)
        return [
            WideClip(**vars(clip), wide=tuple(at[time][clip.track_id] for time in clip.times_ms))
            for clip in step.clips
        ]


def encode_wide(clip: Clip, quality: int) -> EncodedClip:
    """Compress a clip and, of a `WideClip`, its wide crops."""
    images = clip.wide if isinstance(clip, WideClip) else ()
    wide = tuple(encode_image(image, quality) for image in images)
    return replace(encode_clip(clip, quality), wide=wide)


def with_points(clip: EncodedClip, detector: FaceDetector) -> EncodedClip:
    """Find the five points of the face in a clip's wide crops."""
    import cv2

    points = np.full((len(clip.wide), 5, 2), np.nan, np.float32)
    for number, image in enumerate(clip.wide):
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        side = pixels.shape[0]
        faces = [f for f in detector.detect(pixels[..., ::-1].copy()) if f.points is not None]
        middles = [
            np.hypot(x + w / 2 - side / 2, y + h / 2 - side / 2)
            for (x, y, w, h) in (face.box for face in faces)
        ]
        if middles and min(middles) < side / 5:
            points[number] = faces[int(np.argmin(middles))].points
    return replace(clip, points=points)
