"""Commands to a run by MQTT: start, stop, snapshot."""

from __future__ import annotations

import json
from dataclasses import dataclass

COMMANDS = ("start", "stop", "snapshot")
LONGEST = 1024  # bytes


@dataclass(frozen=True)
class Command:
    """A command (one of COMMANDS) and the name of the source it is for."""

    verb: str
    source: str


def parse_command(payload: bytes) -> Command:
    """Read `stop NAME` or `{"command": "stop", "source": "NAME"}`.

    Raises:
        ValueError: neither; the message is one line.
    """
    if len(payload) > LONGEST:
        raise ValueError(f"expected at most {LONGEST} bytes, received {len(payload)}")
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError("expected UTF-8 text") from error
    verb, source = _from_json(text) if text.startswith("{") else _from_words(text)
    if verb not in COMMANDS:
        raise ValueError(f"expected one of {', '.join(COMMANDS)}, received {verb[:40]!r}")
    if not source:
        raise ValueError(f"expected the name of a source after '{verb}'")
    return Command(verb, source)


def _from_words(text: str) -> tuple[str, str]:
    verb, _, source = text.partition(" ")
    return verb, source.strip()


def _from_json(text: str) -> tuple[str, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from error
    verb, source = value.get("command"), value.get("source")
    if not isinstance(verb, str) or not isinstance(source, str):
        raise ValueError('expected {"command": "stop", "source": "NAME"}')
    return verb, source
