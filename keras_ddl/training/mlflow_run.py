"""A training as a run in MLflow, written by MLflow's own callback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from keras_ddl.config import TrainConfig
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.framework import keras  # before MLflow imports TensorFlow: it chooses the Keras


def check_mlflow() -> None:
    """Refuse where the package is missing.

    Raises:
        UserError: exit code 3.
    """
    if find_spec("mlflow") is None:
        raise UserError(
            "--mlflow: expected the package mlflow, which is not installed; "
            "pip install 'keras-ddl[mlflow]'",
            MISSING,
        )


@contextmanager
def mlflow_run(name: str, config: TrainConfig) -> Iterator[list[keras.callbacks.Callback]]:
    """Open a run in MLflow; where it is kept says MLflow's own `MLFLOW_TRACKING_URI`.

    The configuration becomes its parameters, the logs of each epoch, from 0, its metrics. Yields
    the callback for `model.fit`.

    Args:
        name: Of the run.
        config: What is trained.
    """
    import mlflow
    from mlflow.tensorflow import MlflowCallback

    class Callback(MlflowCallback):
        """Describes model and optimiser once: a training may call `model.fit` several times, and
        MLflow takes a parameter's first value only."""

        described = False

        def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
            if not self.described:
                super().on_train_begin(logs)
            self.described = True

    with mlflow.start_run(run_name=name):
        mlflow.log_params(config.to_dict())
        yield [Callback()]
        mlflow.flush_async_logging()
