"""Presets of networks that `extend` has made: rebuilt from their layers, without code of a user."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from keras_ddl import extend, from_preset, save_to_preset
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.framework import keras
from keras_ddl.hub.preset import load_preset
from keras_ddl.layers import FramesToClip

T = 4
layers = keras.layers


def cnn() -> Any:
    """A CNN with nested models, operations without a layer, and numbers that are no weights."""
    inner = keras.Input((16, 16, 8))
    parts = [layers.Conv2D(8, 3, padding="same", kernel_regularizer="l2"), layers.ReLU(6.0)]
    part = keras.Model(inner, keras.Sequential(parts, name="parts")(inner), name="part")
    image = keras.Input((32, 32, 3))
    x = layers.Normalization(name="norm")(image)
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="conv")(x)
    x = part(x)[:, 1:-1] * 2.0 + 1.0
    x = layers.Add(name="sum")([x, x])
    return keras.Model(image, layers.GlobalAveragePooling2D()(x), name="own")


@pytest.fixture(scope="module")
def network(randomise: Callable[..., None]) -> Any:
    """Extended, with a head behind it."""
    made = cnn()
    made.get_layer("norm").adapt(np.random.RandomState(1).uniform(0, 9, (2, 32, 32, 3)))
    features = extend(made, {"early": "conv"}, frames=T)
    x = layers.GlobalAveragePooling1D()(FramesToClip(T)(features.output))
    model = keras.Model(features.input, layers.Dense(2, name="logits")(x), name="judge")
    for layer in model.layers:
        if layer.name != "norm":
            randomise(layer)
    return model


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.RandomState(0).uniform(0, 255, (2 * T, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def saved(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_to_preset(network, tmp_path_factory.mktemp("presets") / "own")


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_network_comes_back(saved: Path, network: Any, frames: np.ndarray) -> None:
    again, config, spec = load_preset(saved)
    np.testing.assert_array_equal(again(frames), network(frames))
    assert [layer.name for layer in again.layers] == [layer.name for layer in network.layers]
    assert config is None and (spec.frames, spec.size) == (T, 32)
    names = {"README.md", "clipspec.json", "config.json", "metadata.json", "model.weights.h5"}
    assert {path.name for path in saved.iterdir()} == names
    assert "# Model card: judge" in (saved / "README.md").read_text()


def test_what_was_loaded_can_be_saved_again(
    saved: Path, network: Any, frames: np.ndarray, tmp_path: Path
) -> None:
    spec = ClipSpec(frames=T, size=32, threshold=0.25)
    second = save_to_preset(from_preset(saved), tmp_path / "second", spec)
    np.testing.assert_array_equal(from_preset(second)(frames), network(frames))
    assert load_preset(second)[2].threshold == 0.25


def test_without_modules_extend_itself_has_said_how_many_frames(tmp_path: Path) -> None:
    plain = extend(cnn(), {}, (), frames=8)
    assert load_preset(save_to_preset(plain, tmp_path / "plain"))[2].frames == 8


class Doubled(layers.Layer):
    """A layer of a user."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2


@keras.utils.register_keras_serializable("mine")
class Tripled(layers.Layer):
    """A layer of a user that this process can rebuild, and no other."""

    def call(self, inputs: Any) -> Any:
        return inputs * 3


@keras.utils.register_keras_serializable("mine")
def halved(x: Any) -> Any:
    return x / 2


class Subclassed(keras.Model):
    """A network that is not functional."""

    def __init__(self, network: Any) -> None:
        super().__init__(name="subclassed")
        self.network = network

    def call(self, inputs: Any) -> Any:
        return self.network(inputs)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (lambda: layers.Lambda(lambda x: 2 * x, name="twice"), "layer twice is or holds Lambda"),
        (lambda: Doubled(name="twice"), "layer twice is or holds Doubled; expected what Keras and"),
        (lambda: Tripled(name="thrice"), "layer thrice is or holds Tripled"),
        (
            lambda: layers.Activation(halved, name="half"),
            "layer half is or holds (function|mine>halved); ",
        ),
    ],
)
def test_what_another_cannot_rebuild_is_refused_in_a_line(
    last: Callable[[], Any], message: str, tmp_path: Path
) -> None:
    features = extend(cnn(), {"early": "conv"}, frames=T)
    model = keras.Model(features.input, last()(features.output), name="more")
    with pytest.raises(UserError, match=f"more cannot be described: {message}") as caught:
        save_to_preset(model, tmp_path / "preset")
    assert "\n" not in str(caught.value) and str(caught.value).endswith("with its own save()")
    assert list(tmp_path.iterdir()) == []


def test_a_subclassed_network_is_refused(network: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="subclassed cannot be described: it is not functional"):
        save_to_preset(Subclassed(network), tmp_path / "preset")


def test_a_size_that_clips_do_not_have_is_refused(tmp_path: Path) -> None:
    def refused(shape: tuple[Any, ...], message: str, spec: ClipSpec | None = None) -> None:
        image = keras.Input(shape)
        flat = keras.Model(image, layers.ReLU(name="relu")(image), name="flat")
        with pytest.raises(UserError, match=message):
            save_to_preset(extend(flat, {}, (), frames=T), tmp_path / "preset", spec)

    refused((32, 40, 3), "spec is for 4 frames of 32 x 32 px, flat_plain for 4 of 40 x 32")
    refused((None, None, 3), "flat_plain takes frames of any size; expected spec=")
    refused((8, 8, 3), "flat_plain has no clips: ClipSpec size")
    refused((32, 32, 3), "spec is for 8 frames", ClipSpec(frames=8, size=32))
    refused((32,), "flat_plain cannot be described: it has another input than frames, or clips")
    assert list(tmp_path.iterdir()) == []


def layer(config: dict[str, Any], name: str) -> dict[str, Any]:
    return next(e for e in config["config"]["network"]["layers"] if e["name"] == name)


def of(name: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: layer(config, name).update(values)


def inside(name: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: layer(config, name)["config"].update(values)


def saying(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["config"].update(values)


def fed_by_itself(config: dict[str, Any]) -> None:
    text = json.dumps(layer(config, "conv")["inbound_nodes"])
    layer(config, "conv")["inbound_nodes"] = json.loads(text.replace('"norm"', '"sum"'))


def widened(config: dict[str, Any]) -> None:
    first = config["config"]["network"]["layers"][0]["config"]
    first.update({key: [None, 32, 10**9, 3] for key in first if key.startswith("batch_")})


def lengthened(config: dict[str, Any]) -> None:
    config["config"]["network"]["layers"] *= 300


OTHER = "keras" if keras.__name__ == "tf_keras" else "tf_keras"
CODE = {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": None}
CALL = {"module": "subprocess", "class_name": "Popen", "config": {"args": ["true"]}}
OPERATION = {"module": "tf_keras.src.layers.core.tf_op_layer", "class_name": "TFOpLambda"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of("conv", class_name="Lambda"), "layer conv is or holds Lambda; expected what Keras"),
        (of("conv", class_name="StringLookup"), "layer conv is or holds StringLookup"),
        (of("conv", module="os", class_name="system"), "layer conv is or holds system"),
        (of("conv", registered_name="mine>Tripled"), "layer conv is or holds Conv2D"),
        (of("early_dfdc", module="elsewhere"), "layer early_dfdc is or holds DFDC"),
        (of("conv", class_name=["Conv2D"]), r"layer conv is or holds \['Conv2D'\]"),
        (of("conv", **OPERATION, registered_name=None), "layer conv is or holds None"),
        (inside("conv", kernel_initializer=CALL), "layer conv is or holds Popen"),
        (inside("conv", activation=CODE), "layer conv is or holds function"),
        (inside("conv", activation="eval"), "layer conv is or holds eval"),
        (inside("conv", filters=10**9), "its weights take more than the [0-9,]* bytes that are"),
        (inside("conv", filters="many"), "describes no network: "),
        (widened, "layer [a-z_0-9]* takes more than 4096 along one axis"),
        (inside("early_dfdc", frames=8), "its layers are for clips of 8 frames, not 4"),
        (fed_by_itself, "layer conv is fed by no layer of it"),
        (lengthened, "it has more than 4096 layers"),
        (saying(network=[]), "it is not functional"),
        (saying(frames=4000), "frames: expected 1 to 256, received 4000"),
        (saying(frames=True), "frames: expected 1 to 256, received True"),
        (saying(more=1), "expected the keys frames, keras, network"),
        (saying(keras="keras\nor so"), "keras: expected tf_keras or keras"),
        (
            saying(keras=OTHER),
            f"is of a network of {OTHER}; this process has {keras.__name__}; set KERAS_DDL_KERAS=",
        ),
    ],
)
def test_a_strange_description_is_refused_in_a_line(
    copy: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    config = json.loads((copy / "config.json").read_text())
    change(config)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"config\.json.*{message}") as caught:
        from_preset(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(keras.__name__ == "keras", reason="has no layers of TensorFlow's functions")
def test_a_function_that_writes_files_is_no_layer(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    entries = config["config"]["network"]["layers"]
    (entry, *_) = (e for e in entries if e["class_name"] == "TFOpLambda")
    entry["config"]["function"] = "io.write_file"
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"is or holds io\.write_file"):
        from_preset(copy)


def test_a_clip_spec_of_another_network_is_refused(copy: Path) -> None:
    spec = ClipSpec.read(copy / "clipspec.json")
    spec.replace(size=64).write(copy / "clipspec.json")
    with pytest.raises(UserError, match=r"clipspec\.json is for 4 frames of 64 x 64 px, judge for"):
        from_preset(copy)
