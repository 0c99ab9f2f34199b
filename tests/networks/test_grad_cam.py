"""Grad-CAM: numbers that a person can check, what counts and what does not, every network here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import build_model, extend
from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames, FramesMean, FramesToClip
from keras_ddl.networks import zoo
from keras_ddl.networks.class_activation import known_head, with_class_activation
from keras_ddl.networks.grad_cam import GradCam, scaled
from keras_ddl.networks.last_features import last_features

layers = keras.layers
T = 2

# Frames of 2 × 2 pixels, as (red, green, blue). By hand, 2·red − green in brackets:
CLIP = np.array(
    [
        [[(30, 0, 9), (20, 0, 200)], [(10, 0, 0), (0, 80, 0)]],  # 60, 40, 20, −80
        [[(30, 60, 9), (50, 0, 0)], [(0, 0, 255), (15, 0, 3)]],  # 0, 100, 0, 30
    ],
    np.uint8,
)
BY_HAND = np.array([[[0.6, 0.4], [0.2, 0.0]], [[0.0, 1.0], [0.0, 0.3]]])


class Same(keras.initializers.Initializer):
    """Kernel of one cell that gives each channel as it is."""

    def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
        return tf.reshape(tf.eye(shape[-1], dtype=dtype or tf.float32), shape)


def seen(scale: float = 1.0) -> tuple[Any, Any]:
    """A clip and features that are its pixels: a 1 × 1 convolution which changes nothing."""
    clip = keras.Input((T, 2, 2, 3), dtype="uint8", name="clip")
    x = ClipToFrames(scale, name="clip_to_frames")(clip)
    return clip, layers.Conv2D(3, 1, kernel_initializer=Same(), name="conv")(x)


def judged(x: Any, name: str = "logits") -> Any:
    """Logits of features: fake weighs red twice, real weighs green once."""
    dense = layers.Dense(2, name=name)
    logits = dense(x)
    dense.set_weights([np.array([[0.0, 2.0], [1.0, 0.0], [3.0, 3.0]]), np.array([0.5, 0.0])])
    return logits


def of_clips() -> Any:
    clip, x = seen()
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(FramesToClip(T, name="frames_to_clip")(x))
    return keras.Model(clip, judged(x), name="of_clips")


def test_the_map_is_what_a_person_finds() -> None:
    cam = GradCam(of_clips())
    assert cam.features.layer == "conv"
    found = cam(CLIP[None])
    assert found.dtype == np.float32 and found.shape == (1, T, 2, 2)
    np.testing.assert_allclose(found[0], BY_HAND, atol=1e-6)


def test_frames_count_as_much_as_the_clip_follows_them() -> None:
    """Margins 0 and ln 3 are probabilities 1/2 and 3/4: the clip follows as p·(1 − p), 4 to 3."""
    clip, x = seen(math.log(3) / 40)
    frames = judged(layers.GlobalAveragePooling2D(name="features")(x), "frame_logits")
    model = keras.Model(clip, FramesMean(T, name="logits")(frames))
    model.get_layer("frame_logits").bias.assign((0.0, 0.0))
    pixels = np.zeros((1, T, 2, 2, 3), np.uint8)
    pixels[0, 0, 0, 0] = pixels[0, 0, 0, 1] = (20, 40, 0)  # takes from nothing, gives nothing
    pixels[0, 0, 1, 0], pixels[0, 0, 1, 1] = (40, 0, 0), (0, 80, 0)  # 80 and −80: margin 0
    pixels[0, 1, 0, 0] = (80, 0, 0)  # 160 of four cells: margin 40 · ln 3 / 40
    expected = np.zeros((T, 2, 2))
    expected[0, 1, 0], expected[1, 0, 0] = 4 * 80 / (3 * 160), 1.0
    np.testing.assert_allclose(GradCam(model)(pixels)[0], expected, atol=1e-5)
    head = known_head(model)
    assert head is not None and head.averages
    np.testing.assert_allclose(
        with_class_activation(model, head)(pixels)[1][0], expected, atol=1e-5
    )


def test_only_what_raises_the_logit_counts() -> None:
    cam, before = GradCam(of_clips()), CLIP[None].astype(int)
    lowering, idle = before.copy(), before.copy()
    lowering[0, 0, 0, 0, 1] += 60  # green speaks for real
    idle[..., 2] = 77  # blue says nothing
    found = cam(lowering.astype(np.uint8))[0]
    assert (
        found[0, 0, 0] == 0
        and (np.delete(found.ravel(), 0) == cam(CLIP[None])[0].ravel()[1:]).all()
    )
    np.testing.assert_allclose(cam(idle.astype(np.uint8))[0], BY_HAND, atol=1e-6)
    green = np.zeros_like(CLIP[None])
    green[..., 0, 1] = 200
    assert not cam(green).any()  # all of it speaks for real


@pytest.mark.parametrize("value", [0, 40])
def test_a_clip_alike_everywhere_has_no_map(value: int) -> None:
    found = GradCam(of_clips())(np.full((1, T, 2, 2, 3), value, np.uint8))
    assert (found == 0).all()


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    cam = GradCam(of_clips())
    other = np.random.default_rng(0).integers(0, 256, CLIP.shape, np.uint8)
    both = cam(np.stack([other, CLIP]))
    np.testing.assert_allclose(both[1], BY_HAND, atol=1e-6)
    np.testing.assert_array_equal(both[0], cam(other[None])[0])


def test_what_rounding_makes_is_no_map() -> None:
    signed = np.full((1, 1, 2, 2), -5.0, np.float32)
    signed[0, 0, 0, 0] = 1e-6
    assert not np.asarray(scaled(signed)).any()
    signed[0, 0, 0, 0] = 0.05  # a hundredth of what speaks against: a tenth as bright
    np.testing.assert_allclose(np.asarray(scaled(signed))[0, 0], [[0.1, 0], [0, 0]], atol=1e-6)
    signed[0, 0, 0, 0] = 0.5
    np.testing.assert_allclose(np.asarray(scaled(signed))[0, 0], [[1, 0], [0, 0]], atol=1e-6)


def test_features_without_time_give_all_frames_one_map() -> None:
    clip, x = seen()
    x = layers.Reshape((T * 2, 2, 3), name="below_each_other")(FramesToClip(T)(x))
    x = layers.Conv2D(3, 1, kernel_initializer=Same(), name="last")(x)
    logits = judged(layers.GlobalAveragePooling2D(name="features")(x))
    model = keras.Model(clip, logits)
    found = GradCam(model)(CLIP[None])
    np.testing.assert_allclose(found, np.stack([BY_HAND.reshape(1, 4, 2)] * T, 1), atol=1e-6)
    head = known_head(model)
    assert head is not None and not head.of_frames
    np.testing.assert_allclose(with_class_activation(model, head)(CLIP[None])[1], found, atol=1e-6)


def test_a_feature_map_with_time_keeps_it() -> None:
    clip = keras.Input((2 * T, 2, 2, 3), dtype="uint8", name="clip")
    x = FramesToClip(2 * T)(ClipToFrames(1.0)(clip))
    # every second frame
    x = layers.Conv3D(3, 1, (2, 1, 1), kernel_initializer=Same(), name="conv")(x)
    model = keras.Model(clip, judged(layers.GlobalAveragePooling3D(name="features")(x)))
    found = GradCam(model)(np.repeat(CLIP, 2, 0)[None])
    np.testing.assert_allclose(found[0], np.repeat(BY_HAND, 2, 0), atol=1e-6)
    assert known_head(model) is None


def nested(pooled: bool, sequential: bool) -> Any:
    """The hand-made network with its features in a model of its own."""
    conv = layers.Conv2D(3, 1, kernel_initializer=Same(), name="conv")
    parts = [conv, *([layers.GlobalAveragePooling2D(name="pool")] if pooled else [])]
    if sequential:
        inner = keras.Sequential([keras.Input((2, 2, 3)), *parts], name="cnn")
    else:
        x = image = keras.Input((2, 2, 3))
        for part in parts:
            x = part(x)
        inner = keras.Model(image, x, name="cnn")
    clip = keras.Input((T, 2, 2, 3), dtype="uint8", name="clip")
    x = inner(ClipToFrames(1.0)(clip))
    x = x if pooled else layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(FramesToClip(T)(x))
    return keras.Model(clip, judged(x))


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
def test_models_among_the_layers_are_looked_into(pooled: bool, sequential: bool) -> None:
    model = nested(pooled, sequential)
    cam = GradCam(model)
    assert cam.features.layer == "cnn/conv"
    np.testing.assert_allclose(cam(CLIP[None])[0], BY_HAND, atol=1e-6)
    assert known_head(model) is None  # an exported graph has none then
    assert len(model.get_layer("cnn").inbound_nodes) <= 2, "nothing was added to the network"


def test_an_extended_cnn_is_given_its_frames() -> None:
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(image)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="second")(x)
    x = layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x))
    model = extend(keras.Model(image, x), ["first"], frames=4)
    frames = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    cam = GradCam(model, frames=4)
    assert cam(frames).shape == (2, 4, 8, 8) and cam.features.layer == "second"
    with pytest.raises(ValueError, match="how many make a clip"):
        GradCam(model)


def test_what_has_no_features_or_no_logits_is_refused() -> None:
    clip = keras.Input((T, 2, 2, 3), dtype="uint8")
    flat = layers.Flatten()(ClipToFrames(1.0)(clip))
    bare = keras.Model(clip, FramesMean(T)(layers.Dense(2)(flat)), name="bare")
    with pytest.raises(ValueError, match="bare has no feature map"):
        GradCam(bare)
    with pytest.raises(ValueError, match="two logits"):
        GradCam(keras.Model(clip, FramesMean(T)(layers.Dense(3)(flat))))


# Side of the crops, frames, width; the layer whose features are taken; whether its head is linear.
SMALLEST: dict[str, tuple[int, int, float, str, bool]] = {
    "resnet18": (64, 4, 0.125, "layer4_1_relu", True),
    "shallownet": (32, 4, 0.25, "block3_conv2", False),  # dense layers read every cell
    "meso4": (32, 4, 0.5, "conv4_bn", False),  # likewise, and before the last pooling
    "mesoinception4": (32, 4, 0.5, "conv4_bn", False),
    "convlstm": (64, 4, 0.125, "features", True),
    "xception": (71, 4, 0.125, "block14_sepconv2_act", True),
    "f3net": (64, 4, 0.125, "features", True),
    "multi_attentional": (75, 4, 0.125, "top_activation", False),  # weighs by its own maps
    "gff": (64, 4, 0.125, "weights_residual", False),  # cosines
    "cnn_lstm": (75, 4, 0.125, "activation_", False),  # the LSTM reads the mean features
    "dbirnn": (64, 4, 0.125, "relu", False),
    "clrnet": (102, 4, 0.125, "last_bn", True),
    "dil": (64, 8, 0.125, "conv5_block3_out", True),
}
QUICK = ("resnet18", "shallownet", "meso4", "convlstm")
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SMALLEST]


def test_every_network_of_the_zoo_is_looked_at() -> None:
    assert set(SMALLEST) == set(zoo.NAMES)


@pytest.mark.parametrize("name", EACH)
def test_a_network_of_the_zoo_has_a_map(name: str, randomise: Any) -> None:
    keras.backend.clear_session()
    size, frames, width, layer, linear = SMALLEST[name]
    model = zoo.get(name).build(size, frames, width=width)
    for target in model.layers:
        if not isinstance(target, layers.Rescaling):
            randomise(target, 0)
    clips = np.random.default_rng(1).integers(0, 256, (2, *model.input_shape[1:]), np.uint8)
    cam = GradCam(model)
    assert cam.features.layer.startswith(layer)
    found = cam(clips)
    sides = last_shape(model, cam.features.path[-1])
    assert found.shape == (2, frames, *sides) and np.isfinite(found).all()
    assert found.min() >= 0 and found.max() <= 1
    head = known_head(model)
    assert (head is not None) is linear
    if head is not None:
        logits, exact = with_class_activation(model, head)(clips)
        np.testing.assert_allclose(exact, found, atol=1e-3)
        np.testing.assert_array_equal(logits, model(clips, training=False))


def last_shape(model: Any, layer: str) -> tuple[int, int]:
    _, height, width, _ = model.get_layer(layer).output_shape
    return height, width


@pytest.mark.parametrize("modules", [(), ("dfdc", "msa")])
def test_the_projects_own_networks_have_one(modules: tuple[str, ...], randomise: Any) -> None:
    model = build_model("resnet18", modules, frames=4, size=64, width=0.125)
    randomise(model)
    clips = np.random.default_rng(1).integers(0, 256, (2, 4, 64, 64, 3), np.uint8)
    found = GradCam(model)(clips)
    assert found.shape == (2, 4, 2, 2) and np.isfinite(found).all() and found.any()
    assert (found == found[:, :1]).all()  # the fusion has laid the frames side by side
    head = known_head(model)
    assert head is not None and not head.of_frames
    np.testing.assert_allclose(with_class_activation(model, head)(clips)[1], found, atol=1e-4)


def test_a_localisation_heads_own_cells_are_no_features() -> None:
    model = build_model("resnet18", (), 4, 64, width=0.125, localise="stage3", by_map=True)
    assert last_features(model).path[-1] != "localise"
