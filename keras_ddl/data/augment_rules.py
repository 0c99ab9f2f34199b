"""Strengths of augmentation and self-blending, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augment:
    """Strengths of augmentation; zero and False leave it alone.

    Args:
        flip: Mirror left and right, half of the time.
        brightness: Largest shift of brightness, share of the full range.
        contrast: Largest relative change of contrast, around the clip's mean.
        saturation: Largest relative change of saturation.
        shift: Largest shift of the crop in either direction, share of its side. Whole pixels, the
            border mirrored: no interpolation that would smooth traces away.
        zoom: Largest relative enlargement of the crop; interpolates.
        jpeg: Share of clips that are compressed as JPEG, quality drawn from 40 to 95.
        h264: Share of clips that are compressed as H.264, rate factor drawn from 18 to 38.
        blur: Share of clips that are blurred, σ drawn from 0.3 to 1.5 pixels.
        noise: Share of clips that get one pattern of noise in all frames, σ drawn up to 8 grey
            levels.
        cutout: Share of clips that lose a square of up to half a side to grey.
    """

    flip: bool = True
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.0
    shift: float = 0.03
    zoom: float = 0.0
    jpeg: float = 0.0
    h264: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0
