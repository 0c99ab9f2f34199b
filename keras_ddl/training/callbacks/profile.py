"""Profile of some training steps, for TensorBoard, and its three largest costs as text."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.framework import keras, tf

FIRST, LAST = 5, 10  # steps, from 1: behind tracing and the first filling of the pipeline
TOP = 3
STEP, WAIT = "train_function", "IteratorGetNextOp::DoCompute"  # TensorFlow's names of events
_FORMATS = ("tensorflow.tsl", "tensorflow.core", "tsl")  # where its protobuf has been so far
_OPERATION = re.compile(r"(?P<scope>[^\s:#]+):(?P<kind>\w+)")
_CALLS = {"PartitionedCall", "StatefulPartitionedCall", "If", "While", "Case", "IteratorGetNext"}


@dataclass(frozen=True)
class Cost:
    """What one kind of operation costs.

    Args:
        kind: TensorFlow's name of the operation.
        milliseconds: Per step, all cores or GPUs together.
        share: Of the time of all operations, 0 to 1.
        layer: Where most of it is spent; empty if no layer is named.
    """

    kind: str
    milliseconds: float
    share: float
    layer: str


@dataclass(frozen=True)
class Costs:
    """What the traced steps cost.

    Args:
        steps: How many there are.
        milliseconds: Wall time per step.
        waiting: Share of it that waited for the next batch, 0 to 1.
        largest: The `TOP` kinds of operations that cost most, the largest first.
    """

    steps: int
    milliseconds: float
    waiting: float
    largest: tuple[Cost, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.steps} steps: {self.milliseconds:.1f} ms per step, {self.waiting:.1%} of it "
            "waiting for input",
            f"{'ms/step':>8}  {'share':>6}  operation, share of the time of all operations",
        ]
        for cost in self.largest:
            where = f", most of it in {cost.layer}" if cost.layer else ""
            lines.append(f"{cost.milliseconds:>8.2f}  {cost.share:>6.1%}  {cost.kind}{where}")
        return "\n".join(lines)


class ProfileSteps(keras.callbacks.Callback):
    """Trace of steps 5 to 10 of the first epoch, or the last of fewer, and what they cost.

    Args:
        folder: For TensorBoard; `tensorboard --logdir` shows it where
            tensorboard-plugin-profile is installed.

    Raises:
        UserError: If this TensorFlow's traces cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        xplane()
        self._folder, self._steps = Path(folder), (0, 0)
        self._running = self._done = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        last = min(LAST, self.params["steps"])
        self._steps = min(FIRST, max(last - 1, 1)), last

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._done and batch + 1 == self._steps[0]:
            tf.profiler.experimental.start(str(self._folder))
            self._running = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._running and batch + 1 == self._steps[1]:
            tf.profiler.experimental.stop()
            self._running, self._done = False, True
            tqdm.write(f"{costs(self._folder)}\nprofile for TensorBoard in {self._folder}")


def xplane() -> Any:
    """Return TensorFlow's own reader of its traces.

    Raises:
        UserError: If this version has it elsewhere.
    """
    for package in _FORMATS:
        try:
            return importlib.import_module(f"{package}.profiler.protobuf.xplane_pb2")
        except ImportError:
            continue
    raise UserError(
        f"--profile: TensorFlow {tf.__version__} has no xplane_pb2 where it is looked for "
        f"({', '.join(_FORMATS)}); train without --profile, or with TensorFlow 2.16 to 2.21",
        MISSING,
    )


def costs(folder: Path) -> Costs:
    """Read the newest trace in a folder that `ProfileSteps` wrote.

    Raises:
        UserError: If there is none, or no training step in it.
    """
    files = sorted(Path(folder).rglob("*.xplane.pb"))
    if not files:
        raise UserError(f"expected a profile in {folder}, received none; train with --profile")
    space = xplane().XSpace()
    space.ParseFromString(files[-1].read_bytes())
    spent: dict[str, Counter[str]] = {}
    for scope, kind, time in _operations(space):
        spent.setdefault(kind, Counter())[_layer(scope)] += time
    steps, wall, waited = _steps(space)
    if not steps or not spent:
        raise UserError(f"{files[-1]}: expected training steps, received none; profile anew")
    total = sum(scopes.total() for scopes in spent.values())
    largest = sorted(spent.items(), key=lambda item: -item[1].total())[:TOP]
    return Costs(
        steps,
        wall / steps / 1e9,
        waited / wall,
        tuple(
            Cost(kind, scopes.total() / steps / 1e9, scopes.total() / total, _most(scopes))
            for kind, scopes in largest
        ),
    )


def _operations(space: Any) -> Iterator[tuple[str, str, int]]:
    """Name scope, kind and picoseconds of every operation: of the GPUs', where there are any."""
    gpus = [plane for plane in space.planes if plane.name.startswith("/device:GPU")]
    for plane in gpus or [plane for plane in space.planes if plane.name == "/host:CPU"]:
        names = {number: data.name for number, data in plane.event_metadata.items()}
        for line in plane.lines:
            if line.name.startswith("tf_data"):
                continue  # the input pipeline works beside the step
            for event in line.events:
                name = _full_name(plane, event) if gpus else names[event.metadata_id]
                found = _OPERATION.fullmatch(name.partition("#")[0])
                kind = re.sub("^_Mkl(Native)?", "", found["kind"]) if found else ""
                if found and kind not in _CALLS:
                    yield found["scope"], kind, event.duration_ps


def _full_name(plane: Any, event: Any) -> str:
    """Of the operation that started a GPU's kernel; empty if it is not said."""
    for stat in event.stats:
        if plane.stat_metadata[stat.metadata_id].name == "tf_op":
            return stat.str_value or plane.stat_metadata[stat.ref_value].name
    return ""


def _steps(space: Any) -> tuple[int, int, int]:
    """Number of training steps, picoseconds from their begin to their end, and those waited."""
    spans, waited = [], 0
    for plane in (plane for plane in space.planes if plane.name == "/host:CPU"):
        names = {number: data.name for number, data in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                if names[event.metadata_id] == STEP:
                    start = line.timestamp_ns * 1000 + event.offset_ps
                    spans.append((start, start + event.duration_ps))
                elif names[event.metadata_id] == WAIT:
                    waited += event.duration_ps
    wall = max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0
    return len(spans), wall, waited


def _layer(scope: str) -> str:
    """`gradient_tape/model/block2_msa/taps/depthwise/Conv2DBackprop` → `block2_msa/taps`.

    Layers are written small, operations are not, but for the `depthwise` of Keras' layer.
    """
    parts = [
        part
        for part in scope.split("/")[:-1]
        if part[:1].islower() and not part.startswith(("gradient_tape", "replica_"))
    ]
    return "/".join(part for part in parts[1:3] if part != "depthwise")


def _most(scopes: Counter[str]) -> str:
    return next((layer for layer, _ in scopes.most_common() if layer), "")
