"""The preview in int8: a bundle that opens, with its contract, and not far from the preview."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")
pytest.importorskip("cv2")

from benchmarks.networks.preview_int8 import drawn_clips, preview_int8
from deploy.bundle import open_bundle
from keras_ddl.edge.bundle import PRETRAINED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PRETRAINED.is_dir(), reason="the preview was left out"),
]


def test_it_answers_nearly_as_the_preview(tmp_path: Path) -> None:
    shipped, float_model = open_bundle(PRETRAINED, 1)
    rounded, int8_model = open_bundle(preview_int8(tmp_path / "int8"), 1)
    assert rounded.spec == shipped.spec
    clips = drawn_clips(shipped.spec)
    assert len(clips) >= 8
    with float_model, int8_model:
        theirs, ours = (
            np.array(
                [float(model.infer({"clip": clip[None]})["fake_probability"][0]) for clip in clips]
            )
            for model in (float_model, int8_model)
        )
    assert np.abs(theirs - ours).mean() < 0.05
    assert not np.array_equal(theirs, ours)
