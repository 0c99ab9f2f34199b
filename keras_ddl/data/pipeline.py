"""Prepared clips → `tf.data` batches."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ddl.data.augment import augment_clip
from keras_ddl.data.changes import Augment, SelfBlend
from keras_ddl.data.pseudo_fakes import blend_with_itself, with_pseudo_fakes
from keras_ddl.data.store import Key, PreparedSplit, decode_record, read_split

if TYPE_CHECKING:
    from keras_ddl.framework import tf


CACHE_BYTES = 1 << 30


def clip_dataset(
    prepared: Path,
    split: str,
    batch: int,
    *,
    shuffle_seed: int | None = None,
    augment: Augment | None = None,
    twins: bool = False,
    balance: bool = False,
    pseudo: SelfBlend | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> tf.data.Dataset:
    """Return batches of one split.

    Every pass over the dataset is one epoch; the last batch may be smaller. Order and augmentation
    depend on `shuffle_seed`, the number of the pass and nothing else: not on TensorFlow's global
    seed, nor on timing. A second dataset of equal arguments repeats the first, pass by pass.

    Args:
        prepared: Folder that `keras_ddl.data.prepare` wrote.
        split: `train`, `val` or `test`.
        batch: Clips per batch.
        shuffle_seed: Shuffle, anew each pass; None keeps the order of the index.
        augment: Change each clip, anew each pass; needs `shuffle_seed`.
        twins: Keep clips of the same people side by side when shuffling and augment them alike,
            see `twin_groups`.
        balance: Draw as many reals as fakes, and as many of each method, see `balanced_order`.
        pseudo: Take the reals only, each beside a fake made of it (`keras_ddl.data.pseudo_fakes`);
            where the split is shuffled the fakes are others in each pass, else always the same.
        cache_bytes: Keep the decoded clips in memory where they take no more than that.

    Returns:
        Batches of (clip uint8 (B, T, S, S, 3), label int32 (B,)), 1 = fake.

    Raises:
        ValueError: If `augment` or `balance` comes without a seed, or `twins` with `balance`.
        UserError: If the folder is not a prepared one or the split is empty.
    """
    if (augment is not None or balance) and shuffle_seed is None:
        raise ValueError("augment and balance: expected a shuffle_seed with them, received None")
    if twins and balance:
        raise ValueError("expected twins or balance, received both")
    from keras_ddl.framework import tf

    data = read_split(prepared, split)
    held = _decoded(data) if math.prod(data.clips.shape) <= cache_bytes else None
    stored, source = data.clips, np.arange(len(data.clips))
    if pseudo is not None:
        source = np.repeat(np.flatnonzero(data.labels == 0), 2)
        data = with_pseudo_fakes(data)
    count, *shape = data.clips.shape
    groups = twin_groups(data) if twins else np.arange(count)
    kinds = [key[:2] for key in data.keys]
    passes = itertools.count()

    def order() -> Iterator[tuple[int, np.ndarray]]:
        number = next(passes)
        if balance and shuffle_seed is not None:
            yield from balanced_order(data.labels, kinds, shuffle_seed, number)
        else:
            yield from epoch_order(groups, shuffle_seed, number)

    def load(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        clip = read(tf.gather(source, index))
        label = tf.gather(data.labels, index)
        if pseudo is not None:
            place = tf.cast([index, index], tf.int32) if shuffle_seed is None else seed
            clip = tf.cond(label == 1, lambda: fake(clip, place), lambda: clip)
        return clip, label, seed

    def read(number: tf.Tensor) -> tf.Tensor:
        if held is not None:
            clip = tf.numpy_function(lambda i: held[i], [number], tf.uint8, stateful=False)
            return tf.ensure_shape(clip, shape)
        record = tf.numpy_function(stored.record, [number], tf.string, stateful=False)
        return decode_record(tf.ensure_shape(record, ()), tuple(shape))

    def fake(clip: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        blend = functools.partial(blend_with_itself, rules=pseudo)
        blended = tf.numpy_function(blend, [clip, place], tf.uint8, stateful=False)
        return tf.ensure_shape(blended, shape)

    def change(clip: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return (augment_clip(clip, seed, augment) if augment else clip), label

    row = (tf.TensorSpec((), tf.int64), tf.TensorSpec((2,), tf.int32))
    dataset = tf.data.Dataset.from_generator(order, output_signature=row)
    for step in (load, change):
        dataset = dataset.map(step, tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.batch(batch).prefetch(2)
    return dataset.apply(tf.data.experimental.assert_cardinality(-(-count // batch)))


def _decoded(data: PreparedSplit) -> np.ndarray:
    """All clips of a split in memory, uint8 (N, T, S, S, 3)."""
    from keras_ddl.framework import tf

    count, *shape = data.clips.shape
    held = np.empty(data.clips.shape, np.uint8)

    def load(index: tf.Tensor) -> tf.Tensor:
        record = tf.numpy_function(data.clips.record, [index], tf.string, stateful=False)
        return decode_record(tf.ensure_shape(record, ()), tuple(shape))

    clips = tf.data.Dataset.range(count).map(load, tf.data.AUTOTUNE, deterministic=True)
    for number, clip in enumerate(clips.as_numpy_iterator()):
        held[number] = clip
    return held


def epoch_order(
    groups: np.ndarray, seed: int | None, epoch: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (clip index, int32 (2,) seed of its augmentation) for one pass.

    Args:
        groups: Integers (N,); clips of one number stay side by side when shuffled and are
            augmented alike.
        seed: None keeps the order.
        epoch: Number of the pass.
    """
    if seed is None:
        for index in range(len(groups)):
            yield index, np.zeros(2, np.int32)
        return
    random = np.random.default_rng((seed, epoch))
    count = int(groups.max()) + 1
    seeds = random.integers(0, 2**31 - 1, (count, 2), dtype=np.int32)
    place = random.permutation(count)[groups]
    for index in np.lexsort((random.permutation(len(groups)), place)):
        yield int(index), seeds[groups[index]]


def balanced_order(
    labels: np.ndarray, kinds: Sequence[Hashable], seed: int, epoch: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield as `epoch_order`, but half of the clips real, and the fakes equally of every kind.

    A pass has as many draws as there are clips. Each kind is gone through in a shuffled order that
    continues from pass to pass, so none of its clips is drawn twice before all have been.

    Args:
        labels: int, (N,), 0 = real, 1 = fake.
        kinds: (N,), what is balanced: (dataset, method).
        seed: Of the order.
        epoch: Number of the pass.
    """
    members: dict[Hashable, list[int]] = {}
    for index, (label, kind) in enumerate(zip(labels.tolist(), kinds, strict=True)):
        members.setdefault((label, kind), []).append(index)
    kinds_of = Counter(label for label, _ in members)
    random = np.random.default_rng((seed, epoch))
    drawn: list[int] = []
    exact = 0.0
    for number, ((label, _), clips) in enumerate(sorted(members.items(), key=lambda m: m[1])):
        before, exact = round(exact), exact + len(labels) / (len(kinds_of) * kinds_of[label])
        share = round(exact) - before  # the shares add up to the number of clips
        places = range(epoch * share, (epoch + 1) * share)
        drawn += [_cycled(clips, place, (seed, number)) for place in places]
    for place in random.permutation(len(drawn)):
        yield drawn[place], random.integers(0, 2**31 - 1, 2, dtype=np.int32)


def _cycled(clips: list[int], place: int, seed: tuple[int, int]) -> int:
    """The clip at one place of an endless row of shuffled rounds through all clips."""
    turn, within = divmod(place, len(clips))
    return clips[_shuffled(len(clips), (*seed, turn))[within]]


@functools.lru_cache(maxsize=256)
def _shuffled(count: int, seed: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).permutation(count)


def twin_groups(data: PreparedSplit) -> np.ndarray:
    """Return one number per clip, equal for the n-th clips of all videos of the same people.

    A fake and the video it was made from then share a batch, so that what they have in common
    cancels in the gradient and what the forgery left behind remains.
    """
    people = {tuple(video["key"]): tuple(video["identities"]) for video in data.videos}
    seen: Counter[Key] = Counter()
    numbers: dict[tuple[tuple[str, ...], int], int] = {}
    groups = []
    for key in data.keys:
        group = (people[key], seen[key])
        seen[key] += 1
        groups.append(numbers.setdefault(group, len(numbers)))
    return np.array(groups)
