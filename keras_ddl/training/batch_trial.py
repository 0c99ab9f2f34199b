"""`python -m keras_ddl.training.batch_trial`: training steps with random clips, and what they take.

A process of its own for each batch that `find_batch` tries: it may run out of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from keras_ddl.config import TrainConfig
from keras_ddl.edge.errors import CHECK_FAILED, Parser, UserError, run_cli
from keras_ddl.edge.memory import MIB, peak_mib

if TYPE_CHECKING:
    from keras_ddl.framework import tf

STEPS = 2
OUT_OF_MEMORY = re.compile(r"out of memory|OOM|ALLOC_FAILED|RESOURCE_EXHAUSTED|bad_alloc", re.I)
_KILLED = (-9, 137)
_OF_WORKERS = ("TF_CONFIG", "SLURM_NTASKS", "SLURM_PROCID")


@dataclass(frozen=True)
class Trial:
    """What some training steps took.

    Args:
        batch: Clips per step, over all devices; 0 where memory ended before that was known.
        fits: Whether memory sufficed.
        peak_mib: Of a GPU, the fullest one's peak; else of the process. MiB; NaN unless it fits.
        seconds: Of the last step; NaN unless it fits.
        gpu: Whether GPUs were used.
        step: What the batch has to be a multiple of: the devices, twice as many with twins.
    """

    batch: int
    fits: bool
    peak_mib: float = float("nan")
    seconds: float = float("nan")
    gpu: bool = False
    step: int = 1


def run_trial(config: TrainConfig, units: int, strategy: str, memory_limit: float) -> Trial:
    """Try a batch in a process of its own.

    Args:
        config: What would be trained; its `batch` does not matter.
        units: The batch, in steps of `Trial.step`.
        strategy: One of `devices.STRATEGIES` that runs on one machine.
        memory_limit: MiB that TensorFlow may take of each GPU; 0 = all.

    Raises:
        UserError: If it ends by anything but a lack of memory.
    """
    command = [
        sys.executable,
        "-m",
        "keras_ddl.training.batch_trial",
        json.dumps(config.to_dict()),
        str(units),
        f"--strategy={strategy}",
        f"--memory-limit={memory_limit}",
    ]
    alone = {name: value for name, value in os.environ.items() if name not in _OF_WORKERS}
    done = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Trial(**json.loads(done.stdout.splitlines()[-1]))
    if done.returncode in _KILLED or OUT_OF_MEMORY.search(done.stderr):
        return Trial(batch=0, fits=False)
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise UserError(f"a trial step failed: {last.removeprefix('error: ')}", CHECK_FAILED)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.training.batch_trial",
        description="Make two training steps with random clips; print what they took as JSON.",
    )
    parser.add_argument("config", help="a configuration as JSON")
    parser.add_argument("units", type=int, help="the batch over what it must be a multiple of")
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--memory-limit", type=float, default=0, metavar="MIB", help="per GPU")
    args = parser.parse_args(argv)
    return run_cli(lambda: _print_trial(args))


def _print_trial(args: argparse.Namespace) -> int:
    config = TrainConfig.from_dict(json.loads(args.config))
    print(json.dumps(asdict(_trial(config, args.units, args.strategy, args.memory_limit))))
    return 0


def _trial(config: TrainConfig, units: int, strategy: str, memory_limit: float) -> Trial:
    from keras_ddl.framework import tf
    from keras_ddl.training.devices import open_devices
    from keras_ddl.training.fit import untrained
    from keras_ddl.training.optimiser import compile_model

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus if memory_limit else ():
        bound = tf.config.LogicalDeviceConfiguration(memory_limit=memory_limit)
        tf.config.set_logical_device_configuration(gpu, [bound])
    devices = open_devices(strategy)
    step = devices.replicas * (2 if config.twins else 1)
    config = replace(config, batch=units * step, weights="")
    batch, used = config.batch, len(tf.config.list_logical_devices("GPU"))
    try:
        model = untrained(config, devices)
        with devices.strategy.scope():
            compile_model(model, config)
        batches = iter(devices.spread(lambda: random_clips(config, batch // devices.replicas)))
        train_step, seconds = model.make_train_function(), 0.0
        for _ in range(STEPS):
            started = time.perf_counter()
            float(train_step(batches)["loss"])
            seconds = time.perf_counter() - started
    except tf.errors.ResourceExhaustedError:
        return Trial(batch, False, gpu=bool(used), step=step)
    peaks = [tf.config.experimental.get_memory_info(f"GPU:{i}")["peak"] for i in range(used)]
    peak = max(peaks) / MIB if peaks else peak_mib()
    return Trial(batch, True, peak, seconds, bool(used), step)


def random_clips(config: TrainConfig, batch: int) -> tf.data.Dataset:
    """Return batches of noise without end, as the training gives them to one device."""
    from keras_ddl.framework import tf

    def clip(_: Any) -> tuple[Any, ...]:
        shape = (1 if config.single_frames else config.frames, config.size, config.size, 3)
        noise = tf.cast(tf.random.uniform(shape, 0, 256, tf.int32), tf.uint8)
        label = tf.random.uniform((), 0, 2, tf.int32)
        return (noise, label, 1.0) if config.balance == "weights" else (noise, label)

    clips = tf.data.Dataset.range(batch).repeat().map(clip)
    return clips.batch(batch, drop_remainder=True).prefetch(2)


if __name__ == "__main__":
    sys.exit(main())
