"""TensorRT logger that keeps errors: a failure is a None, and the reason stands in the log."""

from __future__ import annotations

from collections import deque
from typing import Any

KEPT = 20  # newest errors


def engine_log(tensorrt: Any) -> Any:
    """Make a logger for a TensorRT module.

    Returns:
        A `tensorrt.ILogger` with an attribute `errors`, the newest error lines, and a method
        `reason()`: the last of them in one line, or a word that there was none.
    """

    class EngineLog(tensorrt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            tensorrt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=KEPT)

        def log(self, severity: Any, message: str) -> None:
            if severity in (tensorrt.ILogger.ERROR, tensorrt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

        def reason(self) -> str:
            return " ".join(self.errors[-1].split()) if self.errors else "TensorRT gave no reason"

    return EngineLog()
