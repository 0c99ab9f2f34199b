"""Error rates of a model as its ClipSpec carries them: what an evaluation found on test videos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from keras_ddl.edge.clipspec import ClipSpec

TEST, CALIBRATION = "test", "calibration"
"""Where `ClipSpec.metrics` holds the rates, and what the threshold was chosen on."""
NOT_MEASURED = "false alarms on real people were never measured"
NOT_CHOSEN = "the threshold was chosen on nothing"


@dataclass(frozen=True)
class MethodRate:
    """How well the fakes of one method are told from the reals of a set.

    Args:
        method: Of forgery.
        fakes: How many videos.
        auc: At video level, in [0, 1].
        auc_interval: What holds 95 % of 1000 resamples of the videos.
    """

    method: str
    fakes: int
    auc: float
    auc_interval: tuple[float, float]

    def line(self) -> str:
        """The rate in words."""
        low, high = self.auc_interval
        return f"{self.method} {self.auc:.2f} ({low:.2f} to {high:.2f}) on {self.fakes}"


@dataclass(frozen=True)
class Measured:
    """Error rates on one set of test videos.

    Args:
        name: Of the set.
        trained_on: Whether the network was trained on another part of the same set.
        reals, fakes: How many videos.
        auc: At video level, in [0, 1]; None on reals alone.
        auc_interval: What holds 95 % of 1000 resamples of the videos; None likewise.
        false_alarms: Share of the reals called fake at the threshold, in [0, 1].
        false_alarms_interval: Wilson's, 95 %.
        methods: Each method of forgery by itself, where there are several: a sum over all of them
            hides the one that is not seen at all.
    """

    name: str
    trained_on: bool
    reals: int
    fakes: int
    auc: float | None
    auc_interval: tuple[float, float] | None
    false_alarms: float
    false_alarms_interval: tuple[float, float]
    methods: tuple[MethodRate, ...] = ()

    def line(self) -> str:
        """The rates in words, for people who see a verdict."""
        low, high = self.false_alarms_interval
        alarms = f"called fake ({low:.0%} to {high:.0%})"
        if self.auc is None or self.auc_interval is None:
            return f"{self.name}: {self.false_alarms:.0%} of {self.reals} real videos {alarms}"
        by_method = ", ".join(one.line() for one in self.methods)
        return (
            f"{self.name}: AUC {self.auc:.2f} ({self.auc_interval[0]:.2f} to "
            f"{self.auc_interval[1]:.2f}) on {self.fakes} fake and {self.reals} real videos"
            f"{f' ({by_method})' if by_method else ''}; "
            f"{self.false_alarms:.0%} of the reals {alarms}"
        )

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Measured:
        """Take a row of `ClipSpec.metrics`.

        Raises:
            AttributeError, IndexError, TypeError, ValueError: It is not one.
        """
        methods = tuple(MethodRate(**_tuples(one)) for one in row.get("methods", ()))
        return cls(**{**_tuples(row), "methods": methods})

    def to_json(self) -> dict[str, Any]:
        """Return such a row."""
        row: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return row


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}


def onto(spec: ClipSpec, found: Sequence[Measured]) -> ClipSpec:
    """Return a spec that carries these rates; doing so twice changes nothing more."""
    return spec.replace(metrics={**spec.metrics, TEST: [one.to_json() for one in found]})


def measured(spec: ClipSpec) -> tuple[Measured, ...]:
    """Return the rates that a spec carries; what is not understood is left out."""
    rows: Any = spec.metrics.get(TEST)
    found = []
    for row in rows if isinstance(rows, list) else ():
        try:
            one = Measured.from_json(row)
            one.line()
        except (AttributeError, IndexError, TypeError, ValueError):
            continue  # a spec is a free object; another version may have written it
        found.append(one)
    return tuple(found)


def known_errors(spec: ClipSpec) -> str:
    """What is known of a model's errors, in one line; plainly so where nothing is."""
    parts = [one.line() for one in measured(spec)] or [NOT_MEASURED]
    if CALIBRATION not in spec.metrics:
        parts.append(f"{NOT_CHOSEN} ({spec.threshold:g})")
    return "; ".join(parts)
