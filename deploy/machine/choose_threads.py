"""Choice of a small network's threads on a CPU: one, where that is about as fast as all."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

import numpy as np

from deploy.backends import Backend
from deploy.bundle import Bundle, open_bundle

LONG_S = 0.05  # of a call: a larger network gains by threads, and trying would delay the start
TRIES = 3
TRIAL_S = 0.2  # in which no further try begins
MARGIN = 1.1  # so much longer may one thread take, which leaves the other cores to the sources


def open_with_threads(model: Path, threads: int | None, device: str) -> tuple[Bundle, Backend, str]:
    """Open a bundle as `open_bundle` does; where nobody says with how many threads, try.

    A small network's work does not pay for sharing it everywhere: on some machines two threads,
    which wait for one another, take longer than one. Answers are the same with any number.

    Args:
        model: A bundle's folder, or an engine.
        threads: Of ONNX Runtime; None tries one beside what it takes by itself.
        device: Where ONNX Runtime computes; threads are tried on a CPU alone.

    Returns:
        The bundle, its backend, and what was found, in words; "" where nothing was tried.

    Raises:
        UserError: as `open_bundle`.
    """
    bundle, backend = open_bundle(model, threads, device)
    engine = model.suffix == ".engine"
    if threads is not None or device != "cpu" or engine or (os.cpu_count() or 1) < 2:
        return bundle, backend, ""
    spec = bundle.spec
    shape = (backend.inputs[0].shape[0] or 1, spec.frames, spec.size, spec.size, 3)
    feed = {"clip": np.zeros(shape, np.uint8)}
    _seconds(backend, feed)  # a model's first call takes longest
    if _seconds(backend, feed) > LONG_S:
        return bundle, backend, ""
    _, alone = open_bundle(model, 1, device)
    until = time.monotonic() + TRIAL_S
    _seconds(alone, feed)
    pairs = [(_seconds(alone, feed), _seconds(backend, feed))]
    while len(pairs) < TRIES and time.monotonic() < until:
        pairs.append((_seconds(alone, feed), _seconds(backend, feed)))
    one, every = (median(column) for column in zip(*pairs, strict=True))
    found = f"{1e3 * one:.0f} ms a clip with one, {1e3 * every:.0f} with all"
    better, other = (alone, backend) if one <= MARGIN * every else (backend, alone)
    other.close()
    return bundle, better, f"{'1 thread' if better is alone else 'all threads'} ({found})"


def _seconds(backend: Backend, feed: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    backend.infer(feed)
    return time.perf_counter() - started
