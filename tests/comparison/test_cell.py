"""What a cell still lacks, read from its run folder alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.comparison.cell import Cell, cells
from keras_ddl.comparison.datasets import Dataset
from keras_ddl.comparison.entrants import entrants
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError


@pytest.fixture
def cell(flicker_set: Path, tmp_path: Path) -> Cell:
    (entrant,) = entrants(["resnet18"], ["size=32", "frames=4"], "paper")
    dataset = Dataset("flicker", "flicker", tmp_path, "folder", synthetic=False)
    (cell,) = cells([dataset], [entrant], tmp_path / "out")
    assert cell.run == tmp_path / "out" / "flicker" / "resnet18"
    return cell


def put(cell: Cell, name: str, value: Any) -> None:
    cell.run.mkdir(parents=True, exist_ok=True)
    (cell.run / name).write_text(json.dumps(value))


def begin(cell: Cell, fingerprint: str = "f" * 64, **changes: Any) -> None:
    config = cell.entrant.config.to_dict() | changes
    put(cell, "config.json", {"config": config, "data": {"fingerprint": fingerprint}})
    (cell.run / "INCOMPLETE").touch()


def judge(cell: Cell, fingerprint: str = "f" * 64, weights: str = "a" * 64) -> None:
    put(
        cell,
        "metrics.json",
        {"best_epoch": 4, "training_seconds": 9.5, "validation": {"video": {"auc": 0.75}}},
    )
    numbers = {name: {} for name in ("clip", "intervals", "videos")} | {"video": {"auc": 0.5}}
    here = {"dataset": "flicker", "compression": ""}
    lacking, swap = {**here, "method": "none", "video": None}, {**here, "method": "swap"}
    numbers |= {"datasets": [here], "methods": [lacking, {**swap, "video": {"auc": 0.5}}]}
    part = {"fingerprint": fingerprint, **numbers}
    other = {"fingerprint": "another", **numbers}
    top = {"calibration": {}, "weights_sha256": weights, "threshold": 0.4, "temperature": 2.0}
    put(cell, "test.json", {**top, "sets": [other, part]})


def test_steps_come_one_after_the_other(cell: Cell, flicker_set: Path) -> None:
    def step(export: bool = True) -> Any:
        return cell.next_command(flicker_set, export)

    assert not cell.begun() and step().step == "train"
    assert step().log == cell.run.with_name("resnet18.log")
    options = "--preset resnet18 --set size=32 frames=4 --prepared".split()
    assert step().arguments == (*options, str(flicker_set), "--resume", str(cell.run))
    begin(cell)
    assert cell.begun() and not cell.trained() and step().step == "train"
    (cell.run / "INCOMPLETE").unlink()
    spec = ClipSpec(frames=4, size=32, weights_sha256="a" * 64)
    spec.write(cell.run / "clipspec.json")
    assert step() == cell.next_command(flicker_set, False)
    assert (step().step, step().arguments) == ("evaluate", (str(cell.run),))
    judge(cell)
    assert (step().step, step().arguments) == ("export", (str(cell.run),))
    assert step(export=False) is None and cell.finished(export=False)
    assert not cell.finished(export=True)
    (cell.run / "bundle").mkdir()
    spec.write(cell.run / "bundle" / "clipspec.json")
    assert step() is None and cell.finished(export=True)
    spec.replace(threshold=0.3).write(cell.run / "clipspec.json")  # evaluated again since
    assert step().step == "export"


def test_results_of_other_weights_or_other_data_do_not_count(cell: Cell) -> None:
    begin(cell)
    (cell.run / "INCOMPLETE").unlink()
    ClipSpec(weights_sha256="a" * 64).write(cell.run / "clipspec.json")
    judge(cell, weights="b" * 64)
    assert cell.result() is None
    judge(cell, fingerprint="other")
    assert cell.result() is None
    judge(cell)
    found = json.loads((cell.run / "test.json").read_text())
    put(cell, "test.json", {**found, "calibration": None})  # a threshold taken as it was
    assert cell.result() is None
    judge(cell)
    result = cell.result()
    assert result.test.fingerprint == "f" * 64 and result.test.datasets == ("flicker",)
    assert [(row.method, row.video) for row in result.test.methods] == [("swap", {"auc": 0.5})]
    assert (result.best_epoch, result.threshold, result.temperature) == (4, 0.4, 2.0)
    assert (result.training_seconds, result.validation_video_auc) == (9.5, 0.75)


def test_another_configuration_is_refused_with_folder_and_remedy(
    cell: Cell, flicker_set: Path
) -> None:
    cell.check(flicker_set)  # nothing has begun
    begin(cell)
    cell.check(flicker_set)
    begin(cell, epochs=7, twins=True)
    with pytest.raises(UserError) as caught:
        cell.check(flicker_set)
    assert str(caught.value) == (
        f"{cell.run} was begun with other settings: epochs 7 → 20, twins True → False; name "
        f"another --out, or delete {cell.run} to begin it anew"
    )


def test_changed_videos_are_refused(cell: Cell, flicker_set: Path) -> None:
    begin(cell, fingerprint="e" * 64)
    with pytest.raises(UserError, match=r"have changed; name another --out, or delete .*resnet18"):
        cell.check(flicker_set)


def test_the_matrix_leaves_out_what_has_no_configuration(tmp_path: Path) -> None:
    made = entrants(["xception", "resnet18", "ddl"], ["epochs=2"], "paper")
    sets = [Dataset(name, name, tmp_path, "folder", synthetic=False) for name in ("a", "b")]
    folders = [cell.run.relative_to(tmp_path) for cell in cells(sets, made, tmp_path)]
    assert folders == [Path(s) / m for s in ("a", "b") for m in ("resnet18", "ddl")]
