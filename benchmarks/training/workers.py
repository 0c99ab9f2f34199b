"""Speed of two workers on two cores: `python -m benchmarks.training.workers`.

Part of `make bench`. Every worker is a process with one core and one thread of its own: first
alone; then two at once that know nothing of each other, which shows what the machine's second core
is worth; then two that train together over the loopback. Each steps on clips from disk and on one
batch that stays in memory, all in turn, so that neighbours slow all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.settings import settings, write_report
from benchmarks.timed_process import Answers, TimedProcess
from export.clips_per_second import ratio
from keras_ddl import config as configs
from keras_ddl.config import TrainConfig
from keras_ddl.edge.errors import MISSING, Parser, UserError, run_cli

OUT = Path("runs/efficiency.json")
CLIPS = 64
INPUTS = ("disk", "memory")
SETTINGS = ("alone", "apart", "together")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.training.workers",
        description="Time training steps of one worker on one core and of two on two, with the "
        "same batch for each worker; say what input and all-reduce take.",
    )
    configs.add_arguments(parser)
    parser.add_argument("--steps", type=int, default=5, help="steps timed at once (default 5)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes")
    args = parser.parse_args(argv)
    return run_cli(lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    config = configs.from_arguments(args)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise UserError(
            f"expected two cores to pin workers to, received {len(cores)}; run it on Linux with "
            "two or more",
            MISSING,
        )
    with tempfile.TemporaryDirectory() as folder:
        clips = Path(folder) / "clips"
        _write_clips(config, clips)
        seconds = _timed(config, clips, cores[:2], args)
    result = {
        "settings": {
            **settings(args, ("steps", "rounds")),
            "batch_per_worker": config.batch,
            "config": config.to_dict(),
        },
        **summary(seconds),
    }
    write_report(args.out, result, table(result))
    return 0


def _timed(
    config: TrainConfig, clips: Path, cores: Sequence[int], args: argparse.Namespace
) -> dict[tuple[str, str], list[float]]:
    """Seconds of a step per round, by setting and input; of two workers, the slower one's."""
    with ExitStack() as stack:

        def start(core: int, cluster: str) -> TimedProcess:
            worker = TimedProcess(_worker, config, clips, core, cluster, args.steps)
            return stack.enter_context(worker)

        apart = [start(core, "") for core in cores]
        joined = [start(core, task) for core, task in zip(cores, _together(), strict=True)]
        groups = {"alone": apart[:1], "apart": apart, "together": joined}
        seconds: dict[tuple[str, str], list[float]] = {}
        for turn in range(args.rounds + 1):
            for setting, workers in groups.items():
                for source in INPUTS:
                    for worker in workers:
                        worker.tell(source)
                    slowest = max(worker.answer() for worker in workers)
                    if turn:  # the first fills caches and traces
                        seconds.setdefault((setting, source), []).append(slowest)
    return seconds


def _together() -> list[str]:
    """`TF_CONFIG` of two workers of one cluster."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("localhost", 0))
        hosts = [f"localhost:{each.getsockname()[1]}" for each in (one, two)]
    return [
        json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}})
        for index in (0, 1)
    ]


def _worker(config: TrainConfig, folder: Path, core: int, cluster: str, steps: int) -> Answers:
    """A worker on one core, alone where there is no cluster: input → seconds of a step."""
    os.sched_setaffinity(0, {core})  # before TensorFlow makes its threads
    os.environ.pop("TF_CONFIG", None)
    if cluster:
        os.environ["TF_CONFIG"] = cluster
    from keras_ddl.framework import tf
    from keras_ddl.training.devices import open_devices
    from keras_ddl.training.fit import training_clips, untrained
    from keras_ddl.training.optimiser import compile_model

    tf.config.threading.set_intra_op_parallelism_threads(1)
    devices = open_devices("multiworker" if cluster else "none")
    config = replace(config, batch=config.batch * devices.workers)
    model = untrained(config, devices)
    with devices.strategy.scope():
        compile_model(model, config)
    clips = training_clips(config, folder, cache_bytes=0)  # always decoded
    part = (devices.worker, devices.workers)

    def stream() -> tf.data.Dataset:
        return clips.stream(config.batch, (0, 0), part, devices.replicas)

    batches = {
        "disk": iter(devices.spread(stream)),
        "memory": iter(devices.spread(lambda: stream().take(1).cache().repeat())),
    }
    step = model.make_train_function()

    def timed(source: str) -> Callable[[], float]:
        def run() -> float:
            started = perf_counter()
            for _ in range(steps):
                float(step(batches[source])["loss"])
            return (perf_counter() - started) / steps

        return run

    return {source: timed(source) for source in INPUTS}


def _write_clips(config: TrainConfig, out: Path) -> None:
    """Clips of coarse random patterns, which decode about as fast as faces."""
    import cv2
    import numpy as np

    from keras_ddl.data.prepared import Cut, encode_clip
    from keras_ddl.data.shard_writer import write_prepared
    from keras_ddl.data.video_index import Video
    from keras_ddl.edge.clips import Clip

    random = np.random.default_rng(0)

    def cut() -> Cut:
        coarse = random.integers(0, 256, (max(2, config.size // 8),) * 2 + (3,), np.uint8)
        image = cv2.resize(coarse, (config.size, config.size), interpolation=cv2.INTER_CUBIC)
        times = config.interval_ms * np.arange(config.frames)
        return Cut("ok", clips=(encode_clip(Clip(np.stack([image] * config.frames), times, 1)),))

    named = [(f"{number}-{label}", label) for number in range(CLIPS // 2) for label in (0, 1)]
    videos = [
        Video(Path(name), label, "noise", ("real", "fake")[label], "", name, (name,), "train")
        for name, label in named
    ]
    write_prepared(out, config.spec(), [(video, cut()) for video in videos], "f" * 64)


def summary(seconds: Mapping[tuple[str, str], Sequence[float]]) -> dict[str, Any]:
    """What the times of `SETTINGS` with `INPUTS` say.

    Returns:
        `step_s` (medians); `efficiency`, together over alone, and `machine`, apart over alone: what
        is left where nothing is shared but the processor (medians of the ratios, round by round);
        `input_share` and `all_reduce_share` of the step of two workers on clips from disk.
    """

    def share(above: tuple[str, str], below: tuple[str, str]) -> float:
        return ratio(seconds[above], seconds[below])

    whole = ("together", "disk")
    return {
        "step_s": {
            setting: {source: median(seconds[setting, source]) for source in INPUTS}
            for setting in SETTINGS
        },
        "efficiency": share(("alone", "disk"), whole),
        "machine": share(("alone", "disk"), ("apart", "disk")),
        "input_share": 1 - share(("together", "memory"), whole),
        "all_reduce_share": share(("together", "memory"), whole)
        - share(("apart", "memory"), whole),
    }


def table(result: Mapping[str, Any]) -> str:
    """The result as text."""
    batch = result["settings"]["batch_per_worker"]
    names = {
        "alone": "1 worker, 1 core",
        "apart": "2 workers, 2 cores, apart",
        "together": "2 workers, 2 cores, together",
    }
    lines = [f"{'':<30}{'s/step':>8}{'clips/s':>9}{'one batch, s/step':>19}"]
    for setting, name in names.items():
        row, workers = result["step_s"][setting], 1 if setting == "alone" else 2
        speed = workers * batch / row["disk"]
        lines.append(f"{name:<30}{row['disk']:>8.3f}{speed:>9.1f}{row['memory']:>19.3f}")
    return "\n".join(
        (
            *lines,
            f"efficiency {result['efficiency']:.0%}, of {result['machine']:.0%} that the machine's "
            "second core allows",
            f"of the step of two: input {result['input_share']:.1%}, "
            f"all-reduce {result['all_reduce_share']:.1%}",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
