"""Options of a training run: devices, checkpoints, what is shown and logged."""

from __future__ import annotations

from dataclasses import dataclass, field

from keras_ddl.training.devices import Devices

CHECKPOINT_STEPS = 500


@dataclass(frozen=True)
class TrainingOptions:
    """How a training runs. What it learns says `TrainConfig`, and no option changes that.

    Args:
        devices: That train; default: this process' first device, alone.
        progress: Show a progress bar and a line per epoch.
        checkpoint_every: Steps between checkpoints within an epoch; 0 = after epochs only.
        previous: Go on from the newest checkpoint but one.
        profile: Trace some steps for TensorBoard and say what cost most.
        mlflow: Log to MLflow too.
    """

    devices: Devices = field(default_factory=Devices)
    progress: bool = True
    checkpoint_every: int = CHECKPOINT_STEPS
    previous: bool = False
    profile: bool = False
    mlflow: bool = False
