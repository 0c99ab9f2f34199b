"""Probes: reals that something harmless happened to, and whether the network takes it for forgery.

A detector that learnt blur, flicker or compression in place of forgeries gives itself away here:
it tells the changed clips of a real from the untouched ones. Every AUC should be near one half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_ddl.data.augment import recompress
from keras_ddl.data.prepared import PreparedSplit
from keras_ddl.data.pseudo_fakes.appearance import draw_appearance
from keras_ddl.data.pseudo_fakes.fluctuation import fluctuation
from keras_ddl.data.pseudo_fakes.regions import camera, frontal_points, outline, soft_mask
from keras_ddl.edge.metrics import auc
from keras_ddl.evaluation.calibration import margins_from_logits

if TYPE_CHECKING:
    from keras_ddl.framework import keras

CLIPS = 64  # at most, evenly chosen
BATCH = 16
HARMLESS = 0.65
"""AUC from which a network is said to take the change for a forgery."""

Change = Callable[[np.ndarray, np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class ProbeResult:
    """Result of one probe.

    Args:
        name: What was done to the reals.
        clips: How many.
        auc: Of changed against untouched clips, by the score of fake.
        called: Share of the changed clips at or above the threshold; None in older results.
        called_before: Share of them untouched.
    """

    name: str
    clips: int
    auc: float
    called: float | None = None
    called_before: float | None = None

    def calls(self) -> str:
        """The two shares in words; "" where they are not known."""
        if self.called is None or self.called_before is None:
            return ""
        return f"{self.called:.0%}, untouched {self.called_before:.0%}"

    @property
    def fooled(self) -> bool:
        """Whether the network takes the change for a forgery."""
        return self.auc >= HARMLESS


def probe(
    model: keras.Model, data: PreparedSplit, margin: float, limit: float = 0.0, seed: int = 0
) -> tuple[ProbeResult, ...]:
    """Change real clips in every way and score them.

    Args:
        model: The network.
        data: A split; its reals are taken, evenly over it.
        margin: Side of the crops over the side of the face box.
        limit: Log-odds of fake, before any temperature, from which a clip is called fake.
        seed: Of the changes.

    Returns:
        A result per probe; none where the split has no reals.
    """
    reals = np.flatnonzero(data.labels == 0)
    if not len(reals):
        return ()
    chosen = reals[np.linspace(0, len(reals) - 1, min(CLIPS, len(reals))).round().astype(int)]
    clips = data.clips[chosen]
    rows = [data.rows[number] for number in chosen]
    times = [np.linspace(row["start_ms"], row["end_ms"], clips.shape[1]) for row in rows]
    before = _margins(model, clips)
    results = []
    for name, change in PROBES.items():
        random = np.random.default_rng(seed)
        changed = [change(c, t, margin, random) for c, t in zip(clips, times, strict=True)]
        after = _margins(model, _bytes(np.stack(changed)))
        labels = np.repeat([0, 1], len(clips))
        called, untouched = (float(np.mean(part >= limit)) for part in (after, before))
        found = auc(labels, np.r_[before, after])
        results.append(ProbeResult(name, len(clips), found, called, untouched))
    return tuple(results)


def _margins(model: keras.Model, clips: np.ndarray) -> np.ndarray:
    parts = [clips[start : start + BATCH] for start in range(0, len(clips), BATCH)]
    logits = np.concatenate([model.predict_on_batch(part) for part in parts])
    return np.asarray(margins_from_logits(logits))


def _bytes(values: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped


def _flickering(
    clip: np.ndarray, times: np.ndarray, margin: float, random: np.random.Generator
) -> np.ndarray:
    light = 1 + 0.04 * fluctuation(random, times, 0.0)
    colour = 1 + 0.02 * fluctuation(random, times, 0.0, 3)
    flickering: np.ndarray = clip * (light * colour)[:, None, None, :]
    return flickering


def _blurred(
    clip: np.ndarray, times: np.ndarray, margin: float, random: np.random.Generator
) -> np.ndarray:
    import cv2

    return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in clip])


def _noisy(
    clip: np.ndarray, times: np.ndarray, margin: float, random: np.random.Generator
) -> np.ndarray:
    return clip + random.normal(0, 5, clip.shape)


def _compressed(
    clip: np.ndarray, times: np.ndarray, margin: float, random: np.random.Generator
) -> np.ndarray:
    return recompress(clip, 34)


def _coarse(
    clip: np.ndarray, times: np.ndarray, margin: float, random: np.random.Generator
) -> np.ndarray:
    import cv2

    side = clip.shape[1]
    small = [cv2.resize(f, (side // 2, side // 2), interpolation=cv2.INTER_AREA) for f in clip]
    return np.stack([cv2.resize(f, (side, side), interpolation=cv2.INTER_CUBIC) for f in small])


def _outside(
    clip: np.ndarray, times: np.ndarray, margin: float, random: np.random.Generator
) -> np.ndarray:
    """Another light around the head, which no border of the face follows."""
    side = clip.shape[1]
    line = outline("head", random, 0.0)
    view = camera(frontal_points(side, margin))
    around = 1 - soft_mask(line, view, (side, side), 1.35, side / 12)[..., None]
    change = draw_appearance(random, times, 0.7, 0.0)
    frames = clip.astype(np.float32)
    changed = np.stack([change.apply(frame, number) for number, frame in enumerate(frames)])
    mixed: np.ndarray = around * changed + (1 - around) * frames
    return mixed


def _doubled(
    clip: np.ndarray, times: np.ndarray, margin: float, random: np.random.Generator
) -> np.ndarray:
    return clip[2 * (np.arange(len(clip)) // 2)]


PROBES: dict[str, Change] = {
    "whole frame flickers": _flickering,
    "whole frame blurred, σ 1": _blurred,
    "whole frame at half the resolution": _coarse,
    "noise, σ 5": _noisy,
    "H.264, rate factor 34": _compressed,
    "another light around the head": _outside,
    "every second frame doubled": _doubled,
}
