"""Splits with pseudo-fakes: which rows there are, and what the pipeline reads for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("tensorflow")

from keras_ddl.data.pipeline import TrainingClips, clip_dataset
from keras_ddl.data.prepared import read_split
from keras_ddl.data.pseudo_fakes.__main__ import main
from keras_ddl.data.pseudo_fakes.rows import METHOD, judging_mode, with_pseudo_fakes
from keras_ddl.data.pseudo_fakes.wide import WideClips
from keras_ddl.data.surroundings import wide_size
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError

SPEC = ClipSpec(frames=4, size=32)


@pytest.fixture(scope="module")
def prepared(wide_set: Path) -> Path:
    return wide_set


def whole(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    batches = [(clips.numpy(), labels.numpy()) for clips, labels in dataset]
    return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])


def test_a_split_becomes_reals_and_their_fakes(prepared: Path) -> None:
    data = read_split(prepared, "train")
    only, mixed = (with_pseudo_fakes(data, mode) for mode in ("only", "mixed"))
    reals = int((data.labels == 0).sum())
    assert only.data.labels.tolist() == [0, 1] * reals
    assert only.made.tolist() == [False, True] * reals
    assert only.source.tolist() == np.repeat(np.flatnonzero(data.labels == 0), 2).tolist()
    for real, fake in zip(only.data.keys[::2], only.data.keys[1::2], strict=True):
        assert real[1] == "real" and fake == (real[0], METHOD, *real[2:])
    own = int((data.labels == 1).sum())
    assert own and len(mixed.data.labels) == 2 * reals + own
    assert mixed.made.sum() == reals
    assert {tuple(video["key"]) for video in mixed.data.videos} == set(mixed.data.keys)


def test_real_fakes_judge_where_there_are_any(prepared: Path) -> None:
    train, val = (read_split(prepared, split) for split in ("train", "val"))
    assert judging_mode(train, "mixed") == judging_mode(train, "only") == ""
    assert judging_mode(val, "mixed") == judging_mode(val, "only") == "only"
    assert judging_mode(val, "") == ""


def test_wide_crops_show_the_surroundings_of_the_same_frames(prepared: Path) -> None:
    data = read_split(prepared, "train")
    wide = WideClips(data.clips, SPEC)[0]
    side = wide_size(SPEC.size)
    assert wide.frames.shape == (4, side, side, 3) and wide.points.shape == (4, 5, 2)
    assert wide.margin == pytest.approx(1.5 * SPEC.margin)
    edge = round(side * (1 - 1 / 1.5) / 2)
    inner = wide.frames[:, edge:-edge, edge:-edge].mean(axis=(0, 1, 2))
    np.testing.assert_allclose(inner, data.clips[0].mean(axis=(0, 1, 2)), atol=6)


def test_validation_sees_the_same_fakes_each_time(prepared: Path) -> None:
    clips, labels = whole(clip_dataset(prepared, "val", 4, pseudo="only"))
    assert labels.tolist() == [0, 1] * (len(labels) // 2)
    assert clips.shape[1:] == (4, 32, 32, 3)
    np.testing.assert_array_equal(clips, whole(clip_dataset(prepared, "val", 4, pseudo="only"))[0])


def test_training_sees_twins_side_by_side_and_new_ones_in_each_pass(prepared: Path) -> None:
    clips = TrainingClips(prepared, 1, pseudo="only")
    first, labels = whole(clips.one_pass(2))
    assert all(set(pair.tolist()) == {0, 1} for pair in labels.reshape(-1, 2))
    apart = np.abs(first[::2].astype(int) - first[1::2]).mean(axis=(1, 2, 3, 4))
    assert apart.max() < 40  # twins, not strangers
    again = whole(TrainingClips(prepared, 1, pseudo="only").one_pass(2))[0]
    np.testing.assert_array_equal(first, again)
    assert (whole(clips.one_pass(2, epoch=1))[0] != first).any()


def test_a_folder_without_surroundings_is_refused_with_a_remedy(flicker_set: Path) -> None:
    data = read_split(flicker_set, "train")
    with pytest.raises(UserError, match=r"holds no surroundings.*prepare the videos again with"):
        WideClips(data.clips, SPEC)[0]


def test_the_sheet_is_a_picture(prepared: Path, tmp_path: Path, capsys) -> None:
    import cv2

    sheet = tmp_path / "sheet.png"
    assert main([str(prepared), "--sheet", str(sheet), "--rows", "2"]) == 0
    assert cv2.imread(str(sheet)).shape == (2 * (32 + 4), 3 * (4 * 32 + 4), 3)
    assert f"look at {sheet}" in capsys.readouterr().out


def test_single_frames_are_the_same_of_both_twins(prepared: Path) -> None:
    first, labels = whole(TrainingClips(prepared, 1, pseudo="only", single=True).one_pass(2))
    assert first.shape[1:] == (1, 32, 32, 3)
    assert all(set(pair.tolist()) == {0, 1} for pair in labels.reshape(-1, 2))
    apart = np.abs(first[::2].astype(int) - first[1::2]).mean(axis=(1, 2, 3, 4))
    strangers = np.abs(first[::2].astype(int) - np.roll(first[1::2], 1, 0)).mean(axis=(1, 2, 3, 4))
    assert apart.mean() < strangers.mean()
