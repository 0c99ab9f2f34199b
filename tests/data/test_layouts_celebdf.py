"""Celeb-DF in a full-size tree, and its inverted list."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.layouts.celebdf import celebdf
from keras_ddl.edge.errors import UserError

Put = Callable[[Path, list[str]], None]
LIST = "List_of_testing_videos.txt"


def _small(root: Path, put: Put, level: str = "") -> Path:
    """Four people, two of them swapped with each other and two with each other, and strangers."""
    put(root, [f"Celeb-real/{level}id{i}_000{n}.mp4" for i in range(4) for n in range(2)])
    swaps = ((0, 1), (1, 0), (2, 3), (3, 2))
    put(root, [f"Celeb-synthesis/{level}id{a}_id{b}_0000.mp4" for a, b in swaps])
    put(root, [f"YouTube-real/{level}0000{i}.mp4" for i in range(8)])
    (root / LIST).write_text(
        "1 Celeb-real/id0_0001.mp4\n0 Celeb-synthesis/id2_id3_0000.mp4\n1 YouTube-real/00007.mp4\n"
    )
    return root


def test_official_numbers(celebdf_root: Path) -> None:
    index = celebdf(celebdf_root)
    assert index.missing == ()
    everything = [*index.videos, *index.left_out]
    assert Counter(v.label for v in everything) == {0: 890, 1: 5639}
    assert {v.dataset for v in everything} == {"Celeb-DF-v2"}
    test = [v for v in index.videos if v.split == "test"]
    assert Counter(v.label for v in test) == {0: 178, 1: 340} and len(test) == 518
    assert len({v.key for v in everything}) == 890 + 5639


def test_the_test_part_is_the_list_with_its_labels_turned(celebdf_root: Path) -> None:
    lines = [line.split() for line in (celebdf_root / LIST).read_text().splitlines()]
    expected = {name.removesuffix(".mp4"): {"1": 0, "0": 1}[label] for label, name in lines}
    test = {v.video_id: v.label for v in celebdf(celebdf_root).present() if v.split == "test"}
    assert test == expected and len(test) == 518
    assert all(test[name] == name.startswith("Celeb-synthesis") for name in test)


def test_validation_people_are_nobody_else_in_training(celebdf_root: Path) -> None:
    index = celebdf(celebdf_root)
    people = {
        s: {i for v in index.videos if v.split == s for i in v.identities} for s in ("train", "val")
    }
    assert not people["train"] & people["val"]
    celebrities = {name for name in people["val"] if name.startswith("id")}
    # one group of ten swapped among themselves: whole, so that no fake is lost
    assert celebrities in ({f"id{i}" for i in range(39, 49)}, {f"id{i}" for i in range(49, 59)})
    assert index.left_out == ()
    strangers = {name for name in people["val"] if name.startswith("YouTube-real/")}
    assert len(strangers) == round(0.15 * 230)
    assert Counter(v.label for v in index.videos if v.split == "val")[1] > 800
    assert celebdf(celebdf_root) == index


def test_what_the_names_say(tmp_path: Path, put_files: Put) -> None:
    videos = {v.video_id: v for v in LAYOUTS["celebdf"](_small(tmp_path, put_files)).present()}
    assert len(videos) == 20 and {v.dataset for v in videos.values()} == {"Celeb-DF-v1"}
    fake = videos["Celeb-synthesis/id2_id3_0000"]
    assert (fake.label, fake.method, fake.identities) == (1, "Celeb-synthesis", ("id2", "id3"))
    assert (fake.split, fake.path) == ("test", tmp_path / "Celeb-synthesis/id2_id3_0000.mp4")
    real = videos["YouTube-real/00007"]
    assert (real.label, real.method, real.split) == (0, "real", "test")
    assert real.identities == ("YouTube-real/00007",)
    assert videos["Celeb-real/id0_0001"].split == "test"
    assert videos["Celeb-real/id0_0000"].split != "test"


@pytest.mark.parametrize("level", ["videos/"])
def test_a_videos_level_and_other_capitals_are_accepted(
    tmp_path: Path, put_files: Put, level: str
) -> None:
    plain = list(celebdf(_small(tmp_path / "a", put_files)).present())
    root = _small(tmp_path / "b", put_files, level)
    (root / "YouTube-real").rename(root / "Youtube-real")
    deeper = list(celebdf(root).present())
    assert [(v.key, v.split, v.label) for v in deeper] == [(v.key, v.split, v.label) for v in plain]
    assert all(v.path.parent.name == "videos" for v in deeper)


def test_a_missing_listed_file_warns(
    tmp_path: Path, put_files: Put, caplog: pytest.LogCaptureFixture
) -> None:
    root = _small(tmp_path, put_files)
    gone = root / "Celeb-synthesis/id2_id3_0000.mp4"
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        assert len(list(celebdf(root).present())) == 19
    assert f"1 of 20 listed videos are missing, the first is {gone}" in caplog.text
    (missing,) = celebdf(root).missing
    assert (missing.path, missing.label, missing.split) == (gone, 1, "test")


def _plus(root: Path, put: Put, level: str = "") -> Path:
    """Twelve people in pairs, each swapped, reenacted and made to talk; a test list of one each."""
    put(root, [f"Celeb-real/id{i}_000{n}.mp4" for i in range(12) for n in range(2)])
    for i in range(0, 12, 2):
        pair = [f"id{i}_id{i + 1}_0000", f"id{i + 1}_id{i}_0000"]
        put(root, [f"Celeb-synthesis/FaceSwap/SimSwap/{level}{stem}.mp4" for stem in pair])
        put(root, [f"Celeb-synthesis/FaceReenact/LIA/{level}{stem}.mp4" for stem in pair])
        put(root, [f"Celeb-synthesis/TalkingFace/FLOAT/{level}id{i}_0000_test_id00012_x.mp4"])
    lines = (
        "1 Celeb-real/id0_0001.mp4",
        "0 Celeb-synthesis/FaceSwap/SimSwap/id0_id1_0000.mp4",
        "0 Celeb-synthesis/FaceReenact/LIA/id1_id0_0000.mp4",
        "0 Celeb-synthesis/TalkingFace/FLOAT/id0_0000_test_id00012_x.mp4",
    )
    (root / LIST).write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("level", ["", "videos/"])
def test_the_methods_of_celebdf_plus_plus(tmp_path: Path, put_files: Put, level: str) -> None:
    index = celebdf(_plus(tmp_path, put_files, level))
    assert index.missing == index.left_out == () and index.notes == ()
    assert {v.dataset for v in index.videos} == {"Celeb-DF++"}
    assert Counter(v.method for v in index.videos) == {
        "real": 24,
        "FaceSwap/SimSwap": 12,
        "FaceReenact/LIA": 12,
        "TalkingFace/FLOAT": 6,
    }
    assert len({v.key for v in index.videos}) == 24 + 12 + 12 + 6
    videos = {v.video_id: v for v in index.videos}
    swap = videos["Celeb-synthesis/FaceSwap/SimSwap/id0_id1_0000"]
    assert (swap.split, swap.label, swap.identities) == ("test", 1, ("id0", "id1"))
    talk = videos["Celeb-synthesis/TalkingFace/FLOAT/id2_0000_test_id00012_x"]
    assert talk.identities == ("id2",)  # the voice is nobody's of this set
    assert Counter(v.label for v in index.videos if v.split == "test") == {0: 1, 1: 3}
    people = {
        s: {i for v in index.videos if v.split == s for i in v.identities} for s in ("train", "val")
    }
    assert people["val"] and not people["train"] & people["val"]
    official = {(o.split, o.method): o.videos for o in index.official if o.label}
    assert official == {
        ("test", "FaceSwap/SimSwap"): 200,
        ("test", "FaceReenact/LIA"): 200,
        ("test", "TalkingFace/FLOAT"): 300,
    }


def test_a_missing_fake_of_a_method_is_named_with_its_folder(
    tmp_path: Path, put_files: Put
) -> None:
    root = _plus(tmp_path, put_files)
    gone = root / "Celeb-synthesis/FaceReenact/LIA/id1_id0_0000.mp4"
    gone.unlink()
    (missing,) = celebdf(root).missing
    assert (missing.path, missing.method) == (gone, "FaceReenact/LIA")


def test_a_part_of_it_with_too_few_people_is_read_all_the_same(
    tmp_path: Path, put_files: Put
) -> None:
    put_files(tmp_path, ["Celeb-real/id0_0000.mp4"])
    fakes = [f"Celeb-synthesis/FaceSwap/{m}/id0_id1_0000.mp4" for m in ("GHOST", "UniFace")]
    put_files(tmp_path, fakes)
    (tmp_path / LIST).write_text(f"1 Celeb-real/id0_0000.mp4\n0 {fakes[0]}\n")
    index = celebdf(tmp_path)
    assert [(v.method, v.split) for v in index.videos] == [
        ("FaceSwap/UniFace", "train"),
        ("real", "test"),
        ("FaceSwap/GHOST", "test"),
    ]
    assert index.notes[0].startswith("Celeb-DF++: nobody is held out for val: ")


def test_files_of_other_names_are_counted_in_one_note(tmp_path: Path, put_files: Put) -> None:
    root = _small(tmp_path, put_files)
    put_files(root, ["Celeb-synthesis/a.mp4", "Celeb-synthesis/b.mp4"])
    (note,) = celebdf(root).notes
    assert note == (
        f"{root / 'Celeb-synthesis'}: left out 2 files, the first is a.mp4: "
        "they are not named like Celeb-DF's videos"
    )


def test_people_all_tied_together_lose_the_mixed_fakes(tmp_path: Path, put_files: Put) -> None:
    people = range(20)
    put_files(tmp_path, [f"Celeb-real/id{i}_0000.mp4" for i in people])
    put_files(
        tmp_path,
        [f"Celeb-synthesis/id{a}_id{b}_0000.mp4" for a in people for b in people if a != b],
    )
    (tmp_path / LIST).write_text("")
    index = celebdf(tmp_path)
    # three people are 15 %: of 20·19 fakes 17·16 are for training and 3·2 for validation
    counts = Counter((v.split, v.label) for v in index.videos)
    assert counts == {("train", 0): 17, ("val", 0): 3, ("train", 1): 272, ("val", 1): 6}
    assert len(index.left_out) == 102
    assert index.notes == ("Celeb-DF-v1: left out 102 videos: they show people of two splits",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 Celeb-real/id0_0001.mp4", "contradicts its folder.*1 is real"),  # labels set right
        ("real Celeb-real/id0_0001.mp4", "line 1: expected such as"),
        ("1 id0_0001.mp4", "line 1: expected such as"),
        ("1 Celeb-real/hello.mp4", "no Celeb-DF file name"),
        ("1 Celeb-real/../../id0_0001.mp4", "line 1: expected such as"),
    ],
)
def test_a_list_that_is_not_the_published_one(
    tmp_path: Path, put_files: Put, line: str, message: str
) -> None:
    root = _small(tmp_path, put_files)
    (root / LIST).write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        list(celebdf(root).present())


def test_what_is_not_celebdf(tmp_path: Path, put_files: Put) -> None:
    with pytest.raises(UserError, match="expected Celeb-DF"):
        list(celebdf(tmp_path).present())
    (_small(tmp_path, put_files) / LIST).unlink()
    with pytest.raises(UserError, match=r"expected .*List_of_testing_videos\.txt"):
        list(celebdf(tmp_path).present())
