"""Presets: a folder that gives the same network again, in either Keras, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
h5py = pytest.importorskip("h5py")

from keras_ddl import build_model, from_preset, save_to_preset
from keras_ddl.build_network import build
from keras_ddl.config import TrainConfig
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256
from keras_ddl.framework import keras
from keras_ddl.hub.preset import load_preset

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = {"frames": 4, "size": 32, "width": 0.25, "stages": ("stage2",), "localise": "stage3"}
SPEC = ClipSpec(frames=4, size=32, margin=1.5, threshold=0.25, temperature=2.0)


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (2, 4, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(randomise: Callable[..., None]) -> Any:
    network = build_model("resnet18", **CHOSEN)
    randomise(network)
    return network


@pytest.fixture(scope="module")
def saved(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_to_preset(model, tmp_path_factory.mktemp("presets") / "small", SPEC)


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def changed(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / name
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def stamped(folder: Path) -> None:
    """Let the clip spec name the weights as they are now."""
    digest = file_sha256(folder / "model.weights.h5")
    changed(folder, "clipspec.json", lambda spec: spec.update(weights_sha256=digest))


def test_a_network_comes_back(saved: Path, model: Any, clip: np.ndarray) -> None:
    again, config, spec = load_preset(saved)
    np.testing.assert_array_equal(again(clip), model(clip))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert (config.backbone, config.stages, config.localise) == ("resnet18", ("stage2",), "stage3")
    assert spec.replace(weights_sha256="") == SPEC


def test_it_has_the_form_of_kerashub(saved: Path, model: Any) -> None:
    names = {"README.md", "clipspec.json", "config.json", "metadata.json", "model.weights.h5"}
    assert {path.name for path in saved.iterdir()} == names
    config = json.loads((saved / "config.json").read_text())
    assert config.keys() == {"module", "class_name", "config", "registered_name"}
    metadata = json.loads((saved / "metadata.json").read_text())
    assert metadata["keras_version"] == keras.__version__
    assert metadata["parameter_count"] == sum(value.size for value in model.get_weights())
    assert (saved / "README.md").read_text().startswith("---\nlicense: ")


def test_what_was_loaded_can_be_saved_again(saved: Path, clip: np.ndarray, tmp_path: Path) -> None:
    again = from_preset(save_to_preset(from_preset(saved), tmp_path / "second"))
    np.testing.assert_array_equal(again(clip), from_preset(saved)(clip))


IN_KERAS_3 = """
import sys
import numpy as np
from keras_ddl import from_preset, save_to_preset
folder, clip, out, second = sys.argv[1:]
model = from_preset(folder)
np.save(out, model(np.load(clip)))
save_to_preset(model, second)
"""


def test_both_kerases_read_each_others(
    saved: Path, model: Any, clip: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("keras", "3.0")
    np.save(tmp_path / "clip.npy", clip)
    names = [saved, *(tmp_path / name for name in ("clip.npy", "out.npy", "second"))]
    line = [sys.executable, "-c", IN_KERAS_3, *map(str, names)]
    environment = {**os.environ, "KERAS_DDL_KERAS": "keras", "PYTHONPATH": str(ROOT)}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), model(clip), atol=1e-5)
    np.testing.assert_array_equal(from_preset(tmp_path / "second")(clip), model(clip))


def test_a_run_becomes_a_preset(
    clip: np.ndarray, tmp_path: Path, randomise: Callable[..., None]
) -> None:
    config = TrainConfig(network="meso4", frames=4, size=32, width=0.5)
    trained, run = build(config), tmp_path / "run"
    randomise(trained)
    run.mkdir()
    trained.save_weights(run / "weights.h5")
    digest = file_sha256(run / "weights.h5")
    SPEC.replace(weights_sha256=digest).write(run / "clipspec.json")
    (run / "config.json").write_text(json.dumps({"config": config.to_dict(), "data": {}}))
    again, found, spec = load_preset(save_to_preset(run, tmp_path / "preset", licence="mit"))
    np.testing.assert_array_equal(again(clip), trained(clip))
    assert found.network == "meso4" and spec.threshold == SPEC.threshold
    card = (tmp_path / "preset" / "README.md").read_text()
    assert 'license: "mit"' in card and "# Model card: run" in card and "not measured" in card


def test_nothing_is_left_of_what_failed(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="spec: expected 4 frames of 32 px"):
        save_to_preset(model, tmp_path / "preset", SPEC.replace(size=64))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UserError, match="expected a new or empty folder"):
        save_to_preset(model, tmp_path)
    assert (tmp_path / "mine").read_text() == "kept"


def test_a_network_of_unknown_making_is_refused(tmp_path: Path) -> None:
    image = keras.Input((4, 4, 3))
    other = keras.Model(image, keras.layers.ReLU()(image), name="other")
    with pytest.raises(UserError, match=r"extend or from_preset .*; received other; keep"):
        save_to_preset(other, tmp_path / "preset")


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("config.json", "module", "os", "describes no network of keras-ddl"),
        ("config.json", "class_name", "system", "describes no network of keras-ddl"),
        ("config.json", "config.weights", "/etc/passwd", "expected the keys network, "),
        ("config.json", "config.begin", "paper", "expected the keys network, "),
        ("config.json", "config.width", 1e6, "width: expected at most 8, received 1e"),
        ("config.json", "config.frames", 4000, "frames: expected at most 256"),
        ("config.json", "config.backbone", "../x", "backbone must be one of"),
        ("config.json", "config.size", 64, r"is for 4 frames of 32 px, config\.json for"),
        ("config.json", "config.width", 0.5, r"does not fit config\.json"),
        ("config.json", "config", [], "expected the keys network, "),
        ("config.json", "config.width", 10**400, "'width': expected a number, received 1000"),
        ("clipspec.json", "margin", 10**400, r"clipspec\.json: ClipSpec margin: expected a finite"),
        ("clipspec.json", "classes", 2, r"clipspec\.json: ClipSpec classes: expected two diff"),
        ("clipspec.json", "classes", [["a"], ["b"]], r"clipspec\.json: ClipSpec classes: expected"),
        ("clipspec.json", "frames", 5, r"clipspec\.json: .*multiple of 4"),
        ("clipspec.json", "weights_sha256", "", r"is not the file that clipspec\.json names"),
    ],
)
def test_a_strange_description_is_refused_in_a_line(
    copy: Path, name: str, key: str, value: Any, message: str
) -> None:
    def change(values: dict[str, Any]) -> None:
        *outer, last = key.split(".")
        for part in outer:
            values = values[part]
        values[last] = value

    changed(copy, name, change)
    with pytest.raises(UserError, match=message) as caught:
        from_preset(copy)
    assert "\n" not in str(caught.value)


def test_a_large_description_is_not_read(copy: Path) -> None:
    (copy / "config.json").write_text(" " * 8_400_000)
    with pytest.raises(UserError, match=r"config\.json is larger than"):
        from_preset(copy)


def linked(file: h5py.File) -> None:
    file["stranger"] = h5py.ExternalLink("other.h5", "/")


def softly_linked(file: h5py.File) -> None:
    file["again"] = h5py.SoftLink("/layers")


def kept_elsewhere(file: h5py.File) -> None:
    file.create_dataset("far", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("seen", layout)


def looped(file: h5py.File) -> None:
    file["layers/again"] = file["layers"]


def doubled(file: h5py.File) -> None:
    """Two names for each of 40 groups, one in another: Keras would follow 2 to the 40 ways."""
    group = file.create_group("a")
    for _ in range(40):
        inner = group.create_group("a")
        group["b"] = inner
        group = inner


def typed(file: h5py.File) -> None:
    file["type"] = np.dtype("f4")


def worded(file: h5py.File) -> None:
    file["words"] = ["long words"] * 3


def unfolding(file: h5py.File) -> None:
    file.create_dataset("vast", (1 << 40,), "f4", chunks=(1024,), compression="gzip")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (linked, "//stranger is a link"),
        (softly_linked, "//again is a link"),
        (kept_elsewhere, "//far keeps its numbers in another file"),
        (virtual, "//seen keeps its numbers in another file"),
        (looped, "/layers/again is there under another name too"),
        (doubled, "/[ab] is there under another name too"),
        (typed, "//type holds no numbers"),
        (worded, "//words holds no numbers"),
        (unfolding, "unfolds to 4,398,0.* bytes; expected at most"),
    ],
)
def test_weights_that_reach_outside_are_refused(
    copy: Path, damage: Callable[[h5py.File], None], message: str
) -> None:
    with h5py.File(copy / "model.weights.h5", "a") as file:
        damage(file)
    stamped(copy)
    with pytest.raises(UserError, match=message):
        from_preset(copy)


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    """Every score would be NaN, which is neither above nor below any threshold."""
    kernels = []

    def note(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset) and found.ndim == 4:
            kernels.append(name)

    with h5py.File(copy / "model.weights.h5", "a") as file:
        file.visititems(note)
        file[kernels[0]][0, 0, 0, 0] = np.nan
    stamped(copy)
    with pytest.raises(UserError, match=r"model\.weights\.h5 holds numbers that are not finite"):
        from_preset(copy)


def test_the_folder_that_one_is_in_is_refused(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be replaced, and whoever stands in it stand nowhere."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="received the one you are in; name another"):
        save_to_preset(model, ".")


def test_a_file_that_is_no_weights_is_refused(copy: Path) -> None:
    (copy / "model.weights.h5").write_bytes(b"\x80\x04." * 100)
    stamped(copy)
    with pytest.raises(UserError, match=r"is no whole file of weights: "):
        from_preset(copy)
