"""Recall and speed of the face detectors on one's own footage: `python -m benchmarks.detectors`.

Both detectors look at the same frames, spread evenly over each video. Nobody has marked the faces:
what either finds, where it lies, counts as one, so that recall is of the union and false faces of
one count against the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.settings import BENCH, merge_json
from deploy.scanning.files import VIDEOS
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.faces import FaceDetector, open_detector
from keras_ddl.edge.values import at_least
from keras_ddl.edge.video import probe, read_video

DETECTORS = ("haar", "yunet")
KINDS = ((400, "up to 400 px"), (720, "up to 720 px"), (10**9, "larger"))  # by the shorter side
SAME = 0.5  # distance of two boxes' centres over the larger side, below which they are one face


@dataclass
class Counts:
    """What was found in the frames of one kind.

    Attributes:
        frames: How many were looked at.
        faces: Faces that either detector found.
        found, seconds, empty: By detector, its share of those, its time, and the frames in which
            it found none.
    """

    frames: int
    faces: int
    found: dict[str, int]
    seconds: dict[str, float]
    empty: dict[str, int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    description = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="python -m benchmarks.detectors", description=description)
    parser.add_argument("folder", type=Path, help="videos, in folders or not")
    parser.add_argument("--frames", type=at_least(1), default=8, help="of each video; default 8")
    parser.add_argument("--out", type=Path, default=BENCH, help="JSON (default: %(default)s)")
    args = parser.parse_args(argv)
    return run_cli(lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    videos = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in VIDEOS)
    if not videos:
        raise UserError(f"{args.folder}: expected a folder with videos, received none")
    detectors = {name: open_detector(name) for name in DETECTORS}
    counts = {
        name: Counts(0, 0, *({one: 0 for one in DETECTORS} for _ in range(3))) for _, name in KINDS
    }
    for video in videos:
        for image in _frames(video, args.frames):
            kind = next(name for limit, name in KINDS if min(image.shape[:2]) <= limit)
            _look(detectors, image, counts[kind])
    print(f"{len(videos)} videos, {args.frames} frames of each")
    print(f"{'shorter side':<14}{'frames':>8}{'faces':>8}", end="")
    print("".join(f"{f'{name}: recall, without a face, ms':>38}" for name in DETECTORS))
    for kind, one in counts.items():
        if one.frames:
            cells = (
                f"{one.found[n] / max(one.faces, 1):.3f}, {one.empty[n]}, "
                f"{1e3 * one.seconds[n] / one.frames:.1f}"
                for n in DETECTORS
            )
            print(f"{kind:<14}{one.frames:>8}{one.faces:>8}", *(f"{cell:>37}" for cell in cells))
    merge_json(args.out, {"detectors": {kind: vars(one) for kind, one in counts.items()}})
    return 0


def _frames(video: Path, count: int) -> Iterator[np.ndarray]:
    """Frames spread evenly over a video; of one that cannot be read none."""
    try:
        total = probe(video).frames or 0
        step = max(1, total // count)
        for frame in islice(read_video(video), step // 2, step * count, step):
            yield frame.image
    except UserError as error:
        print(error, file=sys.stderr)


def _look(detectors: dict[str, FaceDetector], image: np.ndarray, counts: Counts) -> None:
    boxes: list[tuple[float, ...]] = []
    by_detector = {}
    for name, detector in detectors.items():
        began = perf_counter()
        found = detector.detect(image)
        counts.seconds[name] += perf_counter() - began
        counts.empty[name] += not found
        by_detector[name] = [tuple(face.box) for face in found]
        boxes += [box for box in by_detector[name] if not any(_same(box, b) for b in boxes)]
    counts.frames += 1
    counts.faces += len(boxes)
    for name, own in by_detector.items():
        counts.found[name] += sum(any(_same(box, one) for one in own) for box in boxes)


def _same(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes (x, y, wide, high) are of one face."""
    apart = np.hypot(a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2)
    return bool(apart < SAME * max(a[2], b[2]))


if __name__ == "__main__":
    sys.exit(main())
