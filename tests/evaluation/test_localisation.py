"""Localisation: maps whose worth is known, held against the masks of pseudo-fakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("cv2")

from keras_ddl.data.prepared import read_split
from keras_ddl.edge.faces.map_kind import FORGERY, GRAD_CAM
from keras_ddl.evaluation import localisation as module
from keras_ddl.evaluation.localisation import Heat, View, localisation


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> list[module.Blend]:
    """Notes every twin that is made, in order."""
    made: list[module.Blend] = []
    draw = module.blended_crop

    def noted(*args: object) -> module.Blend:
        made.append(draw(*args))
        return made[-1]

    monkeypatch.setattr(module, "blended_crop", noted)
    return made


def test_a_map_that_knows_points_right(wide_set: Path, twins: list[module.Blend]) -> None:
    def told(clip: np.ndarray) -> np.ndarray:
        one = next(t for t in reversed(twins) if t.frames is clip)
        return np.stack([mask[::4, ::4] for mask in one.masks])

    data = read_split(wide_set, "train")
    found = localisation(View(FORGERY, told), data, wide_set)
    assert found is not None and found.pointing > 0.9 and found.pixel_auc > 0.95
    assert found.contrast > 0.9 and 0.005 < found.chance < 0.6


def test_a_map_that_does_not_know_points_by_chance(wide_set: Path) -> None:
    data, random = read_split(wide_set, "train"), np.random.default_rng(0)
    view = View(GRAD_CAM, lambda clip: random.random((len(clip), 8, 8)), "last")
    found = localisation(view, data, wide_set)
    assert found is not None
    assert found.layer == "last"
    assert abs(found.pointing - found.chance) < 0.25 and 0.35 < found.pixel_auc < 0.65


def test_pointing_at_the_usual_place_is_no_knowledge(
    wide_set: Path, twins: list[module.Blend]
) -> None:
    data = read_split(wide_set, "train")
    view = View(FORGERY, lambda clip: np.ones((len(clip), 8, 8), np.float32))
    found = localisation(view, data, wide_set)
    assert found is not None and found.usual is not None and found.usual_auc is not None
    masks = [module._forged(twin, 8).mean(0) for twin in twins[1::2]]
    hits = []
    for number, mask in enumerate(masks):  # as if each fake were judged by the others' masks
        others = np.mean([m for k, m in enumerate(masks) if k != number], axis=0)
        hits.append(mask[others == others.max()].mean())
    assert found.usual == pytest.approx(np.mean(hits), abs=1e-9)
    assert found.chance < found.usual < 1 and found.usual_auc > 0.6
    assert found.informed is False and "no better than without a look" in found.compared()
    knowing = module.LocalisationResult(64, 0.99, 0.95, 1.0, 0.2, 0.9, 0.9, "", 0.8, 0.9)
    assert knowing.informed and knowing.compared() == "the usual place 0.80, a random one 0.20"
    old = module.LocalisationResult(64, 0.99, 0.95, 1.0, 0.2, 0.9, 0.9)
    assert old.informed is None and old.compared() == "a random one 0.20"


def test_a_coarse_map_is_held_against_the_masks_of_a_finer_one(
    wide_set: Path, twins: list[module.Blend]
) -> None:
    """So that the same fakes count, and what a random point would reach is the same."""

    def at(cells: int) -> Heat:
        def middle(clip: np.ndarray) -> np.ndarray:
            heat = np.zeros((len(clip), cells, cells), np.float32)
            heat[:, cells // 2, cells // 2] = 1
            return heat

        return middle

    data = read_split(wide_set, "train")
    fine = localisation(View(FORGERY, at(8)), data, wide_set)
    coarse = localisation(View(GRAD_CAM, at(2), "last", grid=8), data, wide_set)
    assert fine is not None and coarse is not None
    assert (coarse.clips, coarse.chance) == (fine.clips, fine.chance)
    flat = localisation(View(GRAD_CAM, lambda clip: 0 * at(2)(clip), "last", 8), data, wide_set)
    assert flat is not None and flat.pixel_auc == 0.5
    assert flat.pointing == pytest.approx(flat.chance), "of cells alike any may be the brightest"
    assert module.enlarged(np.eye(2, dtype=np.float32)[None], 8).shape == (1, 8, 8)
    assert module.enlarged(np.eye(9, dtype=np.float32)[None], 8).shape == (1, 9, 9)


def test_without_surroundings_nothing_is_said(flicker_set: Path) -> None:
    data = read_split(flicker_set, "val")
    view = View(GRAD_CAM, lambda clip: np.ones((len(clip), 4, 4)))
    assert localisation(view, data, flicker_set) is None
