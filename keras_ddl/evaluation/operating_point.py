"""`OperatingPoint`: the temperature and the threshold of a run, chosen on validation alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_ddl.data.prepared import Key
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.evaluation.calibration import (
    Temperature,
    ece,
    fit_temperature,
    probabilities_from_margins,
)
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.threshold import RULE, Threshold, choose_threshold

RECORD = "calibration"
"""Where the record lies in `ClipSpec.metrics`."""
_DIGITS = 6


@dataclass(frozen=True)
class OperatingPoint:
    """How a run's logits become verdicts.

    Args:
        temperature: Divides the logits; fitted on clips.
        threshold: Chosen on videos, after the temperature.
        ece_before, ece_after: Of the validation clips, at temperature 1 and at the fitted one.
        counts: Validation clips and videos.
        fingerprint: Of the prepared clips.
    """

    temperature: Temperature
    threshold: Threshold
    ece_before: float
    ece_after: float
    counts: tuple[int, int]
    fingerprint: str

    @classmethod
    def fit(
        cls, keys: tuple[Key, ...], labels: np.ndarray, margins: np.ndarray, fingerprint: str
    ) -> OperatingPoint:
        """Fit the temperature to clips, then choose the threshold on their videos.

        Args:
            keys, labels, margins: One per validation clip; see `calibration`.
            fingerprint: Of the prepared clips they come from.

        Raises:
            ValueError: One class alone.
        """
        temperature = fit_temperature(labels, margins)
        before, after = (
            probabilities_from_margins(margins, value) for value in (1.0, temperature.value)
        )
        videos = Scores(keys, labels, after).videos()
        threshold = choose_threshold(videos.labels, videos.probabilities)
        counts = (len(labels), len(videos.labels))
        errors = (ece(labels, before), ece(labels, after))
        return cls(temperature, threshold, *errors, counts, fingerprint)

    def record(self) -> dict[str, Any]:
        """Return what `clipspec.json` and `test.json` keep of it."""
        fitted, chosen = self.temperature, self.threshold
        return {
            "split": "val",
            "fingerprint": self.fingerprint,
            "clips": self.counts[0],
            "videos": self.counts[1],
            "temperature": fitted.value,
            "bounded": fitted.bounded,
            "nll_before": round(fitted.nll_before, _DIGITS),
            "nll_after": round(fitted.nll_after, _DIGITS),
            "ece_before": round(self.ece_before, _DIGITS),
            "ece_after": round(self.ece_after, _DIGITS),
            "threshold": chosen.value,
            "rule": RULE,
            "interval": [round(chosen.low, _DIGITS), round(chosen.high, _DIGITS)],
            "balanced_accuracy": round(chosen.balanced_accuracy, _DIGITS),
        }

    def onto(self, spec: ClipSpec) -> ClipSpec:
        """Return a spec that carries this point; doing so twice changes nothing more."""
        return spec.replace(
            temperature=self.temperature.value,
            threshold=self.threshold.value,
            metrics={**spec.metrics, RECORD: self.record()},
        )
