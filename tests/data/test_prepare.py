"""Preparing real files: statuses, what lies on disk, when it is done again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")
tf = pytest.importorskip("tensorflow")

from keras_ddl import config
from keras_ddl.clips import Clip
from keras_ddl.clipspec import ClipSpec
from keras_ddl.data import prepare as preparing
from keras_ddl.data.crop_sheet import SHEET
from keras_ddl.data.cut_video import cut_video
from keras_ddl.data.prepare import main, prepare
from keras_ddl.data.sampling import ClipSampler
from keras_ddl.data.shard_writer import PreparedWriter
from keras_ddl.data.store import Cut, check_spec, encode_clip, read_split, read_summary
from keras_ddl.data.video_index import Video
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
    assert data.clips.shape == (6, 8, 32, 32, 3) and data.clips[0].dtype == np.uint8
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
    """Every stored frame is, byte for byte, the JPEG of what a FaceClipper gives for the file."""
    data = read_split(_prepare(root, tmp_path / "out"), "train")
    clipper = FaceClipper(SPEC, open_detector("haar"), stride_ms=0)
    live: dict[float, Clip] = {}
    for frame in read_video(root / "train/real/a_0.mp4"):
        live |= {round(float(c.times_ms[0]), 3): c for c in clipper.push(frame).clips}
    for number, row in enumerate(data.rows[:3]):
        clip = live[row["start_ms"]]
        example = tf.train.Example.FromString(data.clips.record(number))
        stored = example.features.feature
        assert list(stored["frames"].bytes_list.value) == list(encode_clip(clip).images)
        np.testing.assert_allclose(stored["times_ms"].float_list.value, clip.times_ms)
        assert row["track"] == clip.track_id and row["end_ms"] == round(clip.times_ms[-1], 3)
        assert np.abs(data.clips[number].astype(int) - clip.frames).mean() < 2


def test_shards_are_ordinary_tfrecords(root: Path, tmp_path: Path) -> None:
    """TensorFlow's own reader, which checks the sums, gives the clips in the order of the index."""
    out = _prepare(root, tmp_path / "out")
    data = read_split(out, "train")
    files = sorted(map(str, (out / "train").glob("*.tfrecord")))
    records = [record.numpy() for record in tf.data.TFRecordDataset(files)]
    assert records == [data.clips.record(number) for number in range(len(data.clips))]
    keys = [tf.train.Example.FromString(r).features.feature["key"] for r in records]
    assert [tuple(v.decode() for v in k.bytes_list.value) for k in keys] == list(data.keys)


def test_the_report_names_every_video_without_a_clip(root: Path, tmp_path: Path) -> None:
    out = _prepare(root, tmp_path / "out")
    text = (out / "report.md").read_text()
    assert "| train | set | real | – | 2 | 3 | 1 | 1 |" in text.splitlines()
    assert "| val | set | fake | – | 1 | 0 | 0 | 1 |" in text.splitlines()
    for name, status in (("short_0", "too short"), ("wall_1", "no face"), ("text_0", "unreadable")):
        assert sum(f"{name}.mp4: {status}: " in line for line in text.splitlines()) == 1
    sheet = cv2.imread(str(out / SHEET))
    green = (sheet == (120, 190, 90)).all(2).sum()
    red = (sheet == (70, 80, 220)).all(2).sum()
    assert green == red > 0  # one real and one fake face, a frame each


def test_two_processes_write_the_same_bytes(root: Path, tmp_path: Path) -> None:
    one = _prepare(root, tmp_path / "one")
    two = _prepare(root, tmp_path / "two", processes=2)
    names = ("train/clips-00000.tfrecord", "train/index.json", "val/index.json", "prepared.json")
    for name in (*names, SHEET):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_small_shards_hold_the_same_clips(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_split(_prepare(root, tmp_path / "one"), "train")
    monkeypatch.setattr("keras_ddl.data.shard_writer.SHARD_BYTES", 1)
    out = _prepare(root, tmp_path / "two")
    parts = read_split(out, "train")
    assert len(list((out / "train").glob("*.tfrecord"))) == 2  # a video each
    np.testing.assert_array_equal(whole.clips[:], parts.clips[:])


KILLED = """
import os, pathlib, shutil, signal, sys
from pathlib import Path
from keras_ddl.clipspec import ClipSpec
from keras_ddl.data import prepare as module
from keras_ddl.data.shard_writer import PreparedWriter

def dying(owner, name, when):
    inner = getattr(owner, name)
    def call(*args, **kwargs):
        if when(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args, **kwargs)
    setattr(owner, name, call)

root, out, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if moment == "after three videos":
    dying(PreparedWriter, "add", lambda writer, *_: len(writer.done()) == 3)
if moment == "before the folder is in place":
    dying(pathlib.Path, "rename", lambda path, target: path.name == ".out.partial")
if moment == "before the parts are gone":
    dying(shutil, "rmtree", lambda path, *_: Path(path) == out / "parts")
module.prepare(root, out, ClipSpec(frames=8, size=32), processes=1, clips_per_video=3,
               progress=False)
"""
AT_LAST = ("before the folder is in place", "before the parts are gone")


@pytest.mark.parametrize("moment", ["after three videos", *AT_LAST])
def test_a_killed_run_goes_on_without_doing_a_video_twice(
    moment: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, undisturbed = tmp_path / "out", _prepare(root, tmp_path / "undisturbed")
    command = [sys.executable, "-c", KILLED, str(root), str(out), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert out.exists() == (moment == "before the parts are gone")
    seen = []
    inner = preparing.cut_video

    def counted(path: Path, *args: Any, **kwargs: Any) -> Cut:
        seen.append(path.name)
        return inner(path, *args, **kwargs)

    monkeypatch.setattr(preparing, "cut_video", counted)
    _prepare(root, out)
    assert len(seen) == (0 if moment in AT_LAST else 3)  # of six
    for name in ("train/clips-00000.tfrecord", "train/index.json", "val/index.json"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not list(tmp_path.glob(".*.partial")) and not (out / "parts").exists()


def test_two_at_once_are_refused(root: Path, tmp_path: Path) -> None:
    with (
        PreparedWriter(tmp_path / "out", SPEC, "a"),
        pytest.raises(UserError, match="another process is preparing"),
    ):
        _prepare(root, tmp_path / "out")


def test_damaged_shards_are_found(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _prepare(root, tmp_path / "out")
    assert main(["--check", str(out)]) == 0
    shard = out / "train/clips-00000.tfrecord"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    assert main(["--check", str(out)]) == 4
    assert "expected SHA-256" in capsys.readouterr().err
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match=rf"expected {len(content)} bytes"):
        read_split(out, "train")
    shard.unlink()
    with pytest.raises(UserError, match="received no file"):
        read_split(out, "train")


def test_only_what_is_named_is_taken() -> None:
    videos = [
        Video(Path("x"), int(method != "real"), "FF++", method, compression, "000", ("0",), "train")
        for method in ("real", "Deepfakes", "FaceSwap")
        for compression in ("c23", "c40")
    ]

    def taken(*only: str) -> list[tuple[str, str]]:
        return [(v.method, v.compression) for v in preparing._chosen(videos, only)]

    assert len(taken()) == 6
    assert taken("c23") == [("real", "c23"), ("Deepfakes", "c23"), ("FaceSwap", "c23")]
    assert taken("c40", "FaceSwap") == [("real", "c40"), ("FaceSwap", "c40")]
    with pytest.raises(UserError, match="expected some of Deepfakes, FF\\+\\+, FaceSwap, c23"):
        taken("c24")


def test_clips_of_another_spec_are_refused(root: Path, tmp_path: Path) -> None:
    out = _prepare(root, tmp_path / "out")
    check_spec(out, SPEC)
    other = SPEC.replace(margin=1.5, interval_ms=80.0)
    told = r"cut with interval_ms 40\.0 and margin 1\.3, the model expects 80\.0 and 1\.5"
    with pytest.raises(UserError, match=told) as fixed:
        check_spec(out, other)
    with pytest.raises(UserError, match=told) as settable:
        check_spec(out, other, settable=True)
    given = str(fixed.value).partition("again with ")[2].split()
    again = tmp_path / "again"
    assert main([str(root), "--out", str(again), "--size", "32", "--processes", "1", *given]) == 0
    check_spec(again, other)
    given = str(settable.value).partition("--set ")[2].partition(",")[0].split()
    sizes = ["size=32", "frames=8"]
    check_spec(out, config.load("cpu", None, [*sizes, *given]).spec())


@pytest.fixture
def couple(
    tmp_path: Path, draw_face: Callable[..., np.ndarray], write_mp4: Callable[..., Path]
) -> Path:
    """Two faces side by side, the right one a little later; and a mask over the right one."""
    folder = tmp_path / "couple"
    folder.mkdir()

    def pictures() -> Iterator[np.ndarray]:
        for i in range(32):
            wall = np.full((120, 320, 3), 120, np.uint8)
            picture = draw_face(wall, 72, 60, 60)
            yield draw_face(picture, 240, 60, 60) if i >= 6 else picture

    mask = np.zeros((120, 320, 3), np.uint8)
    mask[30:90, 210:270] = 255
    write_mp4(folder / "couple.mp4", pictures())
    write_mp4(folder / "mask.mp4", [mask] * 32)
    return folder


def test_everyone_in_a_real_video_is_taken(couple: Path) -> None:
    detector = open_detector("haar")
    alone = cut_video(couple / "couple.mp4", SPEC, detector, 2)
    everyone = cut_video(couple / "couple.mp4", SPEC, detector, 2, everyone=True)
    assert [clip.track_id for clip in alone.clips] == [1, 1]
    assert [clip.track_id for clip in everyone.clips] == [1, 1, 2, 2]


def test_a_mask_names_the_manipulated_face(couple: Path) -> None:
    detector = open_detector("haar")
    masked = cut_video(couple / "couple.mp4", SPEC, detector, 2, mask=couple / "mask.mp4")
    assert {clip.track_id for clip in masked.clips} == {2}
    nothing = cut_video(couple / "couple.mp4", SPEC, detector, 2, mask=couple / "no such.mp4")
    assert {clip.track_id for clip in nothing.clips} == {1}


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
    assert sampler.tracks() == (1, 2)  # 3 of 7 frames are enough
    assert {clip.track_id for clip in sampler.clips()} == {2}
    empty = ClipSampler(3)
    assert empty.longest is None and empty.clips() == ()
