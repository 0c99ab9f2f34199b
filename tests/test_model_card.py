"""The card says what the run's files say, and "not measured" where they say nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.config import TrainConfig
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.runs import INCOMPLETE
from keras_ddl.hub.card import hub_card, plain_card
from keras_ddl.model_card import MODEL_CARD, NOT_MEASURED, main, write_model_card

WEIGHTS = "ab" * 32
MANIFEST = {
    "program": {"version": "0.1.0", "git": "c0ffee"},
    "python": "3.11.7",
    "packages": {"tensorflow": "2.21.0", "onnx": None},
    "hardware": {"processor": "A CPU", "cores": 3, "memory_gib": 4.0, "gpus": ["A GPU"]},
    "command": "python -m keras_ddl.train | cat",
    "started": "2026-01-02T03:04:05+0000",
    "devices": {"strategy": "mirrored", "workers": 1, "replicas": 2},
    "batch": {"global": 12, "per_replica": 6},
    "data": {
        "fingerprint": "f1",
        "splits": {
            "train": {"clips": 48, "ok": 24, "index_sha256": "aa", "real": 20, "fake": 28},
            "val": {"clips": 9, "ok": 8, "no face": 3, "index_sha256": "bb", "real": 4, "fake": 5},
        },
        "imbalance": "both classes count alike in the loss",
    },
    "training_seconds": 61.5,
    "energy_joules": None,
}
SECTIONS = {  # what is not measured in a run that was trained and no more
    "Test",
    "Per dataset, compression and method",
    "Calibration and operating point",
    "Robustness",
    "Time, energy, machine",
}


def numbers(first: float, real: int = 7, fake: int = 8) -> dict[str, float]:
    """Made up, and different from each other, so that none can stand in another's place."""
    names = ("accuracy", "auc", "f1", "average_precision", "eer", "tpr_at_1pct_fpr")
    found = {name: round(first + 0.0101 * place, 4) for place, name in enumerate(names)}
    return {**found, "precision": 1.0, "real": real, "fake": fake}


def measured(first: float) -> dict[str, Any]:
    levels = {"clip": numbers(first), "video": numbers(first + 0.1, 3, 4)}
    intervals = {
        level: {n: [v - 0.0021, v + 0.0032] for n, v in found.items() if isinstance(v, float)}
        for level, found in levels.items()
    }
    return {**levels, "intervals": intervals}


TEST = {
    **{"threshold": 0.375, "temperature": 1.625, "calibration": None, "weights_sha256": WEIGHTS},
    "sets": [
        {
            **{"name": "Celeb-DF-v2", "threshold": 0.375, "fingerprint": "f2", "trained_on": False},
            **measured(0.6),
            **{"ece_before": 0.1234, "ece_after": 0.0567, "nll_before": 0.4, "nll_after": 0.3},
            **{"split": "test", "videos": {"ok": 7}, "confusion": {}},
            **{"video_median": numbers(0.6), "video_topk": numbers(0.6)},
            "datasets": [{"dataset": "Celeb-DF-v2", "missing": "", **measured(0.6)}],
            "compressions": [],
            "methods": [
                {"dataset": "Celeb-DF-v2", "method": "A", "missing": "", **measured(0.2)},
                {
                    **{"dataset": "Celeb-DF-v2", "method": "B", "clip": None, "video": None},
                    "missing": "0 real and 2 fake videos: a comparison needs both",
                },
            ],
        }
    ],
}
CALIBRATION = {
    "split": "val",
    "fingerprint": "f1",
    "clips": 16,
    "videos": 9,
    "temperature": 1.625,
    "bounded": "",
    "nll_before": 0.5,
    "nll_after": 0.4,
    "ece_before": 0.2345,
    "ece_after": 0.0456,
    "threshold": 0.375,
    "rule": "a rule",
    "interval": [0.3, 0.4],
    "balanced_accuracy": 0.8765,
}
STRESS = {
    "videos": 5,
    "weights_sha256": WEIGHTS,
    "units": {"JPEG": {"unit": "quality", "values": [90, 70, 50, 30, 10]}},
    "conditions": [
        {"family": "none", "level": 0, "auc": 0.912, "accuracy": 0.5, "scored": 1.0},
        {"family": "JPEG", "level": 2, "auc": 0.734, "accuracy": 0.5, "scored": 0.6},
    ],
}


def put(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def put_spec(run: Path, dataset: str = "FaceForensics++", **metrics: Any) -> None:
    training = {"dataset": dataset}
    ClipSpec(weights_sha256=WEIGHTS, training=training, metrics=metrics).write(
        run / "clipspec.json"
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The files of a run as `train` leaves them, of made-up numbers."""
    run = tmp_path / "run"
    run.mkdir()
    config = TrainConfig(batch=12, epochs=20, seed=5, modules=("dfdc",))
    put(run / "config.json", {"config": config.to_dict(), "data": {}})
    put(run / "manifest.json", MANIFEST)
    validation = {"split": "val", "threshold": 0.5, **measured(0.3)}
    metrics = {"validation": validation, "selection": "a rule", "best_epoch": 13}
    put(run / "metrics.json", {**metrics, "gamma": {"dfdc:x": -0.0123}, "parameters": 1234567})
    lines = [{"epoch": e, "wrong": [{"video": "a|b"}, *[{"video": "c"}] * (e > 1)]} for e in (1, 2)]
    (run / "wrong_videos.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    put_spec(run)
    (run / "weights.h5").touch()
    return run


def sections(run: Path) -> dict[str, str]:
    text = write_model_card(run).read_text(encoding="utf-8")
    parts = [part.partition("\n") for part in text.split("\n## ")]
    return {title: body for title, _, body in parts}


def rows(body: str) -> list[list[str]]:
    lines = [line for line in body.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def pairs(body: str) -> dict[str, str]:
    return {row[0]: row[1] for row in rows(body) if len(row) == 2}


def assert_row(
    row: list[str], found: dict[str, float], ends: dict[str, list[float]] | None
) -> None:
    names = ("accuracy", "auc", "f1", "average_precision", "eer", "tpr_at_1pct_fpr")
    for cell, name in zip(row, names, strict=False):
        value, _, interval = cell.partition(" ")
        assert float(value) == pytest.approx(found[name], abs=5e-5)
        if ends is None:
            assert not interval
        else:
            low, high = interval.strip("[]").split(", ")
            assert [float(low), float(high)] == pytest.approx(ends[name], abs=6e-5)
    assert row[len(names) :] == [str(found["real"]), str(found["fake"])]


def test_numbers_are_those_of_the_files(run: Path) -> None:
    put(run / "test.json", TEST)
    found = sections(run)
    validation = json.loads((run / "metrics.json").read_text())["validation"]
    for body, part, bracketed in (
        (found["Validation"], validation, False),
        (found["Test"], TEST["sets"][0], True),
    ):
        _, clip, video = rows(body)
        for row, level in ((clip, "clip"), (video, "video")):
            assert row[0] == level
            assert_row(row[1:], part[level], part["intervals"][level] if bracketed else None)
    assert "another set than trained on" in found["Test"] and "threshold 0.375" in found["Test"]
    _, whole, one, other = rows(found["Per dataset, compression and method"])
    assert (whole[1], one[1:3]) == ("dataset", ["method", "Celeb-DF-v2 A"])
    method = TEST["sets"][0]["methods"][0]
    assert_row(one[3:], method["video"], method["intervals"]["video"])
    assert other[3] == "0 real and 2 fake videos: a comparison needs both"


def test_data_training_and_machine_are_those_of_the_files(run: Path) -> None:
    found = sections(run)
    _, train, val = rows(found["Data"])
    assert train == ["train", "48", "20", "28", "24", "none"]
    assert val == ["val", "9", "4", "5", "8", "3 no face"]
    assert "`f1`" in found["Data"] and "both classes count alike in the loss" in found["Data"]
    training = pairs(found["Training"])
    assert training["batch"] == "12 clips, 6 per replica; replicas: 2"
    assert training["epochs"] == "selected 13 of 20 (a rule)" and training["seed"] == "5"
    assert training["γ of the modules"] == "dfdc:x -0.0123"
    assert pairs(found["Time, energy, machine"]) == {
        "training, validation included": "61.5 s",
        "energy of the GPUs": NOT_MEASURED,
        "processor": "A CPU, cores: 3",
        "GPUs": "A GPU",
    }
    versions = pairs(found["Versions"])
    assert versions["keras-ddl"] == "0.1.0, commit c0ffee"
    assert versions["packages"] == "tensorflow 2.21.0"
    assert versions["command"] == "`python -m keras_ddl.train \\| cat`"  # no third column
    assert rows(found["Hardest validation videos"])[1:] == [["a\\|b", "2"], ["c", "1"]]
    config = found["Configuration"].strip().removeprefix("```json").removesuffix("```")
    assert json.loads(config) == json.loads((run / "config.json").read_text())["config"]
    top = found[f"# Model card: {run.name}"]
    assert WEIGHTS in top and "1,234,567" in top


def not_measured(run: Path) -> set[str]:
    return {title for title, body in sections(run).items() if NOT_MEASURED in body}


def test_what_was_not_measured_says_so_until_it_is(run: Path) -> None:
    missing = set(SECTIONS)
    assert not_measured(run) == missing
    put(run / "test.json", TEST)
    missing -= {"Test", "Per dataset, compression and method"}
    assert not_measured(run) == missing
    put_spec(run, calibration=CALIBRATION)
    missing -= {"Calibration and operating point"}
    assert not_measured(run) == missing
    put(run / "robustness.json", STRESS)
    missing -= {"Robustness"}
    assert not_measured(run) == missing
    put(run / "manifest.json", {**MANIFEST, "energy_joules": 98765.4})
    assert not_measured(run) == set()
    found = sections(run)
    assert "temperature 1.625, threshold 0.375" in found["Calibration and operating point"]
    ece = rows(found["Calibration and operating point"])[1:]
    assert ece == [["validation", "0.2345", "0.0456"], ["test, Celeb-DF-v2", "0.1234", "0.0567"]]
    assert "0.734 (60% scored)" in found["Robustness"] and "0.912" in found["Robustness"]
    assert "98765 J" in found["Time, energy, machine"]


def test_results_of_other_weights_are_none(run: Path) -> None:
    put(run / "test.json", {**TEST, "weights_sha256": "cd" * 32})
    put(run / "robustness.json", {**STRESS, "weights_sha256": "cd" * 32})
    assert not_measured(run) == SECTIONS


def test_a_run_without_manifest_and_metrics_still_has_a_card(run: Path) -> None:
    for name in ("manifest.json", "metrics.json", "wrong_videos.jsonl"):
        (run / name).unlink()
    found = sections(run)
    assert not_measured(run) == SECTIONS | {"Validation"}
    for title in ("Data", "Training", "Versions", "Hardest validation videos"):
        assert "not recorded" in found[title]


def test_only_models_of_generated_faces_say_that_they_know_nothing_else(run: Path) -> None:
    warning = "It knows nothing about real footage"
    assert warning not in sections(run)["Intended use"]
    put_spec(run, dataset="synthetic")
    found = sections(run)["Intended use"]
    assert warning in found and "Automated decisions about persons" in found


def test_the_command_writes_the_card(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run)]) == 0
    assert capsys.readouterr().out == f"{run / MODEL_CARD}\n"
    first = (run / MODEL_CARD).read_bytes()
    assert main([str(run)]) == 0 and (run / MODEL_CARD).read_bytes() == first
    (run / INCOMPLETE).touch()
    assert main([str(run)]) == 2
    assert "is incomplete" in capsys.readouterr().err


# The card of a preset


def front_matter(text: str) -> dict[str, Any]:
    """The header as the Hub's own library reads it."""
    cards = pytest.importorskip("huggingface_hub.repocard")
    return cards.ModelCard(text, ignore_metadata_errors=False).data


def test_hub_header_has_what_was_measured(run: Path) -> None:
    put(run / "test.json", TEST)
    data = front_matter(hub_card(run, "cc-by-4.0"))
    assert (data.license, data.library_name) == ("cc-by-4.0", "keras")
    assert data.pipeline_tag == "video-classification" and "deepfake-detection" in data.tags
    (part,) = TEST["sets"]
    want = {"roc_auc": "auc", "accuracy": "accuracy", "f1": "f1"}
    want |= {"average_precision": "average_precision"}
    found = {one.metric_type: one.metric_value for one in data.eval_results}
    assert found == {kind: part["video"][name] for kind, name in want.items()}
    assert {one.dataset_name for one in data.eval_results} == {"Celeb-DF-v2"}
    assert sorted(data.metrics) == sorted(want)


def test_hub_header_of_an_untested_run_has_no_results(run: Path) -> None:
    text = hub_card(run, "mit")
    data = front_matter(text)
    assert data.eval_results is None and "model-index" not in text and data.metrics is None
    assert text.partition("\n---\n\n")[2] == write_model_card(run).read_text()


def test_hub_header_quotes_what_yaml_would_misread() -> None:
    data = front_matter(plain_card("name: [x]\n---\n", 'no"such: licence'))
    assert data.license == 'no"such: licence'
