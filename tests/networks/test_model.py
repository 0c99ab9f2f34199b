"""build_model: the authors' network to the last digit, and every choice it offers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden"))

from naive_network import draw, network_shapes

from keras_ddl import build_model
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.framework import keras
from keras_ddl.import_released import load_released_weights
from keras_ddl.layers import CUSTOM_OBJECTS, DFDC, MSA
from keras_ddl.networks import backbones
from keras_ddl.networks.backbones import DEFAULT_SIZES
from keras_ddl.networks.model import with_inconsistency_map

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
# Large, or like another; of EfficientNet-Lite the stages are looked at in its own tests.
SLOW = ("xception", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
MOST = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in DEFAULT_SIZES
]
SIZES = {name: 71 if name == "xception" else 64 for name in DEFAULT_SIZES}
BOTH = ("dfdc", "msa")
ABLATIONS = ((), ("dfdc",), ("msa",), BOTH)
STAGES = {
    "compact_xception": [f"block{number}" for number in range(1, 8)],
    "xception": [f"block{number}" for number in range(2, 14)],
    "resnet18": [f"stage{number}" for number in range(1, 5)],
    **{f"efficientnet_lite{v}": [f"stage{number}" for number in range(2, 8)] for v in range(3)},
}


@cache
def built(backbone: str, modules: tuple[str, ...], *stages: str) -> Any:
    """A network of 4 frames that several tests look at; all stages where none is named."""
    keras.backend.clear_session()  # where Keras counts the names of layers that were given none
    return build_model(backbone, modules, 4, SIZES[backbone], stages=stages or None)


@cache
def small(*modules: str) -> Any:
    """A quick one, 32 pixels, with modules at one stage."""
    return build_model("resnet18", modules, 4, 32, width=0.25, stages=["stage2"])


@cache
def released(frames: int, size: int, keep: str) -> Any:
    """compact_xception with weights drawn from their released names."""
    model = build_model("compact_xception", frames=frames, size=size, keep=keep)
    shapes = network_shapes(frames)
    load_released_weights(model, {name: draw(name, shape) for name, shape in shapes.items()})
    return model


def clips(seed: int, frames: int, size: int) -> np.ndarray:
    shape = (2, frames, size, size, 3)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def of_kind(model: Any, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def readers(model: Any) -> dict[str, set[str]]:
    """Layer → the layers that read its output."""
    found: dict[str, set[str]] = {}
    for entry in model.get_config()["layers"]:
        for source in sources(entry["inbound_nodes"]):
            found.setdefault(source, set()).add(entry["name"])
    return found


def sources(given: Any) -> Iterator[str]:
    """Names of the layers in what a configuration says of calls, of Keras 2 or Keras 3."""
    if isinstance(given, dict) and "keras_history" in given:
        yield given["keras_history"][0]
    elif isinstance(given, (list, tuple)) and given and isinstance(given[0], str):
        yield given[0]
    elif isinstance(given, (dict, list, tuple)):
        for part in given.values() if isinstance(given, dict) else given:
            yield from sources(part)


# The authors' network


@pytest.mark.parametrize(
    ("frames", "rule"),
    [
        (8, "released"),  # what the authors released
        pytest.param(4, "paper", marks=pytest.mark.slow),
        pytest.param(4, "released", marks=pytest.mark.slow),
        pytest.param(8, "paper", marks=pytest.mark.slow),
    ],
)
def test_compact_xception_gives_the_derived_logits(frames: int, rule: str, near) -> None:
    data = np.load(GOLDEN / f"network_T{frames}_S64_{rule}.npz")
    model = released(frames, 64, rule)
    taps = {f"block{number}": f"block{number}_add" for number in range(1, 8)}
    taps["fea_fusion"] = "attention_residual"
    outputs = [model.output, *(model.get_layer(name).output for name in taps.values())]
    logits, *tapped = keras.Model(model.input, outputs)(clips(int(data["seed"]), frames, 64))
    for name, value in zip(taps, tapped, strict=True):
        corner = tf.transpose(value[0], (2, 0, 1))[:4, :4, :4]
        near(corner, data[f"tap.{name}"], 1e-5, name)
    near(logits, data["logits"], 1e-5, "logits")


@pytest.mark.parametrize("size", [128, pytest.param(256, marks=pytest.mark.slow)])
def test_compact_xception_gives_the_authors_logits(shared_reference, size: int, near) -> None:
    data = np.load(shared_reference / f"network_{size}.npz")
    near(released(8, size, "released")(clips(1, 8, size)), data["logits"], 1e-5, "logits")


@pytest.mark.parametrize("modules", [(), BOTH])
def test_compact_xception_has_as_many_parameters_as_the_authors(modules) -> None:
    def belongs(name: str) -> bool:
        of_module = ".neg_sim." in name or ".hv_att." in name
        return "running" not in name and (bool(modules) or not of_module)

    shapes = network_shapes(8)
    want = sum(int(np.prod(shape)) for name, shape in shapes.items() if belongs(name))
    assert want == (10_592_688 if modules else 6_837_858)
    model = released(8, 64, "released") if modules else build_model(modules=(), size=64)
    assert sum(int(tf.size(weight)) for weight in model.trainable_weights) == want


# Every backbone


@pytest.mark.parametrize("modules", ABLATIONS, ids=lambda names: "+".join(names) or "plain")
@pytest.mark.parametrize(
    "backbone",
    [
        "resnet18",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("compact_xception", "xception")),
    ],
)
def test_every_ablation_is_one_argument(backbone: str, modules: tuple[str, ...]) -> None:
    some = STAGES[backbone][1:2] if len(modules) == 1 else []
    model = built(backbone, modules, *some)
    assert model.input_shape == (None, 4, SIZES[backbone], SIZES[backbone], 3)
    assert model.inputs[0].dtype == tf.uint8 and model.inputs[0].name == "clip"
    assert model.output_shape == (None, 2) and model.output_names == ["logits"]
    assert model.outputs[0].dtype == tf.float32
    for name, kind in (("dfdc", DFDC), ("msa", MSA)):
        stages = (some or STAGES[backbone]) if name in modules else []
        assert [layer.name for layer in of_kind(model, kind)] == [f"{s}_{name}" for s in stages]
    assert all(layer.frames == 4 for layer in of_kind(model, (DFDC, MSA)))


@pytest.mark.parametrize("backbone", MOST)
def test_modules_stand_before_every_stage_and_its_skip_connection(backbone: str) -> None:
    stages, after = STAGES[backbone], readers(built(backbone, BOTH))
    for stage in stages:
        (feeding,) = [name for name, read in after.items() if f"{stage}_dfdc" in read]
        assert after[feeding] == {f"{stage}_dfdc"}, "nothing goes round the modules"
        assert after[f"{stage}_dfdc"] == {f"{stage}_msa"}
    two_ways = [stage for stage in stages if len(after[f"{stage}_msa"]) == 2]
    # The first block of a stage of EfficientNet has no skip connection.
    expected = [] if "lite" in backbone else stages
    assert two_ways == expected, "a convolution and a skip connection read each stage's modules"


@pytest.mark.parametrize("backbone", MOST)
def test_fresh_modules_change_nothing(backbone: str, randomise) -> None:
    both, plain = built(backbone, BOTH), built(backbone, ())
    randomise(both)  # generic modules, whose γ alone is then what it is at the start
    for layer in of_kind(both, (DFDC, MSA)):
        layer.gamma.assign([0.0])
    for layer in plain.layers:
        layer.set_weights(both.get_layer(layer.name).get_weights())
    clip = clips(0, 4, SIZES[backbone])[:1]
    want = plain(clip)
    np.testing.assert_allclose(both(clip), want, atol=1e-5 * max(1, np.abs(want).max()))
    for layer in of_kind(both, DFDC):
        layer.gamma.assign([0.5])
    assert np.abs(both(clip) - want).max() > 1e-4, "γ ≠ 0 does change something"


@pytest.mark.parametrize("backbone", MOST)
def test_bytes_are_scaled_inside(backbone: str) -> None:
    model = built(backbone, ())
    clip = clips(0, 4, SIZES[backbone])[:1]
    np.testing.assert_array_equal(model(clip), model(clip.astype(np.float32)))
    frames = model.get_layer("clip_to_frames")(clip)
    spread = {"compact_xception": (0, 1), "xception": (-1, 1), "resnet18": (-2, 255 / 58 - 2)}
    spread |= {name: (-127 / 128, 1) for name in DEFAULT_SIZES if "lite" in name}
    np.testing.assert_allclose((np.min(frames), np.max(frames)), spread[backbone], atol=1e-6)


@pytest.mark.parametrize("backbone", ["compact_xception", "resnet18"])
def test_width_scales_the_channels(backbone: str) -> None:
    network = build_model(backbone, (), 4, 64, width=0.25)
    widths = {
        layer.name: layer.filters
        for layer in of_kind(network, keras.layers.Conv2D)
        if hasattr(layer, "filters") and not isinstance(layer, keras.layers.DepthwiseConv2D)
    }
    full = {"compact_xception": {"block3_skip": 512, "conv1": 32}, "resnet18": {"conv1": 64}}
    for name, channels in full[backbone].items():
        assert widths[name] == channels / 4
    assert widths["fusion"] == 256
    assert all(channels % 8 == 0 for channels in widths.values())


def test_every_weight_learns_once_gamma_has_left_zero(randomise) -> None:
    model = small(*BOTH)
    randomise(model)
    with tf.GradientTape() as tape:
        logits = model(clips(0, 4, 32), training=True)
        truth = np.array([0, 1])
        loss = keras.losses.sparse_categorical_crossentropy(truth, logits, from_logits=True)
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True
    ):
        assert gradient is not None and np.isfinite(gradient).all(), weight.name
        # A constant before a batch norm in training mode is taken out again by it.
        assert np.abs(gradient).max() > 0 or "bias" in weight.name, weight.name


def test_half_precision_gives_float32_logits() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = build_model("resnet18", frames=4, size=32, width=0.25, stages=["stage2"])
        logits = model(clips(0, 4, 32))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert model.get_layer("stage2_dfdc").compute_dtype == "float16"
    assert logits.dtype == tf.float32 and np.isfinite(logits).all()


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning")
def test_a_network_survives_a_file(ending: str, tmp_path: Path, randomise) -> None:
    model = small(*BOTH)
    randomise(model)
    path = tmp_path / f"model.{ending}"
    model.save(path)
    again = keras.models.load_model(path, custom_objects=CUSTOM_OBJECTS, compile=False)
    clip = clips(0, 4, 32)
    np.testing.assert_array_equal(again(clip), model(clip))


# Choices


@pytest.mark.parametrize(
    ("keep", "want"),
    [("paper", [None, None]), ("released", [7, 3]), (5, [5, 5])],  # stages 8 and 4 pixels high
)
def test_keep_reaches_the_layers(keep: str | int, want: list[int | None]) -> None:
    stages = ["stage3", "stage2"]  # in any order
    model = build_model("resnet18", ("dfdc",), 4, 32, keep, width=0.25, stages=stages)
    assert [layer.name for layer in of_kind(model, DFDC)] == ["stage2_dfdc", "stage3_dfdc"]
    heights = [layer.input.shape[1] for layer in of_kind(model, DFDC)]
    assert heights == [8, 4]
    assert [layer.keep for layer in of_kind(model, DFDC)] == want


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "vgg"}, "one of compact_xception, xception, resnet18, .*; got 'vgg'"),
        ({"modules": ("dfdc", "lstm")}, "among dfdc, msa; got lstm"),
        ({"stages": ["block1", "stage9"]}, "among block1, .*block7; got stage9"),
        ({"frames": 6}, "multiple of 4; got 6; use"),
        ({"size": 31}, "size of at least 32; got 31"),
        ({"keep": "most"}, '"paper", "released" or a number of at least 1; got \'most\''),
        ({"keep": 0}, "at least 1; got 0"),
        (
            {"weights": "imagenet"},
            "no built-in weights; got 'imagenet'; .*keras_ddl.import_released",
        ),
        ({"backbone": "resnet18", "size": 31}, "at least 32; got 31"),
        ({"backbone": "resnet18", "weights": "x"}, "no built-in weights; got 'x'"),
        ({"backbone": "xception", "size": 70}, "at least 71; got 70"),
        ({"backbone": "xception", "size": 71, "width": 0.5}, "one width, 1; got 0.5"),
    ],
)
def test_impossible_choices_are_refused(arguments: dict[str, Any], message: str) -> None:
    given = {"size": 64, **arguments}
    with pytest.raises(ValueError, match=message):
        build_model(**given)


def test_class_1_is_fake_and_says_so() -> None:
    assert "class 1 = fake" in (build_model.__doc__ or "")


# The full Xception's weights


def test_xception_starts_from_a_file_of_applications(tmp_path: Path, randomise) -> None:
    source = keras.applications.Xception(include_top=False, weights=None, input_shape=(71, 71, 3))
    randomise(source)
    path = tmp_path / "xception.weights.h5"
    source.save_weights(path)
    network = backbones.get("xception")(71, weights=str(path))
    for got, want in zip(network.cnn.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


def test_missing_weights_file_is_named() -> None:
    with pytest.raises(UserError, match=r"no weights file nowhere\.h5; expected None, 'imagenet'"):
        build_model("xception", size=71, weights="nowhere.h5")


def test_imagenet_weights_without_a_network_are_one_line(tmp_path: Path, monkeypatch) -> None:
    for name in ("HOME", "KERAS_HOME"):  # where Keras would have kept a copy
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "")
    # urllib keeps its first opener, proxies included; this one must not outlive the test.
    monkeypatch.setattr("urllib.request._opener", None)
    with pytest.raises(UserError, match="'imagenet' could not be loaded: ") as caught:
        build_model("xception", (), 4, 71, weights="imagenet")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == MISSING


# The second output


def test_inconsistency_map_comes_beside_the_same_logits(randomise) -> None:
    model = built("compact_xception", BOTH)
    randomise(model)
    clip = clips(0, 4, 64)
    logits, found = with_inconsistency_map(model)(clip)
    np.testing.assert_allclose(logits, model(clip), atol=1e-6)
    assert found.shape == (2, 4, 8, 8), "an eighth of the clip"
    assert found.numpy().min() >= 0
    np.testing.assert_allclose(found.numpy().max((1, 2, 3)), [1, 1], atol=1e-6)
    assert with_inconsistency_map(model, 5).output_shape[1] == (None, 4, 5, 5)


def test_plain_network_has_no_map() -> None:
    with pytest.raises(ValueError, match="no DFDC layer"):
        with_inconsistency_map(small("msa"))
