"""The tf.data pipeline and clip augmentation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
tf = pytest.importorskip("tensorflow")

from keras_ddl.data.augment import augment_clip, recompress
from keras_ddl.data.augment_rules import Augment
from keras_ddl.data.clip_order import ClipOrder, balanced_order, epoch_order, twin_groups
from keras_ddl.data.pipeline import TrainingClips, class_weights, clip_dataset
from keras_ddl.data.prepared import read_split
from keras_ddl.edge.errors import UserError

NOTHING = Augment(flip=False, brightness=0, contrast=0, shift=0)


def _all(dataset: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    batches = [(clips.numpy(), labels.numpy()) for clips, labels in dataset]
    return np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])


def test_without_a_seed_the_order_is_the_indexs(flicker_set: Path) -> None:
    data = read_split(flicker_set, "val")
    dataset = clip_dataset(flicker_set, "val", 3)
    assert dataset.element_spec[0].shape.as_list() == [None, 4, 32, 32, 3]
    assert (dataset.element_spec[0].dtype, dataset.element_spec[1].dtype) == (tf.uint8, tf.int32)
    assert int(dataset.cardinality()) == 6  # 16 clips, the last batch has one
    for _ in range(2):
        clips, labels = _all(dataset)
        np.testing.assert_array_equal(clips, data.clips[:])
        np.testing.assert_array_equal(labels, data.labels)


def test_a_pass_holds_every_clip_once_with_its_label(flicker_set: Path) -> None:
    data = read_split(flicker_set, "train")
    clips, labels = _all(TrainingClips(flicker_set, 1).one_pass(6))
    stored = {clip.tobytes(): label for clip, label in zip(data.clips[:], data.labels, strict=True)}
    assert len(stored) == len(clips) == 48
    seen = {clip.tobytes(): label for clip, label in zip(clips, labels, strict=True)}
    assert seen == stored


def test_a_seed_repeats_pass_by_pass_whatever_the_global_seed(flicker_set: Path) -> None:
    passes = []
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        clips = TrainingClips(flicker_set, 3, augment=Augment())
        passes.append([_all(clips.one_pass(8, epoch)) for epoch in range(2)])
    for first, second in zip(*passes, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
    assert (passes[0][0][0] != passes[0][1][0]).any()
    other = _all(TrainingClips(flicker_set, 4, augment=Augment()).one_pass(8))
    assert (other[0] != passes[0][0][0]).any()


def test_a_stream_begun_in_the_middle_is_the_streams_rest(flicker_set: Path) -> None:
    """Batches of 10 of 48 clips: four a pass, and the rest of eight waits for another pass."""
    clips = TrainingClips(flicker_set, 3, augment=Augment())
    assert clips.steps(10) == 4
    whole = list(clips.stream(10).take(11).as_numpy_iterator())
    rest = list(clips.stream(10, start=(1, 3)).take(4).as_numpy_iterator())
    for ours, theirs in zip(rest, whole[7:], strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    assert (whole[0][0] != whole[4][0]).any()


def test_workers_and_replicas_see_together_what_one_alone_sees(flicker_set: Path) -> None:
    """Two workers with two replicas each: a global batch of 8 is four batches of 2, in order."""
    clips = TrainingClips(flicker_set, 3, augment=Augment(), twins=True)
    alone = list(clips.stream(8).take(7).as_numpy_iterator())
    workers = [
        list(clips.stream(8, part=(worker, 2), replicas=4).take(14).as_numpy_iterator())
        for worker in range(2)
    ]
    for step, (images, labels) in enumerate(alone):
        mine = [workers[w][2 * step + replica] for w in range(2) for replica in range(2)]
        np.testing.assert_array_equal(np.concatenate([m[0] for m in mine]), images)
        np.testing.assert_array_equal(np.concatenate([m[1] for m in mine]), labels)


def test_a_batch_is_named_by_its_videos(flicker_set: Path) -> None:
    clips = TrainingClips(flicker_set, 3)
    data = read_split(flicker_set, "train")
    names = {clip.tobytes(): key for clip, key in zip(data.clips[:], data.keys, strict=True)}
    images, _ = list(clips.stream(4).take(15).as_numpy_iterator())[14]  # second pass, third batch
    expected = {"/".join(part for part in names[i.tobytes()] if part) for i in images}
    assert set(clips.videos_of(4, 1, 2)) == expected
    assert all(name.startswith("flicker/") for name in expected)


def test_classes_weigh_alike(flicker_set: Path) -> None:
    labels = np.array([0] * 10 + [1] * 40, np.int32)
    weights = class_weights(labels)
    assert weights[0] * 10 == pytest.approx(weights[1] * 40)
    assert weights[labels].mean() == pytest.approx(1)
    batch = next(iter(TrainingClips(flicker_set, 3, weights=True).stream(8)))
    assert len(batch) == 3 and batch[2].numpy().tolist() == [1.0] * 8


def test_order_and_seeds_change_with_the_pass() -> None:
    first, second = (list(epoch_order(np.arange(50), 0, epoch)) for epoch in (0, 1))
    assert sorted(i for i, _ in first) == sorted(i for i, _ in second) == list(range(50))
    assert [i for i, _ in first] != [i for i, _ in second]
    assert len({tuple(seed) for _, seed in first + second}) == 100


def test_what_cannot_be_read_is_refused(flicker_set: Path) -> None:
    with pytest.raises(UserError, match="expected one of train, val, test; received 'dev'"):
        clip_dataset(flicker_set, "dev", 2)
    with pytest.raises(UserError, match="at least one batch of 49 clips, received 48 clips"):
        TrainingClips(flicker_set, 0).steps(49)
    with pytest.raises(ValueError, match="balance alone"):
        ClipOrder(read_split(flicker_set, "train"), 1, twins=True, balance=True)


@pytest.fixture(scope="module")
def still() -> np.ndarray:
    """A clip of eight identical frames without any symmetry, uint8 (8, 32, 32, 3)."""
    frame = np.random.default_rng(0).integers(60, 190, (32, 32, 3), dtype=np.uint8)
    return np.broadcast_to(frame, (8, 32, 32, 3)).copy()


@pytest.mark.parametrize("seed", range(6))
def test_identical_frames_stay_identical(seed: int, still: np.ndarray) -> None:
    changed = augment_clip(tf.constant(still), tf.constant([seed, 9]), Augment(shift=0.2)).numpy()
    assert changed.dtype == np.uint8 and changed.shape == still.shape
    assert (changed != still).any()
    for frame in changed[1:]:
        np.testing.assert_array_equal(frame, changed[0])


def test_differences_between_frames_survive(still: np.ndarray) -> None:
    """What distinguishes a fake is the change over time; flip and shift only move it."""
    clip = still.copy()
    clip[3, 10:14, 10:14] += 30
    rules = Augment(brightness=0, contrast=0, shift=0.1)
    changed = augment_clip(tf.constant(clip), tf.constant([1, 2]), rules).numpy().astype(int)
    difference = changed[3] - changed[0]
    assert difference.sum() == 30 * 4 * 4 * 3 and set(np.unique(difference)) == {0, 30}


@pytest.mark.parametrize("change", ["zoom", "saturation", "blur", "noise", "jpeg", "cutout"])
def test_each_change_alone_is_the_same_in_every_frame(change: str, still: np.ndarray) -> None:
    rules = replace(NOTHING, **{change: 1.0})
    changed = augment_clip(tf.constant(still), tf.constant([4, 9]), rules).numpy()
    assert changed.shape == still.shape and (changed[0] != still[0]).any()
    for frame in changed[1:]:
        np.testing.assert_array_equal(frame, changed[0])
    again = augment_clip(tf.constant(still), tf.constant([4, 9]), rules).numpy()
    np.testing.assert_array_equal(again, changed)


def test_blur_is_a_gaussian_blur(still: np.ndarray) -> None:
    """OpenCV with the σ that the seed draws, found by looking for the nearest one."""
    changed = augment_clip(tf.constant(still), tf.constant([4, 9]), replace(NOTHING, blur=1.0))
    inner = changed.numpy()[0, 6:-6, 6:-6].astype(int)

    def error(sigma: float) -> int:
        blurred = cv2.GaussianBlur(still[0], (9, 9), sigma, borderType=cv2.BORDER_REFLECT)
        return int(np.abs(blurred[6:-6, 6:-6] - inner).max())

    assert min(error(sigma) for sigma in np.arange(0.3, 1.5, 0.005)) <= 1


def test_h264_keeps_the_picture_and_loses_detail() -> None:
    smooth = np.broadcast_to(np.linspace(30, 220, 64)[:, None, None], (8, 64, 64, 3))
    noise = np.random.default_rng(0).integers(-20, 21, (8, 64, 64, 3))
    clip = (smooth + noise).astype(np.uint8)
    rules = replace(NOTHING, h264=1.0)
    changed = augment_clip(tf.constant(clip), tf.constant([1, 2]), rules).numpy().astype(int)
    assert changed.shape == clip.shape
    before, after = np.abs(clip - smooth).mean(), np.abs(changed - smooth).mean()
    assert 0.3 < after < 0.9 * before  # most of the noise is gone, the ramp is not
    mild, strong = (np.abs(recompress(clip, crf) - clip.astype(int)).mean() for crf in (18, 38))
    assert mild < strong


def test_a_change_meets_its_share_of_the_clips(still: np.ndarray) -> None:
    rules = replace(NOTHING, cutout=0.25)
    seeds = [tf.constant([seed, 3]) for seed in range(80)]
    hit = [(augment_clip(tf.constant(still), seed, rules).numpy() != still).any() for seed in seeds]
    assert 10 <= sum(hit) <= 31


def test_nothing_asked_nothing_done(still: np.ndarray) -> None:
    changed = augment_clip(tf.constant(still), tf.constant([1, 2]), NOTHING)
    np.testing.assert_array_equal(changed.numpy(), still)


def test_flip_mirrors_about_half_of_the_clips(still: np.ndarray) -> None:
    rules = Augment(flip=True, brightness=0, contrast=0, shift=0)
    flips = 0
    for seed in range(40):
        changed = augment_clip(tf.constant(still), tf.constant([seed, 0]), rules).numpy()
        mirrored = bool((changed == still[:, :, ::-1]).all())
        assert mirrored or (changed == still).all()
        flips += mirrored
    assert 10 <= flips <= 30


def test_shift_moves_whole_pixels_within_its_range(still: np.ndarray) -> None:
    rules = Augment(flip=False, brightness=0, contrast=0, shift=2 / 32)
    padded = np.pad(still[0], ((2, 2), (2, 2), (0, 0)), mode="symmetric")
    windows = {padded[y : y + 32, x : x + 32].tobytes(): (y, x) for y in range(5) for x in range(5)}
    found = set()
    for seed in range(60):
        changed = augment_clip(tf.constant(still), tf.constant([seed, 0]), rules).numpy()
        found.add(windows[changed[0].tobytes()])
    assert {y for y, _ in found} == {x for _, x in found} == set(range(5))


def test_brightness_and_contrast_stay_within_their_ranges() -> None:
    """Values 100 and 156, mean 128: contrast spreads them by up to 10 %, brightness moves 128."""
    clip = np.full((4, 8, 8, 3), 100, np.uint8)
    clip[:, :4] = 156
    rules = Augment(flip=False, brightness=0.1, contrast=0.1, shift=0)
    means, spreads = [], []
    for seed in range(60):
        changed = augment_clip(tf.constant(clip), tf.constant([seed, 0]), rules).numpy()
        low, high = int(changed.min()), int(changed.max())
        means.append((low + high) / 2 - 128)
        spreads.append(high - low)
    assert -26 <= min(means) < -15 and 15 < max(means) <= 26  # ±0.1 · 255
    assert 49 <= min(spreads) < 53 and 59 < max(spreads) <= 63  # 56 ± 10 %


def test_twins_stay_side_by_side_and_everything_else_is_shuffled(flicker_set: Path) -> None:
    """Name i is in real and in fake, with two clips each: 24 pairs, each adjacent in the pass."""
    data = read_split(flicker_set, "train")
    groups = twin_groups(data)
    assert sorted(np.bincount(groups).tolist()) == [2] * 24
    drawn = list(epoch_order(groups, 0, 0))
    order = [index for index, _ in drawn]
    seeds = [tuple(seed) for _, seed in drawn]
    assert seeds[::2] == seeds[1::2] and len(set(seeds)) == 24  # twins are augmented alike
    assert sorted(order) == list(range(48))
    pairs = list(zip(order[::2], order[1::2], strict=True))
    for a, b in pairs:
        assert data.keys[a][3] == data.keys[b][3] and data.labels[a] != data.labels[b]
    assert {int(data.labels[a]) for a, _ in pairs} == {0, 1}
    assert [data.keys[a][3] for a, _ in pairs] != sorted(data.keys[a][3] for a, _ in pairs)
    _, labels = _all(TrainingClips(flicker_set, 0, twins=True).one_pass(4))
    assert (labels.reshape(-1, 2).sum(axis=1) == 1).all()


def test_clips_read_from_disk_are_the_clips_held_in_memory(flicker_set: Path) -> None:
    held = _all(TrainingClips(flicker_set, 1).one_pass(6))
    read = _all(TrainingClips(flicker_set, 1, cache_bytes=0).one_pass(6))
    for a, b in zip(held, read, strict=True):
        np.testing.assert_array_equal(a, b)


def test_balance_draws_classes_and_methods_equally() -> None:
    """FaceForensics++ in small: 10 reals, 10 fakes of each of four methods."""
    labels = np.array([0] * 10 + [1] * 40)
    kinds = ["real"] * 10 + [m for m in ("DF", "F2F", "FS", "NT") for _ in range(10)]
    counts = np.zeros(50, int)
    for epoch in range(8):
        drawn = [index for index, _ in balanced_order(labels, kinds, 3, epoch)]
        assert len(drawn) == 50
        counts += np.bincount(drawn, minlength=50)
    assert counts[:10].tolist() == [20] * 10  # half of 400 draws, each real as often
    for method in range(4):
        mine = counts[10 + 10 * method : 20 + 10 * method]
        assert abs(mine.sum() - 50) <= 8 and mine.max() - mine.min() <= 1


def test_balance_repeats_with_its_seed_and_changes_with_the_pass() -> None:
    labels, kinds = np.array([0, 0, 1, 1, 1, 1]), list("rraabb")

    def drawn(seed: int, epoch: int) -> list[tuple[int, ...]]:
        return [(i, *s.tolist()) for i, s in balanced_order(labels, kinds, seed, epoch)]

    assert drawn(1, 0) == drawn(1, 0)
    assert drawn(1, 0) != drawn(1, 1) and drawn(1, 0) != drawn(2, 0)


def test_a_balanced_pass_through_a_dataset(flicker_set: Path) -> None:
    _, labels = _all(TrainingClips(flicker_set, 1, balance=True).one_pass(6))
    assert len(labels) == 48 and labels.sum() == 24
