"""Holding people out where fakes tie them together."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from keras_ddl.data.layouts.held_out import (
    hold_out,
    hold_out_if_possible,
    split_by_identity,
    tied_people,
)
from keras_ddl.data.video_index import Video
from keras_ddl.edge.errors import UserError


def _video(*people: str, take: int = 0) -> Video:
    name = "_".join((*people, str(take)))
    label = int(len(people) > 1)
    return Video(Path(f"{name}.mp4"), label, "d", "m", "", name, people, "train")


def _swapped(people: str) -> list[Video]:
    """A real of everybody, and a fake of everybody with everybody else's face."""
    return [_video(p) for p in people] + [_video(a, b) for a, b in permutations(people, 2)]


def _people(videos: list[Video], split: str) -> set[str]:
    return {person for v in videos if v.split == split for person in v.identities}


def test_people_are_tied_through_others() -> None:
    videos = [_video("a", "b"), _video("c", "d"), _video("b", "e"), _video("f"), _video("e", "a")]
    assert tied_people(videos) == [("a", "b", "e"), ("c", "d"), ("f",)]


def test_whole_groups_are_held_out_where_that_makes_the_parts() -> None:
    groups = ["abc", "def", "ghi", "jkl", "mno", "pqr", "stu"]  # 21 people: 3 are 15 %
    kept, left_out = hold_out([video for group in groups for video in _swapped(group)])
    assert left_out == [] and len(kept) == 7 * (3 + 6)
    for split in ("val", "test"):
        assert "".join(sorted(_people(kept, split))) in groups
    assert len(_people(kept, "train")) == 15


def test_one_group_is_cut_and_the_fakes_across_the_cut_are_left_out() -> None:
    videos = _swapped("abcdefghijklmnopqrst")  # 20 people: 3 and 3 held out
    kept, left_out = hold_out(videos)
    parts = [_people(kept, split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [14, 3, 3]
    assert len(set.union(*parts)) == 20  # nobody in two parts, nobody lost
    # fakes within parts: 14·13 + 3·2 + 3·2 of 20·19
    assert sum(v.label for v in kept) == 194 and len(left_out) == 380 - 194
    assert all(v.label == 1 for v in left_out)
    assert hold_out(list(reversed(videos)))[0] == list(reversed(kept))
    assert hold_out(videos, seed=1)[0] != kept


def test_the_cut_goes_where_the_fewest_fakes_are_lost() -> None:
    """A hub that all others are swapped with belongs where most people are."""
    spokes = [_video("hub", other, take=t) for other in "abcdefghijklmnopqrs" for t in range(3)]
    pairs = [_video(a, b) for a, b in ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr")]
    reals = [_video(p) for p in ("hub", *"abcdefghijklmnopqrs")]
    kept, left_out = hold_out([*spokes, *pairs, *reals])
    assert "hub" in _people(kept, "train")
    # six people leave the hub: their 18 swaps with it, and the pairs that are cut
    assert 18 <= len(left_out) <= 18 + 4


def test_single_people_are_held_out_as_in_a_plain_folder() -> None:
    names = [f"p{i:02d}" for i in range(40)]
    kept, left_out = hold_out([_video(name) for name in names], {"val": 0.15})
    split_of = split_by_identity(names, 0, {"val": 0.15})
    assert {v.identities[0]: v.split for v in kept} == split_of and left_out == []
    assert sorted(split_of.values()) == ["train"] * 34 + ["val"] * 6


def test_a_small_set_gives_each_part_its_smallest_group() -> None:
    kept, left_out = hold_out([*_swapped("abc"), *_swapped("de"), *_swapped("fg")])
    assert left_out == []
    assert {frozenset(_people(kept, split)) for split in ("val", "test")} == {
        frozenset("de"),
        frozenset("fg"),
    }
    assert _people(kept, "train") == set("abc")


def test_people_whom_nothing_ties_are_shuffled_until_each_part_has_both_labels() -> None:
    """Fakes of originals that are not there: everybody has one label."""
    names = [f"p{i}" for i in range(12)]
    videos = [
        Video(Path(f"{n}.mp4"), int(i % 4 == 0), "d", "m", "", n, (n,), "train")
        for i, n in enumerate(names)
    ]
    first = split_by_identity(names, 0)
    assert {(first[v.video_id], v.label) for v in videos} != {
        (split, label) for split in ("train", "val", "test") for label in (0, 1)
    }, "the first shuffle must not do, else this shows nothing"
    kept, left_out = hold_out(videos)
    assert left_out == [] and len(kept) == 12
    assert len({(v.split, v.label) for v in kept}) == 6


def test_what_cannot_be_held_out_is_training_where_that_is_allowed() -> None:
    kept, left_out, notes = hold_out_if_possible([_video("a"), _video("b")])
    assert [v.split for v in kept] == ["train", "train"] and left_out == []
    assert len(notes) == 1 and notes[0].startswith("d: nobody is held out for val and test: ")
    assert hold_out_if_possible([]) == ([], [], [])
    videos = _swapped("abcdefghijklmnopqrst")
    assert hold_out_if_possible(videos) == (*hold_out(videos), [])


def test_too_few_people_is_said() -> None:
    assert hold_out([]) == ([], [])
    with pytest.raises(UserError, match="at least 3 identities"):
        hold_out([_video("a"), _video("b")])
    with pytest.raises(UserError, match="a part would lack reals or fakes"):
        hold_out(_swapped("abcd"))  # val and test of one person each can have no fake
