"""Atomic writes: a file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import atomic_write, read_json, write_durably, write_json


def test_a_block_that_fails_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "curves.png"
    file.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), atomic_write(file) as temporary:
        temporary.write_bytes(b"half of")
        assert file.read_bytes() == b"before"
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    assert file.read_bytes() == b"before"


def test_two_writers_of_one_path_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    with atomic_write(file) as first, atomic_write(file) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert file.read_bytes() == b"first"  # the one that ended last
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_durable_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    write_durably(tmp_path / "event.json", b"{}")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_durably(tmp_path / "folder", b"{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["event.json", "folder"]


def test_json_is_read_back_and_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    write_json(file, {"größe": [1, None]})
    assert read_json(file) == {"größe": [1, None]}
    file.write_text('{"half": ')
    with pytest.raises(UserError, match=r"facts\.json is not valid JSON"):
        read_json(file)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(file, float("nan"))
    assert file.read_text() == '{"half": '
