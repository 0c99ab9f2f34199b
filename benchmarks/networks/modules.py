"""Cost of the modules beside the plain network: `python -m benchmarks.networks.modules`.

These ratios are what to quote: absolute times move with the machine and its neighbours.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.networks.untrained_bundle import untrained
from benchmarks.settings import BENCH, add_settings, merge_json, settings
from benchmarks.timed_process import peak_of
from export.clips_per_second import in_turn, ratio
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.networks.ablations import TITLES, VARIANTS

PEAK_SIZE = 2048
NAMES = ("size", "frames", "threads", "rounds", "steps")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.networks.modules",
        description="Time plain, + DFDC, + MSA and both in ONNX Runtime and TensorFlow, in turn, "
        "one clip at a time; print ratios and write runs/bench.json.",
    )
    add_settings(parser, NAMES, BENCH)
    arguments = parser.parse_args(argv)
    return run_cli(lambda: _bench(arguments))


def _bench(arguments: argparse.Namespace) -> int:
    import numpy as np

    from export.to_onnx import onnx_from_keras
    from keras_ddl.framework import tf
    from keras_ddl.networks.cost import macs

    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    shape = (1, arguments.frames, arguments.size, arguments.size, 3)
    clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    models, giga, files = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (variant, modules) in enumerate(VARIANTS.items()):
            name = TITLES[variant]
            model = untrained(modules, arguments.size, arguments.frames)
            models[name], giga[name] = model, sum(macs(model).values()) / 1e9
            files[name] = Path(folder) / f"{number}.onnx"
            # The map is for people; it is left out of the comparison.
            proto = onnx_from_keras(model, with_map=False)
            files[name].write_bytes(proto.SerializeToString())
        runtime = _onnx_runtime(files, clip, arguments)
        memory = {
            name: peak_of(_run_twice, file, arguments.threads) for name, file in files.items()
        }
    inference, training = _tensorflow(models, clip, arguments)
    result = _result(giga, runtime, memory, inference, training, arguments)
    print(table(result))
    merge_json(arguments.out, result)
    print(f"written to {arguments.out}")
    return 0


def _onnx_runtime(
    files: Mapping[str, Path], clip: Any, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    from deploy.backends import open_backend

    backends = {name: open_backend(file, arguments.threads) for name, file in files.items()}
    subjects: dict[str, Callable[[], Any]] = {
        name: (lambda backend=backend: backend.infer({"clip": clip}))
        for name, backend in backends.items()
    }
    subjects["peak"] = matmul(arguments.threads)
    return in_turn(subjects, arguments.rounds)


def matmul(threads: int) -> Callable[[], Any]:
    """ONNX Runtime's own product of two 2048 × 2048 matrices: what this machine can do at best."""
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    square = [PEAK_SIZE, PEAK_SIZE]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, square) for name in "abc"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])], "peak", values[:2], values[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    matrix = np.random.default_rng(0).standard_normal(square).astype(np.float32)
    return lambda: session.run(None, {"a": matrix, "b": matrix})


def _tensorflow(
    models: Mapping[str, Any], clip: Any, arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    import numpy as np

    from keras_ddl.framework import tf

    inference: dict[str, Callable[[], Any]] = {}
    training: dict[str, Callable[[], Any]] = {}
    for name, model in models.items():
        forward = tf.function(lambda x, model=model: model(x, training=False))
        inference[name] = lambda forward=forward: forward(clip)
        training[name] = training_step(model, clip, np.array([1]))
    return in_turn(inference, arguments.rounds), in_turn(training, arguments.steps)


def training_step(model: Any, clips: Any, labels: Any) -> Callable[[], float]:
    """A network's training step on one batch, which returns the loss.

    Keras' own step on one endless iterator: `train_on_batch` makes one for each call and waits for
    its end in ever longer naps.
    """
    from keras_ddl.framework import keras, tf

    model.compile(
        keras.optimizers.legacy.Adam(1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    batches = iter(tf.data.Dataset.from_tensors((clips, labels)).repeat())
    step = model.make_train_function()
    return lambda: float(step(batches)["loss"])


def _run_twice(file: Path, threads: int) -> None:
    import numpy as np

    from deploy.backends import open_backend

    with open_backend(file, threads) as backend:
        shape = [1, *backend.inputs[0].shape[1:]]
        for _ in range(2):
            backend.infer({"clip": np.zeros(shape, np.uint8)})


def _result(
    giga: Mapping[str, float],
    runtime: Mapping[str, Sequence[float]],
    memory: Mapping[str, float],
    inference: Mapping[str, Sequence[float]],
    training: Mapping[str, Sequence[float]],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    peak = 2 * PEAK_SIZE**3 / statistics.median(runtime["peak"]) / 1e9
    rows = {}
    for name, count in giga.items():
        seconds = statistics.median(runtime[name])
        rows[name] = {
            "gmac": count,
            "onnxruntime_s": seconds,
            "onnxruntime_ratio": ratio(runtime[name], runtime["plain"]),
            "share_of_peak": 2 * count / seconds / peak,
            "peak_memory_mib": memory[name],
            "tensorflow_s": statistics.median(inference[name]),
            "tensorflow_ratio": ratio(inference[name], inference["plain"]),
            "training_step_s": statistics.median(training[name]),
            "training_step_ratio": ratio(training[name], training["plain"]),
        }
    given = {**settings(arguments, NAMES), "batch": 1}
    return {"settings": given, "matmul_peak_gflops": peak, "networks": rows}


def table(result: Mapping[str, Any]) -> str:
    """The result as text."""
    given = result["settings"]
    lines = [
        f"compact_xception, {given['size']} px, {given['frames']} frames, batch 1, "
        f"{given['threads']} threads, medians; × is the ratio to plain",
        f"ONNX Runtime MatMul {PEAK_SIZE}³: {result['matmul_peak_gflops']:.0f} GFLOP/s",
        "",
        f"{'':<12} {'GMAC':>6} │ {'ONNX Runtime':^30} │ {'TensorFlow':^13} │ {'training step':^13}",
        f"{'':<12} {'':>6} │ {'s':>6} {'×':>6} {'of peak':>8} {'MiB':>7} │ {'s':>6} {'×':>6} │ "
        f"{'s':>6} {'×':>6}",
    ]
    for name, row in result["networks"].items():
        lines.append(
            f"{name:<12} {row['gmac']:>6.1f} │ "
            f"{row['onnxruntime_s']:>6.3f} {row['onnxruntime_ratio']:>6.2f} "
            f"{row['share_of_peak']:>7.0%} {row['peak_memory_mib']:>7.0f}  │ "
            f"{row['tensorflow_s']:>6.3f} {row['tensorflow_ratio']:>6.2f} │ "
            f"{row['training_step_s']:>6.3f} {row['training_step_ratio']:>6.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
