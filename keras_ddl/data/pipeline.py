"""Prepared clips → `tf.data` batches: in order to judge, shuffled and changed to learn."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.data.augment import augment_clip, place
from keras_ddl.data.augment_rules import Augment
from keras_ddl.data.clip_order import ClipOrder, Draw
from keras_ddl.data.prepared import SPEC, Key, PreparedSplit, decode_record, read_split
from keras_ddl.data.pseudo_fakes.blend import blended_crop
from keras_ddl.data.pseudo_fakes.donor import Donors
from keras_ddl.data.pseudo_fakes.rows import with_pseudo_fakes
from keras_ddl.data.pseudo_fakes.wide import WideClips
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError

if TYPE_CHECKING:
    from keras_ddl.framework import tf


CACHE_BYTES = 1 << 30


def clip_dataset(
    prepared: Path,
    split: str,
    batch: int,
    *,
    pseudo: str = "",
    single: bool = False,
    only: Sequence[int] | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> tf.data.Dataset:
    """Return all clips of a split once, in the order of its index; the last batch may be smaller.

    Args:
        prepared: Folder that `keras_ddl.data.prepare` wrote.
        split: `train`, `val` or `test`.
        batch: Clips per batch.
        pseudo: Empty, or `only` or `mixed`: beside each real a fake made of it, always the same
            (`keras_ddl.data.pseudo_fakes`).
        single: Of each clip one frame alone, T = 1, always the same.
        only: Numbers of the clips to return, pseudo-fakes counted, in place of all.
        cache_bytes: Keep the decoded clips in memory where they take no more than that.

    Returns:
        Batches of (clip uint8 (B, T, S, S, 3), label int32 (B,)), 1 = fake.

    Raises:
        UserError: If the folder is not a prepared one or the split is empty.
    """
    clips = _reader(prepared, split, pseudo, cache_bytes if only is None else 0, single)
    numbers = range(len(clips.data.labels)) if only is None else only

    def draws() -> Iterator[Draw]:
        # Twins have one seed: that of the clip they are made of.
        return ((index, np.repeat(np.int32(clips.source[index]), 2)) for index in numbers)

    dataset = clips.read(draws).batch(batch).prefetch(2)
    return _sized(dataset, -(-len(numbers) // batch))


class TrainingClips:
    """The clips of a split, to learn from.

    Order, augmentation and pseudo-fakes depend on `seed` and the number of the pass and on nothing
    else: not on TensorFlow's global seed, nor on timing, nor on how many workers share the work.

    Args:
        prepared: Folder that `keras_ddl.data.prepare` wrote.
        seed: Of order, augmentation and pseudo-fakes.
        split: `train`, `val` or `test`.
        augment: Change each clip, anew each pass.
        twins, balance, mining: See `data.order.ClipOrder`.
        weights: Give each clip a weight that makes both classes count alike; their mean is 1.
        pseudo: Empty, or `only` or `mixed`: beside each real a fake made of it, another in each
            pass; both are twins, whatever `twins` says.
        single: Of each clip one frame alone, T = 1, another in each pass.
        cache_bytes: Keep the decoded clips in memory where they take no more than that.

    Attributes:
        data: The clips' rows, pseudo-fakes included.
        order: Which clip comes when.

    Raises:
        ValueError: If both `twins` and `balance` are asked for.
        UserError: If the folder is not a prepared one or the split is empty.
    """

    def __init__(
        self,
        prepared: Path,
        seed: int,
        split: str = "train",
        *,
        augment: Augment | None = None,
        twins: bool = False,
        balance: bool = False,
        weights: bool = False,
        mining: float = 0.0,
        pseudo: str = "",
        single: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._prepared, self._augment, self._weights = Path(prepared), augment, weights
        self._clips = _reader(prepared, split, pseudo, cache_bytes, single)
        self.data = self._clips.data
        self.order = ClipOrder(self.data, seed, twins or bool(pseudo), balance, mining)

    def steps(self, batch: int) -> int:
        """Whole batches of a pass.

        Raises:
            UserError: If there is none.
        """
        if not self.order.steps(batch):
            raise UserError(
                f"{self._prepared}: expected at least one batch of {batch} clips, received "
                f"{len(self.order)} clips to learn from; set a smaller batch"
            )
        return self.order.steps(batch)

    def stream(
        self,
        batch: int,
        start: tuple[int, int] = (0, 0),
        part: tuple[int, int] = (0, 1),
        replicas: int = 1,
        grid: int = 0,
        hard: Sequence[Key] = (),
    ) -> tf.data.Dataset:
        """Return batches of pass after pass, without end.

        Args:
            batch: Clips per step, over all workers and replicas.
            start: Pass and step to begin with.
            part: Number of this worker and of all workers.
            replicas: Over all workers; each takes batches of its own, in turn.
            grid: Cells along the side of the masks, where they are wanted; 0 = not.
            hard: Videos that come more often, with `mining`.

        Returns:
            Batches of (clip uint8 (b, T, S, S, 3), label int32 (b,)) with b = batch / replicas,
            and float32 (b,) weights where they are asked for. With a grid the label's place is
            taken by (label, masks): float32 (b, T, grid, grid), the forged share of each cell, -1
            where it is not known.
        """
        draws = functools.partial(self.order.stream, batch, start, part, hard)
        dataset = self._clips.read(draws, self._augment, grid)
        if self._weights:
            weights = class_weights(self.data.labels)

            def weighted(clip: Any, truth: Any) -> tuple[Any, Any, Any]:
                return clip, truth, _gather(weights, truth[0] if grid else truth)

            dataset = dataset.map(weighted)
        return dataset.batch(batch // replicas, drop_remainder=True).prefetch(2)

    def one_pass(self, batch: int, epoch: int = 0) -> tf.data.Dataset:
        """Return the whole batches of one pass."""
        return _sized(self.stream(batch, (epoch, 0)).take(self.steps(batch)), self.steps(batch))

    def videos_of(self, batch: int, epoch: int, step: int, hard: Sequence[Key] = ()) -> list[str]:
        """Names of the videos whose clips are in one batch, each once, as `dataset/method/id`."""
        clips = self.order.clips_of(batch, epoch, step, hard)
        keys = [self.data.keys[clip] for clip in clips]
        return list(dict.fromkeys("/".join(part for part in key if part) for key in keys))


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Return float32 (2,): what a clip of each class has to count for both to count alike."""
    counts = np.bincount(labels, minlength=2)
    return (len(labels) / (2 * np.maximum(counts, 1))).astype(np.float32)


def _reader(
    prepared: Path, split: str, pseudo: str, cache_bytes: int, single: bool = False
) -> _Reader:
    data = read_split(prepared, split)
    if pseudo:
        return _PseudoReader(data, prepared, pseudo, single)
    return _Reader(data, cache_bytes, single)


class _Reader:
    """Clips of a split, read where a `tf.data` graph asks for them."""

    def __init__(self, data: PreparedSplit, cache_bytes: int, single: bool = False) -> None:
        small = math.prod(data.clips.shape) <= cache_bytes
        self._stored, self._held = data.clips, _decoded(data) if small else None
        self._shape, self._single = data.clips.shape[1:], single
        self.data, self.source = data, np.arange(len(data.clips))
        self._known = data.labels == 0  # whose forged pixels are known

    def read(
        self, draws: Callable[[], Iterator[Draw]], augment: Augment | None = None, grid: int = 0
    ) -> tf.data.Dataset:
        """Return (clip, label) for each draw, the clip changed as its seed says.

        With a grid (clip, (label, masks)), see `TrainingClips.stream`.
        """
        from keras_ddl.framework import tf

        def load(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
            clip = self._clip(index, seed)
            if self._single and clip.shape[0] > 1:
                at = seed[1] % clip.shape[0]
                clip = tf.expand_dims(tf.gather(clip, at), 0)
            return clip, index, seed

        def change(clip: Any, index: Any, seed: Any) -> tuple[Any, Any]:
            label = _gather(self.data.labels, index)
            pixels = clip[..., :3]
            pixels = augment_clip(pixels, seed, augment) if augment else pixels
            if not grid:
                return pixels, label
            forged = clip[..., 3:] if clip.shape[-1] > 3 else tf.zeros_like(clip[..., :1])
            forged = place(forged, seed, augment) if augment else forged
            cells = tf.image.resize(forged, (grid, grid), "area")[..., 0] / 255
            return pixels, (label, tf.where(_gather(self._known, index), cells, -1.0))

        row = (tf.TensorSpec((), tf.int64), tf.TensorSpec((2,), tf.int32))
        dataset = tf.data.Dataset.from_generator(draws, output_signature=row)
        for step in (load, change):
            dataset = dataset.map(step, tf.data.AUTOTUNE, deterministic=True)
        return dataset

    def _clip(self, number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The clip; where fakes are made a fourth channel has the forged share of each pixel."""
        from keras_ddl.framework import tf

        held = self._held
        if held is not None:
            clip = tf.numpy_function(lambda i: held[i], [number], tf.uint8, stateful=False)
            return tf.ensure_shape(clip, self._shape)
        record = tf.numpy_function(self._stored.record, [number], tf.string, stateful=False)
        return decode_record(tf.ensure_shape(record, ()), tuple(self._shape))


class _PseudoReader(_Reader):
    """Reals, pseudo-fakes made of them and other fakes, all through the same disturbances."""

    def __init__(
        self, data: PreparedSplit, prepared: Path, pseudo: str, single: bool = False
    ) -> None:
        self._wide = WideClips(data.clips, ClipSpec.read(prepared / SPEC))
        self._donors = Donors(self._wide, data)
        super().__init__(data, 0, single)
        rows = with_pseudo_fakes(data, pseudo)
        self.data, self.source, self._made = rows.data, rows.source, rows.made
        self._known = (rows.data.labels == 0) | rows.made

    def _clip(self, number: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        from keras_ddl.framework import tf

        def make(number: np.ndarray, seed: np.ndarray) -> np.ndarray:
            source, made, size = int(self.source[number]), bool(self._made[number]), self._shape[1]
            frame = int(seed[1]) % self._shape[0] if self._single else None
            donor = self._donors.draw(source, seed, frame) if made else None
            twin = blended_crop(self._wide.read(source, frame), seed, made, size, donor)
            forged = np.rint(255 * twin.masks).astype(np.uint8)
            return np.concatenate([twin.frames, forged[..., None]], -1)

        clip = tf.numpy_function(make, [number, seed], tf.uint8, stateful=False)
        frames = 1 if self._single else self._shape[0]
        return tf.ensure_shape(clip, (frames, *self._shape[1:3], 4))


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


def _gather(values: np.ndarray, index: Any) -> Any:
    from keras_ddl.framework import tf

    return tf.gather(values, index)


def _sized(dataset: tf.data.Dataset, batches: int) -> tf.data.Dataset:
    from keras_ddl.framework import tf

    return dataset.apply(tf.data.experimental.assert_cardinality(batches))
