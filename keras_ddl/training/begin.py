"""Training in two steps: what a configuration starts from is trained first, on the same clips."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from keras_ddl.config import TrainConfig, load
from keras_ddl.edge.clipspec import CUTTING
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.runs import CONFIG, INCOMPLETE, start_run
from keras_ddl.training.options import TrainingOptions
from keras_ddl.training.run import train, write_config

FOLDER = "begin"
"""Of the first step, in the run folder."""
SHARED = (
    *CUTTING,
    "backbone",
    "width",
    "last",
    "localise",
    "by_map",
    "detector",
    "clips_per_video",
    "pseudo_fakes",
    "false_alarms",
    "precision",
    "deterministic",
    "seed",
)
"""Keys that both steps have in common; the others are those of either's preset."""

_log = logging.getLogger(__name__)


def begin(config: TrainConfig, prepared: Path, run: Path, options: TrainingOptions) -> TrainConfig:
    """Train a configuration's first step, where it has one and it is not complete.

    Args:
        config: What the run is to train.
        prepared: Folder of prepared clips.
        run: The run folder, begun.
        options: How it runs.

    Returns:
        The configuration, starting from the first step.

    Raises:
        UserError: On several workers.
    """
    if not config.begin or config.weights:
        return config
    first = first_step(config)
    if options.devices.workers > 1:
        raise UserError(
            f"begin={config.begin}: expected one worker, received {options.devices.workers}; train "
            f"--preset {config.begin} first, then this with --set weights=THAT_RUN"
        )
    folder = run / FOLDER
    # So that --resume RUN goes on with the first step too.
    write_config(run, config, prepared)
    if not folder.exists() or (folder / INCOMPLETE).exists():
        _log.info("step 1 of 2: %s, in %s", first.described(), folder)
        if not (folder / CONFIG).is_file():
            start_run(folder)
        train(first, prepared, folder, options, latest=False)
    _log.info("step 2 of 2: %s", config.described())
    return replace(config, weights=str(folder))


def first_step(config: TrainConfig) -> TrainConfig:
    """Return the configuration of a first step: the preset `begin`, of the same clips."""
    shared = {name: getattr(config, name) for name in SHARED}
    return replace(load(config.begin), **shared)
