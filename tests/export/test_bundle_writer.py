"""A bundle appears whole or not at all, on a full disk too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from export.bundle_writer import write_bundle
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import run_cli


def graph_of(kib: int) -> Any:
    """A graph that adds a constant of so many KiB."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    constant = onnx.numpy_helper.from_array(np.zeros(256 * kib, np.float32), "c")
    ends = [helper.make_tensor_value_info(name, kind, (256 * kib,)) for name in ("x", "y")]
    add = helper.make_node("Add", ["x", "c"], ["y"])
    graph = helper.make_graph([add], "sum", ends[:1], ends[1:], [constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_a_full_disk_is_one_line_and_leaves_the_earlier_bundle(
    small_disk: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk(200)
    folder, spec = disk / "bundle", ClipSpec()
    write_bundle(folder, graph_of(64), spec, lambda candidate: None)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def export() -> int:
        write_bundle(folder, graph_of(150), spec, lambda candidate: None)
        return 0

    assert run_cli(export) == 3
    said = capsys.readouterr().err
    assert said.count("error: ") == 1 and "No space left on device; make room" in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in disk.iterdir()] == ["bundle"]
    small_disk(2000)
    assert run_cli(export) == 0
    assert (folder / "model.onnx").stat().st_size > 150 << 10
