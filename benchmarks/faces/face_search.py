"""Cost and recall of the device's face search against training's full search, on any footage.

Training's clips are cut with a full search on every third frame. Beside it, on the same frames and
in the same run, stands what `deploy/stream.py` does by itself, and the same with `--min-face`. What
the full search follows counts as a face; so recall is against it, and what it misses is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import thread_time

import numpy as np

from keras_ddl.edge.clipper import MIN_FACE, FaceClipper, FrameResult
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces import FaceDetector, open_detector
from keras_ddl.edge.faces.search import FULL_EVERY, SearchRule
from keras_ddl.edge.video import Frame, read_video

FPS = 25.0  # of the source whose share of a core is said
PROFILE = 1.0  # turn from which the nose lies beyond an eye
SAME = 0.5  # distance of two boxes' centres over the larger side, below which they are one face
FULL = "full"
Size = tuple[int, int]


@dataclass
class Found:
    """What one way of searching cost and found, beside the full search.

    Attributes:
        frames: How many it saw.
        seconds: Of the processor, for looking for faces.
        faces, found: By kind, faces that the full search followed in the rounds' frames, and those
            of them that it followed too.
        extra: Faces that it followed and the full search did not.
        apart: Distance of the two boxes' centres, in sides.
        larger: Logarithm of the ratio of their sides.
    """

    frames: int = 0
    seconds: float = 0.0
    faces: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    extra: int = 0
    apart: list[float] = field(default_factory=list)
    larger: list[float] = field(default_factory=list)

    @property
    def core(self) -> float:
        """Share of one core for a source of 25 frames per second."""
        return self.seconds / max(self.frames, 1) * FPS

    def recall(self, kind: str) -> str:
        """Share found, and of how many."""
        count = self.faces.get(kind, 0)
        return f"{self.found.get(kind, 0) / count:.3f} of {count}" if count else "none"


class Way:
    """One way of searching, at work on one video.

    Args:
        detector: Finds the faces.
        rule: Where it searches.
        found: What it adds to.
    """

    def __init__(self, detector: FaceDetector, rule: SearchRule, found: Found) -> None:
        self.rule = rule
        self.found = found
        self._clipper = FaceClipper(ClipSpec(size=32), detector, search=rule)
        self._clipper.measure = self._measure

    @contextmanager
    def _measure(self, stage: str) -> Iterator[None]:
        began = thread_time()
        yield
        self.found.seconds += (thread_time() - began) * (stage == "detect")

    def push(self, frame: Frame) -> FrameResult:
        """Take the next frame."""
        self.found.frames += 1
        return self._clipper.push(frame)


def rules(min_faces: Sequence[float], full_every: Sequence[int] = ()) -> dict[str, SearchRule]:
    """Return the ways that are compared, by name; the full search first."""
    rarer = {f"full every {frames}": SearchRule(frames) for frames in full_every}
    asked = {f"--min-face {px:g}": SearchRule(FULL_EVERY, px) for px in min_faces}
    return {FULL: SearchRule(), "as stream": SearchRule(FULL_EVERY), **rarer, **asked}


def compare(
    videos: Sequence[Path],
    detector: str,
    size: Size | None,
    ways: dict[str, SearchRule],
    seconds: float,
) -> dict[str, Found]:
    """Search the same frames in every way.

    Args:
        videos: The footage.
        detector: "yunet" or "haar".
        size: Width and height that the pictures are fitted into; None = as they are.
        ways: By name; the first is the one that others are held against.
        seconds: Of each video, from its beginning.
    """
    found = {name: Found() for name in ways}
    detectors = {name: open_detector(detector) for name in ways}  # each keeps its networks
    for video in videos:
        running = {name: Way(detectors[name], rule, found[name]) for name, rule in ways.items()}
        for frame in _frames(video, size, seconds):
            steps = {name: way.push(frame) for name, way in running.items()}
            full, *others = steps.items()
            if full[1].detected:
                for name, step in others:
                    _hold(found[name], full[1], step, ways[name].min_face)
    return found


def table(found: dict[str, Found], head: str) -> str:
    """Return the rows of one comparison."""
    rows = []
    for name, one in found.items():
        row = f"{head:<16}{name:<16}{one.core:>7.1%}"
        if name != FULL:
            kinds = "".join(f"{one.recall(kind):>16}" for kind in ("all", "profile", "small"))
            apart, larger = np.median(one.apart or [0.0]), np.median(np.abs(one.larger or [0.0]))
            row += f"{kinds}{one.extra:>8}{apart:>9.3f}{larger:>9.3f}"
        rows.append(row)
    return "\n".join(rows)


HEAD = (
    f"{'picture':<16}{'search':<16}{'core':>7}{'recall':>16}{'profiles':>16}"
    f"{f'below {MIN_FACE:g} px':>16}{'others':>8}{'apart':>9}{'size':>9}"
)


def _hold(found: Found, full: FrameResult, step: FrameResult, min_face: float) -> None:
    """Hold one frame's tracks against those of the full search."""
    left = list(step.tracks)
    for track in full.tracks:
        match = next((other for other in left if same(track.box, other.box)), None)
        if match is not None:
            left.remove(match)
        if track.box[2] < min_face:
            continue
        kinds = ["all"] + ["small"] * (track.box[2] < MIN_FACE)
        kinds += ["profile"] * (track.turn is not None and track.turn >= PROFILE)
        for kind in kinds:
            found.faces[kind] = found.faces.get(kind, 0) + 1
            found.found[kind] = found.found.get(kind, 0) + (match is not None)
        if match is not None:
            found.apart.append(distance(track.box, match.box) / track.box[2])
            found.larger.append(float(np.log(match.box[2] / track.box[2])))
    found.extra += len(left)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the distance of two boxes' (x, y, wide, high) centres."""
    return float(np.hypot(a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2))


def same(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes (x, y, wide, high) are of one face."""
    return distance(a, b) < SAME * max(a[2], b[2])


def _frames(video: Path, size: Size | None, seconds: float) -> Iterator[Frame]:
    """The frames of a video, each fitted into a picture of that size."""
    for frame in read_video(video):
        if frame.time_ms > 1000.0 * seconds:
            return
        yield frame if size is None else replace(frame, image=fitted(frame.image, size))


def fitted(image: np.ndarray, size: Size) -> np.ndarray:
    """Return an image in a black picture of that size (width, height), as large as it can be."""
    import cv2

    factor = min(size[0] / image.shape[1], size[1] / image.shape[0])
    wide, high = (max(1, round(side * factor)) for side in (image.shape[1], image.shape[0]))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - wide) // 2, (size[1] - high) // 2
    picture[top : top + high, left : left + wide] = cv2.resize(
        image, (wide, high), interpolation=way
    )
    return picture
