"""Inconsistency maps of a face crop, in colour over a picture."""

from __future__ import annotations

import numpy as np

from keras_ddl.edge.optional_import import need

STRENGTH = 0.75  # of the map's colour where it is 1


def heat_layer(values: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours of a map and how much they cover.

    Args:
        values: Map, (h, w) in [0, 1]; what is not finite counts as 0.
        width, height: Of the picture that it is laid over, in pixels.

    Returns:
        Colours, float32 (height, width, 3) RGB in [0, 255], and coverage, float32 (height, width);
        it is 0 where the map is 0.
    """
    cv2 = need("cv2", "drawing on pictures")
    known = np.clip(np.nan_to_num(values), 0.0, 1.0).astype(np.float32)
    smooth = cv2.resize(known, (width, height), interpolation=cv2.INTER_LINEAR)
    levels = np.round(smooth * 255.0).astype(np.uint8)
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
    return colors, STRENGTH * np.sqrt(smooth)


def face_part(values: np.ndarray, margin: float) -> np.ndarray:
    """Return the middle of a map (h, w) of the whole crop that covers the face box."""
    high, wide = values.shape
    top, left = round(high * (1 - 1 / margin) / 2), round(wide * (1 - 1 / margin) / 2)
    return values[top : max(high - top, top + 1), left : max(wide - left, left + 1)]
