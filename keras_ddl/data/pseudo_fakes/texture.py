"""Texture of pictures: resolution, smoothing, grain and coding, which cameras and generators leave.

A generated face has the resolution of its generator, skin without sensor noise and no trace of the
coding that the picture around it went through; shared by a whole picture they mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FINE, COARSE = 0.9, 0.25  # resolutions
# Ways to change the size, by OpenCV's names; reduced without an average, detail folds back.
REDUCED = {"area": "INTER_AREA", "linear": "INTER_LINEAR", "nearest": "INTER_NEAREST"}
ENLARGED = {"linear": "INTER_LINEAR", "cubic": "INTER_CUBIC", "lanczos": "INTER_LANCZOS4"}
WEAK, STRONG = 8.0, 45.0  # of smoothing, grey levels
QUALITIES = (30, 92)
QUIET, GRAINY = 0.7, 6.0  # grey levels


@dataclass(frozen=True)
class Texture:
    """How fine structure is changed, in this order.

    Args:
        smoothing: σ of a bilateral filter's grey levels, which spares edges; 0 = none.
        resolution: Side to which frames are reduced, and enlarged again; share of their own.
        down, up: How they are, names in `REDUCED` and `ENLARGED`.
        sharpening: What is added of the difference to a blur, afterwards; 0 = none.
        grain: σ of noise that every frame has anew, grey levels.
        quality: Of JPEG, 1 to 100; 0 = not coded.
        seed: Of the grain.
    """

    smoothing: float = 0.0
    resolution: float = 1.0
    down: str = "area"
    up: str = "cubic"
    sharpening: float = 0.0
    grain: float = 0.0
    quality: int = 0
    seed: int = 0

    def apply(self, frame: np.ndarray, number: int) -> np.ndarray:
        """Change one frame: (H, W, 3) float32, 0 to 255, RGB → the same, not clipped."""
        import cv2

        if self.smoothing:
            frame = cv2.bilateralFilter(frame, 5, self.smoothing, 2.0)
        frame = at_resolution(frame, self.resolution, self.down, self.up)
        if self.sharpening:
            frame = frame + self.sharpening * (frame - cv2.GaussianBlur(frame, (0, 0), 1.2))
        if self.grain:
            random = np.random.default_rng((self.seed, number))
            frame = frame + self.grain * random.standard_normal(frame.shape, np.float32)
        return as_jpeg(frame, self.quality) if self.quality else frame


def at_resolution(
    frame: np.ndarray, resolution: float, down: str = "area", up: str = "cubic"
) -> np.ndarray:
    """A frame as it looks after it was smaller once; `down` and `up` as for `Texture`."""
    import cv2

    if resolution >= 1:
        return frame
    size = (frame.shape[1], frame.shape[0])
    least = [max(8, round(side * resolution)) for side in size]
    small = cv2.resize(frame, least, interpolation=getattr(cv2, REDUCED[down]))
    large: np.ndarray = cv2.resize(small, size, interpolation=getattr(cv2, ENLARGED[up]))
    return large


def as_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """A frame (H, W, 3), RGB, after coding as JPEG; float32 stays float32."""
    import cv2

    levels = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    file = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    coded: np.ndarray = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1].astype(frame.dtype)
    return coded


def draw_texture(random: np.random.Generator) -> Texture:
    """Draw a texture: each change in a third of the draws, all of them independent."""
    chosen = random.random(4) < (0.3, 0.4, 0.3, 0.3)
    smoothing, grain = (
        float(np.exp(random.uniform(np.log(low), np.log(high))))
        for low, high in ((WEAK, STRONG), (QUIET, GRAINY))
    )
    return Texture(
        smoothing if chosen[0] else 0.0,
        float(random.uniform(COARSE, FINE)) if chosen[1] else 1.0,
        str(random.choice(list(REDUCED), p=(0.6, 0.3, 0.1))),
        str(random.choice(list(ENLARGED))),
        float(random.uniform(0.2, 1.2)) if random.random() < 0.2 else 0.0,
        grain if chosen[2] else 0.0,
        int(random.integers(*QUALITIES)) if chosen[3] else 0,
        int(random.integers(1 << 31)),
    )
