"""`data.prepare` into and out of a real S3 server: the files of a local folder, whatever dies."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("tensorflow")

from keras_ddl.data import prepare as preparing
from keras_ddl.data.prepare import main, prepare
from keras_ddl.data.prepared import read_split, read_summary
from keras_ddl.data.shards import cut_parts, stored_set
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.data.video_index import Video
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.file_cache import GIB
from keras_ddl.edge.storage.store import Store

SPEC = ClipSpec(frames=8, size=32)
OPTIONS = ["--size", "32", "--frames", "8", "--clips-per-video", "3"]
Contents = Callable[[Path], dict[str, bytes]]


def _prepare(root: Path | Address, out: Path | Address, **changes: Any) -> Path | Address:
    settings = {"processes": 0, "clips_per_video": 3, "progress": False, **changes}
    return prepare(root, out, SPEC, **settings)


def _objects(place: Address) -> dict[str, bytes]:
    store = Store(place)
    found = {file.address.removeprefix(f"{place}/"): file.address for file in store.below(place)}
    return {name: store.read(address) or b"" for name, address in found.items()}


@pytest.fixture(autouse=True)
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stored_set, "FETCHED", tmp_path / "fetched")
    return tmp_path / "fetched"


@pytest.fixture
def out(bucket: Address) -> Address:
    return bucket / "sets" / "clips"


def test_a_set_in_a_store_has_the_files_of_a_local_one(
    face_videos: Path, tmp_path: Path, out: Address, contents: Contents
) -> None:
    here = contents(_prepare(face_videos, tmp_path / "here"))
    command = [str(face_videos), "--out", out, *OPTIONS]
    assert main([*command, "--processes", "2"]) == 0
    there = _objects(out)
    assert there.pop("report.md").startswith(b"# clips\n")
    assert there == here
    times = {file.address: file.mtime_ns for file in Store(out).below(out)}
    assert main([*command, "--processes", "1"]) == 0  # nothing has changed
    assert {file.address: file.mtime_ns for file in Store(out).below(out)} == times
    assert main(["--check", out]) == 0


def test_another_preparation_replaces_it_and_leaves_nothing_of_it(
    face_videos: Path, tmp_path: Path, out: Address, contents: Contents
) -> None:
    _prepare(face_videos, out)
    _prepare(face_videos, out, clips_per_video=1)
    here = contents(_prepare(face_videos, tmp_path / "here", clips_per_video=1))
    there = _objects(out)
    assert b"up to 1 clips a face" in there.pop("report.md")
    assert there == here


KILLED = """
import os, signal, sys
from pathlib import Path
from keras_ddl.data import prepare as module
from keras_ddl.data.shard_writer import PreparedWriter
from keras_ddl.data.shards import target
from keras_ddl.data.video_index import Video
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.storage.address import Address

def dying(owner, name, when=lambda *_: True):
    inner = getattr(owner, name)
    def call(*args, **kwargs):
        if when(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args, **kwargs)
    setattr(owner, name, call)

root, out, moment = Path(sys.argv[1]), Address(sys.argv[2]), sys.argv[3]
if moment == "after three videos":
    dying(PreparedWriter, "note", lambda writer, *_: len(writer.done()) == 3)
if moment == "before the summary":
    dying(target.StoredTarget, "publish")
if moment == "before the notes are gone":
    dying(target, "tidy")
module.prepare(root, out, ClipSpec(frames=8, size=32), processes=0, clips_per_video=3,
               progress=False)
"""


@pytest.mark.parametrize(
    ("moment", "again"),
    [("after three videos", 3), ("before the summary", 0), ("before the notes are gone", 0)],
)
def test_a_command_that_is_killed_and_called_again_gives_the_undisturbed_set(
    moment: str,
    again: int,
    face_videos: Path,
    tmp_path: Path,
    out: Address,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = contents(_prepare(face_videos, tmp_path / "here"))
    command = [sys.executable, "-c", KILLED, str(face_videos), out, moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    begun = _objects(out)
    assert ("prepared.json" in begun) == (moment == "before the notes are gone")
    if moment == "after three videos":
        with pytest.raises(UserError, match=r"holds no prepared\.json"):
            prepared_here(out)
    seen = []
    inner = cut_parts.cut_video
    monkeypatch.setattr(
        cut_parts, "cut_video", lambda path, *a, **k: seen.append(path) or inner(path, *a, **k)
    )
    _prepare(face_videos, out)
    assert len(seen) == again  # of six
    there = _objects(out)
    assert there.pop("report.md") and there == here


HALF = """
import os, signal, sys
from pathlib import Path
from keras_ddl.edge.storage import folder

class Dying:
    def write(self, name, content):
        flag = Path(sys.argv[1])
        if name.endswith(".tfrecord") and not flag.exists():
            flag.touch()
            self.half(self.where(name), content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        self.whole(name, content)

def half_file(self, path, content):
    path.with_name(f".{path.name}.0-0.part").write_bytes(content)

def half_object(self, address, content):
    import boto3
    bucket, _, key = address.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    begun = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    client.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=1, Body=content)

for owner, half in ((folder.LocalFolder, half_file), (folder.StoredFolder, half_object)):
    owner.whole, owner.half, owner.write = owner.write, half, Dying.write

if __name__ == "__main__":
    from keras_ddl.data import prepare
    sys.exit(prepare.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("stored", [False, True])
def test_a_worker_that_dies_in_the_middle_of_a_shard_leaves_the_undisturbed_set(
    stored: bool, face_videos: Path, tmp_path: Path, out: Address, contents: Contents
) -> None:
    here = contents(_prepare(face_videos, tmp_path / "here"))
    script, flag, place = tmp_path / "dying.py", tmp_path / "flag", tmp_path / "there"
    script.write_text(HALF)
    words = [script, flag, face_videos, "--out", out if stored else place, *OPTIONS]
    line = [sys.executable, *map(str, words), "--processes", "2"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert flag.exists() and "2 worker processes" not in done.stderr
    there = _objects(out) if stored else contents(place)
    there.pop("report.md", None)
    assert there == here


def test_a_shard_that_is_lost_before_the_end_is_made_again(
    face_videos: Path, tmp_path: Path, out: Address, contents: Contents
) -> None:
    """Deleted by somebody after it was noted: the index never names it."""
    command = [sys.executable, "-c", KILLED, str(face_videos), out, "before the summary"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    shard = min(name for name in _objects(out) if name.endswith(".tfrecord"))
    Store(out).remove(out / shard)
    with pytest.raises(UserError, match=rf"{shard}: expected \d+ bytes, received no file; run the"):
        _prepare(face_videos, out)
    here = contents(_prepare(face_videos, tmp_path / "here"))
    _prepare(face_videos, out)
    there = _objects(out)
    assert there.pop("report.md") and there == here


@pytest.mark.parametrize("name", ["thesis.txt", "train/real/a.mp4", "parts/list.txt"])
def test_a_place_of_something_else_is_left_alone(
    name: str, face_videos: Path, out: Address
) -> None:
    Store(out).write(out / name, b"years of work")
    with pytest.raises(UserError, match=rf"received {name} in it; name another place"):
        _prepare(face_videos, out)
    assert _objects(out) == {name: b"years of work"}


def test_clips_are_read_in_the_store_and_kept_here(
    face_videos: Path, tmp_path: Path, out: Address, fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = read_split(_prepare(face_videos, tmp_path / "here"), "train")
    _prepare(face_videos, out)
    folder = prepared_here(out)
    assert read_summary(folder)["address"] == out
    kept = fetched / "shards"
    data = read_split(folder, "train", whole=False)
    numbers = range(len(here.clips))
    wanted = [here.clips.record(number) for number in numbers]
    assert data.keys == here.keys
    assert [data.clips.record(number) for number in numbers] == wanted
    assert not kept.exists()
    data = read_split(folder, "train")
    assert [data.clips.record(number) for number in numbers] == wanted
    assert len(list(kept.iterdir())) == 2  # a shard for each video with clips
    np.testing.assert_array_equal(data.clips[:], here.clips[:])
    for name in _objects(out):  # and never fetched again
        if name.endswith(".tfrecord"):
            Store(out).remove(out / name)
    assert [read_split(folder, "train").clips.record(n) for n in numbers] == wanted
    monkeypatch.setenv(GIB, "-1")
    with pytest.raises(UserError, match="expected a number of GiB"):
        read_split(folder, "train")


def test_what_has_no_room_here_is_read_in_the_store(
    face_videos: Path, out: Address, fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(face_videos, out)
    shards = read_summary(out)["shards"]["train"]
    most = max(shard["bytes"] for shard in shards)
    monkeypatch.setenv(GIB, str((most + 100) / (1 << 30)))
    kept = fetched / "shards"
    kept.mkdir(parents=True)
    (kept / ("0" * 64)).write_bytes(b"of another set" * 100)
    data = read_split(prepared_here(out), "train")
    assert len({len(data.clips.record(number)) for number in range(len(data.clips))}) > 1
    assert {path.name for path in kept.iterdir()} == {shards[0]["sha256"]}


def test_a_shard_that_was_changed_is_a_line(
    face_videos: Path, out: Address, capsys: pytest.CaptureFixture[str]
) -> None:
    _prepare(face_videos, out)
    store = Store(out)
    name, found = min((n, c) for n, c in _objects(out).items() if n.endswith(".tfrecord"))
    content = bytearray(found)
    content[100] ^= 1
    store.write(out / name, bytes(content))
    number = [row["shard"] in name for row in read_split(prepared_here(out), "train").rows].index(
        True
    )
    with pytest.raises(UserError, match=rf"{name}: expected SHA-256 \w+, received") as told:
        read_split(prepared_here(out), "train").clips.record(number)
    assert told.value.exit_code == CHECK_FAILED
    assert main(["--check", out]) == CHECK_FAILED
    assert f"{name}: expected SHA-256" in capsys.readouterr().err
    store.write(out / name, bytes(content[:-1]))
    with pytest.raises(UserError, match=rf"{name}: expected {len(content)} bytes, received"):
        prepared_here(out)
    store.remove(out / name)
    with pytest.raises(UserError, match=rf"{name}: expected \d+ bytes, received no file"):
        prepared_here(out)


def test_an_index_that_was_changed_is_a_line(
    face_videos: Path, tmp_path: Path, out: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(face_videos, out)
    monkeypatch.setattr(stored_set, "FETCHED", tmp_path / "of another machine")
    Store(out).write(out / "train/index.json", b'{"clips": [], "videos": []}')
    with pytest.raises(UserError, match=r"train/index\.json: expected SHA-256"):
        prepared_here(out)


@pytest.mark.parametrize("broken", ["endpoint", "credentials"])
def test_a_store_that_does_not_answer_is_a_line(
    broken: str,
    face_videos: Path,
    out: Address,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from s3fs import S3FileSystem

    if broken == "endpoint":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", "/nonexistent")
    S3FileSystem.clear_instance_cache()
    try:
        assert main([str(face_videos), "--out", out, *OPTIONS, "--processes", "0"]) == MISSING
    finally:
        S3FileSystem.clear_instance_cache()
    errors = capsys.readouterr().err.splitlines()
    assert [line for line in errors if line.startswith("error: ")] == errors[-1:]
    assert out in errors[-1] and "check the" in errors[-1]


def _copied(folder: Path, place: Address) -> Address:
    for path in folder.rglob("*"):
        if path.is_file():
            Store(place).write(place / path.relative_to(folder).as_posix(), path.read_bytes())
    return place


def _no_facts(found: dict[str, bytes]) -> dict[str, bytes]:
    """All but the files that say where the videos were."""
    return {name: content for name, content in found.items() if name != "prepared.json"}


@pytest.mark.parametrize("layout", ["folder", "csv"])
def test_videos_in_a_store_give_the_clips_of_those_here(
    layout: str,
    face_videos: Path,
    bucket: Address,
    out: Address,
    tmp_path: Path,
    contents: Contents,
) -> None:
    if layout == "csv":
        rows = [
            f"{path.relative_to(face_videos).as_posix()},{path.parent.name},{path.parts[-3]}"
            for path in sorted(face_videos.rglob("*.mp4"))
        ]
        (face_videos / "manifest.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    root = _copied(face_videos, bucket / face_videos.name)
    here = _no_facts(contents(_prepare(face_videos, tmp_path / "here", layout=layout)))
    spool = tmp_path / "spool"
    words = [f"{root}/", "--layout", layout, "--out", f"{out}/", *OPTIONS, "--spool", str(spool)]
    assert main([*words, "--processes", "2"]) == 0
    assert not list(spool.iterdir())
    there = _objects(out)
    report = there.pop("report.md").decode()
    assert f"unreadable: {root}/val/real/text_0.mp4: expected a video file, received a" in report
    message, where = "{}/val/real/".format, [root, str(face_videos)]
    ours, theirs = (found.pop("val/index.json").decode() for found in (there, here))
    assert ours.replace(message(where[0]), message(where[1])) == theirs
    assert _no_facts(there) == here
    assert read_summary(out)["root"] == f"{root}/"
    times = {file.address: file.mtime_ns for file in Store(out).below(out)}
    assert main([*words, "--processes", "1"]) == 0
    assert {file.address: file.mtime_ns for file in Store(out).below(out)} == times
    Store(root).write(
        root / "train/real/a_0.mp4", (face_videos / "train/fake/a_1.mp4").read_bytes()
    )
    assert main([*words, "--processes", "1"]) == 0  # another file, of the same name
    assert read_summary(out)["shards"]["train"][0]["name"] not in " ".join(here)


def test_a_table_here_may_name_videos_in_a_store(
    face_videos: Path, bucket: Address, tmp_path: Path
) -> None:
    root = _copied(face_videos / "train", bucket / "videos")
    table = tmp_path / "list.csv"
    lines = [
        f"{root}/real/a_0.mp4,real,train,",
        f"{root}/fake/a_1.mp4,fake,train,{root}/real/a_0.mp4",
    ]
    lines.append(f"{root}/real/nowhere.mp4,real,val,")
    table.write_text("\n".join(["path,label,split,pair", *lines]) + "\n")
    out = _prepare(table, tmp_path / "out", layout="csv")
    assert read_summary(out)["splits"]["train"] == {"clips": 6, "ok": 2}
    assert read_summary(out)["splits"]["val"] == {"clips": 0}
    real, fake = read_split(Path(out), "train").videos
    assert fake["original"] == real["key"][3] == root.removeprefix("s3://") + "/real/a_0.mp4"


def test_a_video_that_vanishes_from_the_store_is_that_videos_result(
    face_videos: Path, bucket: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _copied(face_videos, bucket / "set")
    inner = preparing._check_keys

    def vanish(videos: list[Video]) -> None:  # after the dataset was listed
        Store(root).remove(root / "train/real/a_0.mp4")
        inner(videos)

    monkeypatch.setattr(preparing, "_check_keys", vanish)
    out = Path(_prepare(root, tmp_path / "out"))
    assert read_summary(out)["splits"]["train"]["unreadable"] == 1
    said = f"{root}/train/real/a_0.mp4: expected a video file, received no such file"
    assert said in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("nowhere", [], "check the address"),
        ("set", ["--layout", "ffpp"], "the layouts csv and folder are taken"),
        ("set", ["--layout", "csv"], "manifest.csv: there is no such file"),
    ],
)
def test_a_dataset_that_is_not_there_is_a_line(
    name: str,
    options: list[str],
    told: str,
    bucket: Address,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Store(bucket).write(bucket / "set/train/real/a.mp4", b"a video")
    assert main([bucket / name, "--out", str(tmp_path / "out"), *options]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert told in error
