"""Datasets in a store: the clips of the same videos here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("tensorflow")

from keras_ddl.data import prepare as preparing
from keras_ddl.data.prepare import main
from keras_ddl.data.prepared import read_split, read_summary
from keras_ddl.data.video_index import Video
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.store import Store

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

OPTIONS = ["--size", "32", "--frames", "8", "--clips-per-video", "3"]
Contents = Callable[[Path], dict[str, bytes]]
Objects = Callable[[Address], dict[str, bytes]]
Prepared = Callable[..., Any]


def _copied(folder: Path, place: Address) -> Address:
    for path in folder.rglob("*"):
        if path.is_file():
            Store(place).write(place / path.relative_to(folder).as_posix(), path.read_bytes())
    return place


def _no_facts(found: dict[str, bytes]) -> dict[str, bytes]:
    """All but the files that say where the videos were."""
    return {name: content for name, content in found.items() if name != "prepared.json"}


@pytest.mark.parametrize("layout", [pytest.param("folder", marks=pytest.mark.slow), "csv"])
def test_videos_in_a_store_give_the_clips_of_those_here(
    layout: str,
    face_videos: Path,
    bucket: Address,
    out: Address,
    tmp_path: Path,
    contents: Contents,
    prepared: Prepared,
    objects: Objects,
) -> None:
    if layout == "csv":
        rows = [
            f"{path.relative_to(face_videos).as_posix()},{path.parent.name},{path.parts[-3]}"
            for path in sorted(face_videos.rglob("*.mp4"))
        ]
        (face_videos / "manifest.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    root = _copied(face_videos, bucket / face_videos.name)
    here = _no_facts(contents(prepared(face_videos, tmp_path / "here", layout=layout)))
    spool = tmp_path / "spool"
    words = [f"{root}/", "--layout", layout, "--out", f"{out}/", *OPTIONS, "--spool", str(spool)]
    assert main([*words, "--processes", "2"]) == 0
    assert not list(spool.iterdir())
    there = objects(out)
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
    face_videos: Path, bucket: Address, tmp_path: Path, prepared: Prepared
) -> None:
    root = _copied(face_videos / "train", bucket / "videos")
    table = tmp_path / "list.csv"
    lines = [
        f"{root}/real/a_0.mp4,real,train,",
        f"{root}/fake/a_1.mp4,fake,train,{root}/real/a_0.mp4",
    ]
    lines.append(f"{root}/real/nowhere.mp4,real,val,")
    table.write_text("\n".join(["path,label,split,pair", *lines]) + "\n")
    out = prepared(table, tmp_path / "out", layout="csv")
    assert read_summary(out)["splits"]["train"] == {"clips": 6, "ok": 2}
    assert read_summary(out)["splits"]["val"] == {"clips": 0}
    real, fake = read_split(Path(out), "train").videos
    assert fake["original"] == real["key"][3] == root.removeprefix("s3://") + "/real/a_0.mp4"


def test_a_video_that_vanishes_from_the_store_is_that_videos_result(
    face_videos: Path,
    bucket: Address,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepared: Prepared,
) -> None:
    root = _copied(face_videos, bucket / "set")
    inner = preparing._check_keys

    def vanish(videos: list[Video]) -> None:  # after the dataset was listed
        Store(root).remove(root / "train/real/a_0.mp4")
        inner(videos)

    monkeypatch.setattr(preparing, "_check_keys", vanish)
    out = Path(prepared(root, tmp_path / "out"))
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
