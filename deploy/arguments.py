"""What the commands share: one-line errors, checked numbers, choices, quiet libraries."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable
from typing import NoReturn

from deploy.bundle import SYNTHETIC
from deploy.quiet import silence_libraries
from keras_ddl.errors import USAGE

FOOTAGE = ("real", SYNTHETIC)
DETECTORS = ("auto", "haar", "yunet")


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line, as those of every other check."""

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        self.exit(USAGE, f"error: {message}; see {self.prog} --help\n")


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
