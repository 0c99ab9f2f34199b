"""Wide clips: real clips with the surroundings of the face, read back from a prepared folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_ddl.data.prepared import WIDER, StoredClips
from keras_ddl.data.pseudo_fakes.regions import camera, frontal_points
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError


@dataclass(frozen=True)
class WideFrames:
    """A clip with the surroundings of its face.

    Args:
        frames: uint8, (T, W, W, 3), RGB.
        times_ms: float64, (T,), increasing.
        points: float, (T, 5, 2) in pixels, see `regions.POINTS`; NaN where no face was found.
        margin: Side of the crop over the side of the face box.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    points: np.ndarray
    margin: float

    def cameras(self) -> list[np.ndarray]:
        """The face's camera in each frame; frames without a face take it from their neighbours."""
        known = np.isfinite(self.points).all((1, 2))
        if not known.any():
            view = camera(frontal_points(self.frames.shape[1], self.margin))
            return [view] * len(self.frames)
        views = np.stack([camera(points) for points in self.points[known]])
        flat = [
            np.interp(self.times_ms, self.times_ms[known], column)
            for column in views.reshape(len(views), -1).T
        ]
        return list(np.array(flat).T.reshape(-1, 2, 4))


class WideClips:
    """The wide clips of a split, by number.

    Args:
        stored: The split's clips.
        spec: What they were cut by.
    """

    def __init__(self, stored: StoredClips, spec: ClipSpec) -> None:
        self._stored, self._margin = stored, spec.margin * WIDER

    def __getitem__(self, number: int) -> WideFrames:
        """Return one clip; raises as `read`."""
        return self.read(number)

    def read(self, number: int, frame: int | None = None) -> WideFrames:
        """Return one clip.

        Args:
            number: Of the clip.
            frame: Its number, to read no other.

        Raises:
            UserError: The folder was prepared without surroundings.
        """
        import cv2

        features = self._features(number)
        images = features["wide"].bytes_list.value
        if not images:
            raise UserError(
                f"{self._stored.shards.place} holds no surroundings of the faces, of which "
                "pseudo-fakes are made; prepare the videos again with --surroundings"
            )
        part = slice(None) if frame is None else slice(frame, frame + 1)
        frames = [cv2.imdecode(np.frombuffer(i, np.uint8), cv2.IMREAD_COLOR) for i in images[part]]
        times = np.array(features["times_ms"].float_list.value, np.float64)
        pixels = np.stack([frame[..., ::-1] for frame in frames])
        return WideFrames(pixels, times[part], _points(features)[part], self._margin)

    def stored(self, number: int) -> bool:
        """Return whether a clip was prepared with its surroundings."""
        return bool(self._features(number)["wide"].bytes_list.value)

    def points(self, number: int) -> np.ndarray:
        """Return the points of one clip, without its pictures; see `WideFrames`."""
        return _points(self._features(number))

    def _features(self, number: int) -> Any:
        from keras_ddl.framework import tf

        return tf.train.Example.FromString(self._stored.record(number)).features.feature


def _points(features: Any) -> np.ndarray:
    return np.array(features["points"].float_list.value, np.float64).reshape(-1, 5, 2)
