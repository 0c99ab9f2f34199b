"""Preparing real files: statuses, what lies on disk, when it is done again."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")
tf = pytest.importorskip("tensorflow")

from keras_ddl import config
from keras_ddl.data import prepare as preparing
from keras_ddl.data.fingerprint import Fingerprint
from keras_ddl.data.layouts import read_index
from keras_ddl.data.prepare import main, prepare
from keras_ddl.data.prepared import (
    EncodedClip,
    check_spec,
    encode_clip,
    read_split,
    read_summary,
)
from keras_ddl.data.prepared_report import SHEET
from keras_ddl.data.shard_writer import PreparedWriter
from keras_ddl.data.shards import part
from keras_ddl.data.shards.records import example, framed
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.edge.clipper import FaceClipper
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces import open_detector
from keras_ddl.edge.files import write_json
from keras_ddl.edge.video import read_video

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

SPEC = ClipSpec(frames=8, size=32)
Contents = Callable[[Path], dict[str, bytes]]


def _prepare(root: Path, out: Path, **changes: object) -> Path:
    settings = {"processes": 0, "clips_per_video": 3, "progress": False, **changes}
    return prepare(root, out, SPEC, **settings)  # type: ignore[arg-type]


def test_every_video_is_accounted_for(face_videos: Path, tmp_path: Path) -> None:
    out = _prepare(face_videos, tmp_path / "out")
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


def test_clips_are_the_ones_the_live_corridor_cuts(face_videos: Path, tmp_path: Path) -> None:
    """Every stored frame is, byte for byte, the JPEG of what a FaceClipper gives for the file."""
    data = read_split(_prepare(face_videos, tmp_path / "out"), "train")
    clipper = FaceClipper(SPEC, open_detector("haar"), stride_ms=0)
    live: dict[float, Clip] = {}
    for frame in read_video(face_videos / "train/real/a_0.mp4"):
        live |= {round(float(c.times_ms[0]), 3): c for c in clipper.push(frame).clips}
    for number, row in enumerate(data.rows[:3]):
        clip = live[row["start_ms"]]
        example = tf.train.Example.FromString(data.clips.record(number))
        stored = example.features.feature
        assert list(stored["frames"].bytes_list.value) == list(encode_clip(clip).images)
        np.testing.assert_allclose(stored["times_ms"].float_list.value, clip.times_ms)
        assert row["track"] == clip.track_id and row["end_ms"] == round(clip.times_ms[-1], 3)
        assert np.abs(data.clips[number].astype(int) - clip.frames).mean() < 2


def test_shards_are_ordinary_tfrecords(face_videos: Path, tmp_path: Path) -> None:
    """TensorFlow's own reader, which checks the sums, gives the clips in the order of the index."""
    out = _prepare(face_videos, tmp_path / "out")
    data = read_split(out, "train")
    names = dict.fromkeys(row["shard"] for row in data.rows)
    assert set(names) == {path.name for path in (out / "train").glob("*.tfrecord")}
    files = [str(out / "train" / name) for name in names]
    records = [record.numpy() for record in tf.data.TFRecordDataset(files)]
    assert records == [data.clips.record(number) for number in range(len(data.clips))]
    keys = [tf.train.Example.FromString(r).features.feature["key"] for r in records]
    assert [tuple(v.decode() for v in k.bytes_list.value) for k in keys] == list(data.keys)


def test_names_may_be_any_bytes(face_videos: Path, tmp_path: Path) -> None:
    """Also those of a file that is no video, whose reason names it."""
    shutil.copy(face_videos / "train/real/a_0.mp4", _odd(face_videos / "train/real"))
    shutil.copy(face_videos / "val/real/text_0.mp4", _odd(face_videos / "val/real"))
    out = _prepare(face_videos, tmp_path / "out", processes=1)
    data = read_split(out, "train")
    assert [key for key in data.keys if "caf" in key[3]] == [
        ("set", "real", "", "caf\\xe9_0.mp4")
    ] * 3
    example = tf.train.Example.FromString(data.clips.record(3))
    assert example.features.feature["key"].bytes_list.value[3] == b"caf\\xe9_0.mp4"
    text = (out / "report.md").read_text()
    assert f"unreadable: {face_videos}/val/real/caf\\xe9_0.mp4: expected a video file" in text
    stamp = (out / "prepared.json").stat().st_mtime_ns
    assert (_prepare(face_videos, out) / "prepared.json").stat().st_mtime_ns == stamp


def _odd(folder: Path) -> Path:
    return folder / os.fsdecode(b"caf\xe9_0.mp4")


def test_a_file_that_vanishes_is_that_videos_result(
    face_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = preparing._check_keys

    def vanish(videos: list[Video]) -> None:  # after the dataset was listed
        (face_videos / "train/real/a_0.mp4").unlink()
        inner(videos)

    monkeypatch.setattr(preparing, "_check_keys", vanish)
    out = _prepare(face_videos, tmp_path / "out")
    assert read_summary(out)["splits"]["train"] == {
        "clips": 3,
        "ok": 1,
        "too short": 1,
        "unreadable": 1,
    }
    assert (
        "a_0.mp4: expected a video file, received no such file" in (out / "report.md").read_text()
    )


def test_the_report_names_every_video_without_a_clip(face_videos: Path, tmp_path: Path) -> None:
    out = _prepare(face_videos, tmp_path / "out")
    text = (out / "report.md").read_text()
    assert "| train | set | real | – | 2 | 3 | 1 | 1 |" in text.splitlines()
    assert "| val | set | fake | – | 1 | 0 | 0 | 1 |" in text.splitlines()
    for name, status in (("short_0", "too short"), ("wall_1", "no face"), ("text_0", "unreadable")):
        assert sum(f"{name}.mp4: {status}: " in line for line in text.splitlines()) == 1
    sheet = cv2.imread(str(out / SHEET))
    green = (sheet == (120, 190, 90)).all(2).sum()
    red = (sheet == (70, 80, 220)).all(2).sum()
    assert green == red > 0  # one real and one fake face, a frame each


def test_two_processes_write_the_same_bytes(
    face_videos: Path, tmp_path: Path, contents: Contents
) -> None:
    one = _prepare(face_videos, tmp_path / "one")
    two = _prepare(face_videos, tmp_path / "two", processes=2)
    assert contents(one) == contents(two)
    assert {"prepared.json", "val/index.json", SHEET} < contents(one).keys()


def test_a_large_set_has_several_videos_in_a_shard_and_the_same_clips(
    face_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = _prepare(face_videos, tmp_path / "one")
    monkeypatch.setattr(part, "FILES", 0)
    monkeypatch.setattr(part, "LONGEST", 1 << 30)  # no part ends but with its split
    together = _prepare(face_videos, tmp_path / "two", processes=1)
    shards = [len(list((out / "train").glob("*.tfrecord"))) for out in (apart, together)]
    assert shards == [2, 1]
    one, two = (read_split(out, "train") for out in (apart, together))
    assert one.keys == two.keys and one.videos == two.videos
    count = len(one.clips)
    assert [one.clips.record(n) for n in range(count)] == [
        two.clips.record(n) for n in range(count)
    ]
    assert len({row["offset"] for row in two.rows}) == count


def test_parts_depend_on_their_videos_alone() -> None:
    """Of many videos each part has a few neighbours; one more video changes its own part only."""
    videos = [
        Video(Path(f"{n}.mp4"), 0, "set", "real", "", f"{n}.mp4", (str(n),), SPLITS[n // 15000])
        for n in range(40000)
    ]
    names = [hashlib.sha256(video.video_id.encode()).hexdigest()[:32] for video in videos]
    parts = part.parts_of(names, videos)
    assert [pair for one in parts for pair in one.videos] == list(zip(names, videos, strict=True))
    assert all(len({video.split for _, video in one.videos}) == 1 for one in parts)
    assert max(len(one.videos) for one in parts) <= part.LONGEST
    assert len(parts) < 2 * part.FILES and len({one.name for one in parts}) == len(parts)
    fewer = part.parts_of(names[:777] + names[778:], videos[:777] + videos[778:])
    assert len({one.name for one in fewer} - {one.name for one in parts}) <= 2
    few = part.parts_of(names[: part.FILES], videos[: part.FILES])
    assert [one.name for one in few] == names[: part.FILES]  # each is found again as it was


def test_records_are_the_bytes_that_tensorflow_writes(tmp_path: Path) -> None:
    clip = EncodedClip(
        images=(b"one", b"", bytes(300)),
        times_ms=np.array([0.0, 40.1, 80.3]),
        track_id=300,
        wide=(b"wide",),
        points=np.array([[[1, 2], [np.nan, 4]]], np.float32),
    )
    key = ("sét", "real", "", "a.mp4")
    features = {
        "frames": tf.train.Feature(bytes_list=tf.train.BytesList(value=clip.images)),
        "key": tf.train.Feature(bytes_list=tf.train.BytesList(value=[k.encode() for k in key])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
        "times_ms": tf.train.Feature(float_list=tf.train.FloatList(value=clip.times_ms)),
        "track": tf.train.Feature(int64_list=tf.train.Int64List(value=[300])),
        "wide": tf.train.Feature(bytes_list=tf.train.BytesList(value=clip.wide)),
        "points": tf.train.Feature(float_list=tf.train.FloatList(value=clip.points.ravel())),
    }
    theirs = tf.train.Example(features=tf.train.Features(feature=features))
    payload = example(key, 1, clip)
    assert payload == theirs.SerializeToString(deterministic=True)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        writer.write(payload)
    assert (tmp_path / "theirs").read_bytes() == framed(payload)


def test_a_set_of_large_joined_shards_as_older_versions_wrote_them_is_read_as_ever(
    face_videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _prepare(face_videos, tmp_path / "out")
    data = read_split(out, "train")
    before = [data.clips.record(number) for number in range(len(data.clips))]
    joined, starts = b"", {}
    for path in [out / "train" / name for name in dict.fromkeys(r["shard"] for r in data.rows)]:
        starts[path.name] = len(joined)
        joined += path.read_bytes()
        path.unlink()
    (out / "train/clips-00000.tfrecord").write_bytes(joined)
    rows = [{**r, "offset": r["offset"] + starts[r["shard"]]} for r in data.rows]
    index = {"clips": [{**r, "shard": "clips-00000.tfrecord"} for r in rows]}
    write_json(out / "train/index.json", {**index, "videos": data.videos})
    summary = {name: value for name, value in read_summary(out).items() if name != "indexes"}
    facts = {"bytes": len(joined), "sha256": hashlib.sha256(joined).hexdigest()}
    summary["shards"]["train"] = [{"name": "clips-00000.tfrecord", **facts}]
    write_json(out / "prepared.json", summary)
    data = read_split(out, "train")
    assert [data.clips.record(number) for number in range(len(data.clips))] == before
    assert main(["--check", str(out)]) == 0
    stamp = (out / "prepared.json").stat().st_mtime_ns
    _prepare(face_videos, out)  # nothing has changed
    assert (out / "prepared.json").stat().st_mtime_ns == stamp


def test_what_an_older_version_left_unfinished_is_begun_anew(
    face_videos: Path, tmp_path: Path, contents: Contents
) -> None:
    parts = tmp_path / ".out.partial" / "parts"
    parts.mkdir(parents=True)
    videos = list(read_index(face_videos, "folder").present())
    rules = {"clips_per_video": 3, "quality": 95, "surroundings": False}
    fingerprint = Fingerprint.of(videos, SPEC.replace(detector="haar"), rules)
    write_json(parts / "rules.json", fingerprint.rules)
    for name in fingerprint.videos:
        (parts / f"{name}.tfrecord").touch()
        write_json(parts / f"{name}.json", {"split": "train", "video": {}, "clips": []})
    out = _prepare(face_videos, tmp_path / "out")
    assert contents(out) == contents(_prepare(face_videos, tmp_path / "undisturbed"))


def test_two_at_once_are_refused(face_videos: Path, tmp_path: Path) -> None:
    with (
        PreparedWriter(tmp_path / "out", SPEC, "a"),
        pytest.raises(UserError, match="another process is preparing"),
    ):
        _prepare(face_videos, tmp_path / "out")


def test_damaged_shards_are_found(
    face_videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _prepare(face_videos, tmp_path / "out")
    assert main(["--check", str(out)]) == 0
    shard = min((out / "train").glob("*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    assert main(["--check", str(out)]) == 4
    assert "expected SHA-256" in capsys.readouterr().err
    data = read_split(out, "train")
    number = [row["shard"] for row in data.rows].index(shard.name)
    with pytest.raises(UserError, match=f"{shard.name} is damaged: the clip at byte 12 is") as told:
        data.clips.record(number)
    assert told.value.exit_code == 4 and data.clips.record(number + 1)
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


def test_clips_of_another_spec_are_refused(face_videos: Path, tmp_path: Path) -> None:
    out = _prepare(face_videos, tmp_path / "out")
    check_spec(out, SPEC)
    other = SPEC.replace(margin=1.5, interval_ms=80.0)
    told = r"cut with interval_ms 40\.0 and margin 1\.3, the model expects 80\.0 and 1\.5"
    with pytest.raises(UserError, match=told) as fixed:
        check_spec(out, other)
    with pytest.raises(UserError, match=told) as settable:
        check_spec(out, other, settable=True)
    given = str(fixed.value).partition("again with ")[2].split()
    again = tmp_path / "again"
    assert (
        main([str(face_videos), "--out", str(again), "--size", "32", "--processes", "0", *given])
        == 0
    )
    check_spec(again, other)
    given = str(settable.value).partition("--set ")[2].partition(",")[0].split()
    sizes = ["size=32", "frames=8"]
    check_spec(out, config.load("cpu", None, [*sizes, *given]).spec())


def test_done_again_only_when_something_changed(face_videos: Path, tmp_path: Path) -> None:
    shutil.rmtree(face_videos / "val")
    (face_videos / "train/real/a_0.mp4").unlink()
    out = _prepare(face_videos, tmp_path / "out")
    stamp = (out / "prepared.json").stat().st_mtime_ns
    _prepare(face_videos, out)
    assert (out / "prepared.json").stat().st_mtime_ns == stamp
    _prepare(face_videos, out, clips_per_video=2)
    assert read_summary(out)["splits"]["train"]["clips"] == 2
    before = read_summary(out)["fingerprint"]
    (face_videos / "train/real/short_0.mp4").unlink()
    _prepare(face_videos, out, clips_per_video=2)
    assert read_summary(out)["fingerprint"] != before
    assert read_summary(out)["splits"]["train"] == {"clips": 2, "ok": 1}
    assert not list(tmp_path.glob(".*"))


def test_the_pattern_of_people_is_carried_and_changes_the_clips(
    face_videos: Path, tmp_path: Path
) -> None:
    shutil.rmtree(face_videos / "val")
    out = _prepare(face_videos, tmp_path / "out")
    plain = read_summary(out)
    assert "identity" not in plain
    options = ["--size", "32", "--clips-per-video", "3", "--processes", "1"]
    named = ["--identity", "_([0-9])"]
    assert main([str(face_videos), "--out", str(out), *options, *named]) == 0
    summary = read_summary(out)
    assert summary["identity"] == "_([0-9])"
    assert summary["fingerprint"] != plain["fingerprint"]
    assert "people by `_([0-9])`" in (out / "report.md").read_text()
    people = {v["key"][3]: v["identities"] for v in read_split(out, "train").videos}
    assert people == {"a_0.mp4": ["0"], "short_0.mp4": ["0"], "a_1.mp4": ["1"]}


def test_a_name_that_is_no_utf8_is_prepared_and_kept(face_videos: Path, tmp_path: Path) -> None:
    shutil.rmtree(face_videos / "val")
    name = os.fsdecode(b"a\xe9_0.mp4")
    (face_videos / "train/real/a_0.mp4").rename(face_videos / "train/real" / name)
    out = _prepare(face_videos, tmp_path / "out")
    data = read_split(out, "train")
    number = data.keys.index(("set", "real", "", "a\\xe9_0.mp4"))
    stored = tf.train.Example.FromString(data.clips.record(number)).features.feature
    assert stored["key"].bytes_list.value[-1] == rb"a\xe9_0.mp4"


def test_a_folder_of_something_else_is_not_replaced(face_videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"holds no prepared\.json"):
        _prepare(face_videos, out)
    assert (out / "thesis.txt").read_text() == "years of work"


def test_command_prints_the_counts(
    face_videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "out"
    options = ["--size", "32", "--clips-per-video", "1", "--processes", "0"]
    assert main([str(face_videos), "--out", str(out), *options]) == 0
    assert "train: 2 clips; videos: 2 ok, 1 too short" in capsys.readouterr().out
    assert "face detector: Haar, which misses" in caplog.text  # YuNet was looked for first
    assert main([str(face_videos), "--out", str(out), "--size", "8"]) == 2
    assert "size: expected at least 32 pixels" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), "--out", str(out)]) == 2
