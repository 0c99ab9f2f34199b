"""Pseudo-fakes: where they differ from the clip they are made of, and how over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from keras_ddl.data.augment_rules import SelfBlend
from keras_ddl.data.prepared import read_split
from keras_ddl.data.pseudo_fakes import METHOD, blend_with_itself, with_pseudo_fakes

SIZE = 64


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """Eight identical frames with smooth structure, uint8 (8, 64, 64, 3)."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    planes = [120 + 60 * np.sin(9 * x + k) * np.cos(7 * y) for k in range(3)]
    return np.broadcast_to(np.stack(planes, -1), (8, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_only_the_inner_face_changes(portrait: np.ndarray, seed: int, temporal: bool) -> None:
    fake = blend_with_itself(portrait, seed, SelfBlend(temporal=temporal))
    difference = np.abs(fake.astype(int) - portrait).max(axis=(0, 3))
    assert fake.dtype == np.uint8 and difference[24:40, 24:40].max() >= 1
    border = np.ones((SIZE, SIZE), bool)
    border[4:-4, 8:-8] = False
    assert difference[border].max() == 0


def test_steady_fakes_do_not_flicker_and_temporal_ones_do(portrait: np.ndarray) -> None:
    for seed in range(5):
        steady = blend_with_itself(portrait, seed, SelfBlend(temporal=False)).astype(int)
        moving = blend_with_itself(portrait, seed, SelfBlend(temporal=True)).astype(int)
        assert np.abs(np.diff(steady, axis=0)).max() == 0
        flicker = np.abs(np.diff(moving, axis=0)).mean(axis=(0, 3))
        assert flicker[24:40, 24:40].mean() > 0.3
        assert flicker[:4].max() == 0


def test_equal_seeds_make_equal_fakes(portrait: np.ndarray) -> None:
    first, again, other = (blend_with_itself(portrait, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_no_change_asked_gives_the_clip(portrait: np.ndarray) -> None:
    """With every range at zero only rounding is left: source and target are the same frame."""
    rules = SelfBlend(colour=0, gain=0, sharpness=0, move=0)
    fake = blend_with_itself(portrait, 3, rules)
    assert np.abs(fake.astype(int) - portrait).max() <= 1


def test_a_split_becomes_reals_and_their_fakes(flicker_set: Path) -> None:
    data = read_split(flicker_set, "train")
    both = with_pseudo_fakes(data)
    assert both.labels.tolist() == [0, 1] * 24 and len(both.clips) == 48
    for real, fake in zip(both.keys[::2], both.keys[1::2], strict=True):
        assert real[1] == "real" and fake == (real[0], METHOD, *real[2:])
    assert {tuple(video["key"]) for video in both.videos} == set(both.keys)


def test_the_pipeline_pairs_each_real_with_its_fake(flicker_set: Path) -> None:
    from keras_ddl.data.pipeline import TrainingClips, clip_dataset

    def whole(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
        batches = [(clips.numpy(), labels.numpy()) for clips, labels in dataset]
        return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])

    def judged(**how: int) -> tuple[np.ndarray, np.ndarray]:
        return whole(clip_dataset(flicker_set, "val", 4, pseudo=SelfBlend(), **how))

    def learnt(seed: int) -> np.ndarray:
        return whole(TrainingClips(flicker_set, seed, "val", pseudo=SelfBlend()).one_pass(4))[0]

    data = read_split(flicker_set, "val")
    reals = data.clips[np.flatnonzero(data.labels == 0)]
    clips, labels = judged()
    assert labels.tolist() == [0, 1] * 8
    np.testing.assert_array_equal(clips[::2], reals)
    for real, fake in zip(reals, clips[1::2], strict=True):
        assert (fake[:, :1] == real[:, :1]).all() and (fake != real).any()
    np.testing.assert_array_equal(clips, judged()[0])  # validation sees the same fakes each time
    np.testing.assert_array_equal(clips, judged(cache_bytes=0)[0])
    assert (np.sort(learnt(1).ravel()) != np.sort(learnt(2).ravel())).any()
