"""Roofline of the modules in ONNX Runtime: `python -m benchmarks.networks.roofline`.

Every step of the graph that ONNX Runtime runs takes at least its arithmetic at the speed of this
machine's convolutions, and at least its tensors at the speed at which this machine reads and
writes. Where the time taken is far above both, something can be gained; where the sum of the least
times over the plain network's is above an aim, no order of these steps meets it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.networks.edge_network import MACS, convolution
from benchmarks.networks.untrained_bundle import untrained
from benchmarks.settings import BENCH, add_settings, merge_json, settings
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.networks.ablations import TITLES, VARIANTS

NAMES = ("size", "frames", "width", "threads", "rounds")
COPIED_MIB = (1, 4, 16, 32)  # of a tensor
UNTIMED = 2
KINDS = {
    "Conv": "convolutions",
    "MatMul": "convolutions",
    "Gemm": "convolutions",
    "FusedMatMul": "convolutions",
    "Transpose": "axes and blocks",
    "ReorderInput": "axes and blocks",
    "ReorderOutput": "axes and blocks",
    "Reshape": "axes and blocks",
    "MaxPool": "pooling",
    "AveragePool": "pooling",
    "GlobalAveragePool": "pooling",
    "ReduceMean": "pooling",
    "TopK": "choice",
    "GatherElements": "choice",
    "ScatterElements": "choice",
    "GatherND": "choice",
    "ScatterND": "choice",
}
MODULE = re.compile(r"(?:^|/)\w+\d_(dfdc|msa)/")  # in the name of a module's step
DEPTHWISE, REST = "taps and depthwise", "element by element"


@dataclass(frozen=True)
class Step:
    """A node of the graph as it ran.

    Attributes:
        part: `backbone`, `DFDC` or `MSA`.
        kind: One of `KINDS`' values, `DEPTHWISE` or `REST`.
        seconds: Median over the runs.
        flops: Floating-point operations; of convolutions and products alone.
        moved: Bytes of its inputs, weights and outputs.
    """

    part: str
    kind: str
    seconds: float
    flops: float
    moved: float

    def least(self, machine: Machine) -> float:
        """Seconds that it takes at least: its arithmetic or its bytes, whichever is longer."""
        return max(self.flops / machine.flops, self.bytes_s(machine))

    def bytes_s(self, machine: Machine) -> float:
        """Seconds for its bytes, at the speed of a copy that moves as many or fewer."""
        fits = [size for size in machine.copies if size <= self.moved]
        return self.moved / machine.copies[max(fits, default=min(machine.copies))]


@dataclass(frozen=True)
class Machine:
    """What ONNX Runtime reaches on this machine.

    Attributes:
        flops: Floating-point operations a second of a large convolution.
        copies: Bytes that a copy moves → bytes a second.
    """

    flops: float
    copies: Mapping[int, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.networks.roofline",
        description="Time every step of plain, + DFDC, + MSA and both in ONNX Runtime beside the "
        "least that its arithmetic and its bytes allow on this machine.",
    )
    add_settings(parser, NAMES, BENCH)
    return run_cli(lambda: _bench(parser.parse_args(argv)))


def _bench(args: argparse.Namespace) -> int:
    from export.to_onnx import onnx_from_keras

    graphs = {}
    for variant, modules in VARIANTS.items():
        model = untrained(modules, args.size, args.frames, args.width)
        graphs[TITLES[variant]] = onnx_from_keras(model, with_map=False)
    flops = 2 * MACS / _fastest(convolution(args.threads), args.rounds)
    machine = Machine(flops, copies(args.rounds, args.threads))
    networks = {name: steps_of(graph, args) for name, graph in graphs.items()}
    result = summary(networks, machine)
    print(table(result))
    merge_json(args.out, {"roofline": {"settings": settings(args, NAMES), **result}})
    print(f"added to {args.out}")
    return 0


def copies(rounds: int, threads: int) -> dict[int, float]:
    """Bytes read and written by a copy of a tensor → bytes a second, the fastest of many."""
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "copy", values[:1], values[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = {}
    for mib in COPIED_MIB:
        x = np.ones((mib << 20) // 4, np.float32)
        result = np.empty_like(x)
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y", "cpu", 0, np.float32, x.shape, result.ctypes.data)
        seconds = _fastest(lambda bound=binding: session.run_with_iobinding(bound), 3 * rounds)
        found[2 * x.nbytes] = 2 * x.nbytes / seconds
    return found


def _fastest(run: Any, rounds: int) -> float:
    seconds = []
    for _ in range(UNTIMED + rounds):
        started = perf_counter()
        run()
        seconds.append(perf_counter() - started)
    return min(seconds[UNTIMED:])


def steps_of(graph: Any, args: argparse.Namespace) -> list[Step]:
    """The steps of a graph that ONNX Runtime runs, by its own profile of one clip at a time."""
    import numpy as np
    import onnxruntime

    from deploy.backends.ort import CHANNEL_BATCH

    clip = np.zeros((1, args.frames, args.size, args.size, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.intra_op_num_threads = args.threads
        options.add_session_config_entry(*CHANNEL_BATCH)
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for _ in range(UNTIMED + args.rounds):
            session.run(None, {"clip": clip})
        events = json.loads(Path(session.end_profiling()).read_text())
    return steps_in(events, UNTIMED)


def steps_in(events: Sequence[Mapping[str, Any]], untimed: int) -> list[Step]:
    """The steps in ONNX Runtime's profile of several runs, the first few of which do not count."""
    runs: dict[str, list[float]] = defaultdict(list)
    facts: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            runs[event["name"]].append(event["dur"] / 1e6)
            facts[event["name"]] = event["args"]
    steps, part = [], "backbone"
    for name, seconds in runs.items():  # in the order in which they ran
        if "/" in name:  # a change of blocks has no layer's name: it is of the step before it
            module = MODULE.search(name)
            part = module[1].upper() if module else "backbone"
        steps.append(_step(part, facts[name], median(seconds[untimed:])))
    return steps


def _step(part: str, facts: Mapping[str, Any], seconds: float) -> Step:
    shapes = [next(iter(shape.values())) for shape in facts["input_type_shape"]]
    out = [next(iter(shape.values())) for shape in facts["output_type_shape"]]
    moved = sum(int(facts[of]) for of in ("activation_size", "parameter_size", "output_size"))
    kind = KINDS.get(facts["op_name"], REST)
    flops = 0.0
    if facts["op_name"].endswith("MatMul"):
        flops = 2.0 * prod(out[0]) * shapes[0][-1]
    elif kind == KINDS["Conv"]:  # every weight of a filter once per result
        flops = 2.0 * prod(out[0]) * prod(shapes[1][1:])
        if facts["op_name"] == "Conv" and shapes[1][1] == 1 and prod(shapes[1][2:]) > 1:
            kind = DEPTHWISE
    return Step(part, kind, seconds, flops, moved)


def summary(networks: Mapping[str, Sequence[Step]], machine: Machine) -> dict[str, Any]:
    """Times taken and least times of the networks, and of each kind of step in the largest one."""
    rows = {
        name: {
            "s": sum(step.seconds for step in steps),
            "least_s": sum(step.least(machine) for step in steps),
            "gflop": sum(step.flops for step in steps) / 1e9,
            "moved_gb": sum(step.moved for step in steps) / 1e9,
        }
        for name, steps in networks.items()
    }
    kinds: dict[str, dict[str, float]] = {}
    for step in list(networks.values())[-1]:
        row = kinds.setdefault(f"{step.part}: {step.kind}", defaultdict(float))
        row["s"] += step.seconds
        row["least_s"] += step.least(machine)
        row["arithmetic_s"] += step.flops / machine.flops
        row["bytes_s"] += step.bytes_s(machine)
        row["steps"] += 1
    return {
        "convolution_gflops": machine.flops / 1e9,
        "copy_gbs": {f"{size >> 20}": speed / 1e9 for size, speed in machine.copies.items()},
        "networks": rows,
        "kinds": {name: dict(row) for name, row in sorted(kinds.items())},
    }


def table(result: Mapping[str, Any]) -> str:
    """The result as text."""
    rows = result["networks"]
    plain = next(iter(rows.values()))
    lines = [
        f"ONNX Runtime: convolution {result['convolution_gflops']:.0f} GFLOP/s; copy of "
        + ", ".join(f"{mib} MiB {speed:.0f} GB/s" for mib, speed in result["copy_gbs"].items()),
        "",
        f"{'':<12}{'GFLOP':>7}{'GB moved':>10}{'ms':>8}{'÷ plain':>9}"
        f"{'least ms':>10}{'÷ plain':>9}",
    ]
    for name, row in rows.items():
        lines.append(
            f"{name:<12}{row['gflop']:>7.1f}{row['moved_gb']:>10.2f}{row['s'] * 1e3:>8.1f}"
            f"{row['s'] / plain['s']:>9.2f}{row['least_s'] * 1e3:>10.1f}"
            f"{row['least_s'] / plain['least_s']:>9.2f}"
        )
    lines += [
        "",
        f"{list(rows)[-1]:<30}{'steps':>6}{'ms':>8}{'least':>8}{'arithm.':>9}{'bytes':>8}",
    ]
    for name, row in result["kinds"].items():
        cells = "".join(
            f"{row[part] * 1e3:>{width}.1f}"
            for part, width in (("s", 8), ("least_s", 8), ("arithmetic_s", 9), ("bytes_s", 8))
        )
        lines.append(f"{name:<30}{row['steps']:>6.0f}{cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
