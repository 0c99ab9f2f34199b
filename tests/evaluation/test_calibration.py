"""Temperature and calibration error against data whose truth is known, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ddl.evaluation.calibration import (
    HIGHEST,
    LOWEST,
    SEPARABLE,
    ece,
    fit_temperature,
    margins_from_logits,
    nll,
    probabilities_from_margins,
    reliability,
)


def sampled(temperature: float, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and margins of clips that are fake with probability sigmoid(margin / temperature)."""
    rng = np.random.default_rng(seed)
    margins = temperature * rng.normal(0, 2, count)
    labels = rng.random(count) < 1 / (1 + np.exp(-margins / temperature))
    return labels.astype(int), margins


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 12.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    labels, margins = sampled(temperature, 40_000)
    found = fit_temperature(labels, margins)
    assert found.value == pytest.approx(temperature, rel=0.03)
    assert found.bounded == ""
    assert found.nll_after <= found.nll_before


def test_the_temperature_is_scikit_learns_slope() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    labels, margins = sampled(1.7, 500)
    fit = linear.LogisticRegression(C=1e8, fit_intercept=False, tol=1e-10)
    fit.fit(margins[:, None], labels)
    assert fit_temperature(labels, margins).value == pytest.approx(1 / fit.coef_[0, 0], abs=2e-4)


def test_nll_is_scikit_learns_log_loss() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    labels, margins = sampled(2.0, 300)
    expected = sk.log_loss(labels, 1 / (1 + np.exp(-margins / 3)))
    assert nll(labels, margins, 3.0) == pytest.approx(expected, abs=1e-12)


def test_nll_stays_finite_far_out() -> None:
    assert nll([0, 1], [4000.0, 4000.0]) == pytest.approx(2000.0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 500.0])
def test_separable_data_make_the_network_no_surer(scale: float) -> None:
    """No clip is on the wrong side: the likelihood only grows as the temperature goes to 0."""
    margins = scale * np.array([-3.0, -0.5, 0.1, 4.0])
    found = fit_temperature([0, 0, 1, 1], margins)
    assert (found.value, found.bounded) == (SEPARABLE, "separable")
    assert nll([0, 0, 1, 1], margins, 0.5) <= found.nll_after


def test_bounds() -> None:
    # One clip of a thousand is barely wrong: the optimum lies far below the lowest temperature.
    labels = np.arange(1000) % 2
    margins = np.where(labels == 1, 0.1, -0.1)
    margins[0] = 1e-6
    assert fit_temperature(labels, margins)[:2] == (LOWEST, "lowest")
    # Every clip is wrong: it asks for an infinite one.
    assert fit_temperature([0, 1], [1.0, -1.0])[:2] == (HIGHEST, "highest")


def test_temperature_divides_the_margin_of_the_logits() -> None:
    margins = margins_from_logits(np.array([[0.0, 2.0], [1000.0, 0.0]], np.float32))
    assert margins.tolist() == [2.0, -1000.0]
    expected = [1 / (1 + np.exp(-1.0)), 0.0]
    np.testing.assert_allclose(probabilities_from_margins(margins, 2.0), expected, atol=1e-12)


def test_calibrated_data_have_no_error_in_the_limit() -> None:
    errors = []
    for count in (2_000, 200_000):
        labels, margins = sampled(1.0, count)
        errors.append(ece(labels, probabilities_from_margins(margins)))
    assert errors[1] < 0.004 < errors[0] < 0.4 * np.sqrt(15 / 2_000)


def test_temperature_mends_the_error_of_an_overconfident_network() -> None:
    labels, margins = sampled(3.0, 20_000)
    found = fit_temperature(labels, margins).value
    before, after = (ece(labels, probabilities_from_margins(margins, t)) for t in (1.0, found))
    assert before > 0.08 and after < 0.015


def test_ece_counted_by_hand() -> None:
    labels, probabilities = [0, 1, 0, 1], [0.1, 0.3, 0.6, 0.8]
    # Two bins of two: (0.2, half fake), (0.7, half fake).
    assert reliability(labels, probabilities, 2) == [
        (2, pytest.approx(0.2), 0.5),
        (2, pytest.approx(0.7), 0.5),
    ]
    assert ece(labels, probabilities, 2) == pytest.approx((0.3 + 0.2) / 2)
    assert ece(labels, probabilities, 1) == pytest.approx(abs(0.45 - 0.5))


def test_bins_are_scikit_learns() -> None:
    sk = pytest.importorskip("sklearn.calibration")
    labels, margins = sampled(1.0, 900)
    probabilities = probabilities_from_margins(margins)
    fakes, means = sk.calibration_curve(labels, probabilities, n_bins=10, strategy="quantile")
    bins = reliability(labels, probabilities, 10)
    np.testing.assert_allclose([part.fakes for part in bins], fakes, atol=1e-12)
    np.testing.assert_allclose([part.probability for part in bins], means, atol=1e-12)


def test_equal_probabilities_share_a_bin_whatever_their_order() -> None:
    labels = np.array([0] * 6 + [1] * 6)
    probabilities = np.array([0.0] * 5 + [1.0] * 7)
    bins = reliability(labels, probabilities, 4)
    assert [part.clips for part in bins] == [5, 7]
    turned = reliability(labels[::-1], probabilities[::-1], 4)
    assert turned == bins


def test_fewer_clips_than_bins() -> None:
    bins = reliability([0, 1, 1], [0.1, 0.5, 0.8], 15)
    assert bins == [(1, 0.1, 0.0), (1, 0.5, 1.0), (1, 0.8, 1.0)]


@pytest.mark.parametrize("call", [fit_temperature, nll, ece, reliability])
def test_one_class_is_an_error_with_the_counts(call) -> None:
    with pytest.raises(ValueError, match="got 2 fake and 0 real"):
        call([1, 1], [0.2, 0.4])


def test_malformed_calibration_input_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got -1 to 2"):
        ece([0, 1], [-1, 2])
    with pytest.raises(ValueError, match="bins must be at least 1"):
        ece([0, 1], [0.2, 0.8], 0)
    with pytest.raises(ValueError, match="1 of 2 are not"):
        fit_temperature([0, 1], [0.2, float("nan")])
