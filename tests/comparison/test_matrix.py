"""The matrix with commands that only pretend: order, failures, what is kept, what is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.comparison.cell import cells
from keras_ddl.comparison.datasets import Dataset
from keras_ddl.comparison.entrants import entrants
from keras_ddl.comparison.matrix import Matrix
from keras_ddl.comparison.process import Ended
from keras_ddl.comparison.record import Comparison
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError

SPEC = ClipSpec(frames=4, size=32, weights_sha256="a" * 64)


def compare(commands: Any, *names: str, **how: Any) -> tuple[int, dict[str, Any]]:
    """Run two sets with methods; return the exit code and what `comparison.json` holds."""
    overrides = ["size=32", "frames=4", *how.get("overrides", [])]
    chosen = entrants(names, overrides, "smoke")
    sets = [Dataset(name, name, Path(name), "folder", synthetic=False) for name in ("one", "two")]
    record = Comparison(
        out=commands.out,
        command="the command",
        overrides=overrides,
        datasets=sets,
        entrants=chosen,
        cells=cells(sets, chosen, commands.out),
        git=None,
    )
    commands.calls.clear()
    code = Matrix(record, commands.out, how.get("speed", True), 1, 0).run()
    return code, json.loads((commands.out / "comparison.json").read_text())


def test_everything_once_and_then_nothing(commands: Any) -> None:
    code, found = compare(commands, "resnet18", "ddl")
    steps = ("train", "evaluate", "export")
    assert commands.calls == [
        "costs resnet18",
        "costs ddl",
        *[f"{step} {s}/{m}" for s in ("one", "two") for m in ("resnet18", "ddl") for step in steps],
        "speed all",
    ]
    assert code == 0
    resnet, ddl = found["methods"]
    assert (resnet["gmac"], resnet["clips_per_second"], ddl["clips_per_second"]) == (0.5, 10, 11)
    assert found["datasets"][1]["cells"]["ddl"]["test"]["video"]["auc"] == 0.9
    again = compare(commands, "resnet18", "ddl")
    assert (commands.calls, again) == ([], (0, found))
    compare(commands, "ddl", speed=False)  # fewer of them
    assert commands.calls == []


def test_the_page_grows_with_every_cell(commands: Any) -> None:
    compare(commands, "resnet18", "ddl", speed=False)
    assert [page.count("not yet") for page in commands.pages] == [4, 3, 2, 1]
    assert {path.name for path in commands.out.iterdir() if path.is_file()} == {
        "comparison.json",
        "comparison.md",
        "comparison.html",
        "costs.json",
        "accuracy-cost-one.svg",
        "accuracy-cost-two.svg",
    }


def test_a_stopped_matrix_goes_on_where_it_was(commands: Any) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    evaluate, commands.evaluate = commands.evaluate, stop
    with pytest.raises(KeyboardInterrupt):
        compare(commands, "resnet18", "ddl", speed=False)
    commands.evaluate = evaluate
    compare(commands, "resnet18", "ddl", speed=False)
    assert commands.calls[:3] == ["evaluate one/resnet18", "train one/ddl", "evaluate one/ddl"]


def test_failures_are_told_at_once_and_stop_nothing_else(
    commands: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.failing = {
        "costs xception": Ended(3, "no weights"),
        "train one/ddl": Ended(4, "it diverged"),
        "export two/resnet18": Ended(4, "another answer"),
    }
    code, found = compare(commands, "xception", "resnet18", "ddl", overrides=["epochs=5"])
    assert code == 4
    assert not [call for call in commands.calls if "/xception" in call]
    assert "train two/ddl" in commands.calls and "evaluate one/ddl" not in commands.calls
    one, two = (dataset["cells"] for dataset in found["datasets"])
    assert one["xception"] == two["xception"] == {"error": "no weights"}
    assert one["ddl"] == {"error": "it diverged"} and two["ddl"]["test"]
    assert two["resnet18"]["test"] and two["resnet18"]["export_error"] == "another answer"
    assert found["methods"][1]["clips_per_second"] == 10  # of the bundle that there is
    lines = capsys.readouterr().err
    for line in ("Xception: no weights", "DDL on one: it diverged", "ResNet18 on two: another"):
        assert lines.count(line) == 1
    assert "no weights" in (commands.out / "comparison.html").read_text()
    commands.failing = {}
    code, found = compare(commands, "xception", "resnet18", "ddl", overrides=["epochs=5"])
    assert code == 0 and "costs xception" in commands.calls
    assert "error" not in json.dumps(found["datasets"])


def test_a_method_without_a_configuration_is_a_row(commands: Any) -> None:
    """Three epochs of Xception's head alone do not fit into two."""
    code, found = compare(commands, "xception", "resnet18", overrides=["epochs=2"], speed=False)
    assert code == 2 and commands.calls[0] == "costs resnet18"
    assert found["methods"][0]["config"] is None
    assert found["datasets"][0]["cells"]["xception"]["error"].startswith("frozen_epochs: expected")


def test_other_settings_than_begun_stop_it_before_anything_runs(commands: Any) -> None:
    compare(commands, "ddl", speed=False)
    with pytest.raises(UserError, match=r"one/ddl was begun with other settings: epochs 1 → 3"):
        compare(commands, "resnet18", "ddl", overrides=["epochs=3"])
    assert commands.calls == []


def test_a_step_that_leaves_nothing_is_not_repeated_for_ever(commands: Any) -> None:
    commands.evaluate = lambda *_: None
    code, found = compare(commands, "ddl", speed=False)
    assert code == 4 and commands.calls.count("evaluate one/ddl") == 1
    assert "evaluate ended well and left nothing" in found["datasets"][0]["cells"]["ddl"]["error"]


@pytest.mark.parametrize("wrong", [{}, {"x": 1}, [], {"clips_per_second": "fast"}])
def test_speed_that_cannot_be_read_is_a_reason_and_no_number(commands: Any, wrong: Any) -> None:
    def write(arguments: Sequence[str], words: dict[str, str], _: Path) -> None:
        Path(words["--out"]).write_text(json.dumps({arguments[0]: wrong}))

    commands.speed = write
    code, found = compare(commands, "ddl")
    assert code == 4 and "something else than expected" in found["speed_error"]
    assert found["methods"][0]["clips_per_second"] is None
    assert "Speed was not measured" in (commands.out / "comparison.html").read_text()


def test_another_bundle_is_timed_with_all_the_others(commands: Any) -> None:
    compare(commands, "ddl")
    compare(commands, "resnet18", "ddl")
    assert commands.calls[-1] == "speed all"
    _, found = compare(commands, "ddl", speed=False)
    assert found["methods"][0]["clips_per_second"] == 11  # known, though not asked for
