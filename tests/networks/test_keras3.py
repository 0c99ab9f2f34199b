"""build_model and extend in a Keras 3 process: the same weights, the same numbers; files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("keras", "3.0")

from keras_ddl import build_model, extend
from keras_ddl.framework import keras
from keras_ddl.networks.model import with_inconsistency_map

ROOT = Path(__file__).resolve().parents[2]
STAGES = {"early": "block_3_expand_relu", "late": "block_12_add"}
NETWORK = {
    **{"backbone": "compact_xception", "frames": 4, "size": 32, "width": 0.25},
    **{"stages": ["block3", "block6"], "localise": "block3"},
}

# What a user of Keras 3 writes.
USER = """
import sys
from pathlib import Path

import keras
import numpy as np

from keras_ddl import build_model, extend
from keras_ddl.networks.cost import macs
from keras_ddl.networks.model import with_inconsistency_map

folder = Path(sys.argv[1])
given = np.load(folder / "given.npz")
answers = {"version": keras.__version__}

base = keras.applications.MobileNetV2(
    include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.35
)
features = extend(base, stages=STAGES, frames=4)
features.load_weights(folder / "features.weights.h5")
answers["features"] = features(given["frames"])

model = build_model(**NETWORK)
for ending in ("weights.h5", "h5"):
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    model.load_weights(folder / f"model.{ending}")
    answers[ending] = model(given["clip"])
answers["map"] = with_inconsistency_map(model)(given["clip"])[1]
answers["macs"] = sum(macs(model).values())

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(1e-3), loss, jit_compile=False)  # compiling takes a minute
fit = model.fit(given["clip"], np.array([0, 1]), epochs=2, verbose=0)
answers["losses"] = fit.history["loss"]
model.save(folder / "model.keras")
features.save(folder / "features.keras")
answers["trained"] = model(given["clip"])
np.savez(folder / "answers.npz", **answers)
"""
LOADER = """
import sys
from pathlib import Path

import keras
import keras_ddl.layers
import numpy as np

folder = Path(sys.argv[1])
given = np.load(folder / "given.npz")
found = {
    name: keras.models.load_model(folder / f"{name}.keras")(given[key])
    for name, key in (("model", "clip"), ("features", "frames"))
}
np.savez(folder / "found.npz", **found)
"""


def under_keras_3(*command: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    chosen = {"KERAS_DDL_KERAS": "keras", "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    line, environment = [sys.executable, *command], {**kept, **chosen}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keras3")


@pytest.fixture(scope="module")
def twins(folder: Path, randomise: Callable[..., None]) -> dict[str, Any]:
    """The same networks in Keras 2, every weight somewhere, and what they answer."""
    base = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.35
    )
    features = extend(base, STAGES, frames=4)
    model = build_model(**NETWORK)
    for network in (features, model):
        randomise(network)
    random = np.random.RandomState(0)
    clip = random.randint(0, 256, (2, 4, 32, 32, 3)).astype(np.uint8)
    frames = random.uniform(-1, 1, (8, 32, 32, 3)).astype(np.float32)
    np.savez(folder / "given.npz", clip=clip, frames=frames)
    features.save_weights(folder / "features.weights.h5")
    for ending in ("weights.h5", "h5"):  # the second is how a run keeps them
        model.save_weights(folder / f"model.{ending}")
    found = with_inconsistency_map(model)(clip)[1]
    return {"features": features(frames), "logits": model(clip), "map": found}


@pytest.fixture(scope="module")
def answers(folder: Path, twins: dict[str, Any]) -> dict[str, np.ndarray]:
    under_keras_3("-c", f"{STAGES=}\n{NETWORK=}\n{USER}", str(folder))
    return dict(np.load(folder / "answers.npz"))


def near(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_allclose(got, want, atol=1e-5 * max(1, np.abs(want).max()))


def test_it_was_keras_3(answers: dict[str, np.ndarray]) -> None:
    assert int(str(answers["version"]).partition(".")[0]) >= 3
    assert keras.__name__ == "tf_keras"


@pytest.mark.parametrize("ending", ["weights.h5", "h5"])
def test_weights_of_keras_2_give_the_same_logits(answers, twins, ending: str) -> None:
    assert np.abs(np.diff(twins["logits"], axis=0)).max() > 1e-3, "it depends on the clip"
    near(answers[ending], twins["logits"])


def test_an_extended_application_gives_the_same_features(answers, twins) -> None:
    near(answers["features"], twins["features"])


def test_the_map_is_the_same(answers, twins) -> None:
    near(answers["map"], twins["map"])


def test_it_learns(answers: dict[str, np.ndarray]) -> None:
    assert answers["losses"][-1] < answers["losses"][0]
    assert np.abs(answers["trained"] - answers["h5"]).max() > 1e-4


def test_files_load_where_only_the_layers_are_imported(answers, folder: Path) -> None:
    under_keras_3("-c", LOADER, str(folder))
    found = np.load(folder / "found.npz")
    near(found["model"], answers["trained"])
    near(found["features"], answers["features"])


@pytest.mark.slow
def test_all_that_is_asked_of_networks_holds_in_keras_3() -> None:
    names = ("test_extend", "test_model", "test_cost")
    files = [f"tests/networks/{name}.py" for name in names]
    # Keras 3.15 writes weights through an interface that NumPy 2 has changed.
    noise = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    under_keras_3("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", noise, *files)


def test_training_says_that_it_needs_keras_2(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_DDL_KERAS": "keras", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "keras_ddl.train"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []
    assert done.stderr.splitlines()[-1].startswith("error: training needs tf_keras (Keras 2)")
