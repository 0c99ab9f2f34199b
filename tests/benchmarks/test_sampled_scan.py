"""Agreement of two scans, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.archives.sampled_scan import agreement, spearman


def file(verdict: str, score: float | None, places: int = 0) -> dict[str, Any]:
    sample = {"places": places, "seconds": 60.0} if places else None
    return {"verdict": verdict, "fake_probability": score, "sample": sample}


def test_files_are_compared_by_path_and_only_those_that_were_sampled() -> None:
    full = {
        "a": file("FAKE", 0.9),
        "b": file("UNCERTAIN", 0.5),
        "c": file("REAL", 0.1),
        "d": file("FAKE", 0.8),
        "e": file("UNCERTAIN", 0.4),
        "f": file("REAL", 0.2),
        "short": file("REAL", 0.2),
        "gone": file("REAL", 0.2),
    }
    sampled = {
        "a": file("UNCERTAIN", 0.6, 4),
        "b": file("FAKE", 0.7, 4),
        "c": file("REAL", 0.1, 4),
        "d": file("FAKE", 0.8, 4),
        "e": file("NO_FACE", None, 4),
        "f": file("UNCERTAIN", 0.3, 4),
        "short": file("FAKE", 0.9),
    }
    found = agreement(full, sampled)
    assert (found.files, found.sampled) == (7, 6)
    assert (found.to_fake, found.from_fake, found.missed, found.other) == (1, 1, 1, 1)
    assert found.distance == pytest.approx((0.3 + 0.2 + 0 + 0 + 0.1) / 5)
    # Ranks 5 3 1 4 2 and 3 4 1 5 2: 1 - 6 · (4 + 1 + 0 + 1 + 0) / (5 · 24)
    assert found.correlation == pytest.approx(0.7)


def test_equal_values_share_their_rank() -> None:
    a, b = np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    # Ranks ½ ½ 2 3 and 0 1 2 3: covariance 4.5, spreads 4.5 and 5.
    assert spearman(a, b) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert spearman(a, -b) == pytest.approx(-4.5 / np.sqrt(4.5 * 5))
    assert spearman(a[:2], b[:2]) is None
