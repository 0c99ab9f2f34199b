"""The TOML file of sources: `--config streams.toml`."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.sources import Limits, Source, Watch, open_source, redact
from deploy.sources.base import DEFAULT_LIMITS
from deploy.sources.live.watches import FROZEN_S, MAX_AGE_MS
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.values import read_toml, unknown
from keras_ddl.edge.video.decoder import CPU

VARIABLE = re.compile(r"\$\{(\w+)\}")
TABLE = "source"


@dataclass(frozen=True)
class SourceConfig:
    """One `[[source]]`.

    Args:
        url: What `open_source` takes, secrets filled in; it is not shown when this is printed.
        name: For logs and outputs, unique, without credentials.
        keep_trying: Try for ever where the first connection fails.
        realtime: Pace a recording as it was recorded.
        frozen_s: The same picture for so many seconds is frozen; 0 = never.
        max_age_ms: Bound on the age of a live frame that waits to be judged, milliseconds.
        limits: On the size of its pictures.
        device: What decodes it, as in `open_source`.
    """

    url: str = field(repr=False)
    name: str
    keep_trying: bool = True
    realtime: bool = False
    frozen_s: float = FROZEN_S
    max_age_ms: float = MAX_AGE_MS
    limits: Limits = DEFAULT_LIMITS
    device: str = CPU

    def open(self, telemetry: NullTelemetry) -> Source:
        """Make the source; errors as in `open_source`."""
        watch = Watch(
            keep_trying=self.keep_trying,
            frozen_s=self.frozen_s,
            max_age_ms=self.max_age_ms,
            telemetry=telemetry,
        )
        return open_source(
            self.url,
            name=self.name,
            watch=watch,
            realtime=self.realtime,
            limits=self.limits,
            device=self.device,
        )


def read_streams(path: Path) -> list[SourceConfig]:
    """Read the sources of a TOML file, in its order.

    `${NAME}` in an address stands for an environment variable, so that the file need hold no
    secret; within an address what it stands for is percent-encoded. Relative paths are those
    of the file's own folder.

    Raises:
        UserError: unreadable, not TOML, an unknown key (the nearest is said), a value of the wrong
            kind, a name twice, an environment variable that is not set, or no source at all (2);
            no reader of TOML on Python 3.10 (3).
    """
    document = read_toml(path, "--source")
    for key in document:
        if key != TABLE:
            raise UserError(f"{path}: {unknown('table', key, [TABLE])}")
    tables = document.get(TABLE)
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise UserError(f"{path}: expected one or more [[source]] tables, received none")
    found: dict[str, SourceConfig] = {}
    for number, table in enumerate(tables, 1):
        config = _source(f"{path}: source {number}", table, path.parent)
        if config.name in found:
            raise UserError(f"{path}: two sources have the name {config.name!r}; give each its own")
        found[config.name] = config
    return list(found.values())


def _source(where: str, table: dict[str, Any], folder: Path) -> SourceConfig:
    for key, value in table.items():
        if key not in KEYS:
            raise UserError(f"{where}: {unknown('key', key, KEYS)}")
        expected, fits = KEYS[key]
        if not fits(value):
            raise UserError(f"{where}: {key}: expected {expected}, received {_shown(value)}")
    if "url" not in table:
        raise UserError(f"{where}: expected a url, received {', '.join(table) or 'nothing'}")
    raw = str(table["url"])
    fields = {**table, "name": table.get("name") or redact(raw)}
    sizes = Limits()
    if lines := fields.pop("variant", 0):
        sizes = replace(sizes, lines=lines)
    if most := fields.pop("max_megapixels", 0):
        sizes = replace(sizes, most_pixels=round(most * 1e6))
    fields["limits"] = sizes
    return SourceConfig(**{**fields, "url": _filled(where, raw, folder)})


def _shown(value: Any) -> str:
    """A value without credentials."""
    return repr(redact(value)) if isinstance(value, str) else repr(value)


def _filled(where: str, raw: str, folder: Path) -> str:
    """Put in the environment's values, and make a path one of the file's folder."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UserError(f"{where}: the environment variable {match[1]} is not set; export it")
        text = os.environ[match[1]]
        return quote(text, safe="") if "://" in raw[: match.start()] else text

    url = VARIABLE.sub(value, raw)
    is_path = "://" not in url and not url.isdecimal()
    return str(folder / url) if is_path else url


def _is_number(low: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value < math.inf
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


KEYS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a name", _is_text),
    "url": ("an address, a camera or a file", _is_text),
    "keep_trying": ("true or false", _is_bool),
    "realtime": ("true or false", _is_bool),
    "frozen_s": ("seconds, 0 or more", _is_number(0.0)),
    "max_age_ms": ("milliseconds, 1 or more", _is_number(1.0)),
    "max_megapixels": ("a number of 0.01 or more", _is_number(0.01)),
    "variant": ("lines of a picture, a whole number of 1 or more", _is_count),
}
