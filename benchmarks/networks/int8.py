"""Speed of compact Xception, float and int8: `python -m benchmarks.networks.int8`.

Part of `make bench`; one clip at a time, and four.
Each subject is a process of its own, so that its memory is its own; they run in turn.
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

from benchmarks.networks.modules import PEAK_SIZE, matmul
from benchmarks.networks.untrained_bundle import FORMS, untrained_graphs
from benchmarks.settings import BENCH, add_settings, merge_json, settings
from benchmarks.timed_process import timed_in_turn
from export.clips_per_second import ratio
from keras_ddl.edge.errors import Parser, run_cli

BATCHES = (1, 4)
PEAK = "peak"
NAMES = ("size", "frames", "width", "threads", "rounds")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.networks.int8",
        description="Time the float graph, TensorRT's int8 graph and the one for CPUs in ONNX "
        "Runtime, in turn; print a table and add it to runs/bench.json.",
    )
    add_settings(parser, NAMES, BENCH)
    args = parser.parse_args(argv)
    return run_cli(lambda: _bench(args))


def _bench(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        gmac, files = _graphs(Path(folder), args)
        subjects = {
            (form, batch): partial(inference, files[form], batch, args.threads)
            for form in FORMS
            for batch in BATCHES
        }
        subjects[PEAK, 1] = partial(matmul, args.threads)
        seconds, memory = timed_in_turn(subjects, args.rounds)
        fused = {form: _on_integers(file) for form, file in files.items()}
    result = {
        "settings": settings(args, NAMES),
        **summary(gmac, seconds, memory),
        "integer_convolutions": fused,
    }
    print(table(result))
    merge_json(args.out, {"int8": result})
    print(f"added to {args.out}")
    return 0


def _graphs(folder: Path, args: argparse.Namespace) -> tuple[float, dict[str, Path]]:
    """GMAC of a clip, and the ONNX files."""
    gmac, graphs = untrained_graphs(FORMS, args.size, args.frames, args.width)
    files = {form: folder / f"{number}.onnx" for number, form in enumerate(FORMS)}
    for form, graph in graphs.items():
        files[form].write_bytes(graph.SerializeToString())
    return gmac, files


def inference(file: Path, batch: int, threads: int) -> Callable[[], Any]:
    """What judges one batch of noise by a graph."""
    import numpy as np

    from deploy.backends import open_backend

    backend = open_backend(file, threads)
    shape = [batch, *(size or 1 for size in backend.inputs[0].shape[1:])]
    feed = {"clip": np.random.default_rng(1).integers(0, 256, shape, np.uint8)}
    return lambda: backend.infer(feed)


def _on_integers(file: Path) -> str:
    """How many convolutions ONNX Runtime really runs on integers, of all."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(file.with_suffix(".optimised"))
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    integer = kinds.count("QLinearConv")
    return f"{integer} of {integer + kinds.count('Conv') + kinds.count('FusedConv')}"


def summary(
    gmac: float,
    seconds: Mapping[tuple[str, int], Sequence[float]],
    memory: Mapping[tuple[str, int], Mapping[str, float]],
) -> dict[str, Any]:
    """What the rounds say.

    Args:
        gmac: 10⁹ multiply-accumulates of a clip.
        seconds: (Form, batch) → seconds of every round; ("peak", 1) is the matrix product.
        memory: The same → `peak_mib`.

    Returns:
        `matmul_peak_gflops`, and `rows`. Shares and ratios are medians over the rounds: a slow
        round slows both. `speedup` is fp32's time at the same batch through this one's, and
        `per_clip_of_batch_1` the time of a clip through that of the same form alone.
    """
    import numpy as np

    peak = [2 * PEAK_SIZE**3 / one / 1e9 for one in seconds[PEAK, 1]]
    rows = []
    for (form, batch), times in seconds.items():
        if form == PEAK:
            continue
        p50, p90, p99 = (1e3 * float(np.percentile(times, share)) for share in (50, 90, 99))
        reached = [2 * gmac * batch / one for one in times]
        rows.append(
            {
                "form": form,
                "batch": batch,
                "clips_per_s": batch / median(times),
                "p50_ms": p50,
                "p90_ms": p90,
                "p99_ms": p99,
                "peak_memory_mib": memory[form, batch]["peak_mib"],
                "share_of_peak": median(a / b for a, b in zip(reached, peak, strict=True)),
                "speedup": ratio(seconds[FORMS[0], batch], times),
                "per_clip_of_batch_1": ratio(times, seconds[form, 1]) / batch,
            }
        )
    return {"gmac": gmac, "matmul_peak_gflops": median(peak), "rows": rows}


def table(result: Mapping[str, Any]) -> str:
    """The result as text."""
    given = result["settings"]
    lines = [
        f"compact_xception with both modules, {given['size']} px, {given['frames']} frames, "
        f"{given['threads']} threads, {given['rounds']} rounds, {result['gmac']:.1f} GMAC "
        "a clip",
        f"ONNX Runtime float32 MatMul {PEAK_SIZE}³: {result['matmul_peak_gflops']:.0f} GFLOP/s",
        "",
        f"{'':<16}{'batch':>6}{'clips/s':>9}{'p50 ms':>8}{'p90':>7}{'p99':>7}{'MiB':>7}"
        f"{'of peak':>9}{'speedup':>8}{'clip ÷ batch 1':>16}",
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['form']:<16}{row['batch']:>6}{row['clips_per_s']:>9.2f}{row['p50_ms']:>8.0f}"
            f"{row['p90_ms']:>7.0f}{row['p99_ms']:>7.0f}{row['peak_memory_mib']:>7.0f}"
            f"{row['share_of_peak']:>9.0%}{row['speedup']:>8.2f}{row['per_clip_of_batch_1']:>16.2f}"
        )
    fused = ", ".join(f"{form} {count}" for form, count in result["integer_convolutions"].items())
    lines.append(f"convolutions that ONNX Runtime runs on integers: {fused}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
