"""Settings that the benchmarks share, and the JSON that they write."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_ddl.edge.files import read_json, write_json

BENCH = Path("runs/bench.json")
SETTINGS: dict[str, tuple[int | float, str]] = {
    "size": (256, "crop side in pixels"),
    "frames": (8, "frames per clip"),
    "width": (1.0, "factor on channels"),
    "batch": (1, "clips per step"),
    "threads": (2, "threads per subject"),
    "rounds": (15, "timed rounds"),
    "steps": (7, "timed training steps"),
}


def add_settings(
    parser: argparse.ArgumentParser, names: Sequence[str], out: Path | None = None
) -> None:
    """Add some of `SETTINGS` to a command line, and where its JSON goes."""
    for name in names:
        default, text = SETTINGS[name]
        words = f"{text} (default %(default)g)"
        parser.add_argument(f"--{name}", type=type(default), default=default, help=words)
    if out:
        parser.add_argument("--out", type=Path, default=out, help="where the JSON goes")


def settings(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Some of the parsed arguments, as a report holds them."""
    return {name: getattr(args, name) for name in names}


def merge_json(path: Path, values: Mapping[str, Any]) -> None:
    """Set some keys of a JSON object in a file and keep the others; the file need not be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = read_json(path) if path.exists() else {}
    write_json(path, {**known, **values})


def write_report(path: Path, result: Mapping[str, Any], text: str) -> None:
    """Write a result as JSON and print it as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    print(f"{text}\nwritten to {path}")
