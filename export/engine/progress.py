"""A bar for a build that takes minutes, where TensorRT tells how far it is (from 10.x on)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_monitor(trt: Any, config: Any) -> Iterator[None]:
    """Show the phases of a build on stderr while the body runs.

    Args:
        trt: The TensorRT module.
        config: The builder's configuration; gets a `progress_monitor` where the version has them.
    """
    base: Any = getattr(trt, "IProgressMonitor", None)
    if base is None:
        print(
            f"building; TensorRT {trt.__version__} does not tell how far it is, minutes are normal",
            file=sys.stderr,
        )
        yield
        return

    class Monitor(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, done

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases[phase_name] = (parent_phase, num_steps, 0)
            if parent_phase is None and not sys.stderr.isatty():
                print(f"building: {phase_name}", file=sys.stderr, flush=True)

        def step_complete(self, phase_name: str, step: int) -> bool:
            parent, steps, _ = self.phases.get(phase_name, (None, 0, 0))
            self.phases[phase_name] = (parent, steps, step + 1)
            if parent is None:
                show(f"building: {phase_name} {step + 1}/{steps}")
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            self.phases.pop(phase_name, None)

    config.progress_monitor = Monitor()
    try:
        yield
    finally:
        show("", end="\r" if sys.stderr.isatty() else "")


def show(text: str, end: str = "") -> None:
    """Rewrite the line of a terminal; a log gets the names of the phases alone."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end=end, file=sys.stderr, flush=True)
