"""Folders, here and in a store: the same operations with the same results."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.edge.storage.folder import Folder, open_folder


@pytest.fixture(params=["here", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "here":
        return open_folder(tmp_path / "set")
    return open_folder(request.getfixturevalue("bucket") / "set")


def test_what_is_written_is_there_whole_and_what_is_removed_is_not(
    folder: Folder, tmp_path: Path
) -> None:
    assert folder.sizes() == {} and folder.read("a/b.json") is None
    (tmp_path / "file").write_bytes(b"three")
    folder.write("a/b.json", b"one")
    folder.write("a/b.json", b"second")
    folder.put("a/c/d", tmp_path / "file")
    folder.write("ab", b"a neighbour whose name begins alike")
    assert folder.read("a/b.json") == b"second" and folder.read("a/c/d") == b"three"
    assert folder.sizes("a") == {"a/b.json": 6, "a/c/d": 5}
    assert folder.sizes().keys() == {"a/b.json", "a/c/d", "ab"}
    assert str(folder.where("a/b.json")).endswith("set/a/b.json")
    for _ in range(2):  # what is not there any more is no error
        folder.remove("a/b.json")
        assert folder.sizes("a") == {"a/c/d": 5}
    for _ in range(2):
        folder.remove_below("a")
        assert folder.sizes().keys() == {"ab"}


def test_a_file_that_fails_half_way_leaves_the_earlier_one(tmp_path: Path, small_disk: Any) -> None:
    folder = open_folder(small_disk(64))
    folder.write("x", b"before")
    with pytest.raises(OSError, match="No space left") as full:
        folder.write("x", bytes(200_000))
    assert full.value.errno == errno.ENOSPC and str(full.value.filename).endswith("/x")
    assert folder.sizes() == {"x": 6} and folder.read("x") == b"before"
