"""Clips to compare answers on, and those of an `.npz` file; seeded noise where there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.backends.proof_clips import read_proof
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import USAGE, UserError

KEY, LABELS = "clips", "labels"
NOISE_CLIPS = 8
MOST = 128  # clips used, half of them to measure


@dataclass(frozen=True)
class ParityClips:
    """Clips to compare answers on.

    Attributes:
        clips: uint8 ``(N, T, S, S, 3)``, N at least 1.
        labels: ``(N,)``, 1 = fake; None where they are not known.
        origin: Where they come from, in words that follow their number.
    """

    clips: np.ndarray
    labels: np.ndarray | None
    origin: str


@dataclass(frozen=True)
class ClipSet:
    """Clips to prepare a graph with.

    Attributes:
        measured: To choose ranges from: uint8 ``(N, T, S, S, 3)``, N at least 1.
        compared: To compare answers on; others than those measured where there are two or more.
        calibrated: Whether int8 ranges may be chosen from them: not from noise, nor from the few
            proof clips.
    """

    measured: np.ndarray
    compared: ParityClips
    calibrated: bool

    @property
    def noise(self) -> bool:
        """Whether no face is among them."""
        return self.compared.labels is None and not self.calibrated


def clips_for(bundle: Path, spec: ClipSpec, path: Path | None) -> ClipSet:
    """Read clips of a spec's shape.

    Args:
        bundle: Its folder.
        spec: The bundle's contract.
        path: An `.npz` with an array ``clips`` and, perhaps, ``labels`` ``(N,)``; None: the
            bundle's proof clips, and noise of a fixed seed where it has none.

    Raises:
        UserError: no such file, not such a file, or clips of another shape (2).
    """
    shape = (spec.frames, spec.size, spec.size, 3)
    if path is None and (proof := read_proof(bundle, spec)) is not None:
        compared = ParityClips(proof.clips, proof.labels, "proof clips")
        return ClipSet(proof.clips, compared, False)
    if path is None:
        noise = np.random.default_rng(0).integers(0, 256, (NOISE_CLIPS, *shape), np.uint8)
        compared = ParityClips(noise, None, "clips of noise (--calibration has better)")
        return ClipSet(noise, compared, False)
    try:
        with np.load(path, allow_pickle=False) as file:
            clips = file[KEY]
            labels = file[LABELS] if LABELS in file else None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(
            f"expected an .npz file with an array '{KEY}', cannot read '{path}': {reason}", USAGE
        ) from error
    if clips.dtype != np.uint8 or clips.shape[1:] != shape or len(clips) == 0:
        wanted = ", ".join(map(str, shape))
        raise UserError(
            f"expected clips uint8 (N, {wanted}) as the bundle says, received {clips.dtype} "
            f"{clips.shape} in '{path}'",
            USAGE,
        )
    _check_labels(labels, len(clips), path)
    chosen = np.linspace(0, len(clips) - 1, min(MOST, len(clips))).astype(int)
    if labels is not None:  # every other one of each class
        chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    others = chosen[1::2] if len(chosen) > 1 else chosen
    known = None if labels is None else labels[others]
    compared = ParityClips(clips[others], known, f"clips of {path.name}")
    return ClipSet(clips[chosen[::2]], compared, True)


def _check_labels(labels: np.ndarray | None, clips: int, path: Path) -> None:
    if labels is None or (labels.shape == (clips,) and np.all((labels == 0) | (labels == 1))):
        return
    raise UserError(
        f"expected a label, 0 or 1, for each of {clips} clips, received {labels.dtype} "
        f"{labels.shape} in '{path}'",
        USAGE,
    )
