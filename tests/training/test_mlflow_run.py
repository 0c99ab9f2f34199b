"""With `--mlflow`, MLflow's store holds the run's numbers; without the package, one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from keras_ddl import train as training
from keras_ddl.config import TrainConfig
from keras_ddl.framework import keras
from keras_ddl.training.mlflow_run import mlflow_run

SETTINGS = {
    **{"frames": 4, "size": 32, "width": 0.125, "batch": 8, "epochs": 3, "modules": "none"},
    # Two calls of Keras' `fit`, the second with another learning rate.
    **{"backbone": "resnet18", "frozen_epochs": 1, "halve_every": 1},
}
SET = ["--set", *(f"{key}={value}" for key, value in SETTINGS.items())]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an empty store, which all runs go to."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return mlflow.MlflowClient()


@pytest.mark.filterwarnings("ignore")  # of MLflow's own dependencies
def test_mlflow_holds_configuration_and_every_epoch(
    store: Any, flicker_set: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = ["--prepared", str(flicker_set), "--out", str(out), "--mlflow"]
    assert training.main([*options, *SET]) == 0
    (found,) = store.search_runs(["0"])
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params["backbone"] == "resnet18" and found.data.params["epochs"] == "3"
    assert found.data.params["opt_name"] == "Adam"
    history = json.loads((out / "history.json").read_text())
    assert len(set(history["lr"])) == 3
    for name, values in history.items():
        points = store.get_metric_history(found.info.run_id, name)
        assert sorted((p.step, p.value) for p in points) == list(enumerate(values))


@pytest.mark.filterwarnings("ignore")
def test_a_training_that_goes_on_within_an_epoch_is_described_once(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras' `fit` is then called twice, and the learning rate has changed meanwhile."""
    # MLflow's callback then raises what it meets.
    monkeypatch.setenv("MLFLOW_AUTOLOGGING_TESTING", "true")
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    with mlflow_run("twice", TrainConfig()) as (callback,):
        callback.set_model(model)
        for epoch, rate in enumerate((0.5, 0.25)):
            model.optimizer.learning_rate = rate
            callback.on_train_begin()
            callback.on_epoch_end(epoch, {"loss": rate})
    (found,) = store.search_runs(["0"])
    assert found.data.params["opt_learning_rate"] == "0.5"
    assert found.data.metrics["loss"] == 0.25


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
