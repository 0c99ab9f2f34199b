"""Quality gate: a damaged, small, turned, dark or blurred face is UNCERTAIN, never REAL."""

from __future__ import annotations

import numpy as np

from keras_ddl.edge.clips import Clip
from keras_ddl.edge.faces import Track
from keras_ddl.edge.optional_import import need

REFERENCE = 64  # px; faces are compared for sharpness at this size, however large they were
# On real and on generated faces of 70 to 150 px: 0.53 to 0.76 as they are; 0.24 to 0.32 after a
# Gaussian blur of 2 % of the face's side, 0.12 to 0.18 after 4 %, which wipes out every fine trace.
MIN_SHARPNESS = 0.2
# Grey levels; faces in a dark hall that nobody could name have 5 to 11, usable ones 17 and more.
MIN_CONTRAST = 12.0

# From here on the nose lies beyond an eye. On real footage profiles and three-quarter views from
# behind have 1.0 to 2.4 and more, faces with both eyes in sight up to 0.5; nothing lay between.
MAX_TURN = 1.0

SMALL = "face smaller than {:.0f} px"
DARK = "face too dark or flat"
BLURRED = "face is blurred"
TURNED = "face is turned away"
DAMAGED = "picture damaged: data was lost since the last key frame"


def why_poor(clip: Clip, track: Track, min_face: float) -> str:
    """Say why a clip cannot be judged; empty when it can.

    Args:
        clip: The face crops.
        track: The face they are of; the clipper has graded its size.
        min_face: The size in pixels that it was graded by.
    """
    if clip.damaged:
        return DAMAGED
    if track.quality == "small":
        return SMALL.format(min_face)
    if track.turn is not None and track.turn >= MAX_TURN:
        return TURNED
    gray = grey_reference(clip.frames[len(clip.frames) // 2])
    if gray.std() < MIN_CONTRAST:
        return DARK
    return BLURRED if sharpness(gray) < MIN_SHARPNESS else ""


def grey_reference(crop: np.ndarray) -> np.ndarray:
    """Return a crop (S, S, 3) in grey at the reference size, float32 (64, 64)."""
    cv2 = need("cv2", "judging sharpness")
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small: np.ndarray = cv2.resize(gray, (REFERENCE, REFERENCE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def sharpness(gray: np.ndarray) -> float:
    """Return the spread of the Laplacian over the spread of brightness of a grey reference.

    A ratio of standard deviations, so that neither exposure nor contrast counts; 0 for a flat one.
    """
    cv2 = need("cv2", "judging sharpness")
    spread = float(gray.std())
    return float(cv2.Laplacian(gray, cv2.CV_32F).std()) / spread if spread > 0.0 else 0.0
