"""AUC of simple statistics on synthetic sets of some difficulties.

`python -m benchmarks.training.synthetic_statistics OUT` draws a set per difficulty and prints
the table of docs/synthetic.md. Three groups: statistics of single frames and of the file, which
should tell nothing; the plain difference of frames, which sees motion above all; and oracles that
know the true motion and look only at what remains once it is undone.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.data.synthetic.dataset import DEFAULT_DIFFICULTY, MANIFEST, generate
from keras_ddl.edge.errors import Parser, run_cli

if TYPE_CHECKING:
    from keras_ddl.edge.portraits.render import Renderer

DIFFICULTIES = (0.0, 0.25, DEFAULT_DIFFICULTY, 0.5, 0.75, 1.0)
GROUPS = {
    "one frame": (
        "Laplacian variance",
        "fine detail",
        "face texture",
        "mean red",
        "mean green",
        "mean blue",
        "red over blue",
        "boundary gradient",
    ),
    "file": ("file size",),
    "frame difference": ("mean absolute difference",),
    "motion undone": ("texture", "boundary", "color"),
}
_GRAY = np.array([0.299, 0.587, 0.114], np.float32)
_STILLS = (0.2, 0.5, 0.8)  # moments at which single frames are taken, share of the video


def video_statistics(path: Path, renderer: Renderer) -> dict[str, list[float]]:
    """Every statistic of `GROUPS` for one video; one value, or one per still.

    Args:
        path: The mp4 file.
        renderer: A renderer of the same person and performance, for the true motion.
    """
    import cv2

    from keras_ddl.edge.video import read_video

    frames = [frame.image for frame in read_video(path)]
    maps = [renderer.face_map(index) for index in range(len(frames))]
    still = np.stack(
        [cv2.remap(f, *m, cv2.INTER_LINEAR) for f, m in zip(frames, maps, strict=True)]
    )
    crops = [_crop(f, *m) for f, m in zip(frames, maps, strict=True)]
    inner, edge = renderer.regions()
    values = _oracles(still.astype(np.float32), inner, edge)
    values["file size"] = [float(path.stat().st_size)]
    values["mean absolute difference"] = [_difference(frames, crops)]
    for moment in _STILLS:
        index = int(moment * len(frames))
        rows, columns = crops[index]
        one = _single(frames[index][rows, columns], still[index], inner, edge)
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    return values


def _crop(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the face's bounding box."""
    height, width = image.shape[:2]
    low_x, high_x = np.clip([x.min(), x.max()], 0, width).astype(int)
    low_y, high_y = np.clip([y.min(), y.max()], 0, height).astype(int)
    return slice(int(low_y), int(high_y)), slice(int(low_x), int(high_x))


def _difference(frames: Sequence[np.ndarray], crops: Sequence[tuple[slice, slice]]) -> float:
    """Mean absolute difference of consecutive frames in the face's box, grey levels."""
    pairs = zip(frames[:-1], frames[1:], crops[1:], strict=True)
    return float(np.mean([np.abs(b[c].astype(np.float32) - a[c]).mean() for a, b, c in pairs]))


def _single(
    crop: np.ndarray, face: np.ndarray, inner: np.ndarray, edge: np.ndarray
) -> dict[str, float]:
    """Statistics of one frame: its face box as it is, and the face brought into place."""
    import cv2

    gray, flat = crop.astype(np.float32) @ _GRAY, face.astype(np.float32) @ _GRAY
    red, green, blue = face[inner].astype(np.float32).mean(axis=0)
    soft = cv2.GaussianBlur(flat, (0, 0), 2.0)
    slope = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    values = {
        "Laplacian variance": cv2.Laplacian(gray, cv2.CV_32F).var(),
        "fine detail": (gray - cv2.GaussianBlur(gray, (0, 0), 1.5)).var(),
        "face texture": _band(flat)[inner].var(),
        "mean red": red,
        "mean green": green,
        "mean blue": blue,
        "red over blue": red / blue,
        "boundary gradient": slope[edge].mean(),
    }
    return {name: float(value) for name, value in values.items()}


def _band(gray: np.ndarray) -> np.ndarray:
    """Details of the size of the marks: larger than the noise, smaller than the face's relief."""
    import cv2

    return cv2.GaussianBlur(gray, (0, 0), 1.0) - cv2.GaussianBlur(gray, (0, 0), 3.0)


def _oracles(still: np.ndarray, inner: np.ndarray, edge: np.ndarray) -> dict[str, list[float]]:
    """What changes from frame to frame, (T, h, w, 3), once the true motion is undone."""
    detail = np.stack([_band(frame @ _GRAY) for frame in still])
    change = np.diff(detail, n=2, axis=0) ** 2
    color = np.log(np.maximum(still[:, inner].mean(axis=1), 1.0))
    return {
        "texture": [float(change[:, inner].mean())],
        "boundary": [float(change[:, edge].mean())],
        "color": [float(np.abs(np.diff(color, n=2, axis=0)).mean())],
    }


def measure(root: Path) -> dict[str, float]:
    """AUC, folded to 0.5 and above, of every statistic over all videos of a synthetic set."""
    from keras_ddl.edge.metrics import auc
    from keras_ddl.edge.portraits.render import open_renderer

    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    given: Mapping[str, Any] = manifest["arguments"]
    labels: dict[str, list[int]] = {}
    values: dict[str, list[float]] = {}
    for entry in manifest["videos"]:
        renderer, _ = open_renderer(
            given["seed"],
            entry["identity"],
            entry["index"],
            False,
            given["difficulty"],
            frames=given["frames"],
            fps=given["fps"],
            size=tuple(given["size"]),
            crf=tuple(given["crf"]),
        )
        for name, several in video_statistics(root / entry["file"], renderer).items():
            values.setdefault(name, []).extend(several)
            labels.setdefault(name, []).extend([int(entry["label"] == "fake")] * len(several))
    areas = {name: auc(np.array(labels[name]), np.array(values[name])) for name in values}
    return {name: max(area, 1.0 - area) for name, area in areas.items()}


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table: one row per statistic, one column per set."""
    lines = ["| group | statistic | " + " | ".join(columns) + " |"]
    lines.append("|---|---|" + "---|" * len(columns))
    for group, names in GROUPS.items():
        for name in names:
            cells = " | ".join(f"{column[name]:.2f}" for column in columns.values())
            lines.append(f"| {group} | {name} | {cells} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.training.synthetic_statistics",
        description="AUC of simple statistics on synthetic sets, as a Markdown table.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the sets")
    parser.add_argument("--difficulty", type=float, nargs="+", default=DIFFICULTIES, metavar="D")
    parser.add_argument("--people", type=int, default=40, help="two videos of each, real and fake")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args.out, args.difficulty, args.people, args.seed, args.processes))


def _run(out: Path, difficulties: Iterable[float], people: int, seed: int, processes: int) -> int:
    logging.getLogger("keras_ddl").setLevel(logging.WARNING)
    columns = {}
    for difficulty in difficulties:
        root = generate(
            out / f"difficulty-{difficulty:g}",
            identities={"test": people},
            difficulty=difficulty,
            seed=seed,
            processes=processes,
        )
        columns[f"{difficulty:g}"] = measure(root)
    print(table(columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
