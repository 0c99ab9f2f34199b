"""A run under damage: the untouched videos give evaluation's numbers, and nothing is done twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("tensorflow")

from keras_ddl import robustness as module
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepare import prepare
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import read_json, write_json
from keras_ddl.edge.runs import start_run
from keras_ddl.evaluate import evaluate
from keras_ddl.evaluation.results import RobustnessResult
from keras_ddl.robustness import Condition, conditions, main, robustness, table
from keras_ddl.train import train
from keras_ddl.training.options import TrainingOptions

TINY = {
    "backbone": "resnet18",
    "frames": 8,
    "size": 32,
    "width": 0.125,
    "batch": 4,
    "epochs": 1,
    "modules": [],
}


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
    draw_face: Callable[..., np.ndarray],
    write_mp4: Callable[..., Path],
    haar: str,
) -> Path:
    """A briefly trained network and its set: two videos a class and split, fakes flicker."""
    root = tmp_path_factory.mktemp("robust") / "set"

    def portrait(seed: int, flicker: int) -> Iterator[np.ndarray]:
        shade = 90 + 12 * seed
        for i in range(20):
            wall = np.full((120, 160, 3), shade + flicker * (-1) ** i, np.uint8)
            yield draw_face(wall, 72 + 0.5 * i, 60, 60)

    for number, split in enumerate(("train", "val", "test")):
        for label, flicker in (("real", 0), ("fake", 12)):
            (root / split / label).mkdir(parents=True)
            for i in range(2):
                path = root / split / label / f"p{number}{i}_{label}.mp4"
                write_mp4(path, portrait(2 * number + i, flicker))
    config = TrainConfig.from_dict(TINY)
    spec = ClipSpec(frames=8, size=32)
    prepared = prepare(
        root, root.parent / "clips", spec, processes=1, clips_per_video=3, progress=False
    )
    run = start_run(root.parent / "run")
    train(config, prepared, run, TrainingOptions(progress=False))
    return run


def damaged(run: Path, **how: object) -> RobustnessResult:
    settings = {"processes": 0, "progress": False, **how}
    return robustness(run, **settings)  # type: ignore[arg-type]


def test_untouched_videos_give_evaluations_numbers(run: Path) -> None:
    evaluated = evaluate(run).sets[0].video
    result = damaged(run, families=["JPEG"], levels=[5])
    untouched = result.at("none", 0)
    assert untouched.auc == evaluated["auc"]
    assert untouched.accuracy == evaluated["accuracy"]  # at the threshold that evaluate chose
    assert untouched.scored == 1.0
    assert read_json(run / "robustness.json") == result.to_json()
    assert RobustnessResult.from_json(result.to_json()) == result


@pytest.mark.slow
def test_the_next_report_shows_them_while_the_weights_are_the_same(run: Path) -> None:
    result = damaged(run, families=["contrast"], levels=[5])
    evaluate(run)
    assert '<table class="stress">' in (run / "report.html").read_text()
    write_json(run / "robustness.json", {**result.to_json(), "weights_sha256": "0" * 64})
    evaluate(run)
    assert '<table class="stress">' not in (run / "report.html").read_text()


@pytest.mark.slow
def test_finished_conditions_are_kept(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = damaged(run, families=["saturation"], levels=[1, 5])
    cut = []
    inner = module.cut_video
    monkeypatch.setattr(module, "cut_video", lambda *a, **k: cut.append(a) or inner(*a, **k))
    assert damaged(run, families=["saturation"], levels=[1, 5]) == first and not cut
    damaged(run, families=["saturation", "pixelation"], levels=[5])
    assert len(cut) == 4  # the four test videos, at the one new condition
    damaged(run, families=["saturation"], levels=[5], limit=1)
    assert len(cut) == 4 + 2 * 2  # other videos: untouched and level 5, one of either class


def test_videos_without_a_clip_are_counted(run: Path) -> None:
    """With 40 % of the frames lost hardly any eight frames in a row are left."""
    result = damaged(run, families=["lost frames"], levels=[5])
    lost = result.at("lost frames", 5)
    assert lost.scored < 1
    assert f"({lost.scored:.0%} scored)" in table(result)


def test_conditions_are_nothing_and_every_level() -> None:
    wanted = conditions(["H.264", "lost frames"], [1, 5])
    assert wanted[0] == Condition("none", 0)
    assert [c.file for c in wanted[1:]] == [
        "h264-1.json",
        "h264-5.json",
        "lost-frames-1.json",
        "lost-frames-5.json",
    ]


def test_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--families", "saturation", "--levels", "5", "--processes", "1"]
    assert main([str(run), *options]) == 0
    assert "| saturation | " in capsys.readouterr().out
    assert main([str(run), *options, "--videos", "0"]) == 2
    assert "--videos: expected 1 or more, received 0" in capsys.readouterr().err


def test_only_prepared_videos_are_taken(run: Path) -> None:
    root = run.parent / "set"
    table = root / "methods.csv"
    files = {"real": "real/p20_real", "swap": "fake/p20_fake", "lips": "fake/p21_fake"}
    lines = [
        f"test/{name}.mp4,{int(method != 'real')},test,{method}\n" for method, name in files.items()
    ]
    table.write_text("path,label,split,method\n" + "".join(lines))
    spec, out = ClipSpec(frames=8, size=32), run.parent / "only"
    how = {"processes": 1, "progress": False, "layout": "csv"}
    prepare(table, out, spec, only=["swap"], **how)
    assert [video.method for video in module._videos(out, None)] == ["real", "swap"]
    prepare(table, out, spec, **how)
    assert [video.method for video in module._videos(out, None)] == ["real", "lips", "swap"]


def test_a_set_that_is_gone_is_named(run: Path) -> None:
    root = run.parent / "set"
    moved = root.rename(run.parent / "elsewhere")
    try:
        with pytest.raises(UserError, match=r"is gone; put it back"):
            damaged(run, families=["JPEG"], levels=[1])
    finally:
        moved.rename(root)


def test_a_video_that_kills_its_worker_gives_no_score(
    run: Path, tmp_path: Path, run_with_a_death: Any
) -> None:
    mine = tmp_path / "run"
    shutil.copytree(run, mine, ignore=shutil.ignore_patterns("robustness*"))
    options = ("--families", "JPEG", "--levels", "1", "--processes", "2")
    done = run_with_a_death(
        "keras_ddl.robustness", "keras_ddl.robustness:cut_video", "p20_fake", mine, *options
    )
    assert done.returncode == 0, done.stderr
    scored = [row["scored"] for row in read_json(mine / "robustness.json")["conditions"]]
    assert scored == [0.75, 0.75]
