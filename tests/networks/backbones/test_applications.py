"""What the CNNs of `keras.applications` are fed with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import build_model
from keras_ddl.framework import keras
from keras_ddl.layers import DFDC
from keras_ddl.networks.backbones.applications import SCALINGS, SIZES, application

MODES = {  # how Keras itself prepares pictures
    "Xception": "tf",
    "InceptionV3": "tf",
    "DenseNet121": "torch",
    "ResNet50": "caffe",
    "MobileNet": "tf",
    "MobileNetV2": "tf",
    "MobileNetV3Small": "tf",  # as without a layer of its own
    "MobileNetV3Large": "tf",
    "EfficientNetB0": "torch",  # as its own layers do
    "EfficientNetB1": "torch",
    "EfficientNetB4": "torch",
}


@pytest.mark.parametrize("name", SIZES)
def test_pictures_are_scaled_as_the_weights_expect(name: str, near: Any) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.float32)
    got = keras.layers.Rescaling(*SCALINGS[name])(pictures)
    prepare = keras.applications.imagenet_utils.preprocess_input
    want = prepare(pictures.copy(), "channels_last", MODES[name])
    near(got, want[..., ::-1] if MODES[name] == "caffe" else want, 1e-6)


@pytest.mark.slow
def test_efficientnet_is_the_same_network_from_imagenet_and_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "weights.h5")
    own = keras.applications.EfficientNetB4(False, None, input_shape=(32, 32, 3))
    (layer,) = (layer for layer in own.layers if type(layer).__name__ == "Normalization")
    layer.set_weights([np.array(v) for v in ([3, 4, 5], [6, 7, 8], 0)])
    own.save_weights(path)
    monkeypatch.setattr("tf_keras.src.utils.data_utils.get_file", lambda *_, **__: path)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    answers = []
    for weights in ("imagenet", path):
        cnn = application("EfficientNetB4", 32, weights).cnn
        kinds = [type(layer).__name__ for layer in cnn.layers]
        assert kinds[:3] == ["InputLayer", "Rescaling", "ZeroPadding2D"]
        assert "Normalization" not in kinds
        answers.append(cnn(pictures).numpy())
    np.testing.assert_array_equal(*answers)
    stem = keras.Model(own.get_layer("stem_conv_pad").input, own.output)
    prepare = keras.applications.imagenet_utils.preprocess_input
    want = stem(prepare(pictures.copy(), "channels_last", "torch"))
    np.testing.assert_allclose(answers[0], want, 0, 1e-4 * np.abs(want).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("MobileNetV2", ["block_2_add", "block_5_add", "block_12_add", "block_15_add"]),
        ("MobileNetV3Small", [f"expanded_conv_{n}_add" for n in (2, 7, 10)]),
        ("EfficientNetB0", ["block2b_add", "block3b_add", "block5c_add", "block6d_add"]),
    ],
)
def test_modules_stand_at_the_last_sum_of_each_resolution(name: str, stages: list[str]) -> None:
    assert list(application(name, 64, width=0.25).stages) == stages
    model = build_model(name, ("dfdc",), 4, 64, width=0.25, stages=stages[1:2])
    assert [layer.name for layer in model.layers if isinstance(layer, DFDC)] == [
        f"{stages[1]}_dfdc"
    ]


def test_an_unknown_backbone_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"compact_xception, .*efficientnet_lite0, .*MobileNetV2"):
        build_model("MobileNetV9")
