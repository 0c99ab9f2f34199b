"""What the commands share: checked numbers and choices."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from deploy.bundle import SYNTHETIC

FOOTAGE = ("real", SYNTHETIC)
DETECTORS = ("auto", "haar", "yunet")
EVERY_S = 0.5  # time between two clips of a face


def at_least(lowest: int) -> Callable[[str], int]:
    """An argument type: whole numbers from `lowest` up."""

    def parse(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {lowest}, got {text!r}")
        return int(text)

    return parse


def positive(text: str) -> float:
    """An argument type: finite numbers above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value
