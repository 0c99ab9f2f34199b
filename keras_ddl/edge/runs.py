"""Run folders, where a training leaves its results.

`runs/<YYYYmmdd-HHMMSS>/` holds config.json, manifest.json, clipspec.json, weights.h5, history.json,
history.csv, wrong_videos.jsonl, curves.png, metrics.json, MODEL_CARD.md and tensorboard/;
`runs/latest` points to the newest complete one. A folder with a file `INCOMPLETE` belongs to a
training that runs still or was interrupted; in `checkpoints/` is what it can go on from.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import UserError

RUNS = Path("runs")
LATEST = "latest"
INCOMPLETE = "INCOMPLETE"
WEIGHTS = "weights.h5"
CONFIG = "config.json"
CHECKPOINTS = "checkpoints"


def start_run(out: Path | None = None) -> Path:
    """Make a run folder, marked incomplete.

    Args:
        out: The folder; by default one named after the time, in `runs/`.

    Raises:
        UserError: If there is something in it already.
    """
    run = Path(out) if out else RUNS / time.strftime("%Y%m%d-%H%M%S")
    if run.exists() and (not run.is_dir() or {path.name for path in run.iterdir()} - {INCOMPLETE}):
        raise UserError(f"expected a new or empty run folder, received {run}; name another --out")
    run.mkdir(parents=True, exist_ok=True)
    (run / INCOMPLETE).write_text("training runs or was interrupted\n", encoding="utf-8")
    return run


def find_unfinished(path: Path | None = None) -> Path:
    """Return the folder of a training that was interrupted, by default the newest in `runs/`.

    Raises:
        UserError: If there is none, or the one named is complete.
    """
    if path is None:
        marks = sorted(RUNS.glob(f"*/{INCOMPLETE}"))
        if not marks:
            raise UserError(f"--resume: no unfinished run in {RUNS}/; name one: --resume DIR")
        return marks[-1].parent
    if not (path / INCOMPLETE).is_file():
        raise UserError(f"--resume: {path} is complete; begin another with --out DIR")
    return Path(path)


def finish_run(run: Path, latest: bool = True) -> None:
    """Take the mark and the checkpoints away and point `latest`, beside the run, to it.

    Without `latest` that link stays as it is: for a run that is part of another.
    """
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)
    (run / INCOMPLETE).unlink()
    if not latest:
        return
    link = run.parent / LATEST
    if link.exists() and not link.is_symlink():
        raise UserError(f"{link} is not a link: move it away, then {run} can become the latest")
    temporary = run.parent / f".{LATEST}.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(run.name)
    temporary.replace(link)


def find_run(path: Path | None = None) -> Path:
    """Return a complete run folder, `runs/latest` by default.

    Raises:
        UserError: If it is not there, not a run, or incomplete.
    """
    run = Path(path) if path else RUNS / LATEST
    if not run.is_dir():
        raise UserError(
            f"expected a run folder, received {run}, which is not there; "
            f"make one with: {typed('train')}"
        )
    run = run.resolve()
    if (run / INCOMPLETE).exists():
        raise UserError(f"{run} is incomplete: its training runs still or was interrupted")
    for name in (CONFIG, "clipspec.json", WEIGHTS):
        if not (run / name).is_file():
            raise UserError(f"{run} is no complete run: it holds no {name}; train again")
    return run
