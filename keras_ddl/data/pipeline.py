"""Prepared clips → `tf.data` batches."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ddl.data.augment import Augment, augment_clip
from keras_ddl.data.store import Key, PreparedSplit, read_split

if TYPE_CHECKING:
    from keras_ddl.framework import tf


def clip_dataset(
    prepared: Path,
    split: str,
    batch: int,
    *,
    shuffle_seed: int | None = None,
    augment: Augment | None = None,
    twins: bool = False,
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

    Returns:
        Batches of (clip uint8 (B, T, S, S, 3), label int32 (B,)), 1 = fake.

    Raises:
        ValueError: If `augment` comes without a seed.
        UserError: If the folder is not a prepared one or the split is empty.
    """
    if augment is not None and shuffle_seed is None:
        raise ValueError("augment: expected a shuffle_seed with it, received None")
    from keras_ddl.framework import tf

    data = read_split(prepared, split)
    count, *shape = data.clips.shape
    groups = twin_groups(data) if twins else np.arange(count)
    passes = itertools.count()

    def order() -> Iterator[tuple[int, np.ndarray]]:
        yield from epoch_order(groups, shuffle_seed, next(passes))

    def load(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        clip = tf.numpy_function(lambda i: data.clips[i], [index], tf.uint8, stateful=False)
        return tf.ensure_shape(clip, shape), tf.gather(data.labels, index), seed

    def change(clip: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return (augment_clip(clip, seed, augment) if augment else clip), label

    row = (tf.TensorSpec((), tf.int64), tf.TensorSpec((2,), tf.int32))
    dataset = tf.data.Dataset.from_generator(order, output_signature=row)
    dataset = dataset.map(load).map(change)
    dataset = dataset.batch(batch).prefetch(2)
    return dataset.apply(tf.data.experimental.assert_cardinality(-(-count // batch)))


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
