"""Threshold and temperature onto a spec: from validation, in that order, as often as one likes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.evaluation.operating_point import RECORD, OperatingPoint

KEYS = tuple(("d", "m", "", name) for name in "aabbccdd")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32)
MARGINS = np.array([-9.0, -7.0, -1.0, 6.0, 8.0, -2.0, 9.0, 7.0])


def test_the_threshold_is_chosen_on_calibrated_video_scores() -> None:
    point = OperatingPoint.fit(KEYS, LABELS, MARGINS, "f" * 64)
    temperature = point.temperature.value
    assert temperature > 1.5  # two of eight clips are on the wrong side, and sure of it
    clips = 1 / (1 + np.exp(-MARGINS / temperature))
    videos = clips.reshape(4, 2).mean(axis=1)
    assert videos[:2].max() < videos[2:].min()
    expected = (videos[:2].max() + videos[2:].min()) / 2
    assert point.threshold.value == pytest.approx(expected, abs=5e-5)
    assert point.record()["clips"], point.record()["videos"] == (8, 4)


def test_fitting_twice_changes_nothing() -> None:
    spec = ClipSpec(metrics={"validation_video_auc": 1.0}, weights_sha256="a" * 64)
    once = OperatingPoint.fit(KEYS, LABELS, MARGINS, "f" * 64).onto(spec)
    twice = OperatingPoint.fit(KEYS, LABELS, MARGINS, "f" * 64).onto(once)
    assert twice.to_json() == once.to_json() != spec.to_json()
    assert once.metrics["validation_video_auc"] == 1.0
    record = once.metrics[RECORD]
    assert (record["threshold"], record["temperature"]) == (once.threshold, once.temperature)
    assert record["split"] == "val" and record["fingerprint"] == "f" * 64
    assert json.loads(json.dumps(record)) == record
    assert ClipSpec.from_json(once.to_json()) == once


def test_one_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="got 4 fake and 0 real"):
        OperatingPoint.fit(KEYS[4:], LABELS[4:], MARGINS[4:], "")
