"""What the commands share: checked numbers, choices, quiet libraries."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable

from deploy.bundle import SYNTHETIC
from deploy.quiet import silence_libraries

FOOTAGE = ("real", SYNTHETIC)
DETECTORS = ("auto", "haar", "yunet")


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


def set_up_logging() -> None:
    """Warnings and the choice of detector to stderr; nothing from native libraries."""
    silence_libraries()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("keras_ddl.faces").setLevel(logging.INFO)  # says which detector, and why
