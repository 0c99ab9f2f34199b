"""DFDC with its fifty parts, and the preview."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.layouts.dfdc import dfdc
from keras_ddl.data.layouts.dfdc_preview import dfdc_preview
from keras_ddl.edge.errors import UserError

Put = Callable[[Path, list[str]], None]
ABROAD = "fake_of_000_in_40"
ORPHANS = ("orphan_in_34", "orphan_in_35")


def _entry(label: str, original: str | None = None) -> dict[str, str | None]:
    return {"label": label, "split": "train", "original": original}


def _parts(root: Path, put: Put) -> Path:
    """Two reals and six fakes in each of 50 parts; a fake of part 0's real lies in part 40, and
    parts 34 and 35 have a fake each of a real that is nowhere."""
    for part in range(50):
        entries = {f"real_{part:03d}_{i}.mp4": _entry("REAL") for i in range(2)}
        for name in tuple(entries):
            fakes = {f"fake{k}_{name}": _entry("FAKE", name) for k in range(3)}
            entries.update(fakes)
        if part == 40:
            entries[f"{ABROAD}.mp4"] = _entry("FAKE", "real_000_0.mp4")
        if part in (34, 35):
            entries[f"orphan_in_{part}.mp4"] = _entry("FAKE", "nowhere.mp4")
        folder = root / f"dfdc_train_part_{part}"
        put(folder, list(entries))
        (folder / "metadata.json").write_text(json.dumps(entries))
    return root


def test_parts_make_the_splits(tmp_path: Path, put_files: Put) -> None:
    index = dfdc(_parts(tmp_path, put_files))
    assert index.missing == ()
    regular = [v for v in index.videos if "orphan" not in v.video_id and ABROAD not in v.video_id]
    assert Counter((v.split, v.label) for v in regular) == {
        ("train", 0): 35 * 2,
        ("train", 1): 35 * 6,
        ("val", 0): 5 * 2,
        ("val", 1): 5 * 6,
        ("test", 0): 10 * 2,
        ("test", 1): 10 * 6,
    }
    assert len({v.key for v in index.videos}) == 50 * 8 + 3
    real = next(v for v in index.videos if v.video_id == "07/real_007_1")
    assert (real.method, real.identities, real.label) == ("real", ("real_007_1",), 0)
    assert [official.videos for official in index.official] == [119_154]


def test_a_fake_and_its_original_are_in_one_fold(tmp_path: Path, put_files: Put) -> None:
    videos = {v.video_id: v for v in dfdc(_parts(tmp_path, put_files)).present()}
    abroad = videos[f"40/{ABROAD}"]
    assert (abroad.split, abroad.identities) == ("train", ("real_000_0",))
    assert {videos[f"{name[-2:]}/{name}"].split for name in ORPHANS} == {"train"}
    folds: dict[str, set[str]] = {}
    for video in videos.values():
        folds.setdefault(video.identities[0], set()).add(video.split)
    assert all(len(splits) == 1 for splits in folds.values()) and len(folds) == 101


def test_a_missing_clip_warns(
    tmp_path: Path, put_files: Put, caplog: pytest.LogCaptureFixture
) -> None:
    root = _parts(tmp_path, put_files)
    gone = root / "dfdc_train_part_3/real_003_0.mp4"
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        assert len(list(dfdc(root).present())) == 402
    assert f"1 of 403 listed videos are missing, the first is {gone}" in caplog.text


@pytest.mark.parametrize(("table", "videos"), [("", "test"), ("test", ""), ("test", "videos")])
def test_the_labelled_test_set_is_a_dataset_of_its_own(
    tmp_path: Path, put_files: Put, table: str, videos: str
) -> None:
    folder = tmp_path / table
    put_files(folder / videos, ["aaa.mp4", "bbb.mp4"])
    (folder / "labels.csv").write_text("filename,label\naaa.mp4,1\nbbb.mp4,0\nccc.mp4,1\n")
    index = LAYOUTS["dfdc"](tmp_path).present()
    assert [(v.video_id, v.label, v.method, v.split, v.dataset) for v in index] == [
        ("bbb", 0, "real", "test", "DFDC-test"),
        ("aaa", 1, "fake", "test", "DFDC-test"),
    ]
    assert [v.path.name for v in dfdc(tmp_path).missing] == ["ccc.mp4"]


def _sample(root: Path, put: Put, originals: int = 20) -> Path:
    """Kaggle's folders: fakes of originals that are mostly elsewhere, and videos without labels."""
    entries = {}
    for number in range(originals):
        name = f"real{number:02d}.mp4"
        if number % 4 == 0:
            entries[name] = _entry("REAL")
        entries |= {f"fake{number:02d}_{k}.mp4": _entry("FAKE", name) for k in range(2)}
    put(root / "train_sample_videos", list(entries))
    (root / "train_sample_videos/metadata.json").write_text(json.dumps(entries))
    put(root / "test_videos", ["aaa.mp4"])
    (root / "sample_submission.csv").write_text("filename,label\naaa.mp4,0.5\n")
    return root


@pytest.mark.parametrize("below", ["", "train_sample_videos"])
def test_kaggles_sample_is_read_and_originals_are_held_out(
    tmp_path: Path, put_files: Put, below: str
) -> None:
    index = dfdc(_sample(tmp_path, put_files) / below)
    assert index.missing == index.left_out == index.official == ()
    assert {v.dataset for v in index.videos} == {"DFDC-sample"}
    assert Counter(v.label for v in index.videos) == {0: 5, 1: 40}
    assert len({(v.split, v.label) for v in index.videos}) == 6
    folds: dict[str, set[str]] = {}
    for video in index.videos:
        folds.setdefault(video.identities[0], set()).add(video.split)
    assert len(folds) == 20 and all(len(splits) == 1 for splits in folds.values())
    fake = next(v for v in index.videos if v.video_id == "fake04_1")
    assert (fake.original, fake.identities) == ("real04", ("real04",))
    assert [note.partition(": left out")[0] for note in index.notes] == (
        [] if below else [str(tmp_path / "test_videos")]
    )


def test_a_sample_of_one_original_is_read_and_all_of_it_is_for_training(
    tmp_path: Path, put_files: Put
) -> None:
    index = dfdc(_sample(tmp_path, put_files, originals=1))
    assert [(v.video_id, v.label, v.split) for v in index.videos] == [
        ("real00", 0, "train"),
        ("fake00_0", 1, "train"),
        ("fake00_1", 1, "train"),
    ]
    assert index.notes[0].startswith("DFDC-sample: nobody is held out for val and test: ")


def test_the_sample_beside_the_parts_is_left_out(tmp_path: Path, put_files: Put) -> None:
    index = dfdc(_sample(_parts(tmp_path, put_files), put_files))
    assert {v.dataset for v in index.videos} == {"DFDC"} and len(index.videos) == 403
    assert "its videos are those of the parts" in index.notes[0]


def test_parts_in_folders_of_their_archives(tmp_path: Path, put_files: Put) -> None:
    root = _parts(tmp_path / "flat", put_files)
    plain = [(v.key, v.split) for v in dfdc(root).videos]
    for folder in sorted(root.iterdir()):
        number = int(folder.name.rpartition("_")[2])
        outer = tmp_path / f"packed/dfdc_train_part_{number:02d}"
        outer.mkdir(parents=True)
        folder.rename(outer / folder.name)
    assert [(v.key, v.split) for v in dfdc(tmp_path / "packed").videos] == plain


@pytest.mark.parametrize("below", ["", "test", "test_videos"])
def test_the_test_set_whose_metadata_say_is_fake(
    tmp_path: Path, put_files: Put, below: str
) -> None:
    put_files(tmp_path / below, ["aaa.mp4", "bbb.mp4"])
    entries = {"aaa.mp4": {"is_fake": 1, "augmentations": []}, "bbb.mp4": {"is_fake": 0}}
    (tmp_path / below / "metadata.json").write_text(json.dumps(entries))
    index = dfdc(tmp_path)
    assert [(v.video_id, v.label, v.split, v.dataset) for v in index.videos] == [
        ("bbb", 0, "test", "DFDC-test"),
        ("aaa", 1, "test", "DFDC-test"),
    ]
    assert index.notes == ()


@pytest.mark.parametrize("below", ["", "test_videos"])
def test_videos_without_labels_are_refused_with_what_to_do(
    tmp_path: Path, put_files: Put, below: str
) -> None:
    put_files(tmp_path / "test_videos", ["aaa.mp4"])
    with pytest.raises(UserError, match=r"gives no labels .*deploy/scan\.py"):
        dfdc(tmp_path / below)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "expected DFDC"),
        ({"metadata.json": '{"a.mp4": {"label": "UNKNOWN"}}'}, "a.mp4: expected a label REAL"),
        ({"metadata.json": '{"../a.mp4": {"label": "REAL"}}'}, "received '../a.mp4'"),
        ({"metadata.json": '{"a.mp4": {"label": "FAKE", "original": 3}}'}, "file name of its orig"),
        ({"test/metadata.json": '{"a.mp4": {"is_fake": 2}}'}, "a.mp4: expected is_fake 0"),
        ({"labels.csv": "filename,label\n/etc/a.mp4,1\n"}, "received '/etc/a.mp4' and '1'"),
        ({"dfdc_train_part_0/metadata.json": '{"a.mp4": {"label": "fak"}}'}, "REAL or FAKE"),
        ({"dfdc_train_part_0/metadata.json": '{"a.mp4": "FAKE"}'}, "REAL or FAKE"),
        ({"dfdc_train_part_0/metadata.json": "[]"}, "expected an object"),
        ({"dfdc_train_part_0/metadata.json": '{"a.mp4'}, "not valid JSON"),
        ({"labels.csv": "file,label\na.mp4,1\n"}, "columns filename,label.*; add filename"),
        ({"labels.csv": "filename,label\n"}, "a line per video, received none"),
        ({"labels.csv": ""}, "add filename,label"),
        ({"labels.csv": f"filename,label\n{'a' * 200_000},1\n"}, "labels.csv: field larger than"),
        (
            {"labels.csv": "label,filename\n1\n"},
            "line 2: expected a file name .*received '' and '1'",
        ),
        ({"labels.csv": "filename,label\na.mp4,2\n"}, "line 2: .*0 .real.*'a.mp4' and '2'"),
        ({"labels.csv": "filename,label\n\na.mp4,2\n"}, "line 3: "),  # an empty line counts
    ],
)
def test_what_is_not_dfdc(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        list(dfdc(tmp_path).present())


def test_labels_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("filename,label\nmüller.mp4,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"expected a CSV file .*labels\.csv: 'utf-8' codec"):
        list(dfdc(tmp_path).present())


def test_a_part_of_another_number_is_noted(tmp_path: Path, put_files: Put) -> None:
    root = _parts(tmp_path, put_files)
    (root / "dfdc_train_part_49").rename(root / "dfdc_train_part_50")
    index = dfdc(root)
    assert len(index.videos) == 403 - 8 and "dfdc_train_part_50: left out" in index.notes[0]


def _preview(root: Path, put: Put) -> Path:
    """Ten pairs of people for training and two for test, swapped within the pair by A and B."""
    entries = {}
    for pair in range(12):
        people, part = (1000 + 2 * pair, 1001 + 2 * pair), "train" if pair < 10 else "test"
        for a, b in (people, people[::-1]):
            entries[f"original_videos/{a}/{a}_C_000.mp4"] = {"label": "real", "set": part}
            for method in ("A", "B"):
                name = f"method_{method}/{a}/{a}_{b}_{method}_000.mp4"
                entries[name] = {"label": "fake", "set": part, "augmentations": []}
    put(root, list(entries))
    (root / "dataset.json").write_text(json.dumps(entries))
    return root


def test_preview(tmp_path: Path, put_files: Put) -> None:
    index = dfdc_preview(_preview(tmp_path, put_files))
    assert index.missing == index.left_out == ()
    counts = Counter((v.split, v.method) for v in index.videos)
    # 15 % of 20 people: pairs stay whole, so four of them
    assert counts == {
        (split, method): number
        for split, number in (("train", 16), ("val", 4), ("test", 4))
        for method in ("real", "method_A", "method_B")
    }
    assert all(v.label == (v.method != "real") for v in index.videos)
    fake = next(v for v in index.videos if v.path.name == "1023_1022_B_000.mp4")
    assert fake.identities == ("1023", "1022") and fake.split == "test"
    assert fake.video_id == "method_B/1023/1023_1022_B_000"
    people = {s: {i for v in index.videos if v.split == s for i in v.identities} for s, _ in counts}
    assert sum(map(len, people.values())) == len(set.union(*people.values())) == 24


def test_preview_warns_and_refuses(
    tmp_path: Path, put_files: Put, caplog: pytest.LogCaptureFixture
) -> None:
    root = _preview(tmp_path, put_files)
    gone = root / "method_A/1022/1022_1023_A_000.mp4"
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        assert len(list(dfdc_preview(root).present())) == 71
    assert f"missing, the first is {gone}" in caplog.text
    (root / "dataset.json").write_text('{"a/b.mp4": {"label": "fake", "set": "val"}}')
    with pytest.raises(UserError, match="a set train or test"):
        list(dfdc_preview(root).present())
    (root / "dataset.json").unlink()
    with pytest.raises(UserError, match=r"cannot read .*dataset\.json"):
        list(LAYOUTS["dfdc_preview"](root).present())
