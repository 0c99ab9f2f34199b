"""Speed of a training step here and written naively: `python -m benchmarks.networks.naive_step`.

Part of `make bench`.
Each subject is a process of its own, so that its memory is its own; they step in turn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.networks.modules import training_step
from benchmarks.networks.untrained_bundle import untrained
from benchmarks.settings import add_settings, settings, write_report
from benchmarks.timed_process import timed_in_turn
from export.clips_per_second import ratio
from keras_ddl.edge.errors import Parser, run_cli

OUT = Path("runs/bench-naive.json")
NETWORK = ("plain", "ours", "naive")
MODULES = ("ours", "naive", "naive PyTorch")
NAMES = ("size", "frames", "width", "batch", "threads", "steps")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.networks.naive_step",
        description="Time training steps of the modules, and of the whole network, as they are "
        "here and as written naively (T × T products, slices), in turn; write "
        "runs/bench-naive.json.",
    )
    add_settings(parser, NAMES, OUT)
    args = parser.parse_args(argv)
    return run_cli(lambda: _bench(args))


def _bench(args: argparse.Namespace) -> int:
    modules = MODULES if find_spec("torch") else MODULES[:-1]
    result = {
        "settings": settings(args, NAMES),
        "modules": measured(_modules, modules, args),
        "network": measured(_network, NETWORK, args),
    }
    write_report(args.out, result, table(result))
    return 0


def measured(
    make: Callable[[str, argparse.Namespace], Callable[[], Any]],
    names: Sequence[str],
    args: argparse.Namespace,
) -> dict[str, dict[str, float]]:
    """Time subjects in turn after two untimed steps each.

    Returns:
        Name → `seconds` (median), `ratio` (median of the ratios to ours, round by round),
        `peak_mib`, and `step_mib`, how much of that the steps took.
    """
    subjects = {name: partial(make, name, args) for name in names}
    seconds, memory = timed_in_turn(subjects, args.steps)
    return {
        name: {
            "seconds": median(times),
            "ratio": ratio(times, seconds["ours"]),
            **memory[name],
        }
        for name, times in seconds.items()
    }


def _network(name: str, args: argparse.Namespace) -> Callable[[], Any]:
    """A whole training step of compact Xception."""
    import numpy as np

    model = _built(name, args)
    shape = (args.batch, args.frames, args.size, args.size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return training_step(model, clips, np.arange(args.batch) % 2)


def _modules(name: str, args: argparse.Namespace) -> Callable[[], Any]:
    """Forward and backward through the modules of all stages, each on an input of its own."""
    model = _built(name, args)
    stages = [
        [model.get_layer(f"{layer.name.removesuffix('_dfdc')}_{kind}") for kind in ("dfdc", "msa")]
        for layer in model.layers
        if layer.name.endswith("_dfdc")
    ]
    return _torch_step(stages, args) if name == "naive PyTorch" else _keras_step(stages, args)


def _inputs(stages: Sequence[Sequence[Any]], args: argparse.Namespace) -> list[Any]:
    import numpy as np

    random = np.random.default_rng(0)
    images = args.batch * args.frames
    shapes = [(images, *dfdc.input_shape[1:]) for dfdc, _ in stages]
    return [random.standard_normal(shape, np.float32) for shape in shapes]


def _keras_step(stages: Sequence[Sequence[Any]], args: argparse.Namespace) -> Callable[[], Any]:
    from keras_ddl.framework import tf

    inputs = [tf.constant(x) for x in _inputs(stages, args)]

    @tf.function
    def step(inputs: list[Any]) -> Any:
        weights = [layer.trainable_weights for layers in stages for layer in layers]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.add_n(
                [
                    tf.reduce_sum(tf.square(msa(dfdc(x), training=True)))
                    for x, (dfdc, msa) in zip(inputs, stages, strict=True)
                ]
            )
        return total, tape.gradient(total, [inputs, weights])

    return lambda: float(step(inputs)[0])


def _torch_step(stages: Sequence[Sequence[Any]], args: argparse.Namespace) -> Callable[[], Any]:
    import torch

    from benchmarks.networks.naive.naive_torch import torch_from_keras

    torch.set_num_threads(args.threads)
    modules = [
        torch.nn.Sequential(*(torch_from_keras(layer) for layer in layers)).train()
        for layers in stages
    ]
    inputs = [
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
        for x in _inputs(stages, args)
    ]

    def step() -> float:
        for tensor in (*inputs, *(p for module in modules for p in module.parameters())):
            tensor.grad = None
        total = sum(module(x).square().sum() for module, x in zip(modules, inputs, strict=True))
        total.backward()
        return float(total.detach())

    return step


def _built(name: str, args: argparse.Namespace) -> Any:
    """The network of a subject."""
    from benchmarks.networks.naive.naive_keras import naive
    from keras_ddl.framework import tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    modules = () if name == "plain" else ("dfdc", "msa")
    model = untrained(modules, args.size, args.frames, args.width)
    return naive(model) if name == "naive" else model


def table(result: Mapping[str, Any]) -> str:
    """The result as text."""
    given = result["settings"]
    lines = [
        f"training step of compact_xception, {given['size']} px, {given['frames']} frames, "
        f"batch {given['batch']}, {given['threads']} threads; × is the ratio to ours",
        f"{'':<24}{'s':>8}{'×':>7}{'peak MiB':>10}{'by steps':>10}",
    ]
    for what in ("modules", "network"):
        for name, row in result[what].items():
            lines.append(
                f"{what + ', ' + name:<24}{row['seconds']:>8.3f}{row['ratio']:>7.2f}"
                f"{row['peak_mib']:>10.0f}{row['step_mib']:>10.0f}"
            )
    rows = result["network"]
    ours, naive = (rows[name]["seconds"] - rows["plain"]["seconds"] for name in NETWORK[1:])
    if ours > 0:
        lines.append(f"what the modules add to the network's step: naive ÷ ours {naive / ours:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
