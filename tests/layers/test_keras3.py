"""DFDC and MSA, unchanged, in a Keras 3 model. One Keras per process, so Keras 3 has its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("keras", "3.0")

from keras_ddl.layers import DFDC, MSA

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (8, 5, 6, 8)

pytestmark = pytest.mark.slow
SCRIPT = """
import sys
from pathlib import Path

import numpy as np

from keras_ddl.framework import keras
from keras_ddl.layers import CUSTOM_OBJECTS, DFDC, MSA

folder = Path(sys.argv[1])
given = np.load(folder / "given.npz")
x = given["x"]
image = keras.Input(x.shape[1:])
dfdc, msa = DFDC(4, 3, 4, name="dfdc"), MSA(4, 2, name="msa")
features = msa(dfdc(image))
for weight in (*dfdc.weights, *msa.weights):
    part = weight.path.replace("_taps/kernel", "_taps/depthwise_kernel")  # renamed in Keras 3
    weight.assign(given[part])
modules = keras.Model(image, features)
logits = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(features))
model = keras.Model(image, logits)
answers = {"version": keras.__version__, "y": modules.predict(x, verbose=0)}

model.compile(keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError())
fit = model.fit(x, np.ones((len(x), 1)), batch_size=len(x), epochs=4, verbose=0)
answers["losses"] = fit.history["loss"]
answers["gamma"] = [float(layer.gamma.numpy()[0]) for layer in (dfdc, msa)]

answers["before"] = model.predict(x, verbose=0)
for ending in ("keras", "h5"):
    model.save(folder / f"model.{ending}")
    again = keras.models.load_model(
        folder / f"model.{ending}", custom_objects=CUSTOM_OBJECTS, compile=False
    )
    answers[ending] = again.predict(x, verbose=0)
np.savez(folder / "answers.npz", **answers)
"""


@pytest.fixture(scope="module")
def layers(made) -> tuple[DFDC, MSA]:
    dfdc = made(DFDC, SHAPE, frames=4, keep=3, reduction=4)
    return dfdc, made(MSA, SHAPE, frames=4, reduction=2)


@pytest.fixture(scope="module")
def x(noise) -> np.ndarray:
    return noise(*SHAPE)


@pytest.fixture(scope="module")
def answers(layers, x, tmp_path_factory) -> dict[str, np.ndarray]:
    """What the script, run under Keras 3 with these layers' weights, found."""
    folder = tmp_path_factory.mktemp("keras3")
    weights = {
        f"{layer.name}/{weight.name.removesuffix(':0')}": weight.numpy()
        for layer in layers
        for weight in layer.weights
    }
    np.savez(folder / "given.npz", x=x, **weights)
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {
        **os.environ,
        "KERAS_DDL_KERAS": "keras",
        "TF_USE_LEGACY_KERAS": "0",
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(np.load(folder / "answers.npz"))


def test_it_was_keras_3(answers: dict[str, np.ndarray]) -> None:
    assert int(str(answers["version"]).partition(".")[0]) >= 3
    assert layers_are_of_keras_2()


def layers_are_of_keras_2() -> bool:
    import tf_keras

    return issubclass(DFDC, tf_keras.layers.Layer)


def test_same_weights_give_the_same_numbers(answers, layers, x) -> None:
    dfdc, msa = layers
    np.testing.assert_allclose(answers["y"], msa(dfdc(x)), atol=1e-5)
    assert np.abs(answers["y"] - x).max() > 0.1, "the modules did something"


def test_it_trains(answers, layers) -> None:
    losses = answers["losses"]
    assert losses[-1] < losses[0]
    assert all(
        gamma != float(layer.gamma[0])
        for gamma, layer in zip(answers["gamma"], layers, strict=True)
    )


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_it_survives_a_file(answers, ending: str) -> None:
    np.testing.assert_allclose(answers[ending], answers["before"], atol=1e-6)
