"""With `--mlflow`, MLflow's store holds the run's numbers; without the package, one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from keras_ddl import train as training

SETTINGS = {
    **{"frames": 4, "size": 32, "width": 0.125, "batch": 8, "epochs": 3, "modules": "none"},
    # Two calls of Keras' `fit`, the second with another learning rate.
    **{"backbone": "resnet18", "frozen_epochs": 1, "halve_every": 1},
}
SET = ["--set", *(f"{key}={value}" for key, value in SETTINGS.items())]


@pytest.mark.filterwarnings("ignore")  # of MLflow's own dependencies
def test_mlflow_holds_configuration_and_every_epoch(
    flicker_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    options = ["--prepared", str(flicker_set), "--out", str(out), "--mlflow"]
    assert training.main([*options, *SET]) == 0
    client = mlflow.MlflowClient()
    (found,) = client.search_runs(["0"])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["backbone"] == "resnet18" and found.data.params["epochs"] == "3"
    assert found.data.params["opt_name"] == "Adam"
    history = json.loads((out / "history.json").read_text())
    assert len(set(history["lr"])) == 3
    for name, values in history.items():
        points = client.get_metric_history(found.info.run_id, name)
        assert sorted((p.step, p.value) for p in points) == list(enumerate(values))


def test_a_missing_package_is_one_line_before_anything_is_made(
    flicker_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    options = ["--prepared", str(flicker_set), "--out", str(tmp_path / "run"), "--mlflow"]
    assert training.main([*options, *SET]) == 3
    assert capsys.readouterr().err == (
        "error: --mlflow: expected the package mlflow, which is not installed; "
        "pip install 'keras-ddl[mlflow]'\n"
    )
    assert not list(tmp_path.iterdir())
