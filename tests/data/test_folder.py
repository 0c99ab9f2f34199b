"""The plain-folder layout."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from keras_ddl.data.layouts import LAYOUTS, read_index
from keras_ddl.data.layouts.folder import folder
from keras_ddl.data.layouts.held_out import split_by_identity
from keras_ddl.data.video_index import Video
from keras_ddl.edge.errors import UserError


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_given_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    _touch(
        root, "train/real/a_1.mp4", "train/fake/a_2.MP4", "val/fake/swap/x/b.avi", "test/real/c.mov"
    )
    videos = {video.video_id: video for video in folder(root).present()}
    assert {name: (v.split, v.label, v.method) for name, v in videos.items()} == {
        "a_1.mp4": ("train", 0, "real"),
        "a_2.MP4": ("train", 1, "fake"),
        "swap/x/b.avi": ("val", 1, "swap"),
        "c.mov": ("test", 0, "real"),
    }
    assert videos["a_1.mp4"].identities == ("a",)
    assert videos["a_1.mp4"].key == ("faces", "real", "", "a_1.mp4")
    assert videos["a_1.mp4"].path == root / "train/real/a_1.mp4"


def test_equal_stems_under_two_methods_have_two_keys(tmp_path: Path) -> None:
    _touch(tmp_path, "test/fake/f2f/000.mp4", "test/fake/swap/000.mp4", "test/real/000.mp4")
    assert len({video.key for video in folder(tmp_path).present()}) == 3


def test_without_splits_whole_identities_are_held_out(tmp_path: Path) -> None:
    for person in range(20):
        _touch(tmp_path, f"real/id{person:02d}_a.mp4", f"fake/id{person:02d}_b.mp4")
    videos = list(folder(tmp_path).present())
    people = {
        s: {v.identities[0] for v in videos if v.split == s} for s in ("train", "val", "test")
    }
    assert [len(people[s]) for s in ("train", "val", "test")] == [14, 3, 3]
    assert sum(map(len, people.values())) == len(set.union(*people.values()))
    assert all({v.label for v in videos if v.split == s} == {0, 1} for s in people)
    assert list(folder(tmp_path).present()) == videos
    assert list(folder(tmp_path, seed=1).present()) != videos


def test_held_out_split_does_not_depend_on_the_order_of_names() -> None:
    names = [f"p{i}" for i in range(9)]
    assert split_by_identity(names, 3) == split_by_identity([*reversed(names), "p4"], 3)
    assert sorted(split_by_identity("abc", 0).values()) == ["test", "train", "val"]


def test_other_files_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _touch(tmp_path, "train/real/a.mp4", "train/real/notes.txt", "train/real/._a.mp4")
    with caplog.at_level(logging.WARNING):
        assert [video.path.name for video in folder(tmp_path).present()] == ["a.mp4"]
    assert "left out 1 files" in caplog.text and "notes.txt" in caplog.text


def test_a_folder_of_videos_is_real_and_people_are_held_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for person in range(8):
        _touch(tmp_path, f"ann{person}_1.mp4", f"ann{person}_2.mp4", f"Bob {person}/talk.mov")
    with caplog.at_level(logging.WARNING):
        videos = list(folder(tmp_path).present())
    assert "its 24 videos are real" in caplog.text
    assert {video.label for video in videos} == {0} and len(videos) == 24
    by_split = {s: {v.identities for v in videos if v.split == s} for s in ("train", "val", "test")}
    assert sum(map(len, by_split.values())) == len(set.union(*by_split.values())) == 16
    assert ("Bob 3",) in set.union(*by_split.values())


def test_a_folder_that_sounds_of_fakes_is_not_taken_for_real(tmp_path: Path) -> None:
    _touch(tmp_path, "Real/a_1.mp4", "Fakes/b_1.mp4", "Real/c_1.mp4")
    with pytest.raises(UserError, match="received a folder Fakes; sort the videos"):
        folder(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds no video"),
        (("train/real/readme.txt",), "holds no video"),
        (("real/a_1.mp4", "fake/b_1.mp4"), "at least 3 identities"),
    ],
)
def test_what_cannot_be_a_dataset(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    _touch(tmp_path, *names)
    with pytest.raises(UserError, match=message):
        list(folder(tmp_path).present())


PREFIXED = [f"talk_{person}_{take}.mp4" for person in ("ann", "ben", "cleo") for take in range(2)]


def test_a_prefix_of_all_names_is_refused_with_the_option_that_helps(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"real/{name}" for name in PREFIXED))
    with pytest.raises(
        UserError, match=r"received 1 in 6 videos, .*first underscore; .*--identity"
    ):
        folder(tmp_path)


def test_a_pattern_says_who_is_in_a_video(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"real/{name}" for name in PREFIXED))
    _touch(tmp_path, *(f"fake/swap/{name}" for name in PREFIXED))
    index = read_index(tmp_path, "folder", "talk_([a-z]+)_")
    assert {v.identities for v in index.videos} == {("ann",), ("ben",), ("cleo",)}
    assert index.people == "what 'talk_([a-z]+)_' finds in their paths"
    assert len({(v.split, v.identities) for v in index.videos}) == 3  # nobody in two splits
    assert len({(v.split, v.label) for v in index.videos}) == 6
    whole = read_index(tmp_path, "folder", "ann|ben|cleo")  # no group: all that it matches
    assert [v.identities for v in whole.videos] == [v.identities for v in index.videos]


def test_a_pattern_may_find_two_people_and_ties_them(tmp_path: Path) -> None:
    pairs = [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h"), ("i", "j"), ("k", "l")]
    for one, other in pairs:
        _touch(tmp_path, f"real/x-{one}.mp4", f"real/x-{other}.mp4", f"fake/x-{one}-{other}.mp4")
    index = read_index(tmp_path, "folder", r"x-(\w)(?:-(\w))?")
    assert {v.identities for v in index.videos if v.label} == set(pairs)
    split_of = {person: v.split for v in index.videos for person in v.identities}
    assert all(split_of[p] == v.split for v in index.videos for p in v.identities)
    assert all(split_of[one] == split_of[other] for one, other in pairs)
    assert set(split_of.values()) == {"train", "val", "test"} and index.left_out == ()


def test_a_pattern_stands_above_a_folder_for_each_person(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"camera{n % 3}/p{n}.mp4" for n in range(6)))
    index = folder(tmp_path)
    assert {v.identities for v in index.videos} == {(f"camera{n}",) for n in range(3)}
    assert index.people == "their folders, or their file names up to the first underscore"
    named = read_index(tmp_path, "folder", r"p\d")
    assert {v.identities for v in named.videos} == {(f"p{n}",) for n in range(6)}


@pytest.mark.parametrize(
    ("layout", "pattern", "message"),
    [
        ("folder", "(", "--identity: expected a regular expression .*received '\\('"),
        ("folder", "zoe", "finds nobody; widen it"),
        ("folder", "(x)?talk", "finds nobody; widen it"),  # a group that takes part in nothing
        ("celebdf", "talk", "expected one of the layouts csv, folder with it, received celebdf"),
    ],
)
def test_a_pattern_that_cannot_be(layout: str, pattern: str, message: str, tmp_path: Path) -> None:
    _touch(tmp_path, *(f"real/{name}" for name in PREFIXED))
    with pytest.raises(UserError, match=message):
        read_index(tmp_path, layout, pattern)


def test_a_prefix_of_most_names_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _touch(tmp_path, *(f"train/real/{name}" for name in PREFIXED), "val/real/zoe_1.mp4")
    with caplog.at_level(logging.WARNING):
        list(folder(tmp_path).present())
    assert "talk is in 6 of 7 videos, by their file names up to the first underscore" in caplog.text
    caplog.clear()
    _touch(tmp_path, *(f"val/real/p{n}_1.mp4" for n in range(5)))  # half of them is not most
    with caplog.at_level(logging.WARNING):
        list(folder(tmp_path).present())
    assert "talk is in" not in caplog.text


def test_names_that_begin_with_an_underscore_are_not_one_person(tmp_path: Path) -> None:
    _touch(tmp_path, "train/real/_a.mp4", "train/real/_b.mp4")
    assert {v.identities for v in folder(tmp_path).videos} == {("_a",), ("_b",)}


def test_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a dataset folder"):
        list(LAYOUTS["folder"](tmp_path / "nowhere").present())


@pytest.mark.parametrize(("label", "split"), [(2, "train"), (0, "dev")])
def test_video_refuses_other_labels_and_splits(label: int, split: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Video(Path("a.mp4"), label, "d", "m", "", "a", ("a",), split)
