"""Bundle writer: a candidate beside its final place, judged, and only then put there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_ddl.edge.bundle import METADATA_KEY, MODEL_FILE, SPEC_FILE
from keras_ddl.edge.clipspec import ClipSpec

if TYPE_CHECKING:
    import onnx


def write_bundle(
    folder: Path, proto: onnx.ModelProto, spec: ClipSpec, gate: Callable[[Path], object]
) -> Path:
    """Write a bundle beside its final place, let `gate` judge it, and only then put it there.

    Args:
        folder: The bundle's final folder; an earlier bundle in it is replaced.
        proto: The graph; the spec is added to its metadata.
        spec: The clip contract.
        gate: Called with the candidate folder; raises to refuse it.

    Returns:
        `folder`.

    Raises:
        Whatever `gate` raises; the earlier bundle is then untouched and the candidate removed.
    """
    import onnx

    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {METADATA_KEY: spec.to_json()})
    candidate = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(candidate, ignore_errors=True)
    candidate.mkdir(parents=True)
    try:
        (candidate / MODEL_FILE).write_bytes(proto.SerializeToString(deterministic=True))
        spec.write(candidate / SPEC_FILE)
        gate(candidate)
    except BaseException:
        shutil.rmtree(candidate, ignore_errors=True)
        raise
    _swap(candidate, folder)
    return folder


def _swap(candidate: Path, folder: Path) -> None:
    earlier = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(earlier)
    candidate.rename(folder)
    shutil.rmtree(earlier, ignore_errors=True)
