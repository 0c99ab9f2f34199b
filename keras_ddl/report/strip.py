"""`strip`: the frames of a clip, or the frames under a map, as PNG pictures."""

from __future__ import annotations

import base64

import numpy as np

from keras_ddl.edge.faces.heat_map import heat_layer

SIDE = 96
FRAMES = 8


def strip(clip: np.ndarray, heat: np.ndarray | None = None) -> list[str]:
    """Return one picture per frame as a `data:` address.

    Args:
        clip: uint8 (T, S, S, 3), RGB; of more than eight frames, eight evenly spread are shown.
        heat: A map, float (T, h, w) in [0, 1], in colour over the frames in grey; None shows the
            frames as they are.

    Returns:
        PNGs of 96 px.
    """
    import cv2

    pictures = []
    for tile in tiles(clip, heat):
        tile = tile[-SIDE:]
        written, encoded = cv2.imencode(".png", cv2.cvtColor(tile, cv2.COLOR_RGB2BGR))
        if not written:
            raise ValueError(f"OpenCV could not encode a picture of shape {tile.shape}")
        pictures.append(
            "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
        )
    return pictures


def tiles(clip: np.ndarray, heat: np.ndarray | None) -> list[np.ndarray]:
    """Return frames, with a map above themselves under it, uint8 (96 or 192, 96, 3), RGB."""
    import cv2

    chosen = np.unique(np.linspace(0, len(clip) - 1, FRAMES).round().astype(int))
    found = []
    for number in chosen:
        tile = cv2.resize(clip[number], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        found.append(tile if heat is None else np.vstack([tile, _overlaid(tile, heat[number])]))
    return found


def _overlaid(tile: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The tile in grey, with the map in colour over it."""
    import cv2

    colours, weight = heat_layer(heat.astype(np.float32), SIDE, SIDE)
    grey = cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY)[..., None] * np.ones(3)
    cover = weight[..., None]
    return np.asarray((grey * (1 - cover) + colours * cover).round(), np.uint8)
