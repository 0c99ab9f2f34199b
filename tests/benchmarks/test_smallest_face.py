"""Smallest face that the detectors find, on drawn people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

from benchmarks.faces.smallest_face import main
from keras_ddl.edge.faces import yunet
from keras_ddl.edge.portraits.render import open_renderer


def test_the_command(
    tmp_path: Path,
    write_mp4: Callable[..., Path],
    shared_real: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(yunet.MODEL_VARIABLE, str(shared_real / yunet.FILE_NAME))
    options = {"frames": 4, "fps": 25.0, "size": (320, 240), "crf": (18, 18)}
    renderer, _ = open_renderer(7, 0, 0, False, 0.0, **options)
    write_mp4(tmp_path / "a.mp4", renderer)
    out = tmp_path / "bench.json"
    assert main([str(tmp_path), "--frames", "2", "--out", str(out)]) == 0
    counts = json.loads(out.read_text())["smallest_face"]
    assert counts["faces"]["yunet 32"] == counts["faces"]["haar 12"] == 2
    assert counts["found"]["yunet 32"] == 2
    assert counts["found"]["haar 12"] == 0  # its window has 20 pixels


def test_without_yunet_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(yunet.MODEL_VARIABLE, str(tmp_path / "absent.onnx"))
    assert main([str(tmp_path)]) == 3
    assert "expected YuNet's model file" in capsys.readouterr().err
