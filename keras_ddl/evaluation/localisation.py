"""Localisation: whether a map points at the forged pixels, on fakes whose mask is known.

Those are pseudo-fakes made of a split's reals, so that the clips must have been prepared with the
surroundings of the faces. Most of them cover the middle of the face, so that pointing there without
a look at the picture hits most: a map says something if it does better than that, and is brighter
on fakes than on their real twins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.data.prepared import SPEC, PreparedSplit
from keras_ddl.data.pseudo_fakes.blend import Blend, blended_crop
from keras_ddl.data.pseudo_fakes.donor import Donors
from keras_ddl.data.pseudo_fakes.wide import WideClips
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces.map_kind import MapKind
from keras_ddl.edge.metrics import auc, wilson

CLIPS = 64  # at most, evenly chosen
FORGED = 0.5
"""Share of a cell's largest possible blend from which it counts as forged."""

Heat = Callable[[np.ndarray], np.ndarray]
"""From a clip, uint8 (T, S, S, 3), to its map, float (T, h, w) in [0, 1]."""


@dataclass(frozen=True)
class View:
    """One kind of map of one network.

    Args:
        kind: What it shows.
        heat: Computes it.
        layer: Of whose features a Grad-CAM is; "" otherwise.
        grid: Cells along a side at which it is held against masks, for which its own are divided;
            0 is its own.
    """

    kind: MapKind
    heat: Heat
    layer: str = ""
    grid: int = 0

    @property
    def caption(self) -> str:
        """The line for beside a picture."""
        return (
            f"{self.kind.caption} (features of {self.layer})" if self.layer else self.kind.caption
        )


@dataclass(frozen=True)
class LocalisationResult:
    """How well a map points at forgeries.

    Args:
        clips: How many pseudo-fakes.
        pointing: Share of the frames whose brightest cell is forged (the pointing game); where
            several are equally bright, the share of them that is.
        low, high: Wilson's 95 % interval of it, counting clips, not frames.
        chance: Share of all cells that is forged: what a random point would reach.
        pixel_auc: Mean over the clips of the AUC of forged against other cells.
        contrast: Chance that a fake's map is brighter, on average, than its real twin's.
        layer: Of whose features a Grad-CAM is; "" of a map of the network's own.
        usual: `pointing` of a map that is brightest where most of the other fakes are forged,
            whatever it sees; None of results that were written without.
        usual_auc: `pixel_auc` of the share of the other fakes that is forged there; likewise.
    """

    clips: int
    pointing: float
    low: float
    high: float
    chance: float
    pixel_auc: float
    contrast: float
    layer: str = ""
    usual: float | None = None
    usual_auc: float | None = None

    @property
    def informed(self) -> bool | None:
        """Whether it points better than the usual place does, beyond chance; None: not known."""
        return None if self.usual is None else self.low > self.usual

    def compared(self) -> str:
        """What `pointing` is to be held against, in words."""
        random = f"a random one {self.chance:.2f}"
        if self.usual is None:
            return random
        told = f"the usual place {self.usual:.2f}, {random}"
        return told if self.informed else f"{told}: no better than without a look"


def localisation(
    view: View, data: PreparedSplit, prepared: Path, seed: int = 0
) -> LocalisationResult | None:
    """Hold a map against the masks of pseudo-fakes, the same ones for every kind of map.

    Args:
        view: The map.
        data: A split of prepared clips; its reals are taken, evenly over it.
        prepared: Their folder.
        seed: Of the fakes.

    Returns:
        The result; None where the split has no reals or no surroundings.
    """
    reals = np.flatnonzero(data.labels == 0)
    spec = ClipSpec.read(prepared / SPEC)
    wide = WideClips(data.clips, spec)
    if not len(reals) or not wide.stored(int(reals[0])):
        return None
    donors = Donors(wide, data)
    hits, places, aucs, brighter = [], [], [], []
    for number in reals[np.linspace(0, len(reals) - 1, min(CLIPS, len(reals))).round().astype(int)]:
        clip, at = wide[int(number)], (seed, int(number))
        donor = donors.draw(int(number), at)
        real, fake = (blended_crop(clip, at, made, spec.size, donor) for made in (False, True))
        found, plain = (enlarged(view.heat(one.frames), view.grid) for one in (fake, real))
        forged = _forged(fake, found.shape[1])
        brighter.append(np.sign(found.mean() - plain.mean()) / 2 + 0.5)
        shown = forged.any((1, 2))
        if not shown.any():
            continue
        peaks = found == found.max((1, 2), keepdims=True)
        inside = (forged & peaks).sum((1, 2)) / peaks.sum((1, 2))  # of equals any may be it
        hits.append(inside[shown].mean())
        places.append(forged[shown].mean(0))
        if not forged[shown].all():
            aucs.append(auc(forged[shown].ravel().astype(int), found[shown].ravel()))
    if not aucs:
        return None
    low, high = wilson(float(np.sum(hits)), len(hits))
    pointing, chance, cells, contrast = map(_mean, (hits, places, aucs, brighter))
    return LocalisationResult(
        len(hits), pointing, low, high, chance, cells, contrast, view.layer, *_usual(places)
    )


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean(values))


def _usual(places: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """`usual` and `usual_auc`, of the shares of each fake's frames in which a cell is forged."""
    if len(places) < 2:
        return None, None
    total = np.sum(places, axis=0)
    hits, aucs = [], []
    for place in places:
        others = total - place
        peaks = others == others.max()
        hits.append(place[peaks].mean())
        forged = (place > 0.5).ravel()
        if 0 < forged.sum() < forged.size:
            aucs.append(auc(forged.astype(int), others.ravel()))
    return _mean(hits), _mean(aucs) if aucs else None


def enlarged(heat: np.ndarray, grid: int) -> np.ndarray:
    """A map (T, h, w) with its cells divided into so many along a side, unless it has more."""
    import cv2

    if grid <= max(heat.shape[1:]):
        return heat
    divided = [cv2.resize(h, (grid, grid), interpolation=cv2.INTER_NEAREST) for h in heat]
    return np.stack(divided)


def _forged(fake: Blend, grid: int) -> np.ndarray:
    """Which cells are forged, bool (T, grid, grid)."""
    import cv2

    cells = [cv2.resize(m, (grid, grid), interpolation=cv2.INTER_AREA) for m in fake.masks]
    most = max(float(fake.masks.max()), 1e-6)
    forged: np.ndarray = np.stack(cells) >= FORGED * most
    return forged
