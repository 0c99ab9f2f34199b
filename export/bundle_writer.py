"""Bundle writer: a candidate beside its final place, judged, and only then put there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keras_ddl.edge.bundle import METADATA_KEY, MODEL_FILE, SPEC_FILE, write_sums
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
        gate: Called with the candidate folder; raises to refuse it, or adds to it.

    Returns:
        `folder`.

    Raises:
        Whatever `gate` raises; the earlier bundle is then untouched and the candidate removed.
    """
    import onnx

    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {METADATA_KEY: spec.to_json()})
    with part_folder(folder) as candidate:
        (candidate / MODEL_FILE).write_bytes(proto.SerializeToString(deterministic=True))
        spec.write(candidate / SPEC_FILE)
        gate(candidate)
        write_sums(candidate)
        _swap(candidate, folder)
    return folder


@contextmanager
def part_folder(final: Path) -> Iterator[Path]:
    """An empty hidden folder beside the place of what is made in it; removed at the end."""
    path = final.with_name(f".{final.name}.{os.getpid()}.part")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _swap(candidate: Path, folder: Path) -> None:
    earlier = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(earlier)
    candidate.rename(folder)
    shutil.rmtree(earlier, ignore_errors=True)
