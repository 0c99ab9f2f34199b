"""Recall and speed of face detectors on own footage: `python -m benchmarks.faces.detectors`.

Both detectors look at the same frames, spread evenly over each video. Nobody has marked the faces:
what either finds, where it lies, counts as one, so that recall is of the union and false faces of
one count against the other. With --search each is held against itself: what the device's search
costs and finds beside the full search of training (`benchmarks.faces.face_search`).
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

from benchmarks.faces.face_search import HEAD, Found, Size, compare, rules, same, table
from benchmarks.settings import BENCH, merge_json
from deploy.scanning.files import VIDEOS
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.faces import FaceDetector, open_detector
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.values import at_least, positive
from keras_ddl.edge.video import probe, read_video

DETECTORS = ("haar", "yunet")
KINDS = ((400, "up to 400 px"), (720, "up to 720 px"), (10**9, "larger"))  # by the shorter side


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
    parser = Parser(prog="python -m benchmarks.faces.detectors", description=description)
    parser.add_argument("folder", type=Path, help="videos, in folders or not")
    parser.add_argument("--frames", type=at_least(1), default=8, help="of each video; default 8")
    group = parser.add_argument_group("the device's search against the full one")
    group.add_argument("--search", action="store_true", help="measure this instead")
    group.add_argument("--detectors", nargs="+", choices=DETECTORS, default=("yunet",))
    group.add_argument(
        "--sizes",
        nargs="+",
        type=_size,
        default=[None],
        metavar="WxH",
        help="fit the pictures into these sizes; default: as they are",
    )
    group.add_argument("--min-face", nargs="+", type=positive, default=[], metavar="PX")
    group.add_argument(
        "--full-search-every", nargs="+", type=at_least(1), default=[], metavar="FRAMES"
    )
    group.add_argument(
        "--seconds", type=positive, default=10.0, help="of each video (default: %(default)g)"
    )
    parser.add_argument("--out", type=Path, default=BENCH, help="JSON (default: %(default)s)")
    args = parser.parse_args(argv)
    return run_cli(lambda: _search(args) if args.search else _measure(args))


def videos_in(folder: Path) -> list[Path]:
    """Return the videos of a folder; a UserError where it has none."""
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    if not videos:
        raise UserError(f"{folder}: expected a folder with videos, received none")
    return videos


def _size(text: str) -> Size:
    """Parse a width and a height, as in 640x480."""
    wide, _, high = text.partition("x")
    if not (wide.isdecimal() and high.isdecimal() and min(int(wide), int(high)) >= 32):
        raise argparse.ArgumentTypeError(f"expected a size such as 640x480, got {text!r}")
    return int(wide), int(high)


def _search(args: argparse.Namespace) -> int:
    """Measure the device's search; one thread, its processor time."""
    need("cv2", "finding faces").setNumThreads(1)
    videos, results = videos_in(args.folder), {}
    ways = rules(args.min_face, args.full_search_every)
    print(f"{len(videos)} videos, up to {args.seconds:g} s of each; share of one core at 25 fps")
    print(HEAD)
    for detector in args.detectors:
        for size in args.sizes:
            shown = f"{size[0]}x{size[1]}" if size else "as it is"
            found = compare(videos, detector, size, ways, args.seconds)
            print(table(found, f"{detector} {shown}"), flush=True)
            results[f"{detector} {shown}"] = {name: _numbers(one) for name, one in found.items()}
    merge_json(args.out, {"face_search": results})
    return 0


def _numbers(found: Found) -> dict[str, object]:
    return {
        "core": found.core,
        "frames": found.frames,
        "faces": found.faces,
        "found": found.found,
        "extra": found.extra,
        "apart_median": float(np.median(found.apart)) if found.apart else None,
    }


def _measure(args: argparse.Namespace) -> int:
    videos = videos_in(args.folder)
    detectors = {name: open_detector(name) for name in DETECTORS}
    counts = {
        name: Counts(0, 0, *({one: 0 for one in DETECTORS} for _ in range(3))) for _, name in KINDS
    }
    for video in videos:
        for image in frames_of(video, args.frames):
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


def frames_of(video: Path, count: int) -> Iterator[np.ndarray]:
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
        boxes += [box for box in by_detector[name] if not any(same(box, b) for b in boxes)]
    counts.frames += 1
    counts.faces += len(boxes)
    for name, own in by_detector.items():
        counts.found[name] += sum(any(same(box, one) for one in own) for box in boxes)


if __name__ == "__main__":
    sys.exit(main())
