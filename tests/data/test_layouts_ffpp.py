"""FaceForensics++ and DeepFakeDetection, in full-size trees."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.layouts.ffpp import ffpp
from keras_ddl.edge.errors import UserError

Put = Callable[[Path, list[str]], None]
C23 = "c23/videos"


def _small(root: Path, put: Put, flat: bool = False) -> Path:
    """Six ids in three pairs, Deepfakes in c23 and c40."""
    splits = root if flat else root / "splits"
    splits.mkdir(parents=True, exist_ok=True)
    pairs = {"train": ["000", "001"], "val": ["002", "003"], "test": ["004", "005"]}
    for split, pair in pairs.items():
        (splits / f"{split}.json").write_text(json.dumps([pair]))
    for c in ("c23", "c40"):
        put(root, [f"original_sequences/youtube/{c}/videos/00{i}.mp4" for i in range(6)])
        for a, b in pairs.values():
            folder = f"manipulated_sequences/Deepfakes/{c}/videos"
            put(root, [f"{folder}/{a}_{b}.mp4", f"{folder}/{b}_{a}.mp4"])
    return root


def test_official_numbers_per_method_and_split(ffpp_root: Path) -> None:
    counts = Counter((v.method, v.label, v.split) for v in ffpp(ffpp_root).present())
    methods = {"Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"}
    assert counts == {
        (method, int(method != "real"), split): number
        for method in {"real", *methods}
        for split, number in (("train", 720), ("val", 140), ("test", 140))
    }


def test_keys_identities_and_masks(ffpp_root: Path) -> None:
    videos = list(ffpp(ffpp_root).present())
    assert len({v.key for v in videos}) == len(videos) == 6000
    first, second = json.loads((ffpp_root / "splits/val.json").read_text())[0]
    stem = f"{second}_{first}"
    same = [v for v in videos if v.video_id == stem]
    assert len(same) == 5 and {v.split for v in same} == {"val"}  # a key each for one stem
    assert all(v.identities == (second, first) for v in same)
    swapped = {v.method: v for v in same}
    assert swapped["FaceSwap"].mask is None
    masks = ffpp_root / "manipulated_sequences/Face2Face/masks/videos"
    assert swapped["Face2Face"].mask == masks / f"{stem}.mp4"
    assert swapped["Face2Face"].compression == "c23"
    in_split = {s: {i for v in videos if v.split == s for i in v.identities} for s in ("train",)}
    others = {i for v in videos if v.split != "train" for i in v.identities}
    assert len(in_split["train"]) == 720 and not in_split["train"] & others


def test_nothing_is_missing_from_a_whole_copy(ffpp_root: Path) -> None:
    index = ffpp(ffpp_root)
    assert index.missing == () and index.notes == ()
    assert {o.videos for o in index.official} == {720, 140} and len(index.official) == 18


@pytest.mark.parametrize("flat", [False, True])
def test_compressions_on_disk_and_both_places_of_the_splits(
    tmp_path: Path, put_files: Put, flat: bool
) -> None:
    videos = list(LAYOUTS["ffpp"](_small(tmp_path, put_files, flat)).present())
    assert Counter((v.compression, v.label) for v in videos) == {
        ("c23", 0): 6,
        ("c23", 1): 6,
        ("c40", 0): 6,
        ("c40", 1): 6,
    }
    assert len({v.key for v in videos}) == 24


def test_a_missing_file_warns_and_is_known(
    tmp_path: Path, put_files: Put, caplog: pytest.LogCaptureFixture
) -> None:
    root = _small(tmp_path, put_files)
    gone = root / "manipulated_sequences/Deepfakes/c40/videos/003_002.mp4"
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        videos = list(ffpp(root).present())
    assert len(videos) == 23 and gone not in {v.path for v in videos}
    assert f"1 of 24 listed videos are missing, the first is {gone}" in caplog.text
    assert [v.path for v in ffpp(root).missing] == [gone]


def test_fakes_of_a_compression_want_their_reals(tmp_path: Path, put_files: Put) -> None:
    root = _small(tmp_path, put_files)
    (root / "original_sequences/youtube/c40").rename(tmp_path / "elsewhere")
    missing = ffpp(root).missing
    assert [(v.video_id, v.compression) for v in missing] == [(f"00{i}", "c40") for i in range(6)]


def test_videos_in_no_split_are_noted(tmp_path: Path, put_files: Put) -> None:
    root = _small(tmp_path, put_files)
    put_files(root, [f"original_sequences/youtube/{C23}/777.mp4"])
    assert [note.partition(": ")[2] for note in ffpp(root).notes] == [
        "left out 1 videos that are in no split"
    ]


def test_what_is_not_faceforensics(tmp_path: Path, put_files: Put) -> None:
    with pytest.raises(UserError, match=r"expected FaceForensics\+\+"):
        list(ffpp(tmp_path).present())
    root = _small(tmp_path / "set", put_files)
    (root / "splits/val.json").write_text('{"002": "003"}')
    with pytest.raises(UserError, match="expected a list of pairs"):
        list(ffpp(root).present())
    (root / "splits/val.json").unlink()
    with pytest.raises(UserError, match=r"val\.json.*received neither"):
        list(ffpp(root).present())


def _actors(root: Path, put: Put) -> Path:
    """28 actors with two scenes each, everybody swapped with everybody in one."""
    numbers = [f"{i:02d}" for i in range(1, 29)]
    reals = [f"{a}__{scene}.mp4" for a in numbers for scene in ("kitchen_pan", "walking")]
    fakes = [f"{a}_{b}__walking__YR5OVD4S.mp4" for a, b in permutations(numbers, 2)]
    put(root, [f"original_sequences/actors/{C23}/{name}" for name in reals])
    put(root, [f"manipulated_sequences/DeepFakeDetection/{C23}/{name}" for name in fakes])
    put(root, [f"manipulated_sequences/DeepFakeDetection/masks/videos/{fakes[0]}"])
    return root


def test_dfd_holds_actors_out_and_loses_no_real(tmp_path: Path, put_files: Put) -> None:
    root = _actors(tmp_path, put_files)
    videos = list(LAYOUTS["dfd"](root).present())
    people = {
        s: {i for v in videos if v.split == s for i in v.identities}
        for s in ("train", "val", "test")
    }
    assert [len(people[s]) for s in people] == [20, 4, 4]  # 15 % of 28 is 4.2
    assert len(set.union(*people.values())) == 28
    assert Counter((v.split, v.label) for v in videos) == {
        ("train", 0): 40,
        ("val", 0): 8,
        ("test", 0): 8,
        ("train", 1): 20 * 19,
        ("val", 1): 4 * 3,
        ("test", 1): 4 * 3,
    }
    fake = next(v for v in videos if v.label)
    assert fake.video_id == f"{'_'.join(fake.identities)}__walking__YR5OVD4S"
    assert (fake.dataset, fake.method, fake.compression) == ("DFD", "DeepFakeDetection", "c23")
    assert (
        list(LAYOUTS["ffpp"](root).present()) == videos
    )  # without FaceForensics++ no splits are needed


def test_dfd_comes_beside_faceforensics_as_a_dataset_of_its_own(
    tmp_path: Path, put_files: Put, caplog: pytest.LogCaptureFixture
) -> None:
    root = _actors(_small(tmp_path, put_files), put_files)
    with caplog.at_level(logging.INFO):
        videos = list(ffpp(root).present())
    sizes = Counter(v.dataset for v in videos)
    assert sizes == {"FaceForensics++": 24, "DFD": 56 + 380 + 24}
    assert "DFD: left out 352 videos" in caplog.text  # 756 − 404
    masks = [v.mask.name for v in ffpp(root).left_out + tuple(videos) if v.mask]
    assert masks == ["01_02__walking__YR5OVD4S.mp4"]


def test_dfd_files_of_other_names_are_noted(tmp_path: Path, put_files: Put) -> None:
    root = _actors(tmp_path, put_files)
    put_files(root, [f"original_sequences/actors/{C23}/readme.mp4"])
    assert any("readme.mp4: left out" in note for note in ffpp(root).notes)
    with pytest.raises(UserError, match="expected DeepFakeDetection"):
        list(LAYOUTS["dfd"](root / "original_sequences").present())
