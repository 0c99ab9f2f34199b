"""Bundle reader: a model ready to run, once contract, metadata and graph are seen to agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.backends import Backend, open_backend
from deploy.backends.self_test import require_own_answers
from keras_ddl.edge import measured
from keras_ddl.edge.bundle import (
    METADATA_KEY,
    MODEL_FILE,
    PRETRAINED,
    SPEC_FILE,
    bundle_of,
    check_external,
    check_sums,
    read_spec,
)
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.faces.map_kind import MapKind, kind_among
from keras_ddl.edge.files import file_sha256

ID_LENGTH = 12  # hex digits: 48 bits tell models apart and still fit on a picture

SYNTHETIC = "synthetic"
UNKNOWN = "unknown"
PREVIEW = "no run of yours is here: the research preview judges (docs/real.md); "


@dataclass(frozen=True)
class Bundle:
    """A model ready to run.

    Attributes:
        path: The folder.
        spec: The contract of the model: what a clip is, threshold, temperature, training.
        model_id: Short hash of the weights; every output line carries it.
        domain: What the model was trained on: "synthetic", a data set's name, or "unknown".
        files: SHA-256 of its files by name, as they were when it was opened; an engine's too.
        map_kind: What its map shows, by the name of the graph's output; None where it has none.
    """

    path: Path
    spec: ClipSpec
    model_id: str
    domain: str
    files: Mapping[str, str] = field(default_factory=dict)
    map_kind: MapKind | None = None


def open_bundle(
    path: Path | str, threads: int | None = None, device: str = "cpu"
) -> tuple[Bundle, Backend]:
    """Load a bundle and verify it; the caller closes the backend.

    Args:
        path: The folder, or an engine that `export/to_trt.py` built of it, which then runs in the
            place of `model.onnx`.
        threads: Compute threads of ONNX Runtime.
        device: Where ONNX Runtime computes: "cpu", "cuda", "tensorrt", "rtx"; not an engine.

    Raises:
        UserError: files missing (3), unreadable (2), not those that were exported, sidecar,
            metadata and graph disagree, or the proof clips are answered otherwise (4).
    """
    path = model = Path(path)
    if path.suffix == ".engine":
        path = bundle_of(path) or path.parent
    else:
        model = path / MODEL_FILE
    spec = read_spec(path)
    sums = check_sums(path)
    if model.suffix == ".onnx":
        check_external(path, sums)
    elif model.is_file():
        sums[f"{model.parent.name}/{model.name}"] = file_sha256(model)
    backend = open_backend(model, threads, device)
    try:
        _verify(spec, backend, path)
        require_own_answers(backend, path, spec)
    except UserError:
        backend.close()
        raise
    weights = spec.weights_sha256 or file_sha256(path / MODEL_FILE)
    kind = kind_among(tensor.name for tensor in backend.outputs)
    return Bundle(path, spec, weights[:ID_LENGTH], training_domain(spec), sums, kind), backend


def known_errors(bundle: Bundle) -> str:
    """What is known of a model's errors, in one line, and whether it is but the one that ships."""
    preview = PREVIEW if bundle.path == PRETRAINED else ""
    return f"{preview}{measured.known_errors(bundle.spec)}"


def training_domain(spec: ClipSpec) -> str:
    """Say what a model has seen: the data set named in its spec, "unknown" where none is."""
    name = str(spec.training.get("dataset") or "").strip().lower()
    return name or UNKNOWN


def _verify(spec: ClipSpec, backend: Backend, path: Path) -> None:
    """Refuse a sidecar that is not the model's own, and a graph that is not the spec's."""
    if problem := _spec_problem(spec, backend, path) or _graph_problem(spec, backend):
        again = f"export '{path}' again with `{typed('to-onnx')}`"
        raise UserError(f"{problem}: {again}", CHECK_FAILED)


def _spec_problem(spec: ClipSpec, backend: Backend, path: Path) -> str:
    text = backend.metadata.get(METADATA_KEY)
    if text is None:
        return f"expected a ClipSpec in the metadata of '{path / MODEL_FILE}', found none"
    try:
        own = ClipSpec.from_json(text)
    except ValueError as error:
        return f"cannot read the ClipSpec in '{path / MODEL_FILE}': {error}"
    if own != spec:
        names = sorted(ClipSpec.__dataclass_fields__)
        keys = ", ".join(name for name in names if getattr(own, name) != getattr(spec, name))
        return f"{SPEC_FILE} is not the spec of the model in '{path}', they differ in {keys}"
    return ""


def _graph_problem(spec: ClipSpec, backend: Backend) -> str:
    clip = (None, spec.frames, spec.size, spec.size, 3)
    inputs = [(tensor.name, tensor.shape) for tensor in backend.inputs]
    shape_fits = len(inputs) == 1 and len(inputs[0][1]) == len(clip)
    if shape_fits:
        pairs = zip(inputs[0][1][1:], clip[1:], strict=True)
        shape_fits = all(have in (None, want) for have, want in pairs)
    if not shape_fits or inputs[0][0] != "clip" or backend.inputs[0].dtype.name != "uint8":
        have_text = ", ".join(str(tensor) for tensor in backend.inputs)
        expected = f"expected one input 'clip' uint8 {clip} as its spec says"
        return f"{expected}, the model has {have_text}"
    names = [tensor.name for tensor in backend.outputs]
    if "fake_probability" not in names:
        return f"expected an output 'fake_probability', the model has {names}"
    return ""
