"""Contact sheet of pseudo-fakes beside their real twins."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_ddl.data.prepared import SPEC, read_split
from keras_ddl.data.pseudo_fakes.blend import blended_crop
from keras_ddl.data.pseudo_fakes.donor import Donors
from keras_ddl.data.pseudo_fakes.wide import WideClips
from keras_ddl.data.video_index import SPLITS
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.edge.files import atomic_write

FRAMES = 4  # of each clip
LOUDER = 4  # factor on differences
GAP = 4  # pixels


def sheet(prepared: Path, split: str, count: int, seed: int) -> np.ndarray:
    """Draw the sheet: in each row the real twin, the pseudo-fake, and four times their difference.

    Args:
        prepared: Folder prepared with surroundings.
        split: `train`, `val` or `test`.
        count: Rows.
        seed: Of the choice of clips and of the fakes.

    Returns:
        uint8, (H, W, 3), RGB.
    """
    spec = ClipSpec.read(prepared / SPEC)
    data = read_split(prepared, split)
    wide = WideClips(data.clips, spec)
    donors = Donors(wide, data)
    random = np.random.default_rng(seed)
    reals = np.flatnonzero(data.labels == 0)
    numbers = random.choice(reals, min(count, len(reals)), replace=False)
    return np.vstack([_row(wide, donors, int(number), seed, spec.size) for number in numbers])


def _row(wide: WideClips, donors: Donors, number: int, seed: int, size: int) -> np.ndarray:
    clip, donor = wide[number], donors.draw(number, (seed, number))
    real, fake = (
        blended_crop(clip, (seed, number), made, size, donor).frames for made in (False, True)
    )
    apart = np.clip(128 + LOUDER * (fake.astype(int) - real), 0, 255).astype(np.uint8)
    chosen = np.linspace(0, len(real) - 1, FRAMES).round().astype(int)
    gap = np.full((size, GAP, 3), 255, np.uint8)
    parts = [np.hstack([*part[chosen], gap]) for part in (real, fake, apart)]
    row = np.hstack(parts)
    return np.vstack([row, np.full((GAP, row.shape[1], 3), 255, np.uint8)])


def main(argv: Sequence[str] | None = None) -> int:
    """Write the sheet; return the exit code."""
    parser = Parser(prog="python -m keras_ddl.data.pseudo_fakes", description=__doc__)
    parser.add_argument("prepared", type=Path, help="folder prepared with --surroundings")
    parser.add_argument("--sheet", type=Path, default=Path("pseudo_fakes.png"), metavar="FILE.png")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--rows", type=int, default=8, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    import cv2

    image = sheet(args.prepared, args.split, args.rows, args.seed)
    with atomic_write(args.sheet) as temporary:
        temporary.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    print(f"look at {args.sheet}: real twin, pseudo-fake, {LOUDER} times the difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
