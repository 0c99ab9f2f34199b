"""CLRNet against Keras' own ConvLSTM2D, and against what its authors' network is made of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.layers import CUSTOM_OBJECTS
from keras_ddl.networks.zoo import clrnet

SHALLOW = (1, 2, 1, 1)  # has every kind of block
FRAMES, SIZE = 4, 36


@pytest.fixture(scope="module")
def whole() -> Any:
    """All blocks, on single frames of 240 px, with an eighth of the channels."""
    return clrnet.build(240, 1, width=0.125)


@pytest.fixture(scope="module")
def shallow(randomise: Any) -> Any:
    model = clrnet.build(SIZE, FRAMES, width=0.125, blocks=SHALLOW)
    randomise(model)
    return model


def clips(count: int = 2) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, FRAMES, SIZE, SIZE, 3), np.uint8)


def in_keras_own_layers(model: Any, clip: np.ndarray) -> np.ndarray:
    """The logits, on five axes: Keras' layers for images in time, batch norm by its formula."""
    weights = {layer.name: layer.get_weights() for layer in model.layers}

    def lstm(x: Any, name: str, filters: int, kernel: int, stride: int = 1) -> Any:
        padding = "valid" if name.endswith("shortcut") else "same"  # the same thing for 1 × 1
        layer = keras.layers.ConvLSTM2D(filters, kernel, stride, padding, return_sequences=True)
        layer.build(x.shape)
        layer.set_weights(weights[name])
        return layer(x)

    def norm(x: Any, name: str) -> Any:
        gamma, beta, mean, variance = weights[name]
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    def ready(x: Any, name: str) -> Any:
        return tf.nn.relu(norm(x, f"{name}_bn"))

    x = ready(lstm(clip / np.float32(255), "stem", 8, 7, 2), "stem")
    x = keras.layers.MaxPooling3D((1, 3, 3), padding="same")(x)
    for stage, count in enumerate(SHALLOW, 1):
        filters = 8 * 2 ** (stage - 1)
        for block in range(1, count + 1):
            name, stride, skip = f"stage{stage}_block{block}", 2 if block == 1 else 1, x
            if stage == block == 1:
                x = lstm(x, f"{name}_conv1", filters, 3, 2)
            else:
                x = lstm(ready(x, f"{name}_conv1"), f"{name}_conv1", filters, 1, stride)
            x = lstm(ready(x, f"{name}_conv2"), f"{name}_conv2", filters, 3)
            x = lstm(ready(x, f"{name}_conv3"), f"{name}_conv3", 4 * filters, 1)
            if block == 1:
                skip = lstm(skip, f"{name}_shortcut", 4 * filters, 1, 2)
                skip = norm(skip, f"{name}_shortcut_bn")
            x = skip + x
    x = np.asarray(norm(x, "last_bn"), np.float64).mean((1, 2, 3))
    kernel, bias = weights["logits"]
    return x @ kernel + bias


def test_it_is_the_network_of_keras_own_layers(shallow: Any, near: Any) -> None:
    want = in_keras_own_layers(shallow, clips())
    near(shallow(clips(), training=False), want, 1e-5)
    assert np.ptp(want, axis=0).min() > 1e-4


def test_it_has_as_many_convolutional_lstms_as_resnet50_has_convolutions(whole: Any) -> None:
    kinds = Counter(type(layer).__name__ for layer in whole.layers)
    assert kinds["FrameConvLSTM"] == 1 + 3 * (3 + 4 + 6 + 3) + 4 == 53
    assert kinds["BatchNormalization"] == 1 + (3 * 16 - 1) + 4 + 1  # none opens the first block
    assert kinds["Dropout"] == 2 * 16 + 1
    assert not kinds["Conv2D"]
    rates = {layer.rate for layer in whole.layers if isinstance(layer, keras.layers.Dropout)}
    assert rates == {0.25}


def test_it_halves_the_image_at_every_stage(whole: Any) -> None:
    def side(name: str) -> int:
        return whole.get_layer(name).output_shape[1]

    assert side("stem") == 120
    assert side("pool") == 40  # by its window of 3: Keras' default, which the authors leave
    assert [side(f"stage{stage}_block1_add") for stage in (1, 2, 3, 4)] == [20, 10, 5, 3]
    assert [side(f"stage{stage}_block3_add") for stage in (1, 2, 3, 4)] == [20, 10, 5, 3]
    strided = {layer.name for layer in whole.layers if getattr(layer, "strides", 1) == 2}
    ends = ("conv1", "shortcut")
    assert strided == {"stem", *(f"stage{n}_block1_{end}" for n in (1, 2, 3, 4) for end in ends)}


def arithmetic(base: int, blocks: tuple[int, ...]) -> int:
    """Weights of the network by its description, statistics of batch norm included."""

    def lstm(inputs: int, filters: int, side: int) -> int:
        return 4 * filters * (side**2 * (inputs + filters) + 1)  # four gates

    total = lstm(3, base, 7) + 4 * base
    inputs = base
    for stage, count in enumerate(blocks):
        narrow, wide = base * 2**stage, 4 * base * 2**stage
        total += lstm(inputs, wide, 1) + 4 * wide  # the shortcut
        for _ in range(count):
            total += 4 * inputs + lstm(inputs, narrow, 1)
            total += 4 * narrow + lstm(narrow, narrow, 3)
            total += 4 * narrow + lstm(narrow, wide, 1)
            inputs = wide
    # the first block: 3 × 3 in the place of 1 × 1, and no norm before it
    total += lstm(base, base, 3) - lstm(base, base, 1) - 4 * base
    return total + 4 * inputs + 2 * inputs + 2


def test_its_weights_are_as_many_as_the_description_says(whole: Any, shallow: Any) -> None:
    assert whole.count_params() == arithmetic(8, (3, 4, 6, 3))
    assert shallow.count_params() == arithmetic(8, SHALLOW)
    assert arithmetic(64, (3, 4, 6, 3)) == 248_160_514  # 993 MB at full width


def test_every_frame_kernel_is_penalised_and_no_other_weight(shallow: Any) -> None:
    kernels = [layer.kernel for layer in shallow.layers if hasattr(layer, "recurrent_kernel")]
    want = [1e-4 * np.square(kernel.numpy(), dtype=np.float64).sum() for kernel in kernels]
    np.testing.assert_allclose([float(loss) for loss in shallow.losses], want, 1e-5)


def test_a_frame_is_judged_by_what_came_before_it(shallow: Any) -> None:
    by_frame = keras.Model(shallow.input, shallow.get_layer("frames_to_clip").output)
    clip = clips(1)
    later = clip.copy()
    later[:, 2] = 255 - later[:, 2]
    moved = np.abs(by_frame(later) - by_frame(clip)).max(2)[0]
    assert (moved > 1e-4).tolist() == [False, False, True, True]
    still = by_frame(np.repeat(clip[:, :1], FRAMES, 1)).numpy()[0]
    assert (np.abs(np.diff(still, axis=0)).max(1) > 1e-4).all(), "memory fills, on a still clip too"


def test_it_survives_its_configuration_and_a_file(shallow: Any, tmp_path: Path) -> None:
    shallow.save_weights(str(tmp_path / "weights.h5"))
    again = keras.Model.from_config(shallow.get_config(), CUSTOM_OBJECTS)
    again.load_weights(str(tmp_path / "weights.h5"))
    np.testing.assert_array_equal(again(clips()), shallow(clips()))


def test_weights_it_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="clrnet has no built-in weights; got 'imagenet'"):
        clrnet.build(weights="imagenet")
