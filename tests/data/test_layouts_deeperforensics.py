"""DeeperForensics-1.0 beside a full FaceForensics++."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.layouts.deeperforensics import deeperforensics
from keras_ddl.data.verify import verify
from keras_ddl.edge.errors import MISSING, UserError

Put = Callable[[Path, list[str]], None]
VARIANTS = ("end_to_end", "end_to_end_level_5", "reenact_postprocess")


@pytest.fixture
def deeper(tmp_path: Path, put_files: Put) -> Path:
    """703, 96 and 201 fakes of 1,000 targets by 100 actors, 71, 9 and 20 of them, 3 variants."""
    root = tmp_path / "DeeperForensics-1.0"
    (root / "lists/splits").mkdir(parents=True)
    actors = {
        "train": [f"M{i:03d}" for i in range(71)],
        "val": [f"W{i:03d}" for i in range(9)],
        "test": [f"W{i:03d}" for i in range(100, 120)],
    }
    target = 0
    for split, count in (("train", 703), ("val", 96), ("test", 201)):
        people = actors[split]
        names = [f"{target + i:03d}_{people[i % len(people)]}.mp4" for i in range(count)]
        target += count
        (root / f"lists/splits/{split}.txt").write_text("\n".join(names) + "\n")
        put_files(root / "manipulated_videos", [f"{v}/{n}" for v in VARIANTS for n in names])
    put_files(root, ["source_videos/M000/M000_light_up_happy_camera_front.mp4"])
    return root


def test_official_numbers_with_reals_from_beside(deeper: Path, ffpp_root: Path) -> None:
    (deeper.parent / "FaceForensics++").symlink_to(ffpp_root)
    videos = list(LAYOUTS["deeperforensics"](deeper).present())
    assert Counter((v.method, v.label, v.split) for v in videos) == {
        (method, int(method != "real"), split): number
        for method in ("real", *VARIANTS)
        for split, number in (("train", 703), ("val", 96), ("test", 201))
    }
    assert len({v.key for v in videos}) == 4000
    assert not any("source_videos" in v.path.parts for v in videos)
    split_of = {v.video_id: v.split for v in videos if v.method == "real"}
    assert all(split_of[v.video_id[:3]] == v.split for v in videos if v.label)
    fake = next(v for v in videos if v.video_id == "702_M063")
    assert fake.identities == ("702", "M063") and fake.split == "train"
    real = next(v for v in videos if v.video_id == "702")
    reals = deeper.parent / "FaceForensics++/original_sequences/youtube/c23/videos"
    assert real.path == reals / "702.mp4" and real.identities == ("702",)


def test_a_sub_folder_comes_before_a_sibling(deeper: Path, ffpp_root: Path, put_files: Put) -> None:
    (deeper.parent / "FaceForensics++").symlink_to(ffpp_root)
    inside = "target_videos/original_sequences/youtube/c23/videos"
    put_files(deeper, [f"{inside}/{i:03d}.mp4" for i in range(999)])
    index = deeperforensics(deeper)
    assert index.notes == (f"DeeperForensics-1.0: reals from {deeper / inside}",)
    assert [v.path for v in index.missing] == [deeper / inside / "999.mp4"]
    assert sum(v.label == 0 for v in index.videos) == 999


def test_without_faceforensics_the_error_says_where_it_belongs(deeper: Path) -> None:
    with pytest.raises(UserError, match=r"original_sequences/youtube/c23.*in it or beside") as info:
        list(deeperforensics(deeper).present())
    assert info.value.exit_code == MISSING


def test_what_is_not_deeperforensics(deeper: Path, ffpp_root: Path) -> None:
    (deeper / "ff").symlink_to(ffpp_root)
    lists = deeper / "lists/splits"
    (lists / "val.txt").write_text("000_M101.mp4 end_to_end/1_M101.mp4\n")
    with pytest.raises(UserError, match="expected such as 000_M101"):
        list(deeperforensics(deeper).present())
    (lists / "val.txt").unlink()
    with pytest.raises(UserError, match=r"expected .*val\.txt.*lists"):
        list(deeperforensics(deeper).present())
    with pytest.raises(UserError, match="expected DeeperForensics"):
        list(deeperforensics(ffpp_root).present())


def test_published_splits_share_nobody_and_other_lists_that_do_are_told_of(
    deeper: Path, ffpp_root: Path, put_files: Put
) -> None:
    (deeper.parent / "FaceForensics++").symlink_to(ffpp_root)

    def leaks() -> list[str]:
        report = verify(deeper, "deeperforensics", content="none")
        return [f.message for f in report.findings if f.kind == "identity leak"]

    assert leaks() == []
    (deeper / "lists/splits/val.txt").write_text("703_M000.mp4\n")  # M000 is in train
    put_files(deeper / "manipulated_videos/end_to_end", ["703_M000.mp4"])
    assert [message.split(" is in ")[0] for message in leaks()] == ["DeeperForensics-1.0: M000"]
