"""The contract: every value is checked, and JSON gives back what went in."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.edge.clipspec import ClipSpec

OTHER: dict[str, Any] = {
    "frames": 16,
    "interval_ms": 33.3,
    "longest_interval_ms": 66.6,
    "size": 128,
    "margin": 1.5,
    "smoothing": 0.0,
    "threshold": 0.7,
    "real_to": 0.4,
    "temperature": 1.8,
    "classes": ("echt", "gefälscht"),
    "detector": "yunet",
    "training": {"dataset": "synthetic", "seed": 3, "nested": {"list": [1, 2.5, None]}},
    "metrics": {"auc": 0.93},
    "weights_sha256": "ab" * 32,
}


def test_defaults_are_the_plans() -> None:
    spec = ClipSpec()
    assert (spec.frames, spec.interval_ms, spec.size, spec.margin) == (8, 40.0, 256, 1.3)
    assert (spec.color, spec.classes, spec.version) == ("RGB", ("real", "fake"), 1)
    assert spec.span_ms == 280.0
    assert ClipSpec(frames=4, interval_ms=100).span_ms == 300.0


def test_round_trip_of_values_that_are_not_the_defaults(tmp_path: Path) -> None:
    spec = ClipSpec(**OTHER)
    for field in fields(ClipSpec):
        if field.name not in ("color", "version"):
            assert getattr(spec, field.name) != getattr(ClipSpec(), field.name), field.name
    assert ClipSpec.from_json(spec.to_json()) == spec
    path = spec.write(tmp_path / "clipspec.json")
    assert ClipSpec.read(path) == spec
    assert [p.name for p in tmp_path.iterdir()] == ["clipspec.json"]  # no temporary left


def test_json_is_sorted_indented_and_the_same_for_equal_specs() -> None:
    text = ClipSpec(interval_ms=40).to_json()
    assert text == ClipSpec(interval_ms=40.0).to_json()
    keys = list(json.loads(text))
    assert keys == sorted(keys) and len(keys) == len(fields(ClipSpec))
    assert text.startswith('{\n  "classes"')


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = ClipSpec().write(tmp_path / "spec.json")
    spec = ClipSpec()
    object.__setattr__(spec, "training", {"x": float("nan")})  # smuggled past the check
    with pytest.raises(ValueError):
        spec.write(path)
    assert ClipSpec.read(path) == ClipSpec()
    assert len(list(tmp_path.iterdir())) == 1


def test_spec_shares_nothing_mutable_and_cannot_be_changed() -> None:
    training = {"seeds": [1]}
    spec = ClipSpec(training=training)
    training["seeds"].append(2)
    assert spec.training == {"seeds": [1]}
    with pytest.raises(FrozenInstanceError):
        spec.size = 64  # type: ignore[misc]
    assert hash(spec) == hash(ClipSpec())  # usable as a key; free JSON takes no part


def test_replace_checks_again() -> None:
    assert ClipSpec().replace(size=64).size == 64
    with pytest.raises(ValueError, match="size"):
        ClipSpec().replace(size=8)
    with pytest.raises(TypeError):
        ClipSpec().replace(sise=64)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames", 6),  # MSA pools time by 4
        ("frames", 0),
        ("frames", 8.0),  # an integer is wanted
        ("frames", True),
        ("interval_ms", 0),
        ("interval_ms", float("nan")),
        ("interval_ms", "40"),
        ("size", 31),
        ("size", 256.5),
        ("margin", 0.99),
        ("smoothing", 1.0),  # would never move
        ("smoothing", -0.1),
        ("color", "BGR"),
        ("threshold", 0.0),
        ("threshold", 1.0),
        ("real_to", -0.1),
        ("real_to", 0.6),  # above the threshold
        ("temperature", 0.0),
        ("temperature", float("inf")),
        ("classes", ("fake",)),
        ("classes", ("fake", "fake")),
        ("classes", "ab"),
        ("classes", ("", "fake")),
        ("detector", "mtcnn"),
        ("training", [1]),
        ("training", {"x": float("nan")}),
        ("training", {"x": Path("p")}),
        ("training", {1: "x"}),  # JSON would turn the key into a string
        ("metrics", "auc"),
        ("weights_sha256", "abc"),
        ("weights_sha256", "AB" * 32),  # upper case
        ("version", 2),
        ("version", 0),
    ],
)
def test_bad_value_is_an_error_that_names_the_field(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        ClipSpec(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected JSON"),
        ("[1]", "object"),
        ("{}", "version"),
        ('{"version": 7, "future": 1}', "expected 1, received 7"),  # version before unknown keys
        ('{"version": 1, "fps": 25}', "fps"),
        ('{"version": 1, "size": 8}', "size"),
    ],
)
def test_bad_json_is_an_error_that_says_what(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        ClipSpec.from_json(text)
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad\.json"):
        ClipSpec.read(path)


def test_a_range_of_intervals_is_in_order_and_survives_a_file(tmp_path: Path) -> None:
    spec = ClipSpec(interval_ms=33, longest_interval_ms=100)
    assert ClipSpec.read(spec.write(tmp_path / "clipspec.json")) == spec
    assert (spec.slowest_ms, ClipSpec().slowest_ms) == (100.0, 40.0)
    with pytest.raises(ValueError, match="longest_interval_ms: expected 0 or at least interval_ms"):
        ClipSpec(interval_ms=40, longest_interval_ms=33)
