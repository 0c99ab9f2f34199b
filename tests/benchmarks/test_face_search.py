"""Cost and recall of the device's face search: what is counted, and the command itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

from benchmarks.faces.detectors import main
from benchmarks.faces.face_search import Found, _hold, fitted, rules, table
from keras_ddl.edge.clipper import FrameResult
from keras_ddl.edge.faces import Track
from keras_ddl.edge.faces.search import SearchRule
from keras_ddl.edge.video import Frame


def step(*boxes: tuple[float, float, float], turn: float | None = None) -> FrameResult:
    """Tracks with these squares (x, y, side); all turned as said."""
    tracks = [
        Track(number, (x, y, side, side), 0.0, 5, 0, turn=turn)
        for number, (x, y, side) in enumerate(boxes, 1)
    ]
    return FrameResult(Frame(np.zeros((2, 2, 3), np.uint8), 0.0, 0), tuple(tracks))


def test_faces_of_the_full_search_count_by_kind_and_others_are_told_apart() -> None:
    found = Found()
    full = step((0, 0, 100), (300, 0, 40), (500, 0, 80), turn=1.2)
    _hold(found, full, step((10, 0, 110), (700, 0, 60)), min_face=0.0)
    assert found.faces == {"all": 3, "small": 1, "profile": 3}
    assert found.found == {"all": 1, "small": 0, "profile": 1}
    assert found.extra == 1  # the one at 700
    assert found.apart == [pytest.approx(np.hypot(15, 5) / 100)]
    assert found.larger == [pytest.approx(np.log(1.1))]
    below = Found()
    _hold(below, full, step((10, 0, 110)), min_face=90.0)
    assert below.faces == below.found == {"all": 1, "profile": 1} and below.extra == 0


def test_the_share_of_a_core_is_of_25_frames_per_second() -> None:
    found = Found(frames=50, seconds=0.2)
    assert found.core == pytest.approx(0.1)
    assert "10.0%" in table({"full": found}, "yunet as it is")


def test_the_full_search_is_the_first_way() -> None:
    assert next(iter(rules([48.0]).items())) == ("full", SearchRule())
    assert rules([48.0])["--min-face 48"] == SearchRule(12, 48.0)
    assert rules([], [25])["full every 25"] == SearchRule(25)


@pytest.mark.parametrize(
    ("size", "shown"), [((640, 480), (640, 480)), ((100, 300), (100, 75)), ((300, 90), (120, 90))]
)
def test_a_picture_is_fitted_into_a_size_and_keeps_its_shape(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    picture = fitted(image, size)
    assert picture.shape == (size[1], size[0], 3)
    assert tuple((picture[..., 0] == 200).any(axis).sum() for axis in (0, 1)) == shown


def test_the_command_on_a_drawn_video(
    tmp_path: Path,
    write_mp4: Callable[..., Path],
    draw_face: Callable[..., np.ndarray],
    haar: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wall = np.full((240, 320, 3), 125, np.uint8)
    write_mp4(tmp_path / "a.mp4", [draw_face(wall.copy(), 140 + i, 120, 90) for i in range(30)])
    options = ["--search", "--detectors", "haar", "--sizes", "640x480", "--min-face", "100"]
    out = tmp_path / "bench.json"
    assert main([str(tmp_path), *options, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["face_search"]["haar 640x480"]
    assert list(rows) == ["full", "as stream", "--min-face 100"]
    assert rows["as stream"]["faces"] == rows["as stream"]["found"] == {"all": 9}
    assert rows["--min-face 100"]["found"] == {"all": 9}
    assert all(row["frames"] == 30 and row["core"] > 0 for row in rows.values())
    assert "1.000 of 9" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["640", "640x", "8x8", "axb"])
def test_what_is_no_size_is_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--search", "--sizes", text])
    assert ended.value.code == 2
    assert f"expected a size such as 640x480, got '{text}'" in capsys.readouterr().err


def test_an_empty_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--search"]) == 2
    assert "expected a folder with videos, received none" in capsys.readouterr().err
