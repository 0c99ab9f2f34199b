"""The research preview that ships: whole, small, and what its card says of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from keras_ddl.edge.bundle import PRETRAINED, read_spec
from keras_ddl.edge.files import file_sha256
from keras_ddl.edge.measured import measured

WEIGHTS = PRETRAINED / "weights.h5"


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    """Two clips of noise, uint8 (2, 4, 224, 224, 3)."""
    rough = np.random.default_rng(0).integers(0, 256, (2, 4, 14, 14, 3), np.uint8)
    return rough.repeat(16, 2).repeat(16, 3)


def answers(clips: np.ndarray) -> np.ndarray:
    pytest.importorskip("onnxruntime")
    from deploy.bundle import open_bundle

    bundle, backend = open_bundle(PRETRAINED)
    with backend:
        assert bundle.domain == "public example clips" and bundle.map_kind is not None
        return np.asarray(backend.infer({"clip": clips})["fake_probability"])


def test_it_is_whole_small_and_names_nobodys_files(clips: np.ndarray) -> None:
    files = [path for path in PRETRAINED.iterdir() if path.is_file()]
    assert {path.name for path in files} == {
        "LICENSE.md",
        "MODEL_CARD.md",
        "SHA256SUMS",
        "clipspec.json",
        "config.json",
        "model.onnx",
        "weights.h5",
    }  # and no proof clips, which show faces
    assert sum(path.stat().st_size for path in files) < 10e6
    for path in files:
        assert not any(word in path.read_bytes() for word in (b"/tmp/", b"/home/", b"/work/"))
    assert np.ptp(answers(clips)) > 1e-4


def test_the_card_says_what_the_spec_carries() -> None:
    spec = read_spec(PRETRAINED)
    card = (PRETRAINED / "MODEL_CARD.md").read_text()
    (rates,) = measured(spec)
    assert f"FAKE from {spec.threshold:.3f}" in card and "never says REAL" in card
    assert 0 < spec.real_to < 0.01  # 0 would leave it to the device's own distance
    assert file_sha256(WEIGHTS) == spec.weights_sha256 and spec.weights_sha256 in card
    assert f"On {rates.reals} real and {rates.fakes} fake clips" in card
    assert f"1 of {rates.reals}, {100 * rates.false_alarms:.0f} %" in card
    for method in rates.methods:
        low, high = method.auc_interval
        assert f"({low:.2f} to {high:.2f})" in card and f"{method.auc:.2f}" in card


def test_a_training_can_start_from_it(clips: np.ndarray) -> None:
    pytest.importorskip("tensorflow")
    from keras_ddl.build_network import build_started
    from keras_ddl.config import load

    model = build_started(load("edge-frames", overrides=[f"weights={PRETRAINED}"]))
    logits = model.predict_on_batch(clips).astype(float)
    margins = (logits[:, 1] - logits[:, 0]) / read_spec(PRETRAINED).temperature
    expected = [1 / (1 + math.exp(-margin)) for margin in margins]
    np.testing.assert_allclose(answers(clips), expected, atol=1e-5)


def test_it_judges_where_no_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_ddl.edge.bundle import default_bundle

    monkeypatch.chdir(tmp_path)
    assert default_bundle() == PRETRAINED
