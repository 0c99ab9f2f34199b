"""Proof clips: some validation clips in a bundle, with the answers that are right for them.

BUNDLE/proof.npz holds clips of both classes, compressed without loss, their labels, and what Keras
and ONNX Runtime answered when the bundle was exported. With them any runtime on any device shows
that it is the model that was measured. They are faces: `export/to_onnx.py --no-proof` leaves them
out.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.edge.bundle import PROOF_FILE
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.files import atomic_write
from keras_ddl.edge.optional_import import need

MOST = 32  # clips
MOST_BYTES = 1 << 28  # of the file, and of what it unfolds to
_ARRAYS = ("png", "ends", "labels", "keras", "onnx")


@dataclass(frozen=True)
class ProofClips:
    """Clips and the fake probabilities that are right for them.

    Attributes:
        clips: uint8 ``(N, T, S, S, 3)``, RGB.
        labels: ``(N,)``, 1 = fake.
        keras: ``(N,)`` in [0, 1], of the network that was trained.
        onnx: Likewise, of the bundle's graph in ONNX Runtime.
    """

    clips: np.ndarray
    labels: np.ndarray
    keras: np.ndarray
    onnx: np.ndarray

    def some(self, numbers: np.ndarray) -> ProofClips:
        """Those of certain numbers."""
        parts = (self.clips, self.labels, self.keras, self.onnx)
        return ProofClips(*(part[numbers] for part in parts))

    def surest(self) -> np.ndarray:
        """Numbers of the clips with the lowest and the highest answer."""
        return np.array([self.onnx.argmin(), self.onnx.argmax()])


def write_proof(bundle: Path, proof: ProofClips) -> int:
    """Write the clips of a bundle, whole or not at all; return the file's bytes."""
    cv2 = need("cv2", "writing proof clips")
    frames = proof.clips.shape[3]
    files = [
        cv2.imencode(".png", clip.reshape(-1, frames, 3)[..., ::-1])[1].ravel()
        for clip in proof.clips
    ]
    with atomic_write(bundle / PROOF_FILE) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            png=np.concatenate(files),
            ends=np.cumsum([len(one) for one in files]),
            labels=proof.labels.astype(np.uint8),
            keras=proof.keras.astype(np.float64),
            onnx=proof.onnx.astype(np.float64),
        )
    return (bundle / PROOF_FILE).stat().st_size


def read_proof(bundle: Path, spec: ClipSpec) -> ProofClips | None:
    """Read the clips of a bundle; None where it has none.

    Args:
        bundle: Its folder.
        spec: Its contract, which says what a clip is.

    Raises:
        UserError: the file is not one that `write_proof` wrote for this contract (4).
    """
    path = bundle / PROOF_FILE
    if not path.exists():
        return None
    try:
        return _decoded(_arrays(path), spec)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"expected the proof clips of this bundle in '{path}', cannot read them ({reason}): "
            f"export '{bundle}' again with `{typed('to-onnx')}`",
            CHECK_FAILED,
        ) from error


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in _ARRAYS}


def _decoded(arrays: dict[str, np.ndarray], spec: ClipSpec) -> ProofClips:
    cv2: Any = need("cv2", "reading proof clips")
    ends, count = arrays["ends"].astype(int), len(arrays["labels"])
    if not 0 < count <= MOST or any(arrays[n].shape != (count,) for n in ("ends", "keras", "onnx")):
        raise ValueError("arrays that do not fit together")
    shape = (spec.frames, spec.size, spec.size, 3)
    clips = []
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        image = cv2.imdecode(arrays["png"][first:last], cv2.IMREAD_COLOR)
        if image is None or image.shape != (shape[0] * shape[1], shape[2], 3):
            raise ValueError("clips of another shape")
        clips.append(image[..., ::-1].reshape(shape))
    labels = arrays["labels"].astype(np.int64)
    return ProofClips(np.stack(clips), labels, arrays["keras"], arrays["onnx"])
