"""Meso4 and MesoInception4 against published counts and NumPy; the authors' weights as a run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parent))

import h5py
from naive_convolutions import sigmoid
from naive_meso import draw_weights, official_shapes, real_margin, write_official

from keras_ddl import evaluate, quantize
from keras_ddl.build_network import build_started, load_run
from keras_ddl.config import load
from keras_ddl.data.prepared import Cut, encode_clip, read_split
from keras_ddl.data.shard_writer import write_prepared
from keras_ddl.data.video_index import Video
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256
from keras_ddl.framework import keras
from keras_ddl.import_mesonet import NETWORKS, main
from keras_ddl.networks import zoo
from keras_ddl.networks.cost import parameters
from keras_ddl.networks.zoo.parts.meso_parts import load_official

PUBLISHED = {"meso4": 28_073, "mesoinception4": 28_725}
STATISTICS = {"meso4": 2 * (8 + 8 + 16 + 16), "mesoinception4": 2 * (11 + 12 + 16 + 16)}


def fake_probability(model: keras.Model, clip: np.ndarray) -> float:
    real, fake = model(clip[None]).numpy().astype(float)[0]
    return float(sigmoid(fake - real))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_published_counts_hold_with_the_original_head(network: str) -> None:
    """They count the statistics of batch norm, which are not trained."""
    model = zoo.get(network).build()
    assert model.count_params() == PUBLISHED[network]
    assert parameters(model) == PUBLISHED[network] - STATISTICS[network]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_authors_weights_become_a_run_that_says_the_opposite_of_real(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], near: Callable[..., None]
) -> None:
    weights = draw_weights(network)
    file = write_official(tmp_path / "MesoNet_DF.h5", weights)
    run = tmp_path / "runs" / "official"
    assert main([str(file), "--out", str(run)]) == 0
    assert capsys.readouterr().out.startswith(f"{run}: score it with: ")
    assert (tmp_path / "runs" / "latest").resolve() == run
    model, config, spec = load_run(run)
    assert (config.network, spec.size, spec.frames) == (network, 256, 8)
    assert spec.training["imported"]["sha256"] == file_sha256(file)
    card = (run / "MODEL_CARD.md").read_text()
    assert "Trained elsewhere" in card and "optimiser" not in card
    assert f"{PUBLISHED[network]:,}" in card

    image = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    z = real_margin(network, weights, image)
    assert 0.1 < abs(z) < 4
    near(fake_probability(model, np.stack([image] * 8)), 1 - sigmoid(z), 1e-5)


PICTURES = ("df00204", "df01254", "real00240", "real00772")
GOLDEN = {  # P(real) of the pictures, side 256 by nearest neighbours, from the authors' program
    "Meso4_DF": (0.0304, 0.0281, 0.9897, 0.9983),
    "MesoInception_DF": (0.0225, 0.0022, 1.0, 1.0),
    "Meso4_F2F": (0.8222, 0.7676, 0.8810, 0.9585),
    "MesoInception_F2F": (0.9807, 1.0, 1.0, 0.9992),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_published_weights_give_the_authors_scores(
    name: str, shared_mesonet: Path, tmp_path: Path, near: Callable[..., None]
) -> None:
    """The very files that the authors publish, on pictures of theirs."""
    import cv2

    assert main([str(shared_mesonet / f"{name}.h5"), "--out", str(tmp_path / "run")]) == 0
    model, config, _ = load_run(tmp_path / "run")
    scores = []
    for picture in PICTURES:
        image = cv2.imread(str(shared_mesonet / f"mesonet_{picture}.jpg"))[..., ::-1]
        frame = cv2.resize(image, (256, 256), interpolation=cv2.INTER_NEAREST)
        clip = np.broadcast_to(frame, (config.frames, *frame.shape))
        scores.append(1 - fake_probability(model, clip))
    near(np.array(scores), np.array(GOLDEN[name]), 1e-4)


def test_frames_are_averaged(near: Callable[..., None]) -> None:
    model = zoo.get("meso4").build(256, 4)
    weights = draw_weights("meso4", seed=2)
    for layer, values in zip(
        (la for la in model.layers if la.weights), weights.values(), strict=True
    ):
        layer.set_weights(values)
    clip = np.random.default_rng(2).integers(0, 256, (4, 1, 1, 3)) * np.ones((4, 256, 256, 3))
    clip = clip.astype(np.uint8)
    each = [1 - sigmoid(real_margin("meso4", weights, image)) for image in clip]
    assert np.ptp(each) > 0.01
    near(fake_probability(model, clip), np.mean(each), 1e-5)


def test_the_order_of_an_inception_file_is_that_of_keras_own(
    tmp_path: Path, near: Callable[..., None]
) -> None:
    """The original's wiring and file by plain Keras: branches of equal shape stay apart."""
    layers = keras.layers

    def block(x: object, alone: int, *pairs: int) -> object:
        found = [layers.Conv2D(alone, 1, padding="same", activation="relu")(x)]
        for dilation, channels in enumerate(pairs, 1):
            y = layers.Conv2D(channels, 1, padding="same", activation="relu")(x)
            rate = {"dilation_rate": dilation, "padding": "same", "activation": "relu"}
            found.append(layers.Conv2D(channels, 3, **rate)(y))
        return layers.Concatenate()(found)

    keras.backend.clear_session()
    image = x = layers.Input((256, 256, 3))
    for branches in ((1, 4, 4, 2), (2, 4, 4, 2)):
        x = layers.MaxPooling2D(2)(layers.BatchNormalization()(block(x, *branches)))
    for pool in (2, 4):
        x = layers.Conv2D(16, 5, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(pool)(layers.BatchNormalization()(x))
    x = layers.LeakyReLU(0.1)(layers.Dense(16)(layers.Flatten()(x)))
    original = keras.Model(image, layers.Dense(1, activation="sigmoid")(x))
    stored = [layer for layer in original.layers if layer.weights]
    assert [[tuple(w.shape) for w in layer.weights] for layer in stored] == list(
        official_shapes("mesoinception4").values()
    )
    for layer, values in zip(stored, draw_weights("mesoinception4", 3).values(), strict=True):
        layer.set_weights(values)
    original.save_weights(str(tmp_path / "by_keras.h5"))
    model = zoo.get("mesoinception4").build(256, 4, str(tmp_path / "by_keras.h5"))
    picture = np.random.default_rng(3).integers(0, 256, (256, 256, 3), np.uint8)
    expected = 1 - float(original(picture[None] / 255.0)[0, 0])
    near(fake_probability(model, np.stack([picture] * 4)), expected, 1e-5)


def _text(path: Path) -> None:
    path.write_text("not weights")


def _foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(3)


def _other_shape(path: Path) -> None:
    weights = draw_weights("meso4")
    weights["dense_1"][0] = np.zeros((576, 16), np.float32)  # of 192 px
    write_official(path, weights)


def _shorter(path: Path) -> None:
    weights = draw_weights("meso4")
    del weights["dense_2"]
    write_official(path, weights)


def _torn(path: Path) -> None:
    write_official(path, draw_weights("meso4"))
    path.write_bytes(path.read_bytes()[:20_000])


def _not_finite(path: Path) -> None:
    weights = draw_weights("meso4")
    weights["conv2d_1"][1][0] = np.nan
    write_official(path, weights)


def _group_of_a_model(path: Path) -> None:
    write_official(path, draw_weights("meso4"), "model_weights")


def _whole_model(path: Path) -> None:
    """As `Model.save` writes it: with what every layer is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the format is an old one
        keras.Sequential([keras.layers.Dense(1, input_shape=(2,))]).save(path)


def _incomplete(path: Path) -> None:
    write_official(path, draw_weights("meso4"))
    with h5py.File(path, "a") as file:
        del file["conv2d_3/conv2d_3/bias:0"]


BAD = pytest.mark.parametrize(
    ("make", "expected"),
    [
        (_text, "is no file of Keras weights"),
        (_torn, "is no file of Keras weights"),
        (_foreign, "is no file of Keras weights"),
        (_incomplete, "is no file of Keras weights"),
        (_not_finite, "not finite"),
        (_group_of_a_model, "expected weights alone, .*received a complete Keras model"),
        (_whole_model, "expected weights alone, .*received a complete Keras model"),
        (_other_shape, "expected dense 1024×16, 16, received dense_1 576×16, 16"),
        (_shorter, "expected real_margin 16×1, 1, received no more layers"),
        (lambda _: None, "no weights file"),
    ],
)


@pytest.fixture(scope="module")
def untouched() -> keras.Model:
    return zoo.get("meso4").build()


@BAD
def test_a_bad_file_changes_nothing(
    make: Callable[[Path], None], expected: str, untouched: keras.Model, tmp_path: Path
) -> None:
    make(tmp_path / "bad.h5")
    before = untouched.get_weights()
    with pytest.raises((UserError, ValueError), match=expected):
        load_official(untouched, tmp_path / "bad.h5")
    for now, then in zip(untouched.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_bad_file_is_one_line_and_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    for make, expected in (
        (lambda _: None, "no weights file"),
        (_torn, "Keras"),
        (_shorter, "fit"),
    ):
        make(tmp_path / "bad.h5")
        command = [str(tmp_path / "bad.h5"), "--network", "meso4", "--out", str(run)]
        assert main(command) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and said[0].startswith("error: ") and expected in said[0]
        assert not run.exists()
    write_official(tmp_path / "good.h5", draw_weights("meso4"))
    run.write_text("in use")
    assert main([str(tmp_path / "good.h5"), "--network", "meso4", "--out", str(run)]) == 2
    assert "expected a new or empty run folder" in capsys.readouterr().err


def test_a_file_of_the_other_network_and_one_of_neither(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(write_official(tmp_path / "weights.h5", draw_weights("meso4")))
    other = [file, "--network", "mesoinception4", "--out", str(tmp_path / "run")]
    assert main(other) == 2
    assert "does not fit mesoinception4 at 256 px: layer 1 with weights" in capsys.readouterr().err
    _other_shape(tmp_path / "neither.h5")
    assert main([str(tmp_path / "neither.h5"), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert all(f"does not fit {network}" in said for network in NETWORKS)
    with pytest.raises(ValueError, match="does not fit meso4 at 128 px"):
        zoo.get("meso4").build(128, 4, file)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    file = write_official(folder / "Meso4_DF.h5", draw_weights("meso4"))
    assert main([str(file), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_without_data_of_its_own_it_says_what_to_do(
    imported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([str(imported)]) == 2
    said = capsys.readouterr().err
    assert "has no data of its own" in said and "--keep-operating-point" in said
    assert evaluate.main([str(imported), "--validation"]) == 2
    said = capsys.readouterr().err
    assert "without them there is no validation split" in said and "--keep" not in said
    assert quantize.main([str(imported)]) == 2
    assert "has no data of its own" in capsys.readouterr().err


def test_a_training_can_go_on_from_it(imported: Path) -> None:
    started = build_started(load("meso4", overrides=[f"weights={imported}"]))
    for got, expected in zip(
        started.get_weights(), load_run(imported)[0].get_weights(), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
def test_the_run_is_scored_and_exported_like_any_other(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    from export import to_onnx

    rng = np.random.default_rng(0)
    cuts = []
    for number in range(6):
        picture = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((64, 64, 1)))
        frames = np.stack([picture] * 8).astype(np.uint8)
        video = Video(Path(str(number)), number % 2, "flat", "", "", str(number), (), "test")
        cuts.append((video, Cut("ok", clips=(encode_clip(Clip(frames, 40.0 * np.arange(8), 1)),))))
    prepared = write_prepared(tmp_path / "flat", ClipSpec(detector="haar"), cuts, "f" * 64)
    keep = "--keep-operating-point"
    assert evaluate.main([str(imported), "--prepared", str(prepared), keep]) == 0
    rows = (imported / "test_scores.csv").read_text().splitlines()
    model, _, _ = load_run(imported)
    stored = read_split(prepared, "test").clips
    expected = [fake_probability(model, clip) for clip in stored]
    got = [float(row.split(",")[6]) for row in rows[1:]]
    assert len(got) == 6 and np.ptp(got) > 1e-3
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert to_onnx.main([str(imported)]) == 0
    assert "parity on 32 noise clips (no prepared data)" in capsys.readouterr().out
    assert (imported / "bundle" / "model.onnx").is_file()
