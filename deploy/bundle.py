"""Bundle reader: a model ready to run, once contract, metadata and graph are seen to agree."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from deploy.backends import Backend, open_backend
from keras_ddl.edge.bundle import METADATA_KEY, MODEL_FILE, SPEC_FILE, bundle_of, read_spec
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import CHECK_FAILED, UserError

ID_LENGTH = 12  # hex digits: 48 bits tell models apart and still fit on a picture

SYNTHETIC = "synthetic"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Bundle:
    """A model ready to run.

    Attributes:
        path: The folder.
        spec: The contract of the model: what a clip is, threshold, temperature, training.
        model_id: Short hash of the weights; every output line carries it.
        domain: What the model was trained on: "synthetic", a data set's name, or "unknown".
        has_map: Whether the graph also returns `inconsistency_map`.
    """

    path: Path
    spec: ClipSpec
    model_id: str
    domain: str
    has_map: bool


def open_bundle(
    path: Path | str, threads: int | None = None, device: str = "cpu"
) -> tuple[Bundle, Backend]:
    """Load a bundle and verify it; the caller closes the backend.

    Args:
        path: The folder, or an engine that `export/to_trt.py` built of it, which then runs in the
            place of `model.onnx`.
        threads: Compute threads of ONNX Runtime.
        device: Where ONNX Runtime computes: "cpu", "cuda" or "tensorrt"; an engine has its own.

    Raises:
        UserError: files missing (3), unreadable (2), or sidecar, metadata and graph disagree (4).
    """
    path, model = _folder_and_model(Path(path))
    spec = read_spec(path)
    backend = open_backend(model, threads, device)
    try:
        _verify(spec, backend, path)
    except UserError:
        backend.close()
        raise
    has_map = any(out.name == "inconsistency_map" for out in backend.outputs)
    return Bundle(path, spec, _model_id(spec, path), training_domain(spec), has_map), backend


def _folder_and_model(path: Path) -> tuple[Path, Path]:
    """The bundle, and the file to run: the bundle's own, or the engine that was named."""
    if path.suffix != ".engine":
        return path, path / MODEL_FILE
    return bundle_of(path) or path.parent, path


def training_domain(spec: ClipSpec) -> str:
    """Say what a model has seen: the data set named in its spec, "unknown" where none is."""
    name = str(spec.training.get("dataset") or "").strip().lower()
    return name or UNKNOWN


def _model_id(spec: ClipSpec, path: Path) -> str:
    digest = spec.weights_sha256
    if not digest:
        digest = hashlib.sha256((path / MODEL_FILE).read_bytes()).hexdigest()
    return digest[:ID_LENGTH]


def _verify(spec: ClipSpec, backend: Backend, path: Path) -> None:
    """Refuse a sidecar that is not the model's own, and a graph that is not the spec's."""
    again = f"export '{path}' again with `python export/to_onnx.py`"
    text = backend.metadata.get(METADATA_KEY)
    if text is None:
        message = f"expected a ClipSpec in the metadata of '{path / MODEL_FILE}', found none"
        raise UserError(f"{message}: {again}", CHECK_FAILED)
    try:
        own = ClipSpec.from_json(text)
    except ValueError as error:
        message = f"cannot read the ClipSpec in '{path / MODEL_FILE}': {error}"
        raise UserError(f"{message}: {again}", CHECK_FAILED) from error
    if own != spec:
        keys = ", ".join(_differences(own, spec))
        message = f"{SPEC_FILE} is not the spec of the model in '{path}', they differ in {keys}"
        raise UserError(f"{message}: {again}", CHECK_FAILED)
    _verify_graph(spec, backend, again)


def _verify_graph(spec: ClipSpec, backend: Backend, again: str) -> None:
    clip = (None, spec.frames, spec.size, spec.size, 3)
    inputs = [(tensor.name, tensor.shape) for tensor in backend.inputs]
    shape_fits = len(inputs) == 1 and len(inputs[0][1]) == len(clip)
    if shape_fits:
        pairs = zip(inputs[0][1][1:], clip[1:], strict=True)
        shape_fits = all(have in (None, want) for have, want in pairs)
    if not shape_fits or inputs[0][0] != "clip" or backend.inputs[0].dtype.name != "uint8":
        have_text = ", ".join(str(tensor) for tensor in backend.inputs)
        message = f"expected one input 'clip' uint8 {clip} as its spec says, the model has"
        raise UserError(f"{message} {have_text}: {again}", CHECK_FAILED)
    names = [tensor.name for tensor in backend.outputs]
    if "fake_probability" not in names:
        message = f"expected an output 'fake_probability', the model has {names}"
        raise UserError(f"{message}: {again}", CHECK_FAILED)


def _differences(own: ClipSpec, other: ClipSpec) -> list[str]:
    names = sorted(ClipSpec.__dataclass_fields__)
    return [name for name in names if getattr(own, name) != getattr(other, name)]
