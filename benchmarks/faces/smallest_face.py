"""Smallest face that each detector still finds: `python -m benchmarks.faces.smallest_face FOLDER`.

Pictures of one's own footage are shrunk until a face that YuNet finds with certainty has the wanted
size; whether the detector then finds it where it was is counted. `--min-face` rests on this.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.faces.detectors import DETECTORS, frames_of, videos_in
from benchmarks.faces.face_search import PROFILE, same
from benchmarks.settings import BENCH, merge_json
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.edge.faces import Face, FaceDetector, open_detector
from keras_ddl.edge.faces.face import shrunk
from keras_ddl.edge.values import at_least

SIDES = (12, 16, 20, 24, 28, 32, 40, 48)  # pixels of what the detector looks at
CERTAIN = 0.75  # YuNet's score of a face that counts


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    description = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="python -m benchmarks.faces.smallest_face", description=description)
    parser.add_argument("folder", type=Path, help="videos, in folders or not")
    parser.add_argument("--frames", type=at_least(1), default=3, help="of each video; default 3")
    parser.add_argument("--out", type=Path, default=BENCH, help="JSON (default: %(default)s)")
    args = parser.parse_args(argv)
    return run_cli(lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    finder, detectors = open_detector("yunet"), {name: open_detector(name) for name in DETECTORS}
    faces, found = Counter[str](), Counter[str]()
    for video in videos_in(args.folder):
        for image in frames_of(video, args.frames):
            for face in finder.detect(image):
                if face.score >= CERTAIN:
                    _look(detectors, image, face, faces, found)
    print(f"{'side, px':<14}" + "".join(f"{side:>16}" for side in SIDES))
    for name in DETECTORS:
        for kind in ("", " turned away"):
            keys = [f"{name}{kind} {side}" for side in SIDES]
            cells = (f"{found[k] / max(faces[k], 1):.3f} of {faces[k]}" for k in keys)
            print(f"{name + kind:<18}" + "".join(f"{cell:>16}" for cell in cells))
    merge_json(args.out, {"smallest_face": {"faces": dict(faces), "found": dict(found)}})
    return 0


def _look(
    detectors: dict[str, FaceDetector],
    image: np.ndarray,
    face: Face,
    faces: Counter[str],
    found: Counter[str],
) -> None:
    """Look for one face at all sizes below its own."""
    kind = " turned away" if face.turn is not None and face.turn >= PROFILE else ""
    high, wide = image.shape[:2]
    for side in SIDES:
        factor = face.box[2] / side
        size = (round(wide / factor), round(high / factor))
        if factor < 1 or min(size) < 1:
            continue
        small = shrunk(image, size)
        for name, detector in detectors.items():
            wanted = [value / factor for value in face.box]
            hit = any(same(wanted, other.box) for other in detector.detect(small, side))
            for key in {f"{name} {side}", f"{name}{kind} {side}"}:
                faces[key] += 1
                found[key] += hit


if __name__ == "__main__":
    sys.exit(main())
