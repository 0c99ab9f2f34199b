"""The synthetic set as a folder: reproducible, resumable, ordinary files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")
av = pytest.importorskip("av")

from keras_ddl.data.synthetic import dataset, generate, plan
from keras_ddl.data.synthetic.__main__ import main
from keras_ddl.data.synthetic.encode import write_video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.portraits.forgery import share_of
from keras_ddl.edge.portraits.identity import draw_identity

SMALL = {"identities": {"train": 1, "val": 1}, "frames": 6, "size": (192, 144)}


def decoded(path: Path) -> np.ndarray:
    """All frames of a file, (T, H, W, 3) uint8, by PyAV itself."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("synthetic") / "set", **SMALL)


# --- the files -----------------------------------------------------------------------------------


def test_layout_and_manifest(small: Path):
    files = sorted(p.relative_to(small).as_posix() for p in small.rglob("*") if p.is_file())
    assert files == [
        "manifest.json",
        "train/fake/id000_fake_0.mp4",
        "train/real/id000_real_0.mp4",
        "val/fake/id001_fake_0.mp4",
        "val/real/id001_real_0.mp4",
    ]
    manifest = json.loads((small / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["arguments"]["identities"] == {"train": 1, "val": 1}
    assert [v["file"] for v in manifest["videos"]] == [v.file for v in plan(SMALL["identities"], 1)]
    real, fake = (v["parameters"] for v in manifest["videos"][:2])
    assert (real.pop("fresh_share"), fake.pop("fresh_share")) == (0.0, share_of(0.3))
    assert real == fake  # twins: everything else is shared


def test_files_are_ordinary_h264(small: Path):
    for path in small.rglob("*.mp4"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height, stream.average_rate) == (192, 144, 25)
        assert decoded(path).shape == (6, 144, 192, 3)


def test_same_arguments_same_pixels_whatever_the_processes(small: Path, tmp_path: Path):
    again = generate(tmp_path / "again", processes=2, **SMALL)
    for path in small.rglob("*.mp4"):
        other = again / path.relative_to(small)
        np.testing.assert_array_equal(decoded(path), decoded(other), err_msg=path.name)
    assert (again / "manifest.json").read_text() == (small / "manifest.json").read_text()


def test_no_identity_is_in_two_splits():
    videos = plan({"train": 5, "val": 3, "test": 4}, 2)
    people = {s: {v.identity for v in videos if v.split == s} for s in ("train", "val", "test")}
    assert [len(p) for p in people.values()] == [5, 3, 4]
    for one, other in itertools.combinations(people.values(), 2):
        assert not one & other
    assert len({v.file for v in videos}) == len(videos) == 12 * 2 * 2
    looks = [draw_identity(0, number) for number in range(12)]
    assert len({(p.skin, p.hair, p.face_width, p.surface_seed) for p in looks}) == 12


# --- what is kept, completed, replaced -----------------------------------------------------------


def stamps(root: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in root.rglob("*.mp4")}


def test_a_finished_set_is_left_alone_and_another_replaced(tmp_path: Path):
    form = {"identities": {"train": 1}, "frames": 2, "size": (160, 120)}
    root = generate(tmp_path / "set", **form)
    before = stamps(root)
    generate(root, **form)
    assert stamps(root) == before
    generate(root, **{**form, "identities": {"val": 1}})
    assert [p.name for p in (root / "train").rglob("*.mp4")] == []
    assert len(list((root / "val").rglob("*.mp4"))) == 2


def test_an_interrupted_set_has_no_partial_file_and_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    form = {"identities": {"train": 2}, "frames": 4, "size": (160, 120)}
    calls = itertools.count()

    def stopped(path: Path, frames: Iterator[np.ndarray], **rest: object) -> int:
        def some() -> Iterator[np.ndarray]:
            for index, image in enumerate(frames):
                if video == 2 and index == 2:
                    raise KeyboardInterrupt
                yield image

        video = next(calls)
        return write_video(path, some(), **rest)

    monkeypatch.setattr(dataset, "write_video", stopped)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, **form)
    monkeypatch.undo()
    kept = stamps(tmp_path)
    assert len(kept) == 2
    assert [p.name for p in tmp_path.rglob("*.part")] == []
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] is False

    (tmp_path / "train/real/id000_real_0.mp4.77.part").write_bytes(b"left by a killed process")
    generate(tmp_path, **form)
    after = stamps(tmp_path)
    assert len(after) == 4 and {name: after[name] for name in kept} == kept
    assert [p.name for p in tmp_path.rglob("*.part")] == []
    assert all(len(decoded(p)) == 4 for p in tmp_path.rglob("*.mp4"))


def test_a_folder_of_other_videos_is_not_touched(tmp_path: Path):
    (tmp_path / "holiday.mp4").write_bytes(b"precious")
    with pytest.raises(UserError, match="found videos without a manifest"):
        generate(tmp_path, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.mp4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"difficulty": 1.5}, "difficulty: expected 0"),
        ({"size": (321, 240)}, "size: expected even"),
        ({"size": (64, 48)}, "at least 160 x 120"),
        ({"frames": 0}, "at least 1 each"),
        ({"crf": (30, 20)}, "crf: expected"),
        ({"seed": -1}, "seed: expected"),
        ({"processes": 0}, "processes: expected"),
        ({"identities": {"../train": 1}}, "identities: expected split names"),
        ({"identities": {}}, "identities: expected split names"),
    ],
)
def test_wrong_arguments_say_what_is_expected(tmp_path: Path, change: dict, message: str):
    with pytest.raises(UserError, match=message):
        generate(tmp_path / "set", **{**SMALL, **change})
    assert not (tmp_path / "set").exists()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    form = ["--frames", "2", "--size", "160", "120", "--difficulty", "1"]
    assert main([str(tmp_path / "set"), "--identities", "test=1", *form]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "set")
    assert len(list((tmp_path / "set/test").rglob("*.mp4"))) == 2
    assert main([str(tmp_path / "two"), "--identities", "test=1", "test=2"]) == 2
    assert "error: identities" in capsys.readouterr().err


def test_a_video_that_kills_its_worker_is_drawn_by_the_next_call(
    tmp_path: Path, run_with_a_death: Any
) -> None:
    out = tmp_path / "set"
    arguments = [out, "--identities", "train=2", "--frames", "3", "--size", "160", "120"]
    command, draws = "keras_ddl.data.synthetic.__main__", "keras_ddl.data.synthetic.dataset"
    options = [*arguments, "--processes", "2"]
    done = run_with_a_death(command, f"{draws}:write_video", "id000_fake", *options)
    assert done.returncode == 2
    assert "1 of 4 videos are not drawn" in done.stderr and "(SIGKILL)" in done.stderr
    assert len(list(out.rglob("*.mp4"))) == 3
    assert main([str(argument) for argument in arguments]) == 0
    assert len(list(out.rglob("*.mp4"))) == 4


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_full_disk_is_one_line_and_the_set_is_completed_with_room(
    processes: str, small_disk: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    out = small_disk(100) / "set"
    call = [str(out), "--identities", "train=2", "--processes", processes]
    assert main(call) == 3
    said = capfd.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "No space left on device; make room" in line and "Traceback" not in said
    small_disk(8000)
    assert main(call) == 0
    assert len(list(out.rglob("*.mp4"))) == 4 and not list(out.rglob("*.part"))
