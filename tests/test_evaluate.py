"""Evaluation: numbers a person can recompute from the stored scores."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.config import TrainConfig
from keras_ddl.data.store import PreparedSplit, read_summary
from keras_ddl.errors import UserError
from keras_ddl.evaluate import Scores, evaluate, main, summary, table
from keras_ddl.runs import INCOMPLETE, start_run
from keras_ddl.train import train


@pytest.fixture(scope="module")
def clips(flicker_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An own copy of the prepared clips."""
    return Path(shutil.copytree(flicker_set, tmp_path_factory.mktemp("data") / "flicker"))


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training of the plain backbone."""
    run = start_run(tmp_path_factory.mktemp("runs") / "plain")
    values = {"frames": 4, "size": 32, "width": 0.25, "batch": 8, "epochs": 2, "modules": []}
    train(TrainConfig.from_dict(values), clips, run, progress=False)
    return run


def _auc_by_counting(labels: list[int], scores: list[float]) -> float:
    """Share of (fake, real) pairs in which the fake scores higher, ties half."""
    pairs = [(f, r) for f, a in zip(scores, labels) if a for r, b in zip(scores, labels) if not b]  # noqa: B905
    return sum((f > r) + 0.5 * (f == r) for f, r in pairs) / len(pairs)


def _check(level: dict[str, float], labels: list[int], scores: list[float]) -> None:
    """Compare one level of the results with counts made here."""
    called = [score >= 0.5 for score in scores]
    right = [bool(a) == b for a, b in zip(labels, called, strict=True)]
    hits = sum(a and b for a, b in zip(labels, called, strict=True))
    assert level["accuracy"] == pytest.approx(np.mean(right))
    assert level["auc"] == pytest.approx(_auc_by_counting(labels, scores))
    assert level["f1"] == pytest.approx(2 * hits / (sum(labels) + sum(called)))
    assert (level["real"], level["fake"]) == (labels.count(0), labels.count(1))


def test_numbers_follow_from_the_stored_scores(run: Path) -> None:
    result = evaluate(run)
    assert json.loads((run / "test.json").read_text()) == result
    rows = list(csv.DictReader((run / "test_scores.csv").read_text().splitlines()))
    labels = [int(row["label"]) for row in rows]
    scores = [float(row["fake_probability"]) for row in rows]
    assert len(rows) == 20 and all(0 <= score <= 1 for score in scores)
    _check(result["clip"], labels, scores)
    videos: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        key = (row["method"], row["video"])
        videos.setdefault(key, []).append(float(row["fake_probability"]))
    assert len(videos) == 10  # test0 … test4 exist as real and as fake: ten videos, not five
    means = [sum(values) / len(values) for values in videos.values()]
    _check(result["video"], [int(method == "fake") for method, _ in videos], means)
    assert result["videos"] == {"ok": 10, "no face": 1}


def test_equal_names_under_two_methods_do_not_merge() -> None:
    """Merged, video `000` would score (0.9 + 0.2) / 2 for both labels."""
    keys = tuple(("d", method, "", "000") for method in ("real", "real", "swap", "swap"))
    data = PreparedSplit(np.empty(4), np.array([0, 0, 1, 1], np.int32), keys, (), ())
    logits = np.log(np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]]))
    scores = Scores.from_logits(data, logits)
    np.testing.assert_allclose(scores.probabilities, [0.1, 0.3, 0.8, 0.6])
    videos = scores.videos()
    assert videos.labels.tolist() == [0, 1]
    np.testing.assert_allclose(videos.probabilities, [0.2, 0.7])
    assert summary(scores, 0.5)["video"]["auc"] == 1.0


def test_temperature_divides_the_logits() -> None:
    data = PreparedSplit(np.empty(2), np.array([0, 1], np.int32), (("a",), ("b",)), (), ())  # type: ignore[arg-type]
    logits = np.array([[0.0, 2.0], [1000.0, 0.0]], np.float32)
    scores = Scores.from_logits(data, logits, temperature=2.0)
    np.testing.assert_allclose(scores.probabilities, [1 / (1 + np.exp(-1.0)), 0.0], atol=1e-12)


def test_command_prints_a_table_with_counts(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads((run / "test.json").read_text())
    assert lines[1].split() == ["level", "ACC", "AUC", "F1", "real", "fake"]
    video = result["video"]
    numbers = [f"{video[name]:.4f}" for name in ("accuracy", "auc", "f1")]
    assert lines[3].split() == ["video", *numbers, "5", "5"]
    assert lines[4] == "videos without a score: 1 no face"
    assert table(result).splitlines() == lines


def test_changed_clips_are_refused(run: Path, clips: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(clips, changed)
    path = changed / "prepared.json"
    path.write_text(json.dumps({**read_summary(changed), "fingerprint": "0" * 64}))
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["data"]["prepared"] = str(changed)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="has changed since run was trained"):
        evaluate(copy)
    assert evaluate(copy, changed)["fingerprint"] == "0" * 64


def test_clips_cut_to_another_spec_are_refused(run: Path, clips: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(clips, other)
    path = other / "clipspec.json"
    path.write_text(path.read_text().replace('"margin": 1.3', '"margin": 1.6'))
    with pytest.raises(UserError, match=r"margin 1\.6, the model expects 1\.3"):
        evaluate(run, other)


def test_what_is_no_complete_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: expected a run folder") and "keras_ddl.train" in error
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / INCOMPLETE).touch()
    assert main([str(copy)]) == 2
    assert "is incomplete" in capsys.readouterr().err
