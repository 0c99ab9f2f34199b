"""Error rates of a model as its ClipSpec carries them: what an evaluation found on test videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from keras_ddl.edge.clipspec import ClipSpec

TEST, CALIBRATION = "test", "calibration"
"""Where `ClipSpec.metrics` holds the rates, and what the threshold was chosen on."""
NOT_MEASURED = "false alarms on real people were never measured"
NOT_CHOSEN = "the threshold was chosen on nothing"


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
    """

    name: str
    trained_on: bool
    reals: int
    fakes: int
    auc: float | None
    auc_interval: tuple[float, float] | None
    false_alarms: float
    false_alarms_interval: tuple[float, float]

    def line(self) -> str:
        """The rates in words, for people who see a verdict."""
        low, high = self.false_alarms_interval
        alarms = f"called fake ({low:.0%} to {high:.0%})"
        if self.auc is None or self.auc_interval is None:
            return f"{self.name}: {self.false_alarms:.0%} of {self.reals} real videos {alarms}"
        return (
            f"{self.name}: AUC {self.auc:.2f} ({self.auc_interval[0]:.2f} to "
            f"{self.auc_interval[1]:.2f}) on {self.fakes} fake and {self.reals} real videos; "
            f"{self.false_alarms:.0%} of the reals {alarms}"
        )


def onto(spec: ClipSpec, found: Sequence[Measured]) -> ClipSpec:
    """Return a spec that carries these rates; doing so twice changes nothing more."""
    rows = [
        {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(one).items()}
        for one in found
    ]
    return spec.replace(metrics={**spec.metrics, TEST: rows})


def measured(spec: ClipSpec) -> tuple[Measured, ...]:
    """Return the rates that a spec carries; what is not understood is left out."""
    rows: Any = spec.metrics.get(TEST)
    found = []
    for row in rows if isinstance(rows, list) else ():
        try:
            values: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in row.items()
            }
            one = Measured(**values)
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
