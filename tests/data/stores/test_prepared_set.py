"""Prepared sets in a store, read: pieces, whole shards that are kept, damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("tensorflow")

from keras_ddl.data.prepare import main
from keras_ddl.data.prepared import read_split, read_summary
from keras_ddl.data.shards import stored_set
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.file_cache import GIB
from keras_ddl.edge.storage.store import Store

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

Objects = Callable[[Address], dict[str, bytes]]
Prepared = Callable[..., Any]


def test_clips_are_read_in_the_store_and_kept_here(
    face_videos: Path,
    tmp_path: Path,
    out: Address,
    fetched: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepared: Prepared,
    objects: Objects,
) -> None:
    here = read_split(prepared(face_videos, tmp_path / "here"), "train")
    prepared(face_videos, out)
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
    for name in objects(out):  # and never fetched again
        if name.endswith(".tfrecord"):
            Store(out).remove(out / name)
    assert [read_split(folder, "train").clips.record(n) for n in numbers] == wanted
    monkeypatch.setenv(GIB, "-1")
    with pytest.raises(UserError, match="expected a number of GiB"):
        read_split(folder, "train")


def test_what_has_no_room_here_is_read_in_the_store(
    face_videos: Path,
    out: Address,
    fetched: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepared: Prepared,
) -> None:
    prepared(face_videos, out)
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
    face_videos: Path,
    out: Address,
    capsys: pytest.CaptureFixture[str],
    prepared: Prepared,
    objects: Objects,
) -> None:
    prepared(face_videos, out)
    store = Store(out)
    name, found = min((n, c) for n, c in objects(out).items() if n.endswith(".tfrecord"))
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
    face_videos: Path,
    tmp_path: Path,
    out: Address,
    monkeypatch: pytest.MonkeyPatch,
    prepared: Prepared,
) -> None:
    prepared(face_videos, out)
    monkeypatch.setattr(stored_set, "FETCHED", tmp_path / "of another machine")
    Store(out).write(out / "train/index.json", b'{"clips": [], "videos": []}')
    with pytest.raises(UserError, match=r"train/index\.json: expected SHA-256"):
        prepared_here(out)
