"""Evaluation: numbers a person can recompute from the stored scores. Nothing is trained here."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.build_network import build, load_run
from keras_ddl.config import TrainConfig
from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.prepared import read_split, read_summary
from keras_ddl.data.pseudo_fakes.rows import with_pseudo_fakes
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256
from keras_ddl.edge.measured import measured
from keras_ddl.edge.runs import INCOMPLETE, WEIGHTS
from keras_ddl.evaluate import KEEP, choose, evaluate, main
from keras_ddl.evaluation.calibration import fit_temperature, probabilities_from_margins
from keras_ddl.evaluation.clip_scores import clip_logits
from keras_ddl.evaluation.operating_point import choose_threshold
from keras_ddl.evaluation.results import EvaluationResult
from keras_ddl.evaluation.score_sets import Subject
from keras_ddl.evaluation.split_scores import score_split
from keras_ddl.evaluation.tables import table

CONFIG = {
    "backbone": "resnet18",
    "frames": 4,
    "size": 32,
    "width": 0.25,
    "batch": 8,
    "epochs": 1,
    "modules": ["dfdc"],
}
WRITTEN = ("clipspec.json", "test.json", "test_scores.csv", "report.html", "MODEL_CARD.md")


@pytest.fixture(scope="module")
def clips(flicker_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An own copy of the prepared clips."""
    return Path(shutil.copytree(flicker_set, tmp_path_factory.mktemp("data") / "flicker"))


@pytest.fixture(scope="module")
def untouched(
    clips: Path, tmp_path_factory: pytest.TempPathFactory, randomise: Callable[..., None]
) -> Path:
    """A run as training leaves it, of a network that was never trained."""
    run = tmp_path_factory.mktemp("runs") / "random"
    run.mkdir()
    config = TrainConfig.from_dict(CONFIG)
    model = build(config)
    randomise(model, seed=2)
    # The head of random weights hardly tells clips apart: louder, centred, and turned around.
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([-200 * kernel, 0 * bias])
    logits = clip_logits(model, clip_dataset(clips, "val", 16))
    centre = np.array([0.0, (logits[:, 0] - logits[:, 1]).mean()])
    model.get_layer("logits").set_weights([-200 * kernel, centre])
    model.save_weights(str(run / WEIGHTS))
    fingerprint = read_summary(clips)["fingerprint"]
    data = {"prepared": str(clips), "fingerprint": fingerprint}
    text = json.dumps({"config": config.to_dict(), "data": data})
    (run / "config.json").write_text(text, encoding="utf-8")
    spec = ClipSpec.read(clips / "clipspec.json").replace(
        training={"dataset": "synthetic"},
        metrics={"validation_video_auc": 0.5},
        weights_sha256=file_sha256(run / WEIGHTS),
    )
    spec.write(run / "clipspec.json")
    return run


@pytest.fixture(scope="module")
def run(untouched: Path) -> Path:
    """The same run, evaluated."""
    copy = Path(shutil.copytree(untouched, untouched.with_name("evaluated")))
    assert main([str(copy)]) == 0
    return copy


def _auc_by_counting(labels: list[int], scores: list[float]) -> float:
    """Share of (fake, real) pairs in which the fake scores higher, ties half."""
    pairs = [(f, r) for f, a in zip(scores, labels) if a for r, b in zip(scores, labels) if not b]  # noqa: B905
    return sum((f > r) + 0.5 * (f == r) for f, r in pairs) / len(pairs)


def _check(level: dict[str, float], labels: list[int], scores: list[float]) -> None:
    """Compare one level of the results with counts made here."""
    called = [score >= level["threshold"] for score in scores]
    right = [bool(a) == b for a, b in zip(labels, called, strict=True)]
    hits = sum(a and b for a, b in zip(labels, called, strict=True))
    assert level["accuracy"] == pytest.approx(np.mean(right))
    assert level["auc"] == pytest.approx(_auc_by_counting(labels, scores))
    assert level["f1"] == pytest.approx(2 * hits / (sum(labels) + sum(called)))
    assert (level["real"], level["fake"]) == (labels.count(0), labels.count(1))


def test_numbers_follow_from_the_stored_scores(run: Path) -> None:
    result = json.loads((run / "test.json").read_text())
    (part,) = result["sets"]
    rows = list(csv.DictReader((run / "test_scores.csv").read_text().splitlines()))
    labels = [int(row["label"]) for row in rows]
    scores = [float(row["fake_probability"]) for row in rows]
    assert len(rows) == 20 and all(0 <= score <= 1 for score in scores)
    margins = [float(row["margin"]) for row in rows]
    assert np.ptp(margins) > 0.1, "the clips differ, so the comparison says something"
    expected = [1 / (1 + np.exp(-margin / result["temperature"])) for margin in margins]
    assert scores == pytest.approx(expected, abs=1e-12)
    _check(part["clip"], labels, scores)
    videos: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        key = (row["method"], row["video"])
        videos.setdefault(key, []).append(float(row["fake_probability"]))
    assert len(videos) == 10  # test0 … test4 exist as real and as fake: ten videos, not five
    means = [sum(values) / len(values) for values in videos.values()]
    _check(part["video"], [int(method == "fake") for method, _ in videos], means)
    assert part["videos"] == {"ok": 10, "no face": 1}
    assert part["trained_on"] and {row["set"] for row in rows} == {"flicker"} == {part["name"]}


def test_threshold_and_temperature_come_from_validation(run: Path, clips: Path) -> None:
    model, _, spec = load_run(run)
    logits = clip_logits(model, clip_dataset(clips, "val", 16)).astype(float)
    data = read_split(clips, "val")
    margins = logits[:, 1] - logits[:, 0]
    temperature = fit_temperature(data.labels, margins).value
    videos = probabilities_from_margins(margins, temperature).reshape(-1, 2).mean(axis=1)
    labels = data.labels.reshape(-1, 2)[:, 0]  # two clips a video, in a row
    assert spec.temperature == temperature
    assert spec.threshold == choose_threshold(labels, videos).value
    record = spec.metrics["calibration"]
    assert (record["split"], record["clips"], record["videos"]) == ("val", 16, 8)
    assert record["fingerprint"] == read_summary(clips)["fingerprint"]
    assert spec.metrics["validation_video_auc"] == 0.5  # what training wrote stays
    assert json.loads((run / "test.json").read_text())["calibration"] == record


def test_a_second_time_gives_the_same_files_and_prints_the_table(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: (run / name).read_bytes() for name in WRITTEN}
    os.utime(run / "clipspec.json", (1, 1))
    (run / "bundle").mkdir()
    (run / "bundle" / "clipspec.json").write_text("{}")
    assert main([str(run)]) == 0
    assert {name: (run / name).read_bytes() for name in WRITTEN} == before
    # A bundle is stale when it is older than the spec: a spec that stays is not written.
    assert (run / "clipspec.json").stat().st_mtime == 1
    lines = capsys.readouterr().out.splitlines()
    whole = json.loads((run / "test.json").read_text())
    (part,) = whole["sets"]
    assert EvaluationResult.from_json(whole).to_json() == whole
    assert lines[0] == "flicker"
    assert lines[2].split() == ["level", "ACC", "AUC", "F1", "real", "fake"]
    numbers = [f"{part['video'][name]:.4f}" for name in ("accuracy", "auc", "f1")]
    assert lines[4].split() == ["video", *numbers, "5", "5"]
    assert "videos without a score: 1 no face" in lines
    printed = table(EvaluationResult.from_json(whole).sets[0]).splitlines()
    assert lines[1 : 1 + len(printed)] == printed
    bundle = run / "bundle"
    remedy = f"python export/to_onnx.py {run}"
    assert lines[-1] == f"{bundle} carries another clipspec.json: {remedy}"
    shutil.rmtree(bundle)


def test_training_and_reports_see_the_same_numbers(run: Path, clips: Path) -> None:
    model, _, spec = load_run(run)
    _, result = score_split(model, spec, clips)
    (stored,) = json.loads((run / "test.json").read_text())["sets"]
    assert stored["video"] == result["video"] and stored["clip"] == result["clip"]
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "only synthetic faces" in text and "where DFDC saw change" in text
    assert "Grad-CAM: what raised this network" in text
    assert text.count("data:image/png") >= 3 * 3 * 4  # three videos of four frames, two maps each
    assert stored["grad_cam"] is None  # these clips have no surroundings to make fakes of


def test_validation_is_scored_without_a_look_at_test(
    untouched: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, only = tmp_path / "run", tmp_path / "only"
    shutil.copytree(untouched, copy)
    shutil.copytree(clips, only)
    for file in (only / "test").iterdir():
        file.write_bytes(b"not to be read")
    config = json.loads((copy / "config.json").read_text())
    config["data"]["prepared"] = str(only)
    (copy / "config.json").write_text(json.dumps(config))
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    assert main([str(copy), "--validation"]) == 0
    printed = capsys.readouterr().out
    assert "val split, threshold" in printed and "chosen on these very clips" in printed
    found = json.loads((copy / "validation.json").read_text())
    after = {file.name: file.read_bytes() for file in copy.iterdir()}
    assert {**after, "validation.json": b""} == {**before, "validation.json": b""}
    (part,) = found["sets"]
    assert part["split"] == "val" and len(part["probes"]) == 7
    data = read_split(clips, "val")
    model, _, _ = load_run(untouched)
    logits = clip_logits(model, clip_dataset(clips, "val", 16))
    expected = _auc_by_counting(data.labels.tolist(), (logits[:, 1] - logits[:, 0]).tolist())
    assert part["clip"]["auc"] == pytest.approx(expected)
    assert main([str(copy), "--validation", "--prepared", str(clips)]) == 2
    assert "--validation: expected the run alone" in capsys.readouterr().err


@pytest.mark.parametrize("own_fakes", [True, False])
def test_real_is_bounded_by_forgeries_and_never_by_pseudo_fakes(
    untouched: Path,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_fakes: bool,
) -> None:
    own = clips if own_fakes else _of_one_class(clips, tmp_path / "reals", 0, "val")
    data = with_pseudo_fakes(read_split(own, "val")).data if not own_fakes else None
    if data is not None:  # these clips have no surroundings to make fakes of: only their rows count
        logits = np.stack([0.0 * data.labels, 2.0 * data.labels], 1)
        monkeypatch.setattr("keras_ddl.evaluate.split_logits", lambda *_: (data, logits))
    model, config, spec = load_run(untouched)
    learnt = TrainConfig.from_dict(
        {**config.to_dict(), "pseudo_fakes": "mixed", "false_alarms": 0.05}
    )
    chosen = choose(Subject(untouched, model, learnt, spec, ""), own).spec
    assert chosen.threshold > 0 and (chosen.real_to > 0) == own_fakes


@pytest.mark.slow
def test_several_sets_and_the_training_one_among_them(
    run: Path, clips: Path, tmp_path: Path
) -> None:
    copy, other = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(run, copy)
    shutil.copytree(clips, other)
    path = other / "prepared.json"
    path.write_text(json.dumps({**read_summary(other), "fingerprint": "0" * 64}))
    result = evaluate(copy, [clips, other])
    names = [f"flicker ({clips.name})", "flicker (elsewhere)"]
    assert [part.name for part in result.sets] == names
    assert [part.trained_on for part in result.sets] == [True, False]
    assert result.sets[0].video == result.sets[1].video
    rows = list(csv.DictReader((copy / "test_scores.csv").read_text().splitlines()))
    assert [row["set"] for row in rows] == [names[0]] * 20 + [names[1]] * 20


def test_changed_clips_are_refused(untouched: Path, clips: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(clips, changed)
    path = changed / "prepared.json"
    path.write_text(json.dumps({**read_summary(changed), "fingerprint": "0" * 64}))
    copy = tmp_path / "run"
    shutil.copytree(untouched, copy)
    config = json.loads((copy / "config.json").read_text())
    config["data"]["prepared"] = str(changed)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"has changed since run was trained; .*{KEEP}"):
        evaluate(copy)
    with pytest.raises(UserError, match="has changed"):  # its validation split is needed still
        evaluate(copy, [clips])
    before = ClipSpec.read(copy / "clipspec.json")
    result = evaluate(copy, [changed], keep=True)
    assert result.sets[0].fingerprint == "0" * 64
    assert (result.threshold, result.calibration) == (0.5, None)
    after = ClipSpec.read(copy / "clipspec.json")
    assert (after.threshold, after.temperature) == (before.threshold, before.temperature)
    (found,) = measured(after)
    assert not found.trained_on
    assert found.auc == pytest.approx(result.sets[0].video["auc"], abs=1e-4)
    config["data"]["prepared"] = str(tmp_path / "gone")
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="is not there"):
        evaluate(copy, [clips])


def test_clips_cut_to_another_spec_are_refused(run: Path, clips: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(clips, other)
    path = other / "clipspec.json"
    path.write_text(path.read_text().replace('"margin": 1.3', '"margin": 1.6'))
    before = {name: (run / name).read_bytes() for name in WRITTEN}
    with pytest.raises(UserError, match=r"margin 1\.6, the model expects 1\.3"):
        evaluate(run, [clips, other])
    assert {name: (run / name).read_bytes() for name in WRITTEN} == before


def _of_one_class(clips: Path, out: Path, label: int, split: str = "test") -> Path:
    """Prepared clips whose split has lost the other class."""
    shutil.copytree(clips, out)
    index = out / split / "index.json"
    rows = json.loads(index.read_text())
    kept = {kind: [row for row in rows[kind] if row["label"] == label] for kind in rows}
    index.write_text(json.dumps(kept))
    return out


@pytest.mark.parametrize(
    ("label", "name"), [(0, "real"), pytest.param(1, "fake", marks=pytest.mark.slow)]
)
def test_a_test_split_of_one_class_gives_what_it_defines(
    untouched: Path,
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    label: int,
    name: str,
) -> None:
    one, copy = _of_one_class(clips, tmp_path / "one", label), tmp_path / "run"
    shutil.copytree(untouched, copy)
    assert main([str(copy), "--prepared", str(one)]) == 0
    counts = {"real": "10 real and 0 fake", "fake": "0 real and 10 fake"}[name]
    assert f"{one}, test: {counts} clips: only " in caplog.text  # and before the work:
    assert caplog.records[0].name == "keras_ddl.evaluate"
    printed = capsys.readouterr().out.splitlines()
    (part,) = json.loads((copy / "test.json").read_text())["sets"]
    rows = list(csv.DictReader((copy / "test_scores.csv").read_text().splitlines()))
    called = [float(row["fake_probability"]) >= part["threshold"] for row in rows]
    assert len(called) == 10 and {row["label"] for row in rows} == {str(label)}
    assert part["clip"]["accuracy"] == pytest.approx(np.mean([c == label for c in called]))
    accuracy = f"{part['video']['accuracy']:.4f}"
    assert ["video", accuracy, "–", "–", str(5 - 5 * label), str(5 * label)] in [
        line.split() for line in printed
    ]
    assert any("not defined: only one class" in line for line in printed)
    for numbers in (part["clip"], part["video"], part["video_median"], part["video_topk"]):
        assert numbers["auc"] is numbers["f1"] is None
    assert part["ece_after"] is part["nll_after"] is None
    assert bool(part["false_alarms"]) == (label == 0)
    whole = json.loads((copy / "test.json").read_text())
    assert EvaluationResult.from_json(whole).to_json() == whole
    rates = measured(ClipSpec.read(copy / "clipspec.json"))
    assert [one.auc for one in rates] == ([] if label else [None])
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert "not defined: only one class" in page and "Scores of videos" in page
    assert "<b>ROC</b>" not in page and "<b>Reliability of clips</b>" not in page
    card = (copy / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "not defined: only one class" in card
    assert main([str(copy), "--prepared", str(one)]) == 0  # read back, and the same again
    assert json.loads((copy / "test.json").read_text()) == whole


def test_validation_of_one_class_is_refused_before_the_work(
    untouched: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, copy = _of_one_class(clips, tmp_path / "one", 0, "val"), tmp_path / "run"
    shutil.copytree(untouched, copy)
    config = json.loads((copy / "config.json").read_text())
    config["data"]["prepared"] = str(one)
    (copy / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("keras_ddl.evaluate.split_logits", None)  # whoever scores fails
    told = "val: expected clips of both classes, received 0 fake and 8 real"
    with pytest.raises(UserError, match=told):
        evaluate(copy)


def test_what_is_no_complete_run(
    untouched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: expected a run folder") and "keras_ddl.train" in error
    copy = tmp_path / "copy"
    shutil.copytree(untouched, copy)
    (copy / INCOMPLETE).touch()
    assert main([str(copy)]) == 2
    assert "is incomplete" in capsys.readouterr().err
