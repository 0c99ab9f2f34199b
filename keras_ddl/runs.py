"""Run folders: where a training leaves its results, and how to load them again.

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
from typing import TYPE_CHECKING

from keras_ddl.config import DDL, TrainConfig
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256, read_json

if TYPE_CHECKING:
    from keras_ddl.framework import keras

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


def finish_run(run: Path) -> None:
    """Take the mark and the checkpoints away and point `latest`, beside the run, to it."""
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)
    (run / INCOMPLETE).unlink()
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
            "make one with: python -m keras_ddl.train"
        )
    run = run.resolve()
    if (run / INCOMPLETE).exists():
        raise UserError(f"{run} is incomplete: its training runs still or was interrupted")
    for name in (CONFIG, "clipspec.json", WEIGHTS):
        if not (run / name).is_file():
            raise UserError(f"{run} is no complete run: it holds no {name}; train again")
    return run


def load_run(path: Path | None = None) -> tuple[keras.Model, TrainConfig, ClipSpec]:
    """Rebuild the trained model of a run, `runs/latest` by default.

    Returns:
        The model with the best epoch's weights, its configuration and its clip spec.

    Raises:
        UserError: If the run is incomplete, a file is missing, or the weights are not those
            that the spec names.
    """
    run = find_run(path)
    config = TrainConfig.from_dict(read_json(run / CONFIG)["config"])
    try:
        spec = ClipSpec.read(run / "clipspec.json")
    except ValueError as error:
        raise UserError(str(error)) from error
    if file_sha256(run / WEIGHTS) != spec.weights_sha256:
        raise UserError(f"{run / WEIGHTS} is not the file that clipspec.json names; train again")
    model = build(config)
    try:
        model.load_weights(str(run / WEIGHTS))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot load {run / WEIGHTS} into {config.described()}: {error}"
        ) from error
    return model, config, spec


def build(
    config: TrainConfig, backbone_weights: str = "", precision: str = "float32"
) -> keras.Model:
    """Build the configuration's network.

    Args:
        config: Says which.
        backbone_weights: What the backbone starts from, see its `build`; empty is nothing.
        precision: Keras' policy for its layers; a trained network is used in float32.
    """
    from keras_ddl.framework import keras
    from keras_ddl.networks import zoo
    from keras_ddl.networks.model import build_model

    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    weights = backbone_weights or None
    try:
        if config.network != DDL:
            guest = zoo.get(config.network)
            model: keras.Model = guest.build(config.size, config.frames, weights, config.width)
            return model
        return build_model(
            config.backbone,
            modules=config.modules,
            frames=config.frames,
            size=config.size,
            keep=config.keep,
            weights=weights,
            width=config.width,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    finally:
        keras.mixed_precision.set_global_policy(before)
