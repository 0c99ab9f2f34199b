"""Cost of the edge network, plain and with modules: `python -m benchmarks.networks.edge_network`.

The network is the preset's (`edge`), untrained, with its map. Each subject is a process of its own;
they run in turn, beside what this machine can do at best.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.networks.int8 import inference
from benchmarks.networks.modules import PEAK_SIZE, matmul, training_step
from benchmarks.networks.untrained_bundle import FORMS, RANGE
from benchmarks.settings import BENCH, add_settings, merge_json, settings
from benchmarks.timed_process import timed_in_turn
from export.clips_per_second import in_turn, ratio
from keras_ddl.edge.errors import Parser, run_cli

NAMES = ("threads", "rounds", "steps")
PRESET = "edge"
TRAINED = 8  # clips of a training step, as the preset has it
PLAIN = "plain"
STAGES = ("stage3", "stage4", "stage5", "stage6")  # one after the other, and the preset's
FP32, INT8 = FORMS[0], FORMS[2]
MATMUL, CONVOLUTION = "MatMul", "convolution"
CHANNELS, SIDE, KERNEL = 128, 56, 3  # of the convolution that stands for the best there is
MACS = (CHANNELS * KERNEL * SIDE) ** 2  # of that one


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.networks.edge_network",
        description="Time the preset edge without modules and with both at one stage or another, "
        "float32 and int8 for CPUs, in turn; print a table and add it to runs/bench.json.",
    )
    add_settings(parser, NAMES, BENCH)
    parser.add_argument("--stages", nargs="+", default=[], metavar="STAGE", help="these alone")
    args = parser.parse_args(argv)
    return run_cli(lambda: _bench(args))


def _bench(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        networks = _networks(args.stages)
        gmac, files = _graphs(Path(folder), networks)
        subjects: dict[tuple[str, str], Callable[[], Callable[[], Any]]] = {
            subject: partial(inference, file, 1, args.threads) for subject, file in files.items()
        }
        subjects[MATMUL, ""] = partial(matmul, args.threads)
        subjects[CONVOLUTION, ""] = partial(convolution, args.threads)
        seconds, memory = timed_in_turn(subjects, args.rounds)
    chosen = {PLAIN: networks[PLAIN], (last := list(networks)[-1]): networks[last]}
    steps = in_turn({name: _step(model) for name, model in chosen.items()}, args.steps)
    found = summary(gmac, seconds, memory)
    training = {
        name: {"s": median(t), "to_plain": ratio(t, steps[PLAIN])} for name, t in steps.items()
    }
    result = {"settings": settings(args, NAMES), **found, "training_step": training}
    print(table(result))
    merge_json(args.out, {"edge_network": result})
    print(f"added to {args.out}")
    return 0


def _networks(only: Sequence[str]) -> dict[str, Any]:
    """The networks by where their modules are; the preset's own, or the last asked for, at last."""
    from keras_ddl import config as configs
    from keras_ddl.build_network import build
    from keras_ddl.framework import keras

    base = configs.load(PRESET)
    chosen = {PLAIN: "modules=none"}
    for stages in [(stage,) for stage in only or STAGES] + ([] if only else [base.stages]):
        chosen[", ".join(stages)] = f"stages={','.join(stages)}"
    networks = {}
    for name, override in chosen.items():
        keras.utils.set_random_seed(0)
        networks[name] = build(configs.load(PRESET, None, [override]))
        for layer in networks[name].layers:
            if layer.name.endswith(("_dfdc", "_msa")):
                layer.gamma.assign([0.5])
    return networks


def _graphs(
    folder: Path, networks: Mapping[str, Any]
) -> tuple[dict[str, float], dict[tuple[str, str], Path]]:
    """GMAC of a clip by network, and the ONNX files by network and form."""
    import numpy as np

    from export.graph.cpu_int8 import cpu_int8, open_results
    from export.to_onnx import onnx_from_keras
    from keras_ddl.networks.cost import macs
    from keras_ddl.quantization.calibration import calibrate
    from keras_ddl.quantization.quantise import quantised

    gmac: dict[str, float] = {}
    files: dict[tuple[str, str], Path] = {}
    noise = np.random.default_rng(0)
    for number, (name, model) in enumerate(networks.items()):
        int8 = quantised(model)
        calibrate(int8, [noise.integers(0, 256, (1, *model.input_shape[1:]), np.uint8)])
        rounded = onnx_from_keras(int8)
        graphs = {
            FP32: onnx_from_keras(model),
            INT8: cpu_int8(rounded, dict.fromkeys(open_results(rounded), RANGE)),
        }
        gmac[name] = sum(macs(model).values()) / 1e9
        for form, graph in graphs.items():
            files[name, form] = folder / f"{number}-{len(files)}.onnx"
            files[name, form].write_bytes(graph.SerializeToString())
    return gmac, files


def _step(model: Any) -> Callable[[], Any]:
    """A training step of a batch of noise."""
    import numpy as np

    shape = (TRAINED, *model.input_shape[1:])
    clips = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    return training_step(model, clips, np.arange(TRAINED) % 2)


def convolution(threads: int) -> Callable[[], Any]:
    """ONNX Runtime's own 3 × 3 convolution, 128 to 128 channels: what convolutions can reach."""
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    image = [1, CHANNELS, SIDE, SIDE]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, image) for name in "xy"]
    random = np.random.default_rng(0)
    kernel = random.standard_normal((CHANNELS, CHANNELS, KERNEL, KERNEL)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[KERNEL // 2] * 4)
    weights = [numpy_helper.from_array(kernel, "w")]
    graph = helper.make_graph([node], "peak", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    picture = random.standard_normal(image).astype(np.float32)
    return lambda: session.run(None, {"x": picture})


def summary(
    gmac: Mapping[str, float],
    seconds: Mapping[tuple[str, str], Sequence[float]],
    memory: Mapping[tuple[str, str], Mapping[str, float]],
) -> dict[str, Any]:
    """What the rounds say.

    Args:
        gmac: 10⁹ multiply-accumulates of a clip, by network.
        seconds: (Network, form) → seconds of every round; and of the two peaks.
        memory: The same → `peak_mib`.

    Returns:
        The peaks in GFLOP/s and `rows`; shares and ratios are medians over the rounds.
    """
    work = {
        MATMUL: 2 * PEAK_SIZE**3,
        CONVOLUTION: 2 * MACS,
    }
    peaks = {name: [count / one / 1e9 for one in seconds[name, ""]] for name, count in work.items()}
    rows = []
    for name, form in (pair for pair in seconds if pair[0] not in work):
        times = seconds[name, form]
        reached = [2 * gmac[name] / one for one in times]
        shares = [a / b for a, b in zip(reached, peaks[CONVOLUTION], strict=True)]
        rows.append(
            {
                "network": name,
                "form": form,
                "gmac": gmac[name],
                "ms": 1e3 * median(times),
                "to_plain": ratio(times, seconds[PLAIN, form]),
                "share_of_convolution": median(shares),
                "speedup": ratio(seconds[name, FP32], times),
                "peak_memory_mib": memory[name, form]["peak_mib"],
            }
        )
    return {"peaks_gflops": {name: median(found) for name, found in peaks.items()}, "rows": rows}


def table(result: Mapping[str, Any]) -> str:
    """The result as text."""
    given, peaks = result["settings"], result["peaks_gflops"]
    lines = [
        f"preset {PRESET} with its map, one clip, {given['threads']} threads, {given['rounds']} "
        "rounds in turn",
        "ONNX Runtime: "
        + ", ".join(f"{name} {found:.0f} GFLOP/s" for name, found in peaks.items()),
        "",
        f"{'modules at':<16}{'form':<16}{'GMAC':>6}{'ms':>8}{'÷ plain':>9}{'of conv.':>9}"
        f"{'÷ fp32':>8}{'MiB':>7}",
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['network']:<16}{row['form']:<16}{row['gmac']:>6.2f}{row['ms']:>8.1f}"
            f"{row['to_plain']:>9.2f}{row['share_of_convolution']:>9.0%}{row['speedup']:>8.2f}"
            f"{row['peak_memory_mib']:>7.0f}"
        )
    for name, step in result["training_step"].items():
        lines.append(
            f"training step of {TRAINED} clips, {name}: {step['s']:.2f} s, {step['to_plain']:.2f} "
            "of plain"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
