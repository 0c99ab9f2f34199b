"""Preparing real files: statuses, what lies on disk, when it is done again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")

from keras_ddl.clips import Clip
from keras_ddl.clipspec import ClipSpec
from keras_ddl.data.prepare import cut_video, main, prepare
from keras_ddl.data.sampling import ClipSampler
from keras_ddl.data.store import read_split, read_summary
from keras_ddl.errors import UserError
from keras_ddl.faceclips import FaceClipper
from keras_ddl.faces import open_detector
from keras_ddl.video import read_video

SPEC = ClipSpec(frames=8, size=32)


@pytest.fixture
def root(
    tmp_path: Path, draw_face: Callable[..., np.ndarray], write_mp4: Callable[..., Path]
) -> Path:
    """A face each in train/real and train/fake, and one bad video of each kind."""

    def portrait(count: int, shade: int = 120) -> Iterator[np.ndarray]:
        for i in range(count):  # the face drifts to the right
            yield draw_face(np.full((120, 160, 3), shade, np.uint8), 72 + 0.5 * i, 60, 60)

    root = tmp_path / "set"
    for name in ("train/real", "train/fake", "val/real", "val/fake"):
        (root / name).mkdir(parents=True)
    write_mp4(root / "train/real/a_0.mp4", portrait(32))
    write_mp4(root / "train/fake/a_1.mp4", portrait(24, shade=90))
    write_mp4(root / "train/real/short_0.mp4", portrait(7))
    write_mp4(root / "val/fake/wall_1.mp4", [np.full((120, 160, 3), 128, np.uint8)] * 9)
    (root / "val/real/text_0.mp4").write_text("this is no video\n" * 40)
    (root / "val/real/empty_0.mp4").touch()
    return root


def _prepare(root: Path, out: Path, **changes: object) -> Path:
    settings = {"processes": 1, "clips_per_video": 3, "progress": False, **changes}
    return prepare(root, out, SPEC, **settings)  # type: ignore[arg-type]


def test_every_video_is_accounted_for(root: Path, tmp_path: Path) -> None:
    out = _prepare(root, tmp_path / "out")
    assert read_summary(out)["splits"] == {
        "train": {"clips": 6, "ok": 2, "too short": 1},
        "val": {"clips": 0, "no face": 1, "unreadable": 2},
        "test": {"clips": 0},
    }
    data = read_split(out, "train")
    assert data.clips.shape == (6, 8, 32, 32, 3) and data.clips.dtype == np.uint8
    assert isinstance(data.clips, np.memmap)
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.keys[0] == ("set", "real", "", "a_0.mp4")
    assert data.keys[3] == ("set", "fake", "", "a_1.mp4")
    statuses = {video["key"][3]: video["status"] for video in data.videos}
    assert statuses == {"a_0.mp4": "ok", "short_0.mp4": "too short", "a_1.mp4": "ok"}
    assert all(video["message"] for video in data.videos if video["status"] != "ok")
    starts = [row["start_ms"] for row in data.rows[:3]]
    assert starts == sorted(set(starts))
    assert ClipSpec.read(out / "clipspec.json") == SPEC.replace(detector="haar")
    with pytest.raises(UserError, match="no clips in val"):
        read_split(out, "val")


def test_clips_are_the_ones_the_live_corridor_cuts(root: Path, tmp_path: Path) -> None:
    """Every stored clip is found, byte for byte, in what a FaceClipper gives for the file."""
    data = read_split(_prepare(root, tmp_path / "out"), "train")
    clipper = FaceClipper(SPEC, open_detector("haar"), stride_ms=0)
    live: dict[float, Clip] = {}
    for frame in read_video(root / "train/real/a_0.mp4"):
        live |= {round(float(c.times_ms[0]), 3): c for c in clipper.push(frame).clips}
    for row, clip in zip(data.rows[:3], data.clips[:3], strict=True):
        np.testing.assert_array_equal(clip, live[row["start_ms"]].frames)
        assert row["track"] == live[row["start_ms"]].track_id


def test_two_processes_write_the_same_bytes(root: Path, tmp_path: Path) -> None:
    one = _prepare(root, tmp_path / "one")
    two = _prepare(root, tmp_path / "two", processes=2)
    for name in ("train/clips.npy", "train/index.json", "val/index.json", "prepared.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_done_again_only_when_something_changed(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "val")
    (root / "train/real/a_0.mp4").unlink()
    out = _prepare(root, tmp_path / "out")
    stamp = (out / "prepared.json").stat().st_mtime_ns
    _prepare(root, out)
    assert (out / "prepared.json").stat().st_mtime_ns == stamp
    _prepare(root, out, clips_per_video=2)
    assert read_summary(out)["splits"]["train"]["clips"] == 2
    before = read_summary(out)["fingerprint"]
    (root / "train/real/short_0.mp4").unlink()
    _prepare(root, out, clips_per_video=2)
    assert read_summary(out)["fingerprint"] != before
    assert read_summary(out)["splits"]["train"] == {"clips": 2, "ok": 1}
    assert not list(tmp_path.glob(".*"))


def test_a_folder_of_something_else_is_not_replaced(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"holds no prepared\.json"):
        _prepare(root, out)
    assert (out / "thesis.txt").read_text() == "years of work"


def test_command_prints_the_counts(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--size", "32", "--clips-per-video", "1", "--processes", "1"]
    assert main([str(root), "--out", str(out), *options]) == 0
    assert "train: 2 clips; videos: 2 ok, 1 too short" in capsys.readouterr().out
    assert main([str(root), "--out", str(out), "--size", "8"]) == 2
    assert "size: expected at least 32 pixels" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), "--out", str(out)]) == 2


def test_a_truncated_video_gives_what_it_still_holds(root: Path) -> None:
    path = root / "train/real/a_0.mp4"
    whole = cut_video(path, SPEC, open_detector("haar"), 99)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    part = cut_video(path, SPEC, open_detector("haar"), 99)
    assert part.status == "ok" and 0 < len(part.clips) < len(whole.clips)


def _clip(track: int, start: float) -> Clip:
    return Clip(np.zeros((4, 1, 1, 3), np.uint8), start + 40.0 * np.arange(4), track)


def test_sampler_takes_one_clip_from_each_equal_part() -> None:
    sampler = ClipSampler(2)
    for start in range(6):  # halves 0 1 2 | 3 4 5: the middle of each
        sampler.push([1], [_clip(1, start)])
    assert [clip.times_ms[0] for clip in sampler.clips()] == [1, 4]


def test_sampler_stays_even_and_bounded_over_a_long_video() -> None:
    sampler = ClipSampler(4)
    for start in range(10_000):
        sampler.push([1], [_clip(1, start)])
    starts = [clip.times_ms[0] for clip in sampler.clips()]
    assert len(starts) == 4
    for part, start in enumerate(starts):
        assert part * 2500 <= start < (part + 1) * 2500


def test_sampler_follows_the_longest_track() -> None:
    sampler = ClipSampler(3)
    for start in range(3):
        sampler.push([1], [_clip(1, start)])
    for start in range(3, 10):
        sampler.push([2], [_clip(2, start)])
    assert sampler.longest == 2
    assert {clip.track_id for clip in sampler.clips()} == {2}
    empty = ClipSampler(3)
    assert empty.longest is None and empty.clips() == ()
