"""Ranges: by hand, and against distributions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_model_optimization")

from keras_ddl import build_model
from keras_ddl.edge.errors import UserError
from keras_ddl.quantization.calibration import METHODS, Magnitudes, calibrate, least_divergent
from keras_ddl.quantization.quantise import quant_points, quantised


def test_average_is_the_mean_of_the_batches_largest() -> None:
    seen = Magnitudes()
    for batch in ([1.0, -3.0], [2.0], [-7.0, 0.0]):
        seen.add(np.array(batch))
    assert seen.range("average") == pytest.approx(4)
    assert seen.counts.sum() == 5  # none lost when the histogram widened
    assert seen.range("percentile") == pytest.approx(7)


def test_a_percentile_leaves_out_what_is_rare() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 1_000_000)
    values[:50] = 40  # 0.005 %
    seen = Magnitudes()
    for part in np.array_split(values, 10):
        seen.add(part)
    assert seen.range("percentile") == pytest.approx(1, abs=0.05)
    assert seen.range("entropy") < 5
    assert max(seen._largest) == 40


def test_entropy_keeps_a_uniform_distribution_whole_and_cuts_a_long_tail() -> None:
    uniform = np.full(2048, 1000)
    assert least_divergent(uniform) == 2048
    tail = np.exp(-np.arange(2048) / 60) * 1e6
    assert 128 <= least_divergent(tail.astype(int)) < 1200


def test_nothing_but_zeros_has_a_range_all_the_same() -> None:
    seen = Magnitudes()
    seen.add(np.zeros((3, 4)))
    assert [seen.range(method) for method in METHODS] == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_quantiser_of_a_network_gets_a_range(method: str) -> None:
    model = quantised(build_model("resnet18", ("dfdc", "msa"), 4, 32, width=0.125))
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
    ranges = calibrate(model, [clips[:1], clips[1:]], method)
    assert set(ranges) == set(quant_points(model))
    white = (1 - 0.406) / 0.225  # the largest that ImageNet's mean and deviation make of a pixel
    assert 2 < ranges["clip_to_frames_quant"] <= white + 1e-5
    assert all(value > 0 for value in ranges.values())
    assert all(point.active for point in quant_points(model).values())


def test_wrong_use_is_refused() -> None:
    model = quantised(build_model("resnet18", (), 4, 32, width=0.125))
    with pytest.raises(UserError, match="expected average, percentile, entropy; received 'kl'"):
        calibrate(model, [], "kl")
    with pytest.raises(UserError, match="at least one batch"):
        calibrate(model, [])
