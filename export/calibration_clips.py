"""Calibration clips of prepared data: `python -m export.calibration_clips --out FILE`.

Writes an `.npz` with arrays `clips` and `labels` for `export/to_trt.py --calibration`, half of it
real and half fake where the split has both. Exit codes are in docs/exit-codes.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from export.conversion.run_clips import balanced
from keras_ddl.edge.errors import MISSING, USAGE, Parser, UserError, run_cli
from keras_ddl.edge.files import atomic_write
from keras_ddl.edge.storage.address import Address, place

COUNT = 128
SPLITS = ("train", "val", "test")


def write_clips(prepared: Path | Address, split: str, count: int, out: Path) -> int:
    """Write clips of a prepared set, whole or not at all.

    Returns:
        How many were written.

    Raises:
        UserError: no such set, or a split without clips (3).
    """
    from keras_ddl.data.prepared import read_split
    from keras_ddl.data.shards.stored_set import prepared_here

    found = read_split(prepared_here(prepared), split)
    chosen = balanced(found.labels, count)
    if len(chosen) == 0:
        raise UserError(
            f"expected clips in the split '{split}' of '{prepared}', found none", MISSING
        )
    try:
        with atomic_write(out) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, clips=found.clips[chosen], labels=found.labels[chosen])
    except OSError as error:
        raise UserError(f"cannot write '{out}': {error.strerror}", USAGE) from error
    return len(chosen)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m export.calibration_clips",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default runs/latest")
    parser.add_argument("--prepared", type=place, help="prepared data; default: that of the run")
    parser.add_argument("--split", choices=SPLITS, default="train", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=COUNT, help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file")
    arguments = parser.parse_args(argv)

    def body() -> int:
        if arguments.count < 2:
            raise UserError(f"expected --count >= 2, received {arguments.count}", USAGE)
        prepared = arguments.prepared or _prepared_of(arguments.run)
        count = write_clips(prepared, arguments.split, arguments.count, arguments.out)
        print(f"{arguments.out}: {count} clips of the split '{arguments.split}' of {prepared}")
        return 0

    return run_cli(body)


def _prepared_of(run: Path | None) -> Path:
    """Where a run's prepared data is said to be."""
    from keras_ddl.data.shards.stored_set import prepared_here
    from keras_ddl.edge.files import read_json
    from keras_ddl.edge.runs import find_run

    folder = find_run(run)
    prepared = prepared_here(read_json(folder / "config.json")["data"].get("prepared", ""))
    if prepared == Path() or not prepared.is_dir():
        raise UserError(
            f"expected the prepared data of {folder}, found none at '{prepared}': name it with "
            "--prepared DIR",
            MISSING,
        )
    return prepared


if __name__ == "__main__":
    sys.exit(main())
