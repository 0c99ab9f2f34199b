"""Renderer of a video, frame by frame: portrait, performance, forgery, camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from keras_ddl.edge.portraits.canvas import SensorNoise, smoothstep
from keras_ddl.edge.portraits.features import Eye, Mouth
from keras_ddl.edge.portraits.forgery import Forgery, Marks, blend_radius, draw_marks, share_of
from keras_ddl.edge.portraits.identity import Identity, draw_identity
from keras_ddl.edge.portraits.motion import Motion, draw_motion
from keras_ddl.edge.portraits.portrait import build_portrait, light_vector

_FACE_SHARE = 0.225  # half width of a face, share of the frame's height
_MIDDLE = (0.5, 0.45)  # where the origin of the face rests, share of the frame
_OVERSAMPLING = 1.1  # drawn pixels per frame pixel
_PIVOT = np.array([0.0, 1.3], np.float32)  # the head turns about its neck
_NODE = 8  # spacing of the nodes at which the warp is evaluated, pixels


@dataclass(frozen=True)
class Performance:
    """All that a real video and its fake twin share beside the person: drawn alike for both.

    `noise`: standard deviation of the sensor noise in grey levels; `crf`: x264's quality.
    """

    vigour: float
    noise: float
    crf: int
    marks: Marks


@dataclass(frozen=True)
class VideoSeeds:
    """The seeds of one video: `shared` with its twin of the other class, `own` to itself alone."""

    shared: tuple[int, ...]
    own: tuple[int, ...]


def draw_performance(shared: tuple[int, ...], crf: tuple[int, int]) -> Performance:
    """Draw a performance's settings; `crf` is the inclusive range of x264's quality."""
    rng = np.random.default_rng([*shared, 0])
    return Performance(
        vigour=rng.uniform(0.7, 1.3),
        noise=rng.uniform(1.0, 3.5),
        crf=int(rng.integers(crf[0], crf[1] + 1)),
        marks=draw_marks(rng),
    )


class Renderer:
    """Frames of one video, drawn when asked for."""

    def __init__(
        self,
        person: Identity,
        performance: Performance,
        seeds: VideoSeeds,
        share: float,
        *,
        frames: int,
        fps: float,
        size: tuple[int, int],
    ) -> None:
        """Prepare everything that stays the same from frame to frame.

        Args:
            person: Who is seen.
            performance: Settings shared with the twin of the other class.
            seeds: Seeds of motion, marks and noise.
            share: Share of the marks' variance redrawn per frame; 0 for a real video.
            frames: Number of frames.
            fps: Frames per second.
            size: Width and height, pixels.
        """
        self._size = size
        self._unit = _FACE_SHARE * min(size[1], 0.75 * size[0])
        self._margin = round(0.5 * self._unit)
        self._person = person
        self._portrait = build_portrait(person, size, self._unit * _OVERSAMPLING, self._margin)
        self._motion = draw_motion(
            np.random.default_rng([*seeds.shared, 1]), frames, fps, performance.vigour
        )
        self._head = self._portrait.head.copy()
        grid = self._portrait.face
        self._forgery = Forgery(grid, performance.marks, share, [*seeds.shared, 2], [*seeds.own, 3])
        self._eyes = [Eye(person, grid, side) for side in (-1, 1)]
        self._mouth = Mouth(person, grid)
        self._noise = SensorNoise([*seeds.own, 4], size, performance.noise)
        self._nodes = _nodes(size)

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in range(len(self._motion.x)):
            yield self.frame(index)

    def frame(self, index: int) -> np.ndarray:
        """Draw frame `index`; uint8 RGB (H, W, 3). Fakes must be drawn in order."""
        self._face(index, self._head[self._portrait.window])
        picture = self._room(index)
        _lay(*self._torso(index, picture))
        _lay(cv2.remap(self._head, *self.head_map(index), cv2.INTER_LINEAR), picture)
        return self._exposed(picture, index)

    def empty_room(self, index: int) -> np.ndarray:
        """Draw frame `index` without the person; uint8 RGB (H, W, 3)."""
        return self._exposed(self._room(index), index)

    def _exposed(self, picture: np.ndarray, index: int) -> np.ndarray:
        """What the camera's sensor makes of a picture (H, W, 3) in [0, 1]; uint8."""
        picture *= np.float32(255.0 * self._motion.gain[index])
        picture += self._noise.next()
        np.maximum(picture, 0.0, out=picture)
        return cv2.convertScaleAbs(picture)  # rounds and saturates

    def _face(self, index: int, out: np.ndarray) -> None:
        """Light and draw the face into its window (h, w, 4) of the head's layer."""
        portrait, motion, person = self._portrait, self._motion, self._person
        light = light_vector(
            person.light_azimuth + motion.light_azimuth[index] - 1.5 * motion.yaw[index],
            person.light_elevation + motion.light_elevation[index],
        )
        ambient = np.full(3, 1.05 - 0.65 * person.light_contrast, np.float32)
        mixing = np.column_stack([np.tile(1.2 * person.light_contrast * light, (3, 1)), ambient])
        face = cv2.transform(portrait.normals, mixing.astype(np.float32))  # the light, 3 times
        np.clip(face, 0.15, 1.35, out=face)
        cv2.multiply(face, portrait.skin, dst=face)
        gaze = (float(motion.gaze_x[index]), float(motion.gaze_y[index]))
        for eye in self._eyes:
            eye.draw(face, float(motion.eyes[index]), gaze)
        self._mouth.draw(face, float(motion.mouth[index]), float(motion.smile[index]))
        self._forgery.apply(face)
        cv2.multiply(face, portrait.weight, dst=face)
        out[..., :3] = cv2.add(face, portrait.around)

    def head_map(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Where each pixel of the frame lies on the head's canvas: two (H, W) float32 maps."""
        motion, grid = self._motion, self._portrait.head_grid
        x, y = self._to_face(self._nodes, index)
        shift_x, shift_y = _expression(self._person, motion, index, x, y)
        width, height = self._size
        maps = []
        for value, origin in ((x - shift_x, grid.left), (y - shift_y, grid.top)):
            coarse = ((value - origin) * grid.unit).astype(np.float32)
            full = (coarse.shape[1] * _NODE, coarse.shape[0] * _NODE)
            fine = cv2.resize(coarse, full, interpolation=cv2.INTER_LINEAR)
            maps.append(fine[_NODE : _NODE + height, _NODE : _NODE + width])
        return maps[0], maps[1]

    def face_map(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Where each pixel of the face's grid lies in frame `index`: two (h, w) float32 maps.

        The true motion, inverse of `head_map`; for those who measure the set.
        """
        motion, size, grid = self._motion, self._size, self._portrait.face
        at = (grid.x, grid.y)
        for _ in range(2):  # the displacement is small and smooth: a fixed point
            shift_x, shift_y = _expression(self._person, motion, index, *at)
            at = (grid.x + shift_x, grid.y + shift_y)
        x, y = at[0] - _PIVOT[0], at[1] - _PIVOT[1]
        cos, sin = np.cos(motion.roll[index]), np.sin(motion.roll[index])
        scale = self._unit * motion.zoom[index]
        at_x = _MIDDLE[0] * size[0] + self._unit * (motion.x[index] + motion.shake_x[index])
        at_y = _MIDDLE[1] * size[1] + self._unit * (motion.y[index] + motion.shake_y[index])
        to_x = (cos * x - sin * y + _PIVOT[0]) * scale + at_x
        to_y = (sin * x + cos * y + _PIVOT[1]) * scale + at_y
        return to_x.astype(np.float32), to_y.astype(np.float32)

    def regions(self) -> tuple[np.ndarray, np.ndarray]:
        """Masks (h, w) on the face's grid: skin well inside the blend boundary, and its zone."""
        person, grid = self._person, self._portrait.face
        radius = blend_radius(grid)
        inner = radius < 0.75
        for side in (-1, 1):
            near_x = np.abs(grid.x - side * person.eye_spacing) < 0.36
            inner &= ~(near_x & (np.abs(grid.y + 0.12) < 0.40))
        below = grid.y - person.mouth_height
        inner &= ~((np.abs(grid.x) < 0.6) & (below > -0.3) & (below < 0.55))
        return inner, np.abs(radius - 1.0) < 0.2

    def _to_face(self, points: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame pixels (..., 2) to face units, the head taken as rigid."""
        motion, size = self._motion, self._size
        at_x = _MIDDLE[0] * size[0] + self._unit * (motion.x[index] + motion.shake_x[index])
        at_y = _MIDDLE[1] * size[1] + self._unit * (motion.y[index] + motion.shake_y[index])
        scale = self._unit * motion.zoom[index]
        x = (points[..., 0] - at_x) / scale - _PIVOT[0]
        y = (points[..., 1] - at_y) / scale - _PIVOT[1]
        cos, sin = np.cos(motion.roll[index]), np.sin(motion.roll[index])
        return cos * x + sin * y + _PIVOT[0], cos * y - sin * x + _PIVOT[1]

    def _torso(self, index: int, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The torso, following the head by a third, and the part of the picture that it covers."""
        motion, grid = self._motion, self._portrait.torso_grid
        scale = self._unit / grid.unit
        at_x = _MIDDLE[0] * self._size[0] + self._unit * (
            0.35 * motion.x[index] + motion.shake_x[index] + grid.left
        )
        at_y = _MIDDLE[1] * self._size[1] + self._unit * (
            0.35 * motion.y[index] + motion.shake_y[index] + grid.top
        )
        first = int(np.clip(at_y, 0, self._size[1] - 1))
        part = picture[first:]
        matrix = np.array([[scale, 0, at_x], [0, scale, at_y - first]], np.float32)
        covered = (part.shape[1], part.shape[0])
        return cv2.warpAffine(self._portrait.torso, matrix, covered, flags=cv2.INTER_LINEAR), part

    def _room(self, index: int) -> np.ndarray:
        """The wall as the shaking camera sees it, (H, W, 3)."""
        dx = self._unit * self._motion.shake_x[index] - self._margin
        dy = self._unit * self._motion.shake_y[index] - self._margin
        return cv2.warpAffine(
            self._portrait.wall,
            np.array([[1, 0, dx], [0, 1, dy]], np.float32),
            self._size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _nodes(size: tuple[int, int]) -> np.ndarray:
    """Pixel coordinates (x, y) of the warp's nodes: one more than covers the frame on each side."""
    columns, rows = (-(-side // _NODE) + 2 for side in size)
    x = (np.arange(columns) - 0.5) * _NODE - 0.5
    y = (np.arange(rows) - 0.5) * _NODE - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1)


def _hill(x: np.ndarray, y: np.ndarray, at: tuple[float, float], spread: float) -> np.ndarray:
    return np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * spread**2))


def _expression(
    person: Identity, motion: Motion, index: int, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Displacement of the face's points: turning head, dropping jaw, smile, brows; face units."""
    depth = np.exp(-((x / 0.85) ** 2) - ((y - 0.25) / 1.1) ** 2)
    nose = 0.5 * _hill(x, y, (0.0, person.nose_length), 0.22)
    shift_x = motion.yaw[index] * (depth + nose)
    shift_y = motion.pitch[index] * (depth + nose)
    jaw = smoothstep(y, person.mouth_height, person.mouth_height + 0.35) * np.exp(-((x / 0.8) ** 4))
    shift_y = shift_y + 0.13 * motion.mouth[index] * jaw
    for side in (-1.0, 1.0):
        corner = _hill(x, y, (side * person.mouth_width, person.mouth_height), 0.16)
        cheek = _hill(x, y, (side * 0.52, 0.42), 0.22)
        shift_x = shift_x + 0.03 * motion.smile[index] * side * corner
        shift_y = shift_y - 0.035 * motion.smile[index] * (corner + cheek)
        brow = _hill(x, y, (side * person.eye_spacing, -person.brow_height - 0.03), 0.2)
        shift_y = shift_y - 0.06 * motion.brows[index] * brow
    return shift_x, shift_y


def _lay(layer: np.ndarray, picture: np.ndarray) -> None:
    """Composite a premultiplied (H, W, 4) layer over the picture (H, W, 3) in place."""
    through = cv2.cvtColor(1.0 - cv2.extractChannel(layer, 3), cv2.COLOR_GRAY2BGR)
    cv2.multiply(picture, through, dst=picture)
    cv2.add(picture, cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR), dst=picture)


def video_seeds(seed: int, number: int, index: int, fake: bool) -> VideoSeeds:
    """Seeds of video `index` of person `number` in the set that `seed` names."""
    return VideoSeeds((seed, 1, number, index), (seed, 2, number, index, int(fake)))


def open_renderer(
    seed: int,
    number: int,
    index: int,
    fake: bool,
    difficulty: float,
    *,
    frames: int,
    fps: float,
    size: tuple[int, int],
    crf: tuple[int, int],
) -> tuple[Renderer, Performance]:
    """The renderer of video `index` of person `number`, and the settings it was drawn with."""
    seeds = video_seeds(seed, number, index, fake)
    performance = draw_performance(seeds.shared, crf)
    share = share_of(difficulty) if fake else 0.0
    person = draw_identity(seed, number)
    renderer = Renderer(person, performance, seeds, share, frames=frames, fps=fps, size=size)
    return renderer, performance
