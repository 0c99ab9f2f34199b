"""Line of a chain: a JSON object in bytes, which may end with its own signature."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.evidence.signing import SigningKey, holds

CHAIN, STAMPS = "chain.jsonl", "stamps"  # what a root holds beside the folders of its events
MANIFEST = "manifest.json"
PARTIAL = ".partial"  # how the folder of an event is named that is being recorded
STAMP = ".tsr"  # a time-stamp response, as `openssl ts` reads it
OPENED, EVENT, DROPPED, STAMPED = "opened", "event", "dropped", "stamped"
# A signature covers the line's other bytes as they stand, so nothing has to be written anew to
# check it; the words before them keep it from meaning anything elsewhere.
CONTEXT = b"keras-ddl evidence line\n"
_SIGNED = re.compile(rb', "signature": "([0-9a-f]{128})"\}$')
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Line:
    """A line as it is read back: anybody may have written it, so nothing in it is trusted.

    Attributes:
        raw: Its bytes, without the line break.
        record: The object in it; empty where there is none.
    """

    raw: bytes
    record: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: bytes) -> Line:
        """Read the bytes of a line."""
        return cls(raw, json_object(raw))

    @property
    def kind(self) -> str:
        """One of `opened`, `event`, `dropped`, `stamped`, or whatever stands there."""
        return self.text("type")

    @property
    def digest(self) -> str:
        """SHA-256: the head of a chain that ends with this line."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def is_signed(self) -> bool:
        """Whether it ends as a signed line does."""
        return _SIGNED.search(self.raw) is not None

    def text(self, name: str) -> str:
        """A text of the record, "" where there is none."""
        value = self.record.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> float:
        """A number of the record, NaN where there is none."""
        value = self.record.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return float("nan")
        return float(value) if abs(value) < 1e300 else float("nan")

    def digest_of(self, name: str) -> str:
        """64 hex digits of the record, "" where there are none."""
        value = self.text(name)
        return value if _DIGEST.fullmatch(value) else ""

    @property
    def folder(self) -> str:
        """Folder that it names; "" where the name could reach anything but a folder of events."""
        name = self.text("folder")
        return name if is_plain(name) and name not in (CHAIN, STAMPS) else ""

    def signed_by(self, key: str) -> bool:
        """Whether the holder of `key`, 64 hex digits, signed it.

        Raises:
            UserError: the package that checks signatures is missing (3).
        """
        found = _SIGNED.search(self.raw)
        if found is None:
            return False
        body = self.raw[: found.start()] + b"}"
        return holds(key, CONTEXT + body, found[1].decode())


def is_plain(name: str) -> bool:
    """Whether a name stays within its folder and is not hidden there."""
    return bool(name) and not name.startswith(".") and not re.search(r"[/\\\x00-\x1f]", name)


def line_bytes(record: Mapping[str, Any], key: SigningKey | None) -> bytes:
    """Write a record as a line, with the line break; signed where there is a key."""
    body = json.dumps(dict(record), ensure_ascii=False, allow_nan=False).encode()
    if key is not None:
        body = body[:-1] + b', "signature": "' + key.sign(CONTEXT + body).encode() + b'"}'
    return body + b"\n"


def json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that some bytes hold; an empty one for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
