"""The contact sheet: what it shows of which video, and the command that writes it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deploy.backends import Backend
from deploy.bundle import Bundle, open_bundle
from deploy.contact_sheet import panels_for, truth_of
from deploy.drawing.panels import THUMB, Panel, contact_sheet
from deploy.judging.verdict import Label, Policy
from keras_ddl.edge.faces import HaarDetector
from keras_ddl.edge.faces.map_kind import INCONSISTENCY

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def opened(synthetic_bundle: Path) -> tuple[Bundle, Backend]:
    bundle, backend = open_bundle(synthetic_bundle, threads=1)
    with backend:
        yield bundle, backend


@pytest.fixture(scope="module")
def portrait(face_video: Path, opened: tuple[Bundle, Backend]) -> Panel:
    (panel,) = panels_for(face_video, *opened, HaarDetector(), "synthetic")
    return panel


def test_a_panel_holds_six_crops_their_maps_and_all_scores(portrait: Panel) -> None:
    assert portrait.truth == "real"
    assert len(portrait.crops) == len(portrait.heats) == 6
    assert portrait.caption == INCONSISTENCY.caption
    for crop, heat in zip(portrait.crops, portrait.heats, strict=True):
        assert crop.shape == (THUMB, THUMB, 3)
        assert crop.mean() / 255 == pytest.approx(heat.mean(), abs=0.01)  # map = mean channel
    assert len(portrait.points) >= 3
    assert 0 < portrait.points[0].time_ms < portrait.points[-1].time_ms <= portrait.length_ms
    assert portrait.probability == pytest.approx(
        np.mean([point.score for point in portrait.points]), abs=1e-5
    )


def test_a_video_without_faces_has_an_empty_panel(
    empty_video: Path, opened: tuple[Bundle, Backend]
) -> None:
    (panel,) = panels_for(empty_video, *opened, HaarDetector(), "synthetic")
    assert (panel.crops, panel.heats, panel.points, panel.probability) == ((), (), (), None)
    assert (panel.label, panel.reason) == (Label.UNCERTAIN, "no clips: no face in sight")
    assert contact_sheet([panel], "heading").shape[2] == 3


def test_each_face_has_a_panel_of_its_own(
    tmp_path: Path,
    opened: tuple[Bundle, Backend],
    draw_face: Callable[..., np.ndarray],
    write_mp4: Callable[..., Path],
) -> None:
    wall = np.full((160, 360, 3), 100, np.uint8)
    pair = draw_face(draw_face(wall, 80, 80, 70), 270, 80, 70)
    video = write_mp4(tmp_path / "pair.mp4", [pair] * 30)
    panels = panels_for(video, *opened, HaarDetector(), "synthetic", by_face=True)
    assert [panel.title for panel in panels] == ["pair.mp4, face 1", "pair.mp4, face 2"]
    for panel in panels:
        assert len({point.track for point in panel.points}) == 1
        assert panel.probability == pytest.approx(
            np.mean([p.score for p in panel.points]), abs=1e-5
        )
    whole = panels_for(video, *opened, HaarDetector(), "synthetic")
    assert len(whole) == 1 and len(whole[0].points) == sum(len(p.points) for p in panels)


def test_a_picture_gets_a_score_but_no_verdict(
    tmp_path: Path, opened: tuple[Bundle, Backend], draw_face: Callable[..., np.ndarray]
) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), draw_face(np.full((160, 160, 3), 100, np.uint8), 80, 80, 70))
    (panel,) = panels_for(picture, *opened, HaarDetector(), "synthetic", by_face=True)
    assert panel.probability is not None and len(panel.points) >= 2
    assert panel.label is Label.UNCERTAIN
    assert panel.reason == "a still picture shows nothing over time"


@pytest.mark.parametrize(
    ("path", "beside", "truth"),
    [
        ("test/real/a.mp4", "fake", "real"),
        ("x/FAKE/a.mp4", "Real", "fake"),
        ("real/x/a.mp4", "fake", ""),
        ("real/a.mp4", "other", ""),  # a folder that only happens to be called so
        ("a.mp4", "fake", ""),
    ],
)
def test_truth_is_the_layouts(tmp_path: Path, path: str, beside: str, truth: str) -> None:
    video = tmp_path / "root" / path
    video.parent.mkdir(parents=True)
    (video.parent.parent / beside).mkdir(exist_ok=True)
    assert truth_of(video) == truth


def test_the_command_writes_a_png(
    command: Command, face_video: Path, synthetic_bundle: Path, tmp_path: Path
) -> None:
    import cv2

    target = tmp_path / "sheet.png"
    arguments = ("--bundle", synthetic_bundle, "--detector", "haar", "--domain", "synthetic")
    done = command("contact_sheet.py", face_video, *arguments, "--out", target)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{target}\n"
    assert cv2.imread(str(target)).shape == contact_sheet_shape(1)


def contact_sheet_shape(count: int) -> tuple[int, int, int]:
    panel = Panel("", "", Label.REAL, None, "", (), (), (), 1.0, Policy())
    return contact_sheet([panel] * count, "").shape


def test_the_command_reports_mistakes_in_one_line(
    command: Command, synthetic_bundle: Path, tmp_path: Path
) -> None:
    done = command("contact_sheet.py", tmp_path / "absent.mp4", "--bundle", synthetic_bundle)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_bad_files_cost_a_line_each_and_the_exit_code(
    command: Command, face_video: Path, synthetic_bundle: Path, tmp_path: Path
) -> None:
    text, cut, target = (tmp_path / name for name in ("text.mp4", "cut.mp4", "sheet.png"))
    text.write_text("this is no video\n" * 40)
    cut.write_bytes(face_video.read_bytes()[:1000])  # its index is gone
    bad = (text, cut, tmp_path / "absent.mp4")
    options = ("--bundle", synthetic_bundle, "--detector", "haar", "--out", target, "--faces")
    done = command("contact_sheet.py", text, face_video, *bad[1:], *options)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == [str(path) for path in bad]
    assert "Traceback" not in done.stderr
    verdict, name = done.stdout.splitlines()
    assert verdict.startswith(f"{face_video.name}, face 1: ") and name == str(target)
    assert target.is_file()
    target.unlink()
    alone = command("contact_sheet.py", *bad, *options)
    assert (alone.returncode, alone.stdout) == (2, "") and not target.exists()
