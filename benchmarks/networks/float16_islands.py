"""Float16: how much of the network must stay float32 for DFDC to keep the same places?

    python -m export.calibration_clips RUN --split val --out clips.npz
    python -m benchmarks.networks.float16_islands RUN/bundle clips.npz

Prints, for clips of both classes, how far the answers of true float16 lie from those of float32
with ever larger float32 islands, and beside them what one grey level of noise in the clips changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from export.engine import prepare as preparing
from export.engine.target import target_for
from export.graph import mixed_fp16
from export.graph.float_islands import float_islands, projection_nodes
from export.graph.onnx_graph import Graph, load_model
from export.parity.agreement import Agreement, agreement
from export.parity.clips import clips_for
from export.parity.runtimes import ask_float16, ask_in_full
from keras_ddl.edge.bundle import MODEL_FILE, read_spec
from keras_ddl.edge.errors import Parser, run_cli

NEAR = 0.02  # of the threshold
HEAD = (
    "| float32 | nodes | places kept otherwise | clips | change of the probability: mean, p99, max "
    "| of the logit, in spreads: mean, p99 |"
)

Islands = Callable[[Any], set[str]]


def with_projections(proto: Any) -> set[str]:
    """Also the projections that DFDC's scores are made of."""
    return float_islands(proto) | projection_nodes(Graph(proto).infer())


def with_all_before(proto: Any) -> set[str]:
    """Also all that the first of these projections reads: the first stages of the backbone."""
    graph = Graph(proto).infer()
    projections = projection_nodes(graph)
    queue = next([n.output[0]] for n in graph.nodes if n.output[0] in projections)
    found: set[str] = set()
    while queue:
        node = graph.makers.get(queue.pop())
        if node is not None and node.output[0] not in found:
            found.add(node.output[0])
            queue.extend(node.input)
    return float_islands(proto) | projections | found


@contextmanager
def islands(chosen: Islands) -> Iterator[None]:
    """Let a graph be prepared with other islands."""
    modules: tuple[Any, ...] = (mixed_fp16, preparing)
    before = [module.float_islands for module in modules]
    for module in modules:
        module.float_islands = chosen
    try:
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            module.float_islands = function


def row(name: str, nodes: str, found: Agreement) -> str:
    """One line of the table."""
    return (
        f"| {name} | {nodes} | {found.swapped:.2%} | {found.turned} of {found.clips} | "
        f"{found.mean:.1e}, {found.high:.1e}, {found.probability:.1e} | "
        f"{found.logit_mean:.1e}, {found.logit_high:.1e} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(prog="python -m benchmarks.networks.float16_islands", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("clips", type=Path, help="of export.calibration_clips")
    arguments = parser.parse_args(argv)
    return run_cli(lambda: _run(arguments.bundle, arguments.clips))


def _run(bundle: Path, path: Path) -> int:
    spec, model = read_spec(bundle), bundle / MODEL_FILE
    given = clips_for(bundle, spec, path)
    clips, labels = given.compared.clips, given.compared.labels
    proto, right = load_model(model), ask_in_full(model, clips)

    def measured(answers: Any) -> Agreement:
        return agreement(right, answers, spec.threshold, labels, NEAR)

    print(f"{len(clips)} clips of {path}\n\n{HEAD}\n|---|---|---|---|---|---|")
    variants: dict[str, Islands] = {
        "scores, choice, map, head": float_islands,
        "and the projections": with_projections,
        "and all before the first of them": with_all_before,
    }
    for name, chosen in variants.items():
        with islands(chosen):
            target = target_for("10.13")
            prepared = preparing.prepare(proto, "fp16", target, given.measured, True, "max")
        nodes = str(len(prepared.float_nodes))
        print(row(name, nodes, measured(ask_float16(prepared.proto, clips))), flush=True)
    grey = np.random.default_rng(0).integers(0, 2, clips.shape, np.uint8)
    noisy = measured(ask_in_full(model, clips ^ grey))
    print(row("all, one grey level of noise", "all", noisy))
    return 0


if __name__ == "__main__":
    sys.exit(main())
