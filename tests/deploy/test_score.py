"""`python -m deploy.score`: what the contact sheet gets, and what becomes of bad files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.bundle import PREVIEW
from deploy.score import main

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them


@pytest.fixture
def run(tmp_path: Path, synthetic_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with a bundle that is newer than it."""
    monkeypatch.setenv("KERAS_DDL_OFFLINE", "1")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "weights.h5"):
        (folder / name).touch()
    shutil.copy(synthetic_bundle / "clipspec.json", folder)
    shutil.copytree(synthetic_bundle, folder / "bundle", copy_function=shutil.copyfile)
    return folder


def test_without_a_run_what_ships_judges(
    synthetic_bundle: Path,
    face_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KERAS_DDL_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    options = [str(face_video), "--out", str(tmp_path / "sheet.png"), "--domain", "synthetic"]
    monkeypatch.setattr("deploy.score.PRETRAINED", tmp_path / "absent")
    assert main(options) == 2
    assert "expected a run folder" in capfd.readouterr().err
    monkeypatch.setattr("deploy.score.PRETRAINED", synthetic_bundle)
    monkeypatch.setattr("deploy.bundle.PRETRAINED", synthetic_bundle)
    assert main(options) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"{face_video.name}, face 1: ") and PREVIEW in err


def test_bad_files_among_good_ones(
    run: Path, face_video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text, absent, sheet = tmp_path / "text.mp4", tmp_path / "absent.mp4", tmp_path / "sheet.png"
    text.write_text("this is no video\n" * 40)
    options = ["--run", str(run), "--out", str(sheet)]
    assert main([str(absent), str(face_video), str(text), *options]) == 2
    out, err = capfd.readouterr()
    assert out.splitlines()[0].startswith(f"{face_video.name}, face 1: ") and sheet.is_file()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == [str(absent), str(text)]
    assert main([str(face_video), *options]) == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sheet.jpg", "--out: expected a name that ends with .png, received "),
        ("folder", "--out: expected a file for the picture, received "),  # folder.png is one
        ("nowhere/sheet.png", "in a folder that is not there"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_the_work(
    run: Path,
    face_video: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    says: str,
) -> None:
    (tmp_path / "folder.png").mkdir()
    shutil.rmtree(run / "bundle")  # whoever begins to work exports one
    assert main([str(face_video), "--run", str(run), "--out", str(tmp_path / name)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: ") and says in err and len(err.splitlines()) == 1


def test_a_name_without_an_ending_becomes_a_png(
    run: Path, face_video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet"
    assert main([str(face_video), "--run", str(run), "--out", str(sheet)]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == f"{sheet}.png"
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG") and not sheet.exists()


def test_no_file_at_all_is_refused_before_anything_is_exported(
    tmp_path: Path, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "bundle")
    assert main([str(tmp_path / "absent.mp4"), "--run", str(run)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: expected a video or a picture, received ")
    assert len(err.splitlines()) == 1
