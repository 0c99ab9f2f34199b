"""Settings as a person types them → values of the type that a key has."""

from __future__ import annotations

import argparse
import difflib
import json
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import MISSING, UserError


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """Return the line that refuses a name and gives the nearest known one."""
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"unknown {what} {name!r}; did you mean {nearest!r}? Known: {', '.join(known)}"


def read_toml(file: Path, otherwise: str) -> dict[str, Any]:
    """Read the TOML file that `--config` names; a UserError says what is wrong with it.

    Args:
        file: The file.
        otherwise: The option that does without, on a Python that cannot read TOML.
    """
    try:
        import tomllib
    except ImportError:  # Python 3.10
        try:
            import tomli as tomllib
        except ImportError as error:
            raise UserError(
                "--config needs Python 3.11 or the package tomli: pip install tomli; "
                f"{otherwise} works without",
                MISSING,
            ) from error
    try:
        return dict(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"--config: cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--config: {file} is not valid TOML: {error}") from error


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a text begins that a spreadsheet computes


def spreadsheet_cell(value: Any) -> Any:
    """A value for a CSV; a text that a spreadsheet would compute gets an apostrophe before it."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _bool(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(value)


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(value)
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(value)
    return float(value)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _int_or_str(value: Any) -> int | str:
    return _int(value) if str(value).isdigit() or isinstance(value, bool) else _str(value)


def _tuple(item: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def parse(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [] if value in ("", "none") else [part.strip() for part in value.split(",")]
        if not isinstance(value, (list, tuple)):
            raise ValueError(value)
        return tuple(item(part) for part in value)

    return parse


_KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bool": ("true or false", _bool),
    "int": ("a whole number", _int),
    "float": ("a number", _float),
    "str": ("text", _str),
    "int | str": ("text or a whole number", _int_or_str),
    "tuple[str, ...]": ("a list of names", _tuple(_str)),
    "tuple[int, ...]": ("a list of whole numbers", _tuple(_int)),
}


def refuse_quoted(key: str, value: Any, kind: str) -> None:
    """Refuse a text where a file, which has numbers and truth values, should have one.

    Raises:
        UserError: naming key and what was expected.
    """
    if isinstance(value, str) and kind in ("bool", "int", "float"):
        expected, _ = _KINDS[kind]
        shown = json.dumps(value)
        raise UserError(f"config key {key!r}: expected {expected} without quotes, received {shown}")


def coerced(key: str, value: Any, kind: str) -> Any:
    """Return a value, text or of its type already, as the type `kind` names.

    Args:
        key: Named in the error.
        value: From a command line, TOML or JSON.
        kind: An annotation: `bool`, `int`, `float`, `str`, `int | str` or a tuple of one of them.

    Raises:
        UserError: naming key, what was expected and what was received.
    """
    expected, parse = _KINDS[kind]
    try:
        return parse(value)
    except (ValueError, OverflowError) as error:
        shown = json.dumps(value, default=str)
        raise UserError(f"config key {key!r}: expected {expected}, received {shown}") from error


def at_least(lowest: int) -> Callable[[str], int]:
    """Return an argument type: whole numbers from `lowest` up."""

    def parse(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {lowest}, got {text!r}")
        return int(text)

    return parse


def positive(text: str) -> float:
    """Parse a finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value
