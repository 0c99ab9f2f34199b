"""Arithmetic of the table against others, on numbers made up by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from benchmarks.networks.against import SAMPLING, auc_of, main, summary, table
from keras_ddl.edge.errors import UserError

HEAD = "set,dataset,method,compression,video,label,fake_probability,margin\n"


def test_a_video_takes_its_faces_and_its_clips_or_frames() -> None:
    seconds = {SAMPLING: [1.0, 2.0, 9.0], "preview": [0.1, 0.1, 0.4], "xception": [0.125] * 3}
    memory = {name: {"peak_mib": 100.0} for name in seconds}
    found = summary(seconds, memory, {"preview": 20, "xception": 32}, {"preview": 0.75})
    ours, theirs = found["rows"]
    assert ours["videos_an_hour"] == pytest.approx(3600 / (2 + 20 * 0.1))
    assert theirs["videos_an_hour"] == pytest.approx(3600 / (2 + 32 * 0.125))
    lines = table(found).splitlines()
    assert lines[-2].split()[-5:] == ["20", "100.0", "900", "0.750", "100"]
    assert lines[-1].split()[-6:] == ["32", "125.0", "600", "not", "measured", "100"]


def test_the_auc_is_that_of_videos(tmp_path: Path) -> None:
    file = tmp_path / "test_scores.csv"
    rows = [
        ("real", "a", 0, 0.1),
        ("real", "a", 0, 0.9),  # mean 0.5
        ("real", "b", 0, 0.2),
        ("swap", "a", 1, 0.4),  # above one of the two, although it has a real one's stem
        ("swap", "c", 1, 0.8),
    ]
    lines = [f"s,d,{method},,{video},{label},{p},0\n" for method, video, label, p in rows]
    file.write_text(HEAD + "".join(lines))
    assert auc_of(file) == pytest.approx(3 / 4)


@pytest.mark.parametrize("text", ["", "video,label\na,1\n", HEAD + "s,d,m,,v,1,0.5,0\n", None])
def test_other_files_are_refused_in_a_line(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "scores.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=r"expected a test_scores\.csv"):
        auc_of(file)


@pytest.mark.slow
def test_a_frame_network_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf2onnx")
    out = tmp_path / "bench.json"
    assert main(["--rounds", "1", "--only", "mesoinception4", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["against"]["rows"]
    assert row["looks"] == 32 and row["videos_an_hour"] > 0 and row["auc"] is None
