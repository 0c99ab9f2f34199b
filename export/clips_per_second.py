"""Speed of exported bundles: `python -m export.clips_per_second BUNDLE [BUNDLE ...]`.

All of them run in this process in ONNX Runtime, one clip at a time and in turn, round by round, so
that a neighbour's work slows all alike. The clips are noise: what they show does not change the
work. Needs no TensorFlow. Exit codes are in docs/exit-codes.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.files import write_json

THREADS, ROUNDS = 2, 7


def in_turn(
    subjects: Mapping[str, Callable[[], Any]],
    rounds: int,
    called: Callable[[], Any] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each subject per round: one untimed call each, then all of them, round by round.

    Args:
        subjects: Name → what to time.
        rounds: Timed rounds.
        called: Told after every call, outside the time taken.
    """
    for subject in subjects.values():
        subject()
        called()
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            started = perf_counter()
            subject()
            seconds[name].append(perf_counter() - started)
            called()
    return seconds


def ratio(seconds: Sequence[float], reference: Sequence[float]) -> float:
    """Median of the ratios round by round: a slow round slows both."""
    return median(a / b for a, b in zip(seconds, reference, strict=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m export.clips_per_second",
        description="Time bundles in ONNX Runtime, one clip at a time, in turn; print a table.",
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="exported folder")
    parser.add_argument("--threads", type=int, default=THREADS, help="(default %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed (default %(default)s)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.json",
        help="write {bundle as given: {clips_per_second, seconds of every round}}",
    )
    arguments = parser.parse_args(argv)
    return run_cli(lambda: _measure(arguments))


def _measure(args: argparse.Namespace) -> int:
    names = [str(path) for path in args.bundles]
    for text, wrong in (
        ("each bundle once", len(set(names)) < len(names)),
        ("--threads of at least 1", args.threads < 1),
        ("--rounds of at least 1", args.rounds < 1),
    ):
        if wrong:
            raise UserError(f"expected {text}; see python -m export.clips_per_second --help")
    seconds = measured(args.bundles, args.threads, args.rounds)
    result = {name: summary(times) for name, times in seconds.items()}
    print(f"ONNX Runtime, batch 1, {args.threads} threads, medians of {args.rounds} rounds\n")
    print(table(result))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, result)
        print(f"\nwritten to {args.out}")
    return 0


def measured(bundles: Sequence[Path], threads: int, rounds: int) -> dict[str, list[float]]:
    """Time bundles in turn, after one untimed run each.

    Args:
        bundles: Folders with `model.onnx` and `clipspec.json`; all are opened before any is timed.
        threads: Of ONNX Runtime, for each.
        rounds: Timed rounds.

    Returns:
        Path as given → seconds of every round.

    Raises:
        UserError: a bundle is missing or unreadable, or its parts disagree.
    """
    from tqdm import tqdm

    with ExitStack() as stack:
        subjects = {str(path): _one_clip(path, threads, stack) for path in bundles}
        count = len(subjects) * (rounds + 1)
        bar = stack.enter_context(tqdm(total=count, desc="clips", leave=False, disable=None))
        return in_turn(subjects, rounds, bar.update)


def _one_clip(path: Path, threads: int, stack: ExitStack) -> Callable[[], Any]:
    """What runs the bundle's model on one clip; the stack closes it."""
    import numpy as np

    from deploy.bundle import open_bundle

    bundle, backend = open_bundle(path, threads)
    stack.enter_context(backend)
    shape = (1, bundle.spec.frames, bundle.spec.size, bundle.spec.size, 3)
    clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return lambda: backend.infer({"clip": clip})


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """What goes into the file: clips per second by the median, and the seconds themselves."""
    return {"clips_per_second": 1 / median(seconds), "seconds": list(seconds)}


def table(result: Mapping[str, Mapping[str, Any]]) -> str:
    """The result as text; speeds relative to the first bundle's are medians round by round."""
    first = next(iter(result.values()))["seconds"]
    width = max(map(len, ("bundle", *result)))
    lines = [f"{'bundle':<{width}}  {'clips/s':>8}  {'p50 ms':>8}  {'× first':>8}"]
    for name, row in result.items():
        times = row["seconds"]
        lines.append(
            f"{name:<{width}}  {row['clips_per_second']:>8.2f}  {1e3 * median(times):>8.1f}  "
            f"{ratio(first, times):>8.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
