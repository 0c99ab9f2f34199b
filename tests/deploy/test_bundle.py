"""Bundles: what is loaded, and every way in which one is refused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deploy.backends import Backend, open_backend
from deploy.bundle import PREVIEW, known_errors, open_bundle, training_domain
from keras_ddl.edge import bundle as bundles
from keras_ddl.edge.bundle import write_sums
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces.map_kind import INCONSISTENCY

Maker = Callable[..., Path]


@pytest.fixture
def backend(synthetic_bundle: Path) -> Backend:
    with open_backend(synthetic_bundle / "model.onnx", threads=1) as opened:
        yield opened


def clips(batch: int = 2, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (batch, 8, 64, 64, 3)).astype(dtype)


def refusal(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        open_bundle(path)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_bundle_opens_with_its_spec_and_identity(synthetic_bundle: Path) -> None:
    bundle, backend = open_bundle(synthetic_bundle, threads=1)
    with backend:
        assert bundle.spec.size == 64
        assert bundle.model_id == hashlib.sha256(b"brightness").hexdigest()[:12]
        assert bundle.domain == "synthetic"
        assert [tensor.name for tensor in backend.outputs][1:] == ["inconsistency_map"]
        assert bundle.map_kind is INCONSISTENCY
        assert backend.name.startswith("onnxruntime ")


def test_without_a_weights_hash_the_model_file_names_itself(
    tmp_path: Path, make_bundle: Maker
) -> None:
    folder = make_bundle(tmp_path / "b", weights_sha256="")
    bundle, backend = open_bundle(folder)
    backend.close()
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert bundle.model_id == digest[:12]


def test_what_ships_judges_only_where_there_is_no_run(
    tmp_path: Path, make_bundle: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundles, "PRETRAINED", tmp_path / "shipped")
    assert (
        bundles.default_bundle() == bundles.DEFAULT_BUNDLE
    )  # nothing ships: the remedy names a run
    shipped = make_bundle(tmp_path / "shipped")
    assert bundles.default_bundle() == shipped
    make_bundle(tmp_path / bundles.DEFAULT_BUNDLE)
    assert bundles.default_bundle() == bundles.DEFAULT_BUNDLE


def test_who_judges_with_what_ships_is_told_so(
    tmp_path: Path, make_bundle: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    for folder in (make_bundle(tmp_path / "shipped"), make_bundle(tmp_path / "own")):
        monkeypatch.setattr("deploy.bundle.PRETRAINED", tmp_path / "shipped")
        bundle, backend = open_bundle(folder)
        backend.close()
        said.append(known_errors(bundle))
    assert said == [f"{PREVIEW}{said[1]}", said[1]]


@pytest.mark.parametrize(
    ("training", "domain"),
    [
        ({"dataset": "synthetic"}, "synthetic"),
        ({"dataset": " Synthetic "}, "synthetic"),
        ({"dataset": "faceset"}, "faceset"),
        ({"preset": "paper"}, "unknown"),
        ({"dataset": None}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_training_domain(training: dict[str, object], domain: str) -> None:
    assert training_domain(ClipSpec(training=training)) == domain


@pytest.mark.parametrize("name", ["model.onnx", "clipspec.json"])
def test_an_incomplete_bundle_names_file_and_remedy(
    tmp_path: Path, synthetic_bundle: Path, name: str
) -> None:
    shutil.copytree(synthetic_bundle, tmp_path / "b")
    (tmp_path / "b" / name).unlink()
    error = refusal(tmp_path / "b")
    assert error.exit_code == 3
    assert name in str(error)
    assert "make demo" in str(error)


def test_a_sidecar_of_another_model_is_refused(tmp_path: Path, synthetic_bundle: Path) -> None:
    shutil.copytree(synthetic_bundle, tmp_path / "b")
    spec = ClipSpec.read(tmp_path / "b" / "clipspec.json")
    spec.replace(threshold=0.25, margin=1.5).write(tmp_path / "b" / "clipspec.json")
    write_sums(tmp_path / "b")
    error = refusal(tmp_path / "b")
    assert error.exit_code == 4
    assert "margin, threshold" in str(error)


@pytest.mark.parametrize(("metadata", "words"), [(None, "found none"), ("{}", "version")])
def test_a_model_without_a_usable_spec_is_refused(
    tmp_path: Path, make_model: Callable[..., None], metadata: str | None, words: str
) -> None:
    spec = ClipSpec(size=64)
    spec.write(tmp_path / "clipspec.json")
    make_model(tmp_path / "model.onnx", spec, metadata=metadata)
    write_sums(tmp_path)
    error = refusal(tmp_path)
    assert error.exit_code == 4
    assert words in str(error)


def test_a_graph_of_another_size_than_its_spec_is_refused(
    tmp_path: Path, make_model: Callable[..., None]
) -> None:
    spec = ClipSpec(size=64)
    spec.write(tmp_path / "clipspec.json")
    make_model(tmp_path / "model.onnx", spec.replace(size=96), metadata=spec.to_json())
    write_sums(tmp_path)
    error = refusal(tmp_path)
    assert error.exit_code == 4
    assert "(None, 8, 64, 64, 3)" in str(error)
    assert "(?, 8, 96, 96, 3)" in str(error)


def test_a_damaged_model_or_sidecar_is_one_line(tmp_path: Path, synthetic_bundle: Path) -> None:
    shutil.copytree(synthetic_bundle, tmp_path / "b")
    (tmp_path / "b" / "model.onnx").write_bytes(b"not a model")
    write_sums(tmp_path / "b")
    assert refusal(tmp_path / "b").exit_code == 2
    for damaged in ("{", "[" * 100_000):
        (tmp_path / "b" / "clipspec.json").write_text(damaged)
        error = refusal(tmp_path / "b")
        assert error.exit_code == 2 and "\n" not in str(error)


def test_a_model_that_is_not_what_was_exported_is_refused(
    tmp_path: Path, synthetic_bundle: Path
) -> None:
    """One bit of the last weight: the graph loads, and its contract still names the old model."""
    shutil.copytree(synthetic_bundle, tmp_path / "b")
    model = tmp_path / "b" / "model.onnx"
    whole = model.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    model.write_bytes(changed)
    error = refusal(tmp_path / "b")
    assert error.exit_code == 4
    assert hashlib.sha256(whole).hexdigest() in str(error)
    assert hashlib.sha256(bytes(changed)).hexdigest() in str(error)
    model.write_bytes(whole)
    (tmp_path / "b" / "SHA256SUMS").unlink()
    assert refusal(tmp_path / "b").exit_code == 4
    write_sums(tmp_path / "b")
    _, backend = open_bundle(tmp_path / "b")
    backend.close()


def with_outside_weights(folder: Path) -> Path:
    """Have a bundle's graph keep a constant in a file of its own; returns that file."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(folder / "model.onnx")
    (slope,) = [each for each in model.graph.initializer if each.name == "slope"]
    (folder / "weights.bin").write_bytes(slope.raw_data)
    slope.ClearField("raw_data")
    slope.data_location = onnx.TensorProto.EXTERNAL
    slope.external_data.add(key="location", value="weights.bin")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "weights.bin"


def test_weights_in_a_file_of_their_own_are_hashed_too(
    tmp_path: Path, synthetic_bundle: Path
) -> None:
    shutil.copytree(synthetic_bundle, tmp_path / "b")
    weights = with_outside_weights(tmp_path / "b")
    (tmp_path / "b" / "SHA256SUMS").write_text(
        "".join(
            f"{hashlib.sha256((tmp_path / 'b' / name).read_bytes()).hexdigest()}  {name}\n"
            for name in ("model.onnx", "clipspec.json")
        )
    )
    error = refusal(tmp_path / "b")  # digests of the graph and nothing else
    assert error.exit_code == 4 and "['weights.bin']" in str(error)
    write_sums(tmp_path / "b")
    bundle, backend = open_bundle(tmp_path / "b")
    backend.close()
    assert bundle.files["weights.bin"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    data = bytearray(weights.read_bytes())
    data[0] ^= 1
    weights.write_bytes(data)
    error = refusal(tmp_path / "b")
    assert error.exit_code == 4 and "weights.bin' is not the file that was exported" in str(error)
    weights.unlink()
    assert "found no such file" in str(refusal(tmp_path / "b"))


def test_a_bundle_tells_what_its_files_were_when_it_was_opened(synthetic_bundle: Path) -> None:
    bundle, backend = open_bundle(synthetic_bundle)
    backend.close()
    assert bundle.files == {
        name: hashlib.sha256((synthetic_bundle / name).read_bytes()).hexdigest()
        for name in ("model.onnx", "clipspec.json")
    }


@pytest.mark.parametrize("name", ["model.pt", "absent.onnx"])
def test_open_backend_refuses_other_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected a model file"):
        open_backend(tmp_path / name)


def test_infer_computes_the_models_formula(
    backend: Backend, brightness: Callable[[np.ndarray], np.ndarray]
) -> None:
    feed = clips(3)
    outputs = backend.infer({"clip": feed})
    assert outputs["fake_probability"].shape == (3,)
    np.testing.assert_allclose(outputs["fake_probability"], brightness(feed), atol=1e-5)
    heat = feed.mean(axis=-1) / 255.0
    np.testing.assert_allclose(outputs["inconsistency_map"], heat, atol=1e-5)


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        ({}, r"expected inputs \['clip'\], received \[\]"),
        ({"clips": clips()}, r"received \['clips'\]"),
        ({"clip": clips(), "extra": clips()}, r"received \['clip', 'extra'\]"),
        ({"clip": clips(dtype=np.float32)}, r"uint8 \(\?, 8, 64, 64, 3\), received float32"),
        ({"clip": clips()[:, :4]}, r"received uint8 \(2, 4, 64, 64, 3\)"),
        ({"clip": clips()[0]}, r"received uint8 \(8, 64, 64, 3\)"),
        ({"clip": clips()[:0]}, r"received uint8 \(0, 8, 64, 64, 3\)"),  # nothing to do is a bug
        ({"clip": clips().tolist()}, "received list"),
    ],
)
def test_infer_refuses_what_the_model_does_not_take(
    backend: Backend, feed: dict[str, np.ndarray], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        backend.infer(feed)


def test_one_by_one_convolutions_take_few_channels_at_a_time(backend: Backend) -> None:
    options = backend._session.get_session_options()  # type: ignore[attr-defined]
    key = "mlas.nchwc_pointwise_conv_max_input_channel_batch"
    assert options.get_session_config_entry(key) == "32"


def test_a_cpu_is_given_small_batches(synthetic_bundle: Path) -> None:
    """More gain nothing there and cost memory: docs/speed.md."""
    with open_backend(synthetic_bundle / "model.onnx") as backend:
        assert (backend.usual_batch, backend.largest_batch) == (2, None)


def test_a_closed_backend_says_so(synthetic_bundle: Path) -> None:
    with open_backend(synthetic_bundle / "model.onnx") as backend:
        pass
    backend.close()
    with pytest.raises(ValueError, match="closed"):
        backend.infer({"clip": clips()})


def test_an_accelerator_that_is_not_there_is_named(synthetic_bundle: Path) -> None:
    with pytest.raises(UserError, match=r"CUDAExecutionProvider, received .*CPU") as caught:
        open_backend(synthetic_bundle / "model.onnx", device="cuda")
    assert caught.value.exit_code == 3
    with pytest.raises(ValueError, match="expected a device of"):
        open_backend(synthetic_bundle / "model.onnx", device="tpu")
