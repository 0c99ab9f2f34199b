"""Check of stored scores: the crops through a bundle again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deploy.backends import Backend
from deploy.bundle import Bundle
from deploy.evidence.manifest import Manifest, StoredClip
from deploy.evidence.pictures import clip_from_png
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256

TOLERANCE = 1e-3  # of a probability: between runtimes, and number formats of one model


def rescore(
    folder: Path, bundle: Bundle, backend: Backend, tolerance: float = TOLERANCE
) -> tuple[list[str], list[str]]:
    """Compute the scores of an event's crops again.

    Args:
        folder: The event's.
        bundle: The model that is said to have judged.
        backend: That model, ready to run.
        tolerance: How far a probability may lie from the stored one.

    Returns:
        Problems and notes, one line each. Files other than those that judged, of the same weights,
        are a problem of signed evidence and else a note: another number format has other files.
    """
    try:
        manifest = Manifest.read(folder)
        clips = manifest.clips()
    except ValueError as error:
        return [f"{folder.name}: its scores cannot be checked ({error})"], []
    wanted = manifest.weights_sha256
    weights = bundle.spec.weights_sha256 or file_sha256(bundle.path / MODEL_FILE)
    if weights != wanted:
        return [f"{folder.name}: was judged by the weights {wanted[:12]}, not {weights[:12]}"], []
    others = [f"{folder.name}: {line}" for line in _other_files(manifest, bundle)]
    problems, notes = (others, []) if manifest.public_key else ([], others)
    worst = 0.0
    for clip in clips:
        try:
            again, stored = _score(folder, clip, backend), clip.fake_probability
        except (OSError, ValueError, UserError) as error:
            problems.append(f"{folder.name}: {clip.file} cannot be judged again: {error}")
            continue
        distance = abs(again - stored)
        worst = max(worst, distance)
        if not distance <= tolerance or not math.isfinite(again):
            problems.append(
                f"{folder.name}: {clip.file} scores {again:.6f}, the manifest says {stored:.6f}"
            )
    if not problems:
        count = f"{len(clips)} clips" if len(clips) != 1 else "1 clip"
        notes = [*notes, f"{folder.name}: {count} judged again, scores hold within {worst:.1e}"]
    return problems, notes


def _other_files(manifest: Manifest, bundle: Bundle) -> Iterator[str]:
    """Files of the bundle that judged which lie in this one with another content."""
    for name, digest in sorted(manifest.bundle.items()):
        found = bundle.files.get(name)
        path = bundle.path / name
        if found is None and ".." not in path.parts and path.is_file():  # an engine, say
            found = file_sha256(path)
        if found is not None and found != digest:
            yield f"was judged with {name} {str(digest)[:12]}…, this bundle has {found[:12]}…"


def _score(folder: Path, clip: StoredClip, backend: Backend) -> float:
    if "/" in clip.file or "\\" in clip.file:
        raise ValueError("no plain file name")
    frames = clip_from_png((folder / clip.file).read_bytes(), clip.frames, clip.size)
    outputs = backend.infer({"clip": frames[None]})
    return float(np.asarray(outputs["fake_probability"]).reshape(-1)[0])
