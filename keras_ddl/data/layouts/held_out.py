"""Identity split for datasets that come without validation or test part."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from keras_ddl.data.video_index import Video
from keras_ddl.edge.errors import UserError

HELD_OUT = {"val": 0.15, "test": 0.15}
"""Share of the people held out where a dataset has neither part."""
ONLY_VAL = {"val": 0.15}
"""The same where the dataset has a test part of its own."""
SPLIT_SEED = 0
SLACK = 0.5  # whole groups make a part when they come to its share of the people, ± this much of it
DRAWS = 64  # shuffles among which the one is taken that leaves out the fewest videos


def split_by_identity(
    identities: Iterable[str], seed: int, shares: Mapping[str, float] = HELD_OUT
) -> dict[str, str]:
    """Assign whole identities to splits: sorted, shuffled with `seed`, cut by `shares`.

    Every split gets at least one.

    Raises:
        UserError: If there are fewer identities than splits.
    """
    names = sorted(set(identities))
    if len(names) <= len(shares):
        raise UserError(
            f"expected at least {len(shares) + 1} identities to hold some out, received "
            f"{len(names)}; give the splits (train, val and test folders, or a split column)"
        )
    random.Random(seed).shuffle(names)
    split_of = dict.fromkeys(names, "train")
    start = 0
    for split, share in shares.items():
        count = max(1, round(share * len(names)))
        split_of.update(dict.fromkeys(names[start : start + count], split))
        start += count
    return split_of


def hold_out(
    videos: Sequence[Video], shares: Mapping[str, float] = HELD_OUT, seed: int = SPLIT_SEED
) -> tuple[list[Video], list[Video]]:
    """Give every video a split such that no person is in two of them.

    A fake with two identities ties them together. Where the groups of people so tied are small
    enough to make the parts, whole groups are held out and every video is kept. Otherwise people
    are held out singly, and a video of people from two parts is left out; of `DRAWS` seeded
    shuffles the one is taken that leaves out the fewest. Every part gets each label there is; in a
    set so small that neither way does this, each part gets one group, the smallest ones. People
    whom nothing ties are shuffled until every part has each label, `DRAWS` times at most.

    Args:
        videos: Videos of any split.
        shares: Share of the people for each held-out split; the rest is for training.
        seed: Of the shuffles.

    Returns:
        The videos with their splits, and those left out.

    Raises:
        UserError: If there are too few people, or no way gives every split each label.
    """
    if not videos:
        return [], []
    groups = tied_people(videos)
    names = [name for group in groups for name in group]
    if len(groups) == len(names):
        first = split_by_identity(names, seed, shares)
        draws = (split_by_identity(names, seed + draw, shares) for draw in range(DRAWS))
        serving = (split_of for split_of in draws if _serves(split_of, videos, shares))
        return _applied(next(serving, first), videos)
    for split_of in _ways(videos, groups, seed, shares):
        if _serves(split_of, videos, shares):
            return _applied(split_of, videos)
    raise UserError(
        f"cannot hold out {', '.join(shares)} from {len(names)} people tied by "
        f"{sum(video.label for video in videos)} fakes: a part would lack reals or fakes; "
        "give the splits in a CSV manifest"
    )


def hold_out_if_possible(
    videos: Sequence[Video], shares: Mapping[str, float] = HELD_OUT
) -> tuple[list[Video], list[Video], list[str]]:
    """Do as `hold_out`; where it cannot be done, leave every video in training and say so.

    For a part of a published set: its test part, or `verify`, needs no held-out people.

    Returns:
        The videos with their splits, those left out, and a line that says why nobody is held out,
        if nobody is.
    """
    try:
        return *hold_out(videos, shares), []
    except UserError as error:
        note = f"{videos[0].dataset}: nobody is held out for {' and '.join(shares)}: {error}"
        return [replace(video, split="train") for video in videos], [], [note]


def tied_people(videos: Iterable[Video]) -> list[tuple[str, ...]]:
    """Return the groups of identities that share videos, directly or through others, sorted."""
    group_of: dict[str, set[str]] = {}
    for video in videos:
        joined = set(video.identities).union(*(group_of.get(i, ()) for i in video.identities))
        group_of.update(dict.fromkeys(joined, joined))
    return sorted({tuple(sorted(group)) for group in group_of.values()})


def _ways(
    videos: Sequence[Video],
    groups: Sequence[tuple[str, ...]],
    seed: int,
    shares: Mapping[str, float],
) -> Iterator[dict[str, str]]:
    """Yield the ways to assign people, the best first."""
    yield _by_groups(groups, seed, shares)
    names = [name for group in groups for name in group]
    singly = [split_by_identity(names, seed + draw, shares) for draw in range(DRAWS)]
    yield from sorted(singly, key=lambda split_of: _placed(split_of, videos).count(""))
    yield _smallest(groups, shares)


def _by_groups(
    groups: Sequence[tuple[str, ...]], seed: int, shares: Mapping[str, float]
) -> dict[str, str]:
    """Assign whole groups of people, as far as they fit into the shares."""
    left = list(groups)
    random.Random(seed).shuffle(left)
    split_of = {name: "train" for group in groups for name in group}
    people = len(split_of)
    for split, share in shares.items():
        taken = 0
        for group in tuple(left):
            if taken < share * people and taken + len(group) <= (1 + SLACK) * share * people:
                split_of.update(dict.fromkeys(group, split))
                left.remove(group)
                taken += len(group)
        if taken < (1 - SLACK) * share * people:
            return dict.fromkeys(split_of, "train")
    return split_of


def _smallest(groups: Sequence[tuple[str, ...]], shares: Iterable[str]) -> dict[str, str]:
    """Assign one group to each held-out split, beginning with the smallest that has a fake."""
    split_of = {name: "train" for group in groups for name in group}
    tied = sorted((group for group in groups if len(group) > 1), key=len)
    for split, group in zip(shares, tied, strict=False):
        split_of.update(dict.fromkeys(group, split))
    return split_of


def _serves(split_of: Mapping[str, str], videos: Sequence[Video], shares: Iterable[str]) -> bool:
    """Whether every split has videos of every label there is."""
    labels = {video.label for video in videos}
    wanted = {(split, label) for split in ("train", *shares) for label in labels}
    return wanted <= set(zip(_placed(split_of, videos), (v.label for v in videos), strict=True))


def _placed(split_of: Mapping[str, str], videos: Iterable[Video]) -> list[str]:
    """Return each video's split, "" where its people are in different ones."""
    splits = ({split_of[name] for name in video.identities} for video in videos)
    return [place.pop() if len(place) == 1 else "" for place in splits]


def _applied(
    split_of: Mapping[str, str], videos: Sequence[Video]
) -> tuple[list[Video], list[Video]]:
    placed = list(zip(videos, _placed(split_of, videos), strict=True))
    return (
        [replace(video, split=split) for video, split in placed if split],
        [video for video, split in placed if not split],
    )
