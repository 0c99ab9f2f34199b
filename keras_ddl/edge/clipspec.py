"""ClipSpec: what a model expects of a clip, carried by every artefact it travels in."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_ddl.edge.files import write_text

VERSION = 1
DETECTORS = ("", "haar", "yunet")
CUTTING = ("frames", "interval_ms", "longest_interval_ms", "size", "margin", "smoothing")
"""Fields that decide how clips are cut, and that a user may set."""
_FLOATS = (
    "interval_ms",
    "longest_interval_ms",
    "margin",
    "smoothing",
    "threshold",
    "real_to",
    "temperature",
)
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class ClipSpec:
    """The contract between the training side and the device.

    It lies as JSON in the ONNX metadata (key `clipspec`) and beside every artefact; a device
    cuts clips as the artefact says and never from its own defaults.

    Args:
        frames: Frames per clip T, a multiple of 4 (MSA pools time by 4).
        interval_ms: Time between two frames of a clip in milliseconds; 40 = consecutive at 25 fps.
            With `longest_interval_ms` the shortest such time.
        longest_interval_ms: Clips take the first multiple of their source's own period that lies
            between the two, so that 33 to 100 serves 10 to 60 frames a second; 0 = one interval.
        size: Side S of the square crop in pixels, at least 32.
        margin: Side of the crop over the side of the canonical face box, at least 1.
        smoothing: Weight of the past box per 40 ms in the exponential average, in [0, 1);
            0 = no smoothing.
        color: Channel order of the crops; only "RGB".
        threshold: Fake probability at and above which a clip or video counts as fake, in (0, 1).
        real_to: Fake probability up to which a verdict may be REAL, at most the threshold; between
            the two it is UNCERTAIN. 0 = not chosen: whoever judges keeps a distance of its own.
        temperature: Divisor of the logits before the softmax, above 0. It is part of an exported
            graph, whose `fake_probability` is calibrated: nothing after it divides again.
        classes: Names of class 0 and class 1; class 1 = fake.
        detector: Face detector that cut the training crops: "haar", "yunet" or "" (unknown).
        training: Free JSON object: dataset, preset, seed and the like.
        metrics: Free JSON object: what the model reached, and on what.
        weights_sha256: SHA-256 of the weights file in lower-case hex, or "".
        version: Version of this contract, 1.

    Raises:
        ValueError: A value is out of range; the message names the field.
    """

    frames: int = 8
    interval_ms: float = 40.0
    longest_interval_ms: float = 0.0
    size: int = 256
    margin: float = 1.3
    smoothing: float = 0.6
    color: str = "RGB"
    threshold: float = 0.5
    real_to: float = 0.0
    temperature: float = 1.0
    classes: tuple[str, str] = ("real", "fake")
    detector: str = ""
    training: Mapping[str, Any] = field(default_factory=dict, hash=False)
    metrics: Mapping[str, Any] = field(default_factory=dict, hash=False)
    weights_sha256: str = ""
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION or isinstance(self.version, bool):
            raise ValueError(
                f"ClipSpec version: expected {VERSION}, received {self.version!r}; "
                "use the release of keras-ddl that wrote it"
            )
        self._check_integers()
        self._check_floats()
        self._check_names()
        for name in ("training", "metrics"):
            object.__setattr__(self, name, _json_object(name, getattr(self, name)))

    def _check_integers(self) -> None:
        for name in ("frames", "size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise _error(name, "an integer", value)
            object.__setattr__(self, name, value.__index__())
        if self.frames < 4 or self.frames % 4:
            raise _error("frames", "a positive multiple of 4", self.frames)
        if self.size < 32:
            raise _error("size", "at least 32 pixels", self.size)

    def _check_floats(self) -> None:
        for name in _FLOATS:
            value = getattr(self, name)
            try:
                number = float(value)
            except (TypeError, ValueError):
                raise _error(name, "a number", value) from None
            except OverflowError:  # a whole number of 400 digits, which JSON may hold
                raise _error(name, "a finite number", value) from None
            if isinstance(value, (bool, str)) or not math.isfinite(number):
                raise _error(name, "a finite number", value)
            object.__setattr__(self, name, number)
        if self.interval_ms <= 0:
            raise _error("interval_ms", "above 0", self.interval_ms)
        if self.longest_interval_ms and self.longest_interval_ms < self.interval_ms:
            expected = f"0 or at least interval_ms, {self.interval_ms:g}"
            raise _error("longest_interval_ms", expected, self.longest_interval_ms)
        if self.margin < 1:
            raise _error("margin", "at least 1", self.margin)
        if not 0 <= self.smoothing < 1:
            raise _error("smoothing", "in [0, 1)", self.smoothing)
        if not 0 < self.threshold < 1:
            raise _error("threshold", "in (0, 1)", self.threshold)
        if not 0 <= self.real_to <= self.threshold:
            raise _error("real_to", f"0 to the threshold, {self.threshold:g}", self.real_to)
        if self.temperature <= 0:
            raise _error("temperature", "above 0", self.temperature)

    def _check_names(self) -> None:
        if self.color != "RGB":
            raise _error("color", '"RGB"', self.color)
        names = self.classes
        if not isinstance(names, (list, tuple)) or len(names) != 2 or names[0] == names[1]:
            raise _error("classes", "two different names", names)
        if not all(isinstance(name, str) and name for name in names):
            raise _error("classes", "two non-empty strings", names)
        object.__setattr__(self, "classes", tuple(names))
        if self.detector not in DETECTORS:
            raise _error("detector", f"one of {DETECTORS}", self.detector)
        digest = self.weights_sha256
        if not isinstance(digest, str) or (digest and (len(digest) != 64 or set(digest) - _HEX)):
            raise _error("weights_sha256", '64 lower-case hex digits or ""', digest)

    @property
    def span_ms(self) -> float:
        """Time from the first to the last frame of the shortest clip, in milliseconds."""
        return (self.frames - 1) * self.interval_ms

    @property
    def slowest_ms(self) -> float:
        """Longest time between two frames of a clip, in milliseconds."""
        return self.longest_interval_ms or self.interval_ms

    def replace(self, **changes: Any) -> ClipSpec:
        """Return a copy with some fields changed; unknown names are a TypeError."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """Return the spec as JSON text: keys sorted, two spaces, equal specs give equal text."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return json.dumps(values, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ClipSpec:
        """Read what `to_json` wrote.

        Raises:
            ValueError: Not a JSON object, an unknown key, another version, or a bad value.
        """
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:  # the latter of nested brackets
            raise ValueError(f"ClipSpec: expected JSON, received something else: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"ClipSpec: expected a JSON object, received {type(values).__name__}")
        if "version" not in values:
            raise ValueError(f"ClipSpec: the key 'version' is missing; expected {VERSION}")
        if values["version"] != VERSION:
            return cls(version=values["version"])  # raises, naming both versions
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"ClipSpec: unknown keys {unknown}; known are {sorted(known)}")
        if isinstance(values.get("classes"), list):
            values["classes"] = tuple(values["classes"])
        return cls(**values)

    def write(self, path: Path | str) -> Path:
        """Write the JSON to `path`, whole or not at all, and return the path."""
        path = Path(path)
        write_text(path, self.to_json() + "\n")
        return path

    @classmethod
    def read(cls, path: Path | str) -> ClipSpec:
        """Read a file that `write` wrote; a ValueError names the file."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _error(name: str, expected: str, received: object) -> ValueError:
    return ValueError(f"ClipSpec {name}: expected {expected}, received {received!r}")


def _json_object(name: str, value: object) -> dict[str, Any]:
    """Return a deep copy of a JSON object, so that a frozen spec shares nothing mutable."""
    if not isinstance(value, Mapping):
        raise _error(name, "a JSON object", value)
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"ClipSpec {name}: expected plain finite JSON values: {error}") from None
    if copy.keys() != value.keys():
        raise _error(name, "string keys", list(value))
    return copy
