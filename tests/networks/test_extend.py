"""extend: any functional CNN with the modules plugged in, its skip connections included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import extend
from keras_ddl.framework import keras
from keras_ddl.layers import DFDC, MSA
from keras_ddl.networks.cost import macs
from keras_ddl.networks.extend import kept_positions, producer

ROOT = Path(__file__).resolve().parents[2]
T = 4
KERAS_3 = keras.__name__ == "keras"
layers = keras.layers


def frames(size: int, channels: int = 3) -> np.ndarray:
    shape = (2 * T, size, size, channels)
    return np.random.RandomState(0).standard_normal(shape).astype(np.float32)


def residual_cnn() -> Any:
    """conv1, ReLU, then conv2 beside a skip connection, added."""
    image = keras.Input((6, 5, 3))
    x = layers.ReLU(name="relu")(layers.Conv2D(16, 1, name="conv1")(image))
    branch = layers.Conv2D(16, 3, padding="same", name="conv2")(x)
    return keras.Model(image, layers.Add(name="add")([branch, x]), name="residual")


def of_kind(model: Any, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


APPLICATIONS = {
    "MobileNetV2": (
        {"alpha": 0.35},
        {"early": "block_3_expand_relu", "late": "block_12_add"},
    ),
    "EfficientNetB0": ({}, {"early": "block3a_expand_activation", "late": "block5c_add"}),
}


@pytest.mark.parametrize(
    "name", ["MobileNetV2", pytest.param("EfficientNetB0", marks=pytest.mark.slow)]
)
def test_applications_extend_and_start_as_they_were(name: str) -> None:
    options, stages = APPLICATIONS[name]
    cnn = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(64, 64, 3), **options
    )
    plugged = extend(cnn, stages, frames=T)
    assert plugged.output_shape == cnn.output_shape
    assert [layer.name for layer in of_kind(plugged, DFDC)] == ["early_dfdc", "late_dfdc"]
    assert [layer.name for layer in of_kind(plugged, MSA)] == ["early_msa", "late_msa"]
    x = 50 * frames(64)[:T]
    want = cnn(x)
    np.testing.assert_allclose(plugged(x), want, atol=1e-6)
    for layer in of_kind(plugged, (DFDC, MSA)):
        layer.gamma.assign([5.0])
    assert np.abs(plugged(x) - want).max() > 1e-4 * np.abs(want).max()
    np.testing.assert_allclose(cnn(x), want, atol=1e-6, err_msg="the CNN itself is as before")


def test_skip_connections_receive_what_the_modules_give(randomise) -> None:
    plugged = extend(residual_cnn(), ["relu"], frames=T)
    randomise(plugged)
    part = plugged.get_layer
    x = frames(6)[:, :, :5]
    stage = part("relu_msa")(part("relu_dfdc")(tf.nn.relu(part("conv1")(x))))
    np.testing.assert_allclose(plugged(x), part("conv2")(stage) + stage, atol=1e-6)
    plain = tf.nn.relu(part("conv1")(x))
    assert np.abs(plugged(x) - (part("conv2")(stage) + plain)).max() > 0.1, "in the skip"
    assert np.abs(plugged(x) - (part("conv2")(plain) + stage)).max() > 0.01, "in the branch"


def test_a_stage_may_be_the_last_layer(randomise) -> None:
    cnn = residual_cnn()
    plugged = extend(cnn, ["add"], ("msa",), frames=T)
    randomise(plugged.get_layer("add_msa"))
    x = frames(6)[:, :, :5]
    np.testing.assert_allclose(plugged(x), plugged.get_layer("add_msa")(cnn(x)), atol=1e-6)


def test_a_stage_may_be_the_input(randomise) -> None:
    image = keras.Input((4, 4, 8), name="image")
    cnn = keras.Model(image, layers.Conv2D(8, 1, name="conv")(image))
    plugged = extend(cnn, {"start": "image"}, ("msa",), frames=T)
    randomise(plugged)
    x = frames(4, 8)
    want = plugged.get_layer("conv")(plugged.get_layer("start_msa")(x))
    np.testing.assert_allclose(plugged(x), want, atol=1e-6)


def test_weights_are_copied_and_then_independent(randomise) -> None:
    cnn = residual_cnn()
    randomise(cnn)
    plugged = extend(cnn, ["relu"], frames=T)
    for layer in cnn.layers[1:]:
        for got, want in zip(plugged.get_layer(layer.name).weights, layer.weights, strict=True):
            np.testing.assert_array_equal(got, want)
    before = cnn.get_weights()
    randomise(plugged, seed=1)
    for got, want in zip(cnn.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_a_layer_has_adapted_to_is_kept() -> None:
    image = keras.Input((4, 4, 3))
    adapted = layers.Normalization(name="norm")
    adapted.adapt(5 + 2 * frames(4))
    cnn = keras.Model(image, layers.Conv2D(8, 1, name="conv")(adapted(image)))
    plugged = extend(cnn, ["conv"], ("msa",), frames=T)
    np.testing.assert_allclose(plugged(frames(4)), cnn(frames(4)), atol=1e-6)


def test_every_layer_has_one_output_to_look_at() -> None:
    plugged = extend(residual_cnn(), ["relu"], frames=T)
    features = keras.Model(plugged.input, plugged.get_layer("conv2").output)
    assert features(frames(6)[:, :, :5]).shape == (2 * T, 6, 5, 16)


def test_frozen_layers_stay_frozen() -> None:
    cnn = residual_cnn()
    cnn.get_layer("conv1").trainable = False
    plugged = extend(cnn, ["relu"], ("msa",), frames=T)
    assert not plugged.get_layer("conv1").trainable
    assert plugged.get_layer("conv2").trainable


@pytest.mark.parametrize(
    ("modules", "want"),
    [
        ((), []),
        (("msa",), ["relu_msa"]),
        (("msa", "dfdc"), ["relu_dfdc", "relu_msa"]),  # DFDC is always first
    ],
)
def test_modules_are_chosen_by_name(modules: tuple[str, ...], want: list[str]) -> None:
    plugged = extend(residual_cnn(), ["relu"], modules, frames=T)
    assert [layer.name for layer in of_kind(plugged, (DFDC, MSA))] == want


@pytest.mark.skipif(KERAS_3, reason="there the call of a network overrules those of its layers")
def test_arguments_of_calls_are_kept() -> None:
    image = keras.Input((4, 4, 3))
    frozen = layers.BatchNormalization(name="norm")(image, training=False)
    cnn = keras.Model(image, layers.Conv2D(8, 1, name="conv")(frozen))
    plugged = extend(cnn, ["conv"], ("msa",), frames=T)
    x = 3 + frames(4)
    want = cnn(x)
    plugged(x, training=True)
    np.testing.assert_allclose(plugged(x), want, atol=1e-6)
    np.testing.assert_array_equal(plugged.get_layer("norm").moving_mean, np.zeros(3))


def test_layers_with_several_inputs_keep_their_order() -> None:
    image = keras.Input((4, 4, 8))
    one, other = (layers.Conv2D(8, 1, name=name)(image) for name in ("one", "other"))
    cnn = keras.Model(image, layers.Subtract(name="minus")([other, one]))
    plugged = extend(cnn, ["one"], ("msa",), frames=T)
    x = frames(4, 8)
    np.testing.assert_allclose(plugged(x), cnn(x), atol=1e-6)


def test_arithmetic_between_layers_is_repeated(randomise) -> None:
    image = keras.Input((4, 4, 8))
    conv = layers.Conv2D(8, 1, name="conv")(image)
    gate = layers.ReLU(6.0, name="gate")(conv + 3.0) * (1 / 6)  # as in MobileNetV3
    cnn = keras.Model(image, layers.Conv2D(8, 1, name="end")(conv * gate))
    randomise(cnn)
    x = frames(4, 8)
    plugged = extend(cnn, ["conv"], ("msa",), frames=T)
    np.testing.assert_allclose(plugged(x), cnn(x), atol=1e-6)
    assert macs(plugged, T)["end"] == T * 16 * 8 * 8
    randomise(plugged.get_layer("conv_msa"))
    stage = plugged.get_layer("conv_msa")(cnn.get_layer("conv")(x))
    want = cnn.get_layer("end")(stage * tf.nn.relu6(stage + 3) / 6)
    np.testing.assert_allclose(plugged(x), want, atol=1e-5)


def test_networks_of_any_size_extend() -> None:
    image = keras.Input((None, None, 3))
    cnn = keras.Model(image, layers.Conv2D(8, 1, name="conv")(image))
    plugged = extend(cnn, ["conv"], frames=T)
    assert plugged(frames(6)).shape == (2 * T, 6, 6, 8)
    assert plugged(frames(9)).shape == (2 * T, 9, 9, 8)


def test_network_learns_its_gammas(randomise) -> None:
    plugged = extend(residual_cnn(), ["relu"], frames=T)
    randomise(plugged)
    modules = of_kind(plugged, (DFDC, MSA))
    for layer in modules:
        layer.gamma.assign([0.0])
    plugged.compile(keras.optimizers.SGD(0.01), "mse")
    x = frames(6)[:, :, :5]
    target = x[..., :1].repeat(16, -1)
    fit = plugged.fit(x, target, batch_size=2 * T, epochs=4, verbose=0)
    assert fit.history["loss"][-1] < fit.history["loss"][0]
    assert all(float(layer.gamma[0]) != 0 for layer in modules)


@pytest.mark.parametrize(
    ("keep", "height", "want"),
    [
        ("paper", 8, None),  # DFDC's own default, the height
        ("paper", None, None),
        ("released", 8, 7),
        ("released", 1, 1),  # never none at all
        (3, None, 3),
    ],
)
def test_keep_by_name_or_number(keep: str | int, height: int | None, want: int | None) -> None:
    assert kept_positions(keep, height) == want


def test_producer_is_the_first_input() -> None:
    assert producer(residual_cnn(), "add") == "conv2"


def two_inputs() -> Any:
    one, other = keras.Input((4, 4, 8)), keras.Input((4, 4, 8))
    return keras.Model([one, other], layers.Add(name="add")([one, other]), name="two")


def two_outputs() -> Any:
    image = keras.Input((4, 4, 8))
    return keras.Model(image, [layers.ReLU(name="add")(image), image], name="two")


def called_twice() -> Any:
    image, conv = keras.Input((4, 4, 8)), layers.Conv2D(8, 1, name="conv")
    return keras.Model(image, conv(conv(image)))


def with_a_constant() -> Any:
    image = keras.Input((4, 4, 8))
    minus = (keras.ops if KERAS_3 else tf.math).subtract(0.0, image)
    return keras.Model(image, layers.ReLU(name="add")(minus))


def sequential() -> Any:
    return keras.Sequential([keras.Input((4, 4, 8)), layers.Conv2D(8, 1, name="conv")])


class Subclassed(keras.Model):
    """A network that is not functional."""

    def call(self, inputs: Any) -> Any:
        return inputs


@pytest.mark.parametrize(
    ("cnn", "options", "message"),
    [
        (residual_cnn, {"stages": ["rellu"]}, "no layer named rellu in residual; .* mean relu"),
        (residual_cnn, {"stages": ["zzz", "add"]}, "no layer named zzz in residual; did you mean"),
        (residual_cnn, {"modules": ("tsm",)}, "modules must be among dfdc, msa; got tsm"),
        (residual_cnn, {"frames": 5}, "frames must be a positive multiple of 4; got 5; use 4"),
        (residual_cnn, {"keep": 0}, "keep must be .* at least 1; got 0"),
        (two_inputs, {}, "one input and one output; got Functional 'two'"),
        (two_outputs, {}, "one input and one output; got Functional 'two'"),
        (called_twice, {}, "conv is called more than once"),
        pytest.param(
            *(with_a_constant, {}, "cannot be followed"),
            marks=pytest.mark.skipif(KERAS_3, reason="says there what is a tensor"),
        ),
        (sequential, {}, "functional model .*; got Sequential"),
        (lambda: Subclassed(name="own"), {}, "functional model .*; got Subclassed 'own'"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_extended_is_refused(cnn: Any, options: dict, message: str) -> None:
    given = {"stages": ["add"], "frames": T, **options}
    with pytest.raises(ValueError, match=message):
        extend(cnn(), **given)


OTHER_KERAS = """
import keras, tf_keras
from keras_ddl import extend
from keras_ddl.framework import keras as own
other = keras if own is tf_keras else tf_keras
image = other.Input((4, 4, 8))
cnn = other.Model(image, other.layers.ReLU(name="add")(image))
try:
    extend(cnn, ["add"])
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("choice", "builds", "got", "remedy"),
    [
        ("tf_keras", "tf_keras (Keras 2)", "Keras 3", "keras"),
        pytest.param(
            *("keras", "Keras 3", "tf_keras (Keras 2)", "tf_keras"), marks=pytest.mark.slow
        ),
    ],
)
def test_a_network_of_the_other_keras_is_refused_in_words(
    choice: str, builds: str, got: str, remedy: str
) -> None:
    pytest.importorskip("keras", "3.0")
    environment = {**os.environ, "KERAS_DDL_KERAS": choice, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    command = [sys.executable, "-c", OTHER_KERAS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    want = f"extend builds with {builds} in this process; got a network of {got}; set "
    assert done.stdout.startswith(f"{want}KERAS_DDL_KERAS={remedy} "), done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.skipif(not KERAS_3, reason="refused in Keras 2")
def test_an_operation_with_a_constant_is_repeated() -> None:
    plugged = extend(with_a_constant(), ["add"], ("msa",), frames=T)
    x = frames(4, 8)
    np.testing.assert_array_equal(plugged(x), np.maximum(-x, 0))


def test_released_rule_needs_a_height() -> None:
    with pytest.raises(ValueError, match="needs a network of fixed size"):
        kept_positions("released", None)
