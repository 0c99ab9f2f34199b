"""What every layer must do, and how the tests make one. TensorFlow is imported on use only."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

POLICIES = ("mixed_float16", "mixed_bfloat16")


@pytest.fixture(scope="session")
def made(randomise: Callable[..., None]) -> Callable[..., Any]:
    """Builds a layer for an input of this shape and gives all its weights seeded values.

    Call: `made(kind, shape, seed=0, **arguments)`.
    """

    def make(kind: Any, shape: Sequence[int | None], seed: int = 0, **arguments: Any) -> Any:
        layer = kind(name=kind.__name__.lower(), **arguments)
        layer.build(tuple(shape))
        randomise(layer, seed)
        return layer

    return make


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """Seeded float32 normals: `noise(8, 5, 7, 16, seed=1)`."""

    def draw(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)

    return draw


@pytest.fixture
def check_contract(
    made: Callable[..., Any], noise: Callable[..., np.ndarray], tmp_path: Path
) -> Callable[..., None]:
    """The one check of what every layer owes its users; see `Contract`."""

    def check(
        kind: Any, arguments: Mapping[str, Any], shape: Sequence[int], **expected: Any
    ) -> None:
        Contract(kind, dict(arguments), tuple(shape), made, noise, **expected).run(tmp_path)

    return check


class Contract:
    """One layer against its promises.

    Args:
        kind: The layer's class.
        arguments: A value other than the default for every argument the class itself declares;
            `data_format` and `quantized` are left to the check.
        shape: An input, channels-last.
        trainable, frozen: How many numbers each kind of weight holds.
        output: Shape of the output where it is not the input's.
        free_size: Whether height and width may be unknown when the graph is built.
    """

    def __init__(
        self,
        kind: Any,
        arguments: dict[str, Any],
        shape: tuple[int, ...],
        made: Callable[..., Any],
        noise: Callable[..., np.ndarray],
        trainable: int = 0,
        frozen: int = 0,
        output: tuple[int, ...] | None = None,
        free_size: bool = True,
    ) -> None:
        self.kind, self.arguments, self.shape = kind, arguments, shape
        self.output, self.counts, self.free_size = output or shape, (trainable, frozen), free_size
        self.made, self.x = made, noise(*shape)

    def run(self, folder: Path) -> None:
        self.keeps_every_argument()
        self.has_its_weights()
        self.keeps_shapes()
        for policy in POLICIES:
            self.follows_policy(policy)
        self.learns()
        for ending in ("h5", "keras"):
            self.survives_a_file(folder / f"model.{ending}")

    def keeps_every_argument(self) -> None:
        declared = {
            name: parameter.default
            for name, parameter in inspect.signature(self.kind.__init__).parameters.items()
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and name != "self"
        }
        given = dict(self.arguments)
        special = {"data_format": "channels_first", "quantized": True}
        given.update({name: value for name, value in special.items() if name in declared})
        assert given.keys() == declared.keys(), "the table must give every argument"
        assert all(given[name] != default for name, default in declared.items()), "non-default"
        layer = self.kind(name="renamed", dtype="mixed_bfloat16", **given)
        config = layer.get_config()
        assert given.items() <= config.items()
        again = self.kind.from_config(config)
        assert again.get_config() == config
        assert (again.name, again.compute_dtype) == ("renamed", "bfloat16")
        for name, value in given.items():
            assert getattr(again, name) == value

    def has_its_weights(self) -> None:
        layer = self.made(self.kind, self.shape, **self.arguments)
        counted = [
            sum(int(np.prod(variable.shape)) for variable in variables)
            for variables in (layer.trainable_weights, layer.non_trainable_weights)
        ]
        assert tuple(counted) == self.counts
        names = [variable.name for variable in layer.weights]
        assert len(set(names)) == len(names), "every weight can be addressed by its name"

    def keeps_shapes(self) -> None:
        from keras_ddl.framework import keras

        layer = self.made(self.kind, self.shape, **self.arguments)
        want = layer(self.x).numpy()
        assert want.shape == self.output
        assert tuple(layer.compute_output_shape(self.shape)) == self.output
        free = (*self.shape[1:-3], None, None, self.shape[-1])  # height and width unknown
        for known in (self.shape[1:], *([free] if self.free_size else [])):
            symbolic = keras.Input(known)
            result = layer(symbolic)
            assert result.shape[0] is None
            assert tuple(layer.compute_output_shape((None, *known))) == tuple(result.shape)
            model = keras.Model(symbolic, result)
            np.testing.assert_allclose(model(self.x), want, atol=1e-6)
            np.testing.assert_allclose(model.predict_on_batch(self.x), want, atol=1e-6)

    def follows_policy(self, policy: str) -> None:
        reference = self.made(self.kind, self.shape, **self.arguments)
        layer = self.made(self.kind, self.shape, dtype=policy, **self.arguments)
        assert {variable.dtype.name for variable in layer.weights} <= {"float32"}
        y = layer(self.x)
        assert y.dtype.name == policy.removeprefix("mixed_")
        error = np.abs(np.asarray(y, np.float32) - reference(self.x).numpy())
        assert np.median(error) < 0.02, "the same function, in fewer digits"

    def learns(self) -> None:
        from keras_ddl.framework import tf

        layer = self.made(self.kind, self.shape, **self.arguments)
        scale = tf.Variable(1.0)  # something to learn where the layer itself has no weights
        variables = [scale, *layer.trainable_weights]
        target = tf.ones(self.output)

        def loss() -> Any:
            return tf.reduce_mean(tf.square(scale * layer(self.x) - target))

        with tf.GradientTape() as tape:
            before = loss()
        for variable, gradient in zip(variables, tape.gradient(before, variables), strict=True):
            assert gradient is not None and np.abs(gradient).max() > 0, variable.name
            variable.assign_sub(0.01 * gradient)
        assert float(loss()) < float(before)

    def survives_a_file(self, path: Path) -> None:
        from keras_ddl.framework import keras
        from keras_ddl.layers import CUSTOM_OBJECTS

        image = keras.Input(self.shape[1:])
        layer = self.made(self.kind, self.shape, **self.arguments)
        model = keras.Model(image, layer(image))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are saving your model as an HDF5", UserWarning)
            model.save(path)
        again = keras.models.load_model(path, custom_objects=CUSTOM_OBJECTS, compile=False)
        assert again.layers[-1].get_config() == layer.get_config()
        np.testing.assert_array_equal(again(self.x), model(self.x))
