"""Evidence of made-up events, written by the sink itself, and what a forger needs to edit it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.bundle import Bundle
from deploy.judging.records import ScoredClip
from deploy.judging.verdict import Decision, Label
from deploy.sinks.base import Output
from deploy.sinks.evidence_folder import EvidenceFolder
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.video import Frame

EVENTS = ("a", "b", "c")
WEIGHTS = hashlib.sha256(b"brightness").hexdigest()


def clip_of(number: int) -> np.ndarray:
    """Noise, brighter with its number: uint8 (8, 64, 64, 3)."""
    rng = np.random.default_rng(number)
    return rng.integers(60 + 20 * number, 256, (8, 64, 64, 3), dtype=np.uint8)


def hashed_bundle(folder: Path) -> Bundle:
    """A bundle whose model is never run."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"only hashed")
    return Bundle(folder, ClipSpec(size=64, weights_sha256=WEIGHTS), WEIGHTS[:12], "synthetic")


def outputs(
    events: Sequence[str], score: Callable[[np.ndarray], Iterable[float]], source: str = "door"
) -> Iterable[Output]:
    """One output a FAKE event, of one clip each."""
    for number, event in enumerate(events):
        frames = clip_of(number)
        probability = float(next(iter(score(frames[None]))))
        times = 1000.0 * number + 40.0 * np.arange(8)
        decision = Decision(Label.FAKE, probability, "high")
        clip = ScoredClip(Clip(frames, times, 1), (4, 4, 20, 20), probability, decision)
        verdict = {"type": "verdict", "track": 1, "verdict": "FAKE", "event": event}
        record = {**verdict, "time_ms": times[-1], "at": f"2026-11-25T10:00:0{number}.000"}
        frame = Frame(np.full((48, 64, 3), 99, np.uint8), times[-1], number)
        yield Output((record,), frame, (clip,), source=source)


def write_events(
    root: Path,
    bundle: Bundle,
    score: Callable[[np.ndarray], Iterable[float]] = lambda clips: [0.9],
    events: Sequence[str] = EVENTS,
    **options: Any,
) -> Path:
    """Have the sink write events; `options` are its own."""
    with EvidenceFolder(root, bundle, pre_ms=0, post_ms=0, **options) as sink:
        for output in outputs(events, score):
            sink.write(output)
    return root


def folder(root: Path, event: str) -> Path:
    """The folder of an event."""
    (found,) = root.glob(f"*_door_{event}")
    return found


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def raw_lines(root: Path) -> list[bytes]:
    """The lines of a chain as they stand."""
    return (root / "chain.jsonl").read_bytes().splitlines()


def write_raw(root: Path, lines: Iterable[bytes]) -> None:
    """Write lines as they are."""
    (root / "chain.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def lines_of(root: Path) -> list[dict[str, Any]]:
    """The lines of a chain, read."""
    return [json.loads(line) for line in raw_lines(root)]


def write_lines(root: Path, lines: Iterable[dict[str, Any]], linked: bool) -> None:
    """Write a chain; `linked` = as somebody would who knows how it is made."""
    head, written = "", []
    for line in lines:
        line = {**line, "previous": head} if linked else line
        raw = json.dumps(line).encode()
        head = hashlib.sha256(raw).hexdigest()
        written.append(raw)
    write_raw(root, written)


def rebuild(
    root: Path,
    change_line: Callable[[dict[str, Any]], object] = lambda line: None,
    change_manifest: Callable[[dict[str, Any]], object] = lambda facts: None,
    sign: Callable[[bytes], bytes] = lambda line: line,
) -> None:
    """Make the whole chain anew around its folders, consistent in itself.

    Args:
        root: The evidence.
        change_line: Of every line, before it is linked; its own signature is taken off.
        change_manifest: Of every manifest.
        sign: Makes a signed line of a line.
    """
    head, newest, written = "", "", []
    for line in lines_of(root):
        line.pop("signature", None)
        change_line(line)
        if line["type"] == "event":
            path = root / line["folder"] / "manifest.json"
            edit(path, lambda facts, h=head, n=newest: facts.update(chain_head=h, previous=n))
            edit(path, change_manifest)
            newest = hashlib.sha256(path.read_bytes()).hexdigest()
            line["manifest_sha256"] = newest
            line["bytes"] = sum(file.stat().st_size for file in path.parent.iterdir())
        raw = sign(json.dumps({**line, "previous": head}, ensure_ascii=False).encode())
        head = hashlib.sha256(raw).hexdigest()
        written.append(raw)
    write_raw(root, written)
