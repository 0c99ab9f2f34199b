"""Kept results after somebody's hand: what is broken is not there, and nothing else is read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import serve
from deploy.serving.names import new_id
from deploy.serving.store import Store, check_keep

GOOD: dict[str, Any] = {
    "name": "a.mp4",
    "status": "judged",
    "verdict": "NO_FACE",
    "faces": [],
    "picture": "moment.jpg",
}


def put(keep: Path, **changes: Any) -> str:
    """Write a kept result; None takes a field out."""
    identity = new_id()
    record = {"id": identity, **GOOD, **changes}
    (keep / identity).mkdir()
    kept = {name: value for name, value in record.items() if value is not None}
    (keep / identity / "result.json").write_text(json.dumps(kept), encoding="utf-8")
    (keep / identity / "moment.jpg").write_bytes(b"a picture")
    return identity


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": 5},
        {"name": None},
        {"faces": None},
        {"faces": 3},
        {"faces": ["face"]},
        {"faces": [{"picture": "face-1.png"}]},  # its moments are missing
        {"faces": [{"moments": [{}]}]},
    ],
)
def test_a_broken_record_is_not_there_and_hides_no_other(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    broken, good = put(tmp_path, **changes), put(tmp_path)
    with Store(tmp_path) as store:
        assert [result["id"] for result in store.newest(9, dict)] == [good]
        assert store.read(broken) is None and store.picture(broken, "moment.jpg") is None
        assert store.picture(good, "moment.jpg") is not None


def test_the_list_reads_a_result_once_and_again_where_it_has_changed(tmp_path: Path) -> None:
    one, other = put(tmp_path), put(tmp_path)
    read: list[str] = []

    def shorten(result: dict[str, Any]) -> dict[str, Any]:
        read.append(result["id"])
        return {"name": result["name"]}

    with Store(tmp_path) as store:
        for _ in range(3):
            assert store.newest(9, shorten) == [{"name": "a.mp4"}] * 2
        assert sorted(read) == sorted((one, other))
        (tmp_path / one / "result.json").write_text("{")
        assert len(store.newest(9, shorten)) == len(store.newest(9, shorten)) == 1
        assert store.remove(other) and store.newest(9, shorten) == []
    assert len(read) == 2


def test_neither_links_nor_pipes_are_followed(tmp_path: Path) -> None:
    keep, outside = tmp_path / "keep", tmp_path / "outside"
    for folder in (keep, outside):
        folder.mkdir()
    linked = put(outside)
    (keep / linked).symlink_to(outside / linked)
    piped = put(keep)
    (keep / piped / "result.json").unlink()
    os.mkfifo(keep / piped / "result.json")  # opening it would wait for ever
    pictured = put(keep)
    (keep / pictured / "moment.jpg").unlink()
    (keep / pictured / "moment.jpg").symlink_to("/etc/hostname")
    with Store(keep) as store:
        assert store.read(linked) is store.read(piped) is None
        assert not store.remove(linked) and (outside / linked).is_dir()
        assert store.picture(pictured, "moment.jpg") is None


def test_a_picture_of_no_kind_is_none(start: Any, tmp_path: Path) -> None:
    identity = put(tmp_path, picture="video")  # by a hand that wants the video
    (tmp_path / identity / "video").write_bytes(b"a video")
    client = start("--keep", tmp_path)
    assert client.ask(f"/api/v1/videos/{identity}/pictures/video")[0] == 404
    assert client.json("/api/v1/videos")["videos"][0]["id"] == identity


def test_what_is_missing_on_the_server_names_no_place_of_it(
    start: Any, bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, face_video: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    client = start("--bundle", tmp_path / "bundle")
    model = tmp_path / "bundle" / "model.onnx"
    model.rename(tmp_path / "away")
    result = client.judge(face_video.read_bytes())
    assert (result["status"], "its log says what" in result["reason"]) == ("failed", True)
    assert "/" not in result["reason"] and str(tmp_path) in caplog.text
    (tmp_path / "away").rename(model)
    assert client.judge(face_video.read_bytes())["status"] == "judged"


def test_no_place_for_temporary_files_is_one_line(
    call: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert serve.main(call()) == 2
    assert "name one with TMPDIR" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_is_no_name_is_one_line(
    call: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], host: str
) -> None:
    assert serve.main(call("--address", f"{host}:0")) == 3
    assert "no name of a machine" in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_that_cannot_be_written_is_told_before_it_is_used(nobodys_folder: Path) -> None:
    check_keep(nobodys_folder / "new" / "one")
    nobodys_folder.chmod(0o500)
    for keep in (nobodys_folder, nobodys_folder / "new"):
        with pytest.raises(serve.UserError, match="Permission denied; name another --keep") as one:
            check_keep(keep)
        assert one.value.exit_code == 2
    assert not list(nobodys_folder.iterdir())


def test_a_full_disk_is_something_that_is_missing(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(16)
    with (disk / "all").open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        for _ in range(64):
            file.write(bytes(1024))
    with pytest.raises(serve.UserError, match="No space left") as caught:
        check_keep(disk / "new")
    assert caught.value.exit_code == 3
