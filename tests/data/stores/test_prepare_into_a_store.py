"""`data.prepare --out s3://…`: the files of a local folder, whatever dies."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("tensorflow")

from keras_ddl.data.prepare import main
from keras_ddl.data.shard_writer import PreparedWriter
from keras_ddl.data.shards import cut_parts
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.claim import CLAIM
from keras_ddl.edge.storage.store import Store

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

OPTIONS = ["--size", "32", "--frames", "8", "--clips-per-video", "3"]
Contents = Callable[[Path], dict[str, bytes]]
Objects = Callable[[Address], dict[str, bytes]]
Prepared = Callable[..., Any]


def test_a_set_in_a_store_has_the_files_of_a_local_one(
    face_videos: Path,
    tmp_path: Path,
    out: Address,
    contents: Contents,
    prepared: Prepared,
    objects: Objects,
) -> None:
    here = contents(prepared(face_videos, tmp_path / "here"))
    command = [str(face_videos), "--out", out, *OPTIONS]
    assert main([*command, "--processes", "2"]) == 0
    there = objects(out)
    assert there.pop("report.md").startswith(b"# clips\n")
    assert there == here
    times = {file.address: file.mtime_ns for file in Store(out).below(out)}
    assert main([*command, "--processes", "1"]) == 0  # nothing has changed
    assert {file.address: file.mtime_ns for file in Store(out).below(out)} == times
    assert main(["--check", out]) == 0


def test_another_preparation_replaces_it_and_leaves_nothing_of_it(
    face_videos: Path,
    tmp_path: Path,
    out: Address,
    contents: Contents,
    prepared: Prepared,
    objects: Objects,
) -> None:
    prepared(face_videos, out)
    prepared(face_videos, out, clips_per_video=1)
    here = contents(prepared(face_videos, tmp_path / "here", clips_per_video=1))
    there = objects(out)
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
    prepared: Prepared,
    objects: Objects,
) -> None:
    here = contents(prepared(face_videos, tmp_path / "here"))
    command = [sys.executable, "-c", KILLED, str(face_videos), out, moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    begun = objects(out)
    assert ("prepared.json" in begun) == (moment == "before the notes are gone")
    if moment == "after three videos":
        with pytest.raises(UserError, match=r"holds no prepared\.json"):
            prepared_here(out)
    seen = []
    inner = cut_parts.cut_video
    monkeypatch.setattr(
        cut_parts, "cut_video", lambda path, *a, **k: seen.append(path) or inner(path, *a, **k)
    )
    prepared(face_videos, out)
    assert len(seen) == again  # of six
    there = objects(out)
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
    stored: bool,
    face_videos: Path,
    tmp_path: Path,
    out: Address,
    contents: Contents,
    prepared: Prepared,
    objects: Objects,
) -> None:
    here = contents(prepared(face_videos, tmp_path / "here"))
    script, flag, place = tmp_path / "dying.py", tmp_path / "flag", tmp_path / "there"
    script.write_text(HALF)
    words = [script, flag, face_videos, "--out", out if stored else place, *OPTIONS]
    line = [sys.executable, *map(str, words), "--processes", "2"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert flag.exists() and "2 worker processes" not in done.stderr
    there = objects(out) if stored else contents(place)
    there.pop("report.md", None)
    assert there == here


def test_a_shard_that_is_lost_before_the_end_is_made_again(
    face_videos: Path,
    tmp_path: Path,
    out: Address,
    contents: Contents,
    prepared: Prepared,
    objects: Objects,
) -> None:
    """Deleted by somebody after it was noted: the index never names it."""
    command = [sys.executable, "-c", KILLED, str(face_videos), out, "before the summary"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    shard = min(name for name in objects(out) if name.endswith(".tfrecord"))
    Store(out).remove(out / shard)
    with pytest.raises(UserError, match=rf"{shard}: expected \d+ bytes, received no file; run the"):
        prepared(face_videos, out)
    here = contents(prepared(face_videos, tmp_path / "here"))
    prepared(face_videos, out)
    there = objects(out)
    assert there.pop("report.md") and there == here


@pytest.mark.parametrize("name", ["thesis.txt", "train/real/a.mp4", "parts/list.txt"])
def test_a_place_of_something_else_is_left_alone(
    name: str, face_videos: Path, out: Address, prepared: Prepared, objects: Objects
) -> None:
    Store(out).write(out / name, b"years of work")
    with pytest.raises(UserError, match=rf"received {name} in it; name another place"):
        prepared(face_videos, out)
    assert objects(out) == {name: b"years of work"}


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


def test_a_preparation_holds_a_claim_on_its_folder(out: Address) -> None:
    store = Store(out)
    with PreparedWriter(out, ClipSpec(frames=8, size=32), "rules"):
        assert store.read(out / CLAIM) is not None
    assert store.read(out / CLAIM) is None
