"""Order of the clips in training: a function of the seed and the pass, and of nothing else."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from keras_ddl.data.prepared import Key, PreparedSplit

Draw = tuple[int, np.ndarray]  # clip index, int32 (2,) seed of its augmentation


@dataclass(frozen=True)
class ClipOrder:
    """The draws of a training, pass by pass.

    A pass is cut into whole batches; what is left over at its end waits for another pass, in which
    it lies elsewhere. Workers take equal slices of each batch, side by side: together they see what
    one alone would.

    Args:
        data: The clips.
        seed: Of order and augmentation.
        twins: Keep clips of the same people side by side and augment them alike, see `twin_groups`.
        balance: Draw as many reals as fakes, and as many of each method, see `balanced_order`.
        mining: Share of a pass that is drawn from hard videos besides, see `mined_order`.

    Raises:
        ValueError: If `balance` is asked for with `twins` or `mining`.
    """

    data: PreparedSplit
    seed: int
    twins: bool = False
    balance: bool = False
    mining: float = 0.0

    def __post_init__(self) -> None:
        if self.balance and (self.twins or self.mining):
            raise ValueError("expected balance alone, received twins or mining with it")

    def __len__(self) -> int:
        """Draws of a pass: as many as there are clips."""
        return len(self.data.labels)

    def draws(self, number: int, hard: Sequence[Key] = ()) -> list[Draw]:
        """All draws of one pass, from 0; `hard` are the videos that come more often."""
        if self.balance:
            kinds = [key[:2] for key in self.data.keys]
            return list(balanced_order(self.data.labels, kinds, self.seed, number))
        groups = twin_groups(self.data) if self.twins else np.arange(len(self))
        if self.mining and hard:
            known = set(hard)
            of_hard = [i for i, key in enumerate(self.data.keys) if key in known]
            again = np.unique(groups[of_hard])
            return mined_order(groups, again, self.mining, self.seed, number)
        return list(epoch_order(groups, self.seed, number))

    def steps(self, batch: int) -> int:
        """Whole batches of a pass."""
        return len(self) // batch

    def clips_of(self, batch: int, epoch: int, step: int, hard: Sequence[Key] = ()) -> list[int]:
        """Numbers of the clips of one batch."""
        return [clip for clip, _ in self.draws(epoch, hard)[step * batch : (step + 1) * batch]]

    def stream(
        self,
        batch: int,
        start: tuple[int, int] = (0, 0),
        part: tuple[int, int] = (0, 1),
        hard: Sequence[Key] = (),
    ) -> Iterator[Draw]:
        """Yield the draws of pass after pass, without end.

        Args:
            batch: Clips per step, over all workers.
            start: Pass and step to begin with.
            part: Number of this worker and of all workers; the number of workers divides `batch`.
            hard: Videos that come more often, in every pass of the stream.
        """
        worker, workers = part
        share = batch // workers
        first = start[1]
        for epoch in itertools.count(start[0]):
            draws = self.draws(epoch, hard)
            for step in range(first, self.steps(batch)):
                place = step * batch + worker * share
                yield from draws[place : place + share]
            first = 0


def epoch_order(groups: np.ndarray, seed: int, epoch: int) -> Iterator[Draw]:
    """Yield the draws of one pass in which every clip comes once.

    Args:
        groups: Integers (N,); clips of one number stay side by side when shuffled and are
            augmented alike.
        seed: Of the order.
        epoch: Number of the pass.
    """
    random = np.random.default_rng((seed, epoch))
    count = int(groups.max()) + 1
    seeds = random.integers(0, 2**31 - 1, (count, 2), dtype=np.int32)
    place = random.permutation(count)[groups]
    for index in np.lexsort((random.permutation(len(groups)), place)):
        yield int(index), seeds[groups[index]]


def mined_order(
    groups: np.ndarray, hard: np.ndarray, share: float, seed: int, epoch: int
) -> list[Draw]:
    """The draws of `epoch_order` with hard groups drawn again between them.

    A pass stays as long as it is, so that some groups wait for another one.

    Args:
        groups: As for `epoch_order`.
        hard: Those that come again.
        share: Of such draws, over all groups.
        seed: Of the order.
        epoch: Number of the pass.
    """
    runs: list[list[Draw]] = []
    for _, run in itertools.groupby(
        epoch_order(groups, seed, epoch), key=lambda draw: groups[draw[0]]
    ):
        runs.append(list(run))
    random = np.random.default_rng((seed, epoch, 1))
    for group in random.choice(hard, round(share * len(runs))):
        clips = np.flatnonzero(groups == group)
        change = random.integers(0, 2**31 - 1, 2, dtype=np.int32)
        place = int(random.integers(len(runs) + 1))
        runs.insert(place, [(int(clip), change) for clip in clips])
    return [draw for run in runs for draw in run][: len(groups)]


def balanced_order(
    labels: np.ndarray, kinds: Sequence[Hashable], seed: int, epoch: int
) -> Iterator[Draw]:
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
