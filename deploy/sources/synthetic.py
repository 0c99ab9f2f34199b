"""`synthetic://`: drawn faces instead of a camera."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deploy.sources.drawn_faces import Scene, draw_loop
from deploy.sources.live.connection import Shot
from deploy.sources.options import number, picture_size, read_options, whole
from deploy.sources.recorded_source import RecordedSource
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video import Frame

OPTIONS: dict[str, Callable[[str], Any]] = {
    "faces": whole(0, 8),
    "size": picture_size,
    "fps": number(0.0, 240.0),
    "seconds": number(0.0, math.inf),  # then it ends
    "fake": whole(0, 1),
    "live": whole(0, 1),  # 0 = a recording: every frame, as fast as it is read
    "seed": whole(0, 2**31 - 1),
}


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
    parts = urlsplit(text)
    if parts.netloc or parts.path not in ("", "/"):
        raise UserError(f"expected synthetic://?faces=1&…, received {text}")
    need("cv2", "drawing faces")
    values = read_options(text, parts.query, OPTIONS)
    live = bool(values.pop("live", 1))
    seconds = values.pop("seconds", None)
    if seconds is None and not live:
        raise UserError(f"{text}: live=0 is a recording and needs an end: seconds=10")
    scene = Scene(**{**values, "fake": bool(values.get("fake", 0))})
    frames = None if seconds in (None, math.inf) else max(1, round(seconds * scene.fps))
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


def _pictures(plan: SyntheticPlan) -> Iterator[tuple[int, Any]]:
    loop = draw_loop(plan.scene)
    index = 0
    while plan.frames is None or index < plan.frames:
        yield index, loop[index % len(loop)]
        index += 1
