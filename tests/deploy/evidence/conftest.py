"""Evidence of three events, whole and to be tampered with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def written(
    tmp_path_factory: pytest.TempPathFactory, brightness: Callable[[np.ndarray], np.ndarray]
) -> Path:
    """Three events of one clip each, judged as the fixture model's formula says."""
    pytest.importorskip("av")
    from forged_evidence import hashed_bundle, write_events

    place = tmp_path_factory.mktemp("evidence")
    return write_events(place / "root", hashed_bundle(place / "model"), brightness)


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(written, tmp_path / "root"))
