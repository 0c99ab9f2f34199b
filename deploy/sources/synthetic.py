"""`synthetic://`: the portraits of the synthetic training set instead of a camera."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, pairwise
from typing import Any

import numpy as np

from deploy.sources.live.connection import Shot
from deploy.sources.options import number, picture_size, read_options, split_address, whole
from deploy.sources.recorded_source import RecordedSource
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video import Frame

FORM = "synthetic://?faces=1&size=640x480&fake=1&… (options behind the ?)"
LOOP_S = 2.0
LOOP_BYTES = 64 * 2**20  # of the pictures drawn for one scene, about
LEAST_PICTURES = 8
FIRST_PERSON = 1_000_000  # nobody whom a network may have been trained on
DRAWN_LINES = (120, 240)  # of one face: as in the set; others are enlarged or reduced
CRF = (18, 23)  # as the set draws it; nothing is compressed here


def _share(text: str) -> float:
    value = float(text) if text.replace(".", "", 1).isdecimal() else math.nan
    if not 0.0 <= value <= 1.0:
        raise ValueError("a number from 0 to 1")
    return value


OPTIONS: dict[str, Callable[[str], Any]] = {
    "faces": whole(0, 8),
    "size": picture_size,
    "fps": number(0.0, 240.0),
    "seconds": number(0.0, math.inf),  # then it ends
    "fake": whole(0, 1),
    "difficulty": _share,
    "live": whole(0, 1),  # 0 = a recording: every frame, as fast as it is read
    "seed": whole(0, 2**31 - 1),
}


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Args:
        faces: How many, each in a part of the picture of its own, as in a video conference.
        size: Width and height in pixels.
        fps: Frames per second.
        fake: Whether the faces are forged: their marks are redrawn in every frame.
        difficulty: Of the forgery, 0 (as the demo's set) to 1 (hardly anything is redrawn).
        seed: Of people, movement and noise.
    """

    faces: int = 1
    size: tuple[int, int] = (640, 480)
    fps: float = 25.0
    fake: bool = False
    difficulty: float = 0.0
    seed: int = 0


@lru_cache(maxsize=8)
def draw_loop(scene: Scene) -> tuple[np.ndarray, ...]:
    """Return two seconds of pictures, uint8 (H, W, 3) RGB and read-only, to be shown in a circle.

    They are shown forth and back, so that the last one goes over into the first.
    """
    width, height = scene.size
    wanted = min(round(LOOP_S * scene.fps) // 2 + 1, LOOP_BYTES // (3 * width * height))
    drawn = max(LEAST_PICTURES, wanted)
    pictures = np.empty((drawn, height, width, 3), np.uint8)
    for person, (rows, columns) in enumerate(_parts(scene)):
        part = pictures[:, rows, columns]
        for place, image in zip(part, _draw_part(scene, person, part.shape), strict=True):
            place[:] = image
    pictures.flags.writeable = False
    forth = tuple(pictures)
    return forth + forth[-2:0:-1]


def _parts(scene: Scene) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of equal parts, at least one a face, such that faces are largest."""
    width, height = scene.size
    faces = max(1, scene.faces)

    def lines(columns: int) -> float:
        return min(height / -(-faces // columns), 0.75 * width / columns)

    across = max(range(1, faces + 1), key=lines)
    down = -(-faces // across)
    tops = [round(height * row / down) for row in range(down + 1)]
    lefts = [round(width * column / across) for column in range(across + 1)]
    for top, bottom in pairwise(tops):
        for left, right in pairwise(lefts):
            yield slice(top, bottom), slice(left, right)


def _draw_part(scene: Scene, person: int, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the pictures of one person, or of an empty room after the last one."""
    cv2 = need("cv2", "drawing faces")
    from keras_ddl.edge.portraits.render import open_renderer

    pictures, height, width = shape[:3]
    lines = min(height, 0.75 * width)
    scale = float(np.clip(lines, *DRAWN_LINES)) / lines
    renderer, _ = open_renderer(
        scene.seed,
        FIRST_PERSON + person,
        0,
        scene.fake,
        scene.difficulty,
        frames=pictures,
        fps=scene.fps,
        size=(round(scale * width), round(scale * height)),
        crf=CRF,
    )
    draw = renderer.frame if person < scene.faces else renderer.empty_room
    kind = cv2.INTER_AREA if scale > 1.0 else cv2.INTER_CUBIC
    for image in map(draw, range(pictures)):
        yield cv2.resize(image, (width, height), interpolation=kind)


@dataclass(frozen=True)
class SyntheticPlan:
    """What `synthetic://?…` asks for.

    Args:
        scene: What is drawn.
        frames: How many; None = endless.
        live: Whether time passes by itself.
    """

    scene: Scene
    frames: int | None = None
    live: bool = True


def synthetic_plan(text: str) -> SyntheticPlan:
    """Parse `synthetic://?faces=1&size=640x480&fps=25&seconds=10&fake=1&live=0&seed=7`.

    Raises:
        UserError: an unknown option, a value out of range, or a recording without an end.
    """
    parts = split_address(text, FORM)
    if parts.netloc or parts.path not in ("", "/"):
        raise UserError(f"expected {FORM}, received {text}")
    need("cv2", "drawing faces")
    values = read_options(text, parts.query, OPTIONS)
    live = bool(values.pop("live", 1))
    seconds = values.pop("seconds", None)
    scene = Scene(**{**values, "fake": bool(values.get("fake", 0))})
    length = math.inf if seconds is None else seconds * scene.fps
    frames = None if length == math.inf else max(1, round(length))
    if frames is None and not live:
        raise UserError(f"{text}: live=0 is a recording and needs an end: seconds=10")
    return SyntheticPlan(scene, frames, live)


class SyntheticConnection:
    """The live kind: pictures are due at their time stamps."""

    paced = True

    def __init__(self, plan: SyntheticPlan) -> None:
        self._plan = plan
        self._loop = draw_loop(plan.scene)
        self.fps = plan.scene.fps
        self.ends = plan.frames is not None

    def shots(self, drop: Callable[[str], None]) -> Iterator[Shot]:
        """Yield pictures with their time stamps; nothing is ever dropped here."""
        for index, image in _pictures(self._plan):
            yield Shot(image, index * 1000.0 / self.fps)

    def close(self) -> None:
        """Nothing is held open."""


class SyntheticSource(RecordedSource):
    """The recorded kind: every frame, as fast as it is read."""

    def __init__(self, plan: SyntheticPlan, name: str) -> None:
        super().__init__(name)
        self._plan = plan
        self.fps, self.length = plan.scene.fps, plan.frames

    def _frames(self) -> Iterator[Frame]:
        for index, image in _pictures(self._plan):
            yield Frame(image, index * 1000.0 / self.fps, index)


def _pictures(plan: SyntheticPlan) -> Iterator[tuple[int, np.ndarray]]:
    loop = draw_loop(plan.scene)
    for index in count() if plan.frames is None else range(plan.frames):
        yield index, loop[index % len(loop)]
