"""Devices that train: one, several, or several machines'; TensorFlow's own strategies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.edge.errors import MISSING, UserError

if TYPE_CHECKING:
    from keras_ddl.framework import keras, tf

STRATEGIES = ("auto", "none", "mirrored", "multiworker", "tpu")
Scorer = Callable[[], np.ndarray]
SMALL_BATCH = 16  # clips per replica under which batch norm is synchronised by default


def _default_strategy() -> Any:
    from keras_ddl.framework import tf

    return tf.distribute.get_strategy()


@dataclass(frozen=True)
class Devices:
    """Devices under one of TensorFlow's strategies, and who this process is among them.

    Args:
        strategy: Of TensorFlow; default: this process' first device, alone.
        name: One of `STRATEGIES`.
        worker: Number of this process, from 0. Worker 0, the chief, writes the run's files.
        workers: How many processes train together.
    """

    strategy: Any = field(default_factory=_default_strategy)
    name: str = "none"
    worker: int = 0
    workers: int = 1

    @property
    def replicas(self) -> int:
        """Devices that train together, over all workers."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def chief(self) -> bool:
        """Whether this process writes the run's files."""
        return self.worker == 0

    def describe(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"strategy": self.name, "workers": self.workers, "replicas": self.replicas}

    def check_batch(self, batch: int) -> None:
        """Refuse a batch that cannot be shared evenly.

        Raises:
            UserError: naming the nearest batches that can.
        """
        if batch % self.replicas:
            below = batch // self.replicas * self.replicas
            near = " or ".join(str(b) for b in (below, below + self.replicas) if b)
            raise UserError(
                f"batch is the number of clips per step over all devices: expected a multiple of "
                f"{self.replicas}, received {batch}; --set batch={near}"
            )

    def synchronises(self, rule: str, batch: int) -> bool:
        """Whether batch norm is to see all replicas' clips, by `config.sync_batch_norm`."""
        small = batch // self.replicas < SMALL_BATCH
        return self.replicas > 1 and (rule == "on" or (rule == "auto" and small))

    def spread(self, make: Callable[[], tf.data.Dataset]) -> Any:
        """Return the batches that `make` gives on this worker, for `model.fit`."""
        if self.replicas == 1:
            return make()
        return self.strategy.distribute_datasets_from_function(lambda _: make())

    def scorer(self, model: keras.Model, clips: tf.data.Dataset, batch: int, count: int) -> Scorer:
        """Return a function that scores all clips in their order; devices share the work.

        Args:
            model: The network; its batch norm statistics must be the same on all replicas.
            clips: Batches of (clip, label), the same on every worker.
            batch: Their size; the last may be smaller.
            count: Clips in all of them.

        Returns:
            A function without arguments that returns the logits, float32 (N, 2). It may be called
            again when the weights have changed, and is traced once.
        """
        from keras_ddl.evaluation.clip_scores import clip_logits
        from keras_ddl.framework import tf

        if self.replicas == 1:
            return lambda: clip_logits(model, clips)
        share, mine = batch // self.replicas, batch // self.workers

        def part(_: Any) -> tf.data.Dataset:
            whole = clips.map(lambda clip, _: _padded(clip, batch))
            parts = whole.map(lambda clip: clip[self.worker * mine : (self.worker + 1) * mine])
            return parts.unbatch().batch(share, drop_remainder=True)

        @tf.function
        def forward(clip: Any) -> Any:
            return self.strategy.run(lambda c: model(c, training=False), args=(clip,))

        spread = self.strategy.distribute_datasets_from_function(part)

        def score() -> np.ndarray:
            found = [self.strategy.gather(forward(clip), axis=0).numpy() for clip in spread]
            return np.concatenate(found)[:count].astype(np.float32)

        return score


def _padded(clip: Any, batch: int) -> Any:
    """A batch filled up with its first clip."""
    from keras_ddl.framework import tf

    missing = batch - tf.shape(clip)[0]
    return tf.ensure_shape(
        tf.concat([clip, tf.repeat(clip[:1], missing, axis=0)], 0), (batch, *clip.shape[1:])
    )


def open_devices(name: str = "auto") -> Devices:
    """Start a strategy by name; with several workers, wait until all are there.

    Args:
        name: `none`; `mirrored` (all GPUs of this machine, else all logical CPUs); `multiworker`
            (`TF_CONFIG`, or SLURM's variables); `tpu`; `auto` takes what it finds.

    Raises:
        UserError: On an unknown name or a strategy whose surroundings are missing.
    """
    from keras_ddl.framework import tf

    if name not in STRATEGIES:
        raise UserError(f"strategy: expected one of {', '.join(STRATEGIES)}; received {name!r}")
    if name == "auto":
        name = _found()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Devices(tf.distribute.MirroredStrategy([device.name for device in devices]), name)
    if name == "multiworker":
        return _multiworker()
    if name == "tpu":
        return _tpu()
    return Devices()


def _found() -> str:
    from keras_ddl.framework import tf

    if _tf_config_workers() > 1 or _slurm_tasks() > 1:
        return "multiworker"
    if os.environ.get("TPU_NAME"):
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "none"


def _tf_config_workers() -> int:
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 0
    try:
        cluster = json.loads(text)["cluster"]
        return len(cluster.get("worker", ())) + len(cluster.get("chief", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            'TF_CONFIG: expected {"cluster": {"worker": ["host:port", …]}, "task": {"type": '
            f'"worker", "index": 0}}}}, received {text!r}'
        ) from error


def _slurm_tasks() -> int:
    """Tasks of the job step that `srun` started this process in; a batch script is none."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))


def _slurm() -> Any:
    """TensorFlow's resolver of SLURM's variables; which GPUs a task sees is left to SLURM."""
    from keras_ddl.framework import tf

    job = int(os.environ.get("SLURM_JOB_ID", "0"))
    return tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=20000 + job % 1000 * 16,  # so that jobs on one host keep out of each other's way
        gpus_per_node=_slurm_tasks(),  # only has to be large enough: nothing is set by it
        gpus_per_task=1,
        auto_set_gpu=False,
    )


def _multiworker() -> Devices:
    from keras_ddl.framework import tf

    if _tf_config_workers():
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    elif _slurm_tasks() > 1:
        resolver = _slurm()
    else:
        raise UserError(
            "--strategy multiworker: expected TF_CONFIG (or srun's variables) to name the "
            "workers, received neither; docs/training.md has examples",
            MISSING,
        )
    index, workers = place(resolver)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(f"the workers did not come together: {_line(error)}", MISSING) from error
    return Devices(strategy, "multiworker", index, workers)


def place(resolver: Any) -> tuple[int, int]:
    """Number of this process among those that train, and how many there are.

    A chief, where the cluster has one, is the first of them; the others are its workers.

    Raises:
        UserError: this process is something else, such as an evaluator or a parameter server.
    """
    cluster, kind = resolver.cluster_spec(), resolver.task_type
    counts = {job: cluster.num_tasks(job) for job in ("chief", "worker") if job in cluster.jobs}
    if kind not in counts:
        raise UserError(
            f"TF_CONFIG: expected a task of type chief or worker in the cluster, received {kind!r} "
            f"in a cluster of {', '.join(sorted(cluster.jobs)) or 'nobody'}"
        )
    before = counts.get("chief", 0) if kind == "worker" else 0
    return before + int(resolver.task_id or 0), sum(counts.values())


def _tpu() -> Devices:
    from keras_ddl.framework import tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise UserError(f"--strategy tpu: no TPU was found: {_line(error)}", MISSING) from error
    return Devices(tf.distribute.TPUStrategy(resolver), "tpu")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
