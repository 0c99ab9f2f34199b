"""Verifying datasets: what is wrong is found and named, what is right passes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("tqdm")

from keras_ddl.data.verify import Finding, Report, main, table, verify
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video.writer import VideoWriter

REALS_ALONE = "; for training on pseudo-fakes check --for pseudo-fakes"
ROOT = Path(__file__).resolve().parents[2]
Put = Callable[[Path, list[str]], None]
NAMES = [
    f"{split}/{kind}/{person}_{take}.mp4"
    for split, person in (("train", "anna"), ("val", "ben"), ("test", "cleo"))
    for kind in ("real", "fake")
    for take in range(2)
]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole plain folder of twelve real videos, no two alike."""
    root = tmp_path_factory.mktemp("films")
    noise = np.random.default_rng(3)
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(root / name, fps=25) as writer:
            for _ in range(5):
                writer.write(noise.integers(0, 256, (32, 48, 3), np.uint8))
    return root


@pytest.fixture
def root(films: Path, tmp_path: Path) -> Path:
    """The same, for a test to spoil."""
    return Path(shutil.copytree(films, tmp_path / "set"))


def _of(report: Report, kind: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind == kind]


def _kinds(report: Report) -> set[tuple[str, str]]:
    return {(finding.level, finding.kind) for finding in report.findings}


@pytest.mark.parametrize("content", ["none", "quick", "deep"])
def test_a_whole_set_passes(films: Path, content: str) -> None:
    report = verify(films, "folder", content)
    assert report.safe and report.findings == ()
    assert len(report.index.videos) == 12


def test_broken_files_are_named(root: Path) -> None:
    (root / NAMES[0]).write_bytes(b"")
    (root / NAMES[1]).write_text("this is no video\n" * 40)
    whole = (root / NAMES[2]).read_bytes()
    (root / NAMES[2]).write_bytes(whole[: len(whole) // 2])  # the index at the end is gone
    report = verify(root, "folder")
    assert not report.safe and _kinds(report) == {("error", "empty file"), ("error", "unreadable")}
    assert [f.files for f in _of(report, "empty file")] == [(str(root / NAMES[0]),)]
    assert {f.files for f in _of(report, "unreadable")} == {
        (str(root / name),) for name in NAMES[1:3]
    }
    assert _kinds(verify(root, "folder", "none")) == {("error", "empty file")}


def test_only_decoding_finds_a_film_cut_short(root: Path, write_mp4: Callable[..., Path]) -> None:
    noise = np.random.default_rng(5)
    path = root / NAMES[3]
    write_mp4(path, [noise.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(40)], gop=1)
    assert verify(root, "folder", "deep").findings == ()
    os.truncate(path, path.stat().st_size // 2)  # its index is at the beginning
    assert verify(root, "folder", "quick").findings == ()
    report = verify(root, "folder", "deep")
    assert report.safe and _kinds(report) == {("warning", "unreadable")}
    (finding,) = report.findings
    assert finding.files == (str(path),) and "of 40 frames" in finding.message


def test_the_same_content_in_two_parts_is_an_error(root: Path) -> None:
    shutil.copy(root / "train/real/anna_0.mp4", root / "test/real/dora_9.mp4")
    report = verify(root, "folder")
    assert not report.safe and _kinds(report) == {("error", "duplicate content")}
    (finding,) = report.findings
    assert set(finding.files) == {
        str(root / "train/real/anna_0.mp4"),
        str(root / "test/real/dora_9.mp4"),
    }
    assert verify(root, "folder", "none").findings == ()


def test_the_same_content_with_two_labels_is_an_error(root: Path) -> None:
    os.link(root / "train/real/anna_0.mp4", root / "train/fake/anna_9.mp4")
    assert _kinds(verify(root, "folder")) == {("error", "duplicate content")}


def test_the_same_content_twice_in_one_class_is_a_warning(root: Path) -> None:
    shutil.copy(root / "train/real/anna_0.mp4", root / "train/real/anna_9.mp4")
    report = verify(root, "folder")
    assert report.safe and _kinds(report) == {("warning", "duplicate content")}


def test_files_of_one_size_are_not_the_same(root: Path) -> None:
    longest = max((root / name).stat().st_size for name in NAMES)
    for name in NAMES:  # what follows the last box of an mp4 is not read
        with (root / name).open("ab") as file:
            file.write(bytes(longest - (root / name).stat().st_size))
    assert not _of(verify(root, "folder"), "duplicate content")


def test_a_person_in_two_parts_is_an_error_that_names_person_and_files(root: Path) -> None:
    shutil.move(root / "val/fake/ben_1.mp4", root / "test/fake/ben_1.mp4")
    report = verify(root, "folder", "none")
    assert not report.safe and _kinds(report) == {("error", "identity leak")}
    (leak,) = report.findings
    assert "ben is in val (3: " in leak.message and "and test (1: " in leak.message
    assert str(root / "test/fake/ben_1.mp4") in leak.message
    assert set(leak.files) == {
        str(root / name)
        for name in ("val/real/ben_0.mp4", "val/real/ben_1.mp4", "val/fake/ben_0.mp4")
    } | {str(root / "test/fake/ben_1.mp4")}


def test_the_source_of_a_fake_leaks_as_its_target_does(root: Path) -> None:
    rows = [
        "train/real/anna_0.mp4,0,train,anna",
        "train/fake/anna_0.mp4,1,train,anna;donor",
        "val/real/ben_0.mp4,0,val,ben",
        "val/fake/ben_0.mp4,1,val,ben;donor",
    ]
    (root / "manifest.csv").write_text("\n".join(["path,label,split,identity", *rows]))
    leaks = _of(verify(root, "csv", "none"), "identity leak")
    assert len(leaks) == 1 and "donor is in train" in leaks[0].message
    assert leaks[0].files == (
        str(root / "train/fake/anna_0.mp4"),
        str(root / "val/fake/ben_0.mp4"),
    )


def test_two_videos_of_one_key_are_an_error(root: Path) -> None:
    rows = ["a_0,train/real/anna_0.mp4", "a_0,train/real/anna_1.mp4", "b_0,val/real/ben_0.mp4"]
    lines = [f"{row},real,{row.split(',')[1].split('/')[0]}" for row in rows]
    (root / "manifest.csv").write_text("\n".join(["video,path,label,split", *lines]))
    report = verify(root, "csv", "none")
    (doubled,) = _of(report, "duplicate key")
    assert doubled.level == "error" and "'a_0'" in doubled.message
    assert {Path(file).name for file in doubled.files} == {"anna_0.mp4", "anna_1.mp4"}
    lacking = {f.message: f.level for f in _of(report, "empty part")}
    assert lacking == {
        f"train has no fake video{REALS_ALONE}": "error",
        f"val has no fake video{REALS_ALONE}": "error",
        "test has no real video": "warning",
        f"test has no fake video{REALS_ALONE}": "warning",
    }


def test_reals_alone_are_safe_for_pseudo_fakes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val", "test"):
        shutil.rmtree(root / split / "fake")
    report = verify(root, "folder", "none")
    assert not report.safe
    assert [f.message for f in _of(report, "empty part")] == [
        f"{split} has no fake video{REALS_ALONE}" for split in ("train", "val", "test")
    ]
    report = verify(root, "folder", "none", purpose="pseudo-fakes")
    assert report.safe and report.findings == () and report.to_dict()["for"] == "pseudo-fakes"
    assert main([str(root), "--for", "pseudo-fakes", "--processes", "1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "safe to train on with pseudo-fakes; 0 warnings"
    shutil.rmtree(root / "val/real")
    assert main([str(root), "--for", "pseudo-fakes", "--no-content"]) == 4
    out = capsys.readouterr().out.splitlines()
    assert "error: empty part: val has no real video" in out
    assert out[-1] == "NOT safe to train on with pseudo-fakes: 1 errors; 0 warnings"
    with pytest.raises(ValueError, match="expected one of fakes, pseudo-fakes"):
        verify(root, "folder", "none", purpose="cats")


def test_who_is_who_is_shown_and_a_prefix_is_warned_of(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [root / name for name in NAMES]
    for file in files:
        file.rename(file.with_name(f"talk_{file.name}"))
    report = verify(root, "folder", "none")
    (prefix,) = _of(report, "one person")
    assert prefix.level == "warning" and "talk is in 12 of 12 videos" in prefix.message
    assert "--identity PATTERN" in prefix.message and _of(report, "identity leak")
    out = tmp_path / "report.json"
    options = ["--identity", "talk_([a-z]+)", "--no-content", "--json", str(out)]
    assert main([str(root), *options]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "people: 3, taken from what 'talk_([a-z]+)' finds in their paths" in printed
    facts = json.loads(out.read_text())
    assert (facts["people"], facts["identity"]) == (3, "talk_([a-z]+)")
    assert main([str(root), "--identity", "(", "--no-content"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_all_of_faceforensics(ffpp_root: Path) -> None:
    report = verify(ffpp_root, "ffpp", "none")
    assert report.safe and report.findings == ()
    facts = report.to_dict()
    assert facts["videos"] == 6000 and facts["masks"] == 1000
    assert len(facts["counts"]) == len(facts["official"]) == 18
    assert all(entry["found"] == entry["videos"] for entry in facts["official"])
    assert {(c["split"], c["videos"]) for c in facts["counts"]} == {
        ("train", 720),
        ("val", 140),
        ("test", 140),
    }
    lines = [line.split() for line in table(report).splitlines()]
    assert ["FaceForensics++", "NeuralTextures", "c23", "fake", "720", "140", "140"] in lines


def _linked(root: Path, ffpp_root: Path) -> Path:
    """The same videos below a root whose split files can be changed."""
    root.mkdir()
    for name in ("original_sequences", "manipulated_sequences"):
        (root / name).symlink_to(ffpp_root / name)
    return Path(shutil.copytree(ffpp_root / "splits", root / "splits").parent)


def test_an_id_in_two_official_splits_is_found(tmp_path: Path, ffpp_root: Path) -> None:
    root = _linked(tmp_path / "ff", ffpp_root)
    pairs = {s: json.loads((root / f"splits/{s}.json").read_text()) for s in ("train", "test")}
    person = pairs["train"][5][0]
    pairs["test"][3] = [*pairs["test"][3][:1], person]
    (root / "splits/test.json").write_text(json.dumps(pairs["test"]))
    report = verify(root, "ffpp", "none")
    leaks = [f for f in report.findings if f.kind == "identity leak"]
    assert len(leaks) == 1 and not report.safe
    assert leaks[0].message.startswith(f"FaceForensics++: {person} is in train (")
    real = root / f"original_sequences/youtube/c23/videos/{person}.mp4"
    assert str(real) in leaks[0].files
    # the real is listed twice, the fakes of the made-up pair do not exist
    assert [f.files for f in _of(report, "duplicate key")] == [(str(real),) * 2]
    assert len(report.index.missing) == 10


def test_missing_files_and_other_counts_are_warnings(
    tmp_path: Path, ffpp_root: Path, put_files: Put
) -> None:
    root = _linked(tmp_path / "ff", ffpp_root)
    (root / "manipulated_sequences").unlink()
    folder = "manipulated_sequences/Deepfakes/c23/videos"
    shutil.copytree(ffpp_root / folder, root / folder)
    first, second = json.loads((root / "splits/val.json").read_text())[0]
    (root / folder / f"{first}_{second}.mp4").unlink()
    report = verify(root, "ffpp", "none")
    assert report.safe and _kinds(report) == {("warning", "missing"), ("warning", "count")}
    (missing,) = _of(report, "missing")
    assert missing.files == (str(root / folder / f"{first}_{second}.mp4"),)
    (count,) = _of(report, "count")
    assert count.message == "FaceForensics++ val fake Deepfakes c23: 139 of 140 videos"
    assert report.to_dict()["missing"] == list(missing.files)


def test_people_whom_celebdf_itself_shares_are_warnings(celebdf_root: Path) -> None:
    report = verify(celebdf_root, "celebdf", "none")
    assert report.safe and _kinds(report) == {("warning", "published overlap")}
    assert {o["found"] for o in report.to_dict()["official"]} == {890, 5639, 518}


def test_fakes_left_out_are_no_lack_of_files(tmp_path: Path, put_files: Put) -> None:
    people = range(20)
    swaps = [f"Celeb-synthesis/id{a}_id{b}_0000.mp4" for a in people for b in people if a != b]
    put_files(tmp_path, swaps + [f"Celeb-real/id{i}_0000.mp4" for i in people])
    (tmp_path / "List_of_testing_videos.txt").write_text("")
    report = verify(tmp_path, "celebdf", "none")
    assert [f.message for f in _of(report, "count")] == [
        "Celeb-DF-v1 real: 20 of 408 videos",
        "Celeb-DF-v1 fake: 380 of 795 videos",
    ]
    assert len(report.to_dict()["left_out"]) == 102


def test_command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json"
    one = ["--processes", "1"]
    assert main([str(root), "--json", str(out), *one]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "safe to train on; 0 warnings"
    assert "open: 100%" in printed.err and "12/12" in printed.err
    facts = json.loads(out.read_text())
    assert facts["safe"] is True and facts["layout"] == "folder" and facts["content"] == "quick"
    assert facts["root"] == str(root)

    shutil.copy(root / "train/real/anna_0.mp4", root / "val/real/ben_7.mp4")
    for number in range(8):
        (root / f"test/fake/anna{number}_0.mp4").touch()
    assert main([str(root), "--json", str(out), "--deep", *one]) == 4
    printed = capsys.readouterr()
    assert "error: duplicate content: 2 files with the same content: train real" in printed.out
    assert "error: empty file: … 3 more" in printed.out  # eight, five of them shown
    assert printed.out.splitlines()[-1] == "NOT safe to train on: 9 errors; 0 warnings"
    facts = json.loads(out.read_text())
    assert facts["safe"] is False and facts["content"] == "deep"
    assert sum(f["kind"] == "empty file" for f in facts["findings"]) == 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.json", "set"]
    assert main([str(root), "--no-content"]) == 4


def test_command_refuses(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root / "nowhere")]) == 2
    assert "expected a dataset folder" in capsys.readouterr().err
    assert main([str(root), "--layout", "ffpp"]) == 2
    assert main([str(root), "--json", str(root / "no/such/report.json")]) == 2
    assert "--json: expected a file in a folder" in capsys.readouterr().err
    assert main([str(root), "--json", str(root)]) == 2
    assert "--json: expected a file in a folder" in capsys.readouterr().err


def test_names_that_are_no_utf8_and_of_two_lines(root: Path, tmp_path: Path) -> None:
    odd = os.fsencode(root) + b"/train/real/anna\xe9\n.mp4"
    os.rename(root / NAMES[0], odd)
    shutil.copy(odd, root / "test/real/anna_9.mp4")  # a finding that names both
    out = tmp_path / "report.json"
    command = [sys.executable, "-m", "keras_ddl.data.verify", str(root), "--processes", "1"]
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--json", str(out)], capture_output=True, env=environment, timeout=120
    )
    assert done.returncode == 4 and b"Traceback" not in done.stderr, done.stderr
    assert b"anna\\udce9" in done.stdout
    files = [name for found in json.loads(out.read_text())["findings"] for name in found["files"]]
    assert os.fsdecode(odd) in files  # the very name
    named = [*command, "--identity", "nobody"]
    done = subprocess.run(named, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_a_file_that_hangs_is_a_finding(root: Path, run_with_a_death: Any) -> None:
    command, arguments = "keras_ddl.data.verify", ["--processes", "1", "--file-timeout", "8"]
    where = "keras_ddl.edge.video:read_video"
    done = run_with_a_death(command, where, Path(NAMES[5]).name, root, *arguments, hang=600)
    assert done.returncode == 4 and "Traceback" not in done.stderr, done.stderr
    assert f"{root / NAMES[5]}: not done after 8 s, the bound on time" in done.stdout


def test_two_processes_find_the_same(root: Path) -> None:
    for name in NAMES[4:7]:
        (root / name).write_text("this is no video\n" * 40)
    assert verify(root, "folder", processes=2) == verify(root, "folder")


def test_tensorflow_is_not_needed(films: Path) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['tf_keras'] = None\n"
        "from keras_ddl.data.verify import main\n"
        "sys.exit(main([sys.argv[1], '--deep', '--processes', '1']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(films)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("safe to train on; 0 warnings\n")


def test_wrong_content(films: Path) -> None:
    with pytest.raises(ValueError, match="expected one of none, quick, deep"):
        verify(films, "folder", "thorough")
    with pytest.raises(UserError, match="expected FaceForensics"):
        verify(films, "ffpp")


def test_a_file_that_kills_its_worker_is_one_finding(films: Path, run_with_a_death: Any) -> None:
    done = run_with_a_death(
        "keras_ddl.data.verify",
        "keras_ddl.edge.video:read_video",
        "fake/anna_1.mp4",
        films,
        "--deep",
    )
    assert done.returncode == 4, done.stderr
    assert done.stdout.count("2 worker processes died over it (SIGKILL)") == 1
    assert done.stdout.endswith("NOT safe to train on: 1 errors; 0 warnings\n")
