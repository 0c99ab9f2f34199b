"""`python -m deploy.evidence`: every kind of tampering is found, and scores are proven again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

from deploy.bundle import Bundle
from deploy.evidence.__main__ import main
from deploy.evidence.pictures import clip_from_png, png_from_clip
from deploy.evidence.verify import verify
from deploy.judging.records import ScoredClip
from deploy.judging.verdict import Decision, Label
from deploy.sinks.base import Output
from deploy.sinks.evidence_folder import EvidenceFolder
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.video import Frame

EVENTS = ("a", "b", "c")
ROOT = Path(__file__).resolve().parents[3]


def clip_of(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(60 + 20 * number, 256, (8, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, brightness: Callable[[np.ndarray], np.ndarray]
) -> Path:
    """Three events of one clip each, judged as the fixture model's formula says."""
    root = tmp_path_factory.mktemp("evidence") / "root"
    model = tmp_path_factory.mktemp("model")
    (model / "model.onnx").write_bytes(b"only hashed")
    spec = ClipSpec(size=64, weights_sha256=hashlib.sha256(b"brightness").hexdigest())
    bundle = Bundle(model, spec, spec.weights_sha256[:12], "synthetic")
    with EvidenceFolder(root, bundle, pre_ms=0, post_ms=0) as sink:
        for number, event in enumerate(EVENTS):
            frames = clip_of(number)
            score = float(brightness(frames[None])[0])
            times = 1000.0 * number + 40.0 * np.arange(8)
            decision = Decision(Label.FAKE, score, "high")
            clip = ScoredClip(Clip(frames, times, 1), (4, 4, 20, 20), score, decision)
            verdict = {"type": "verdict", "track": 1, "verdict": "FAKE", "event": event}
            record = {**verdict, "time_ms": times[-1], "at": f"2026-11-25T10:00:0{number}.000"}
            frame = Frame(np.full((48, 64, 3), 99, np.uint8), times[-1], number)
            sink.write(Output((record,), frame, (clip,), source="door"))
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(written, tmp_path / "root"))


def folder(root: Path, event: str) -> Path:
    (found,) = root.glob(f"*_door_{event}")
    return found


def edit(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def flip_a_bit(root: Path) -> None:
    path = folder(root, "b") / "clip.mp4"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shorten(root: Path) -> None:
    path = folder(root, "b") / "scores.csv"
    path.write_bytes(path.read_bytes()[:-1])


def remove_a_file(root: Path) -> None:
    (folder(root, "b") / "crops_000.png").unlink()


def add_a_file(root: Path) -> None:
    (folder(root, "b") / "more.png").write_bytes(b"x")


def link_a_file(root: Path) -> None:
    path = folder(root, "b") / "clip.mp4"
    path.rename(root.parent / "elsewhere.mp4")
    path.symlink_to(root.parent / "elsewhere.mp4")


def edit_a_manifest(root: Path) -> None:
    edit(folder(root, "b") / "manifest.json", lambda facts: facts.update(track=9))


def break_a_manifest(root: Path) -> None:
    (folder(root, "b") / "manifest.json").write_text("{")


def reach_outside(root: Path) -> None:
    def change(facts: dict[str, object]) -> None:
        facts["files"]["../chain.jsonl"] = {"sha256": "0" * 64, "bytes": 1}

    edit(folder(root, "b") / "manifest.json", change)


def remove_an_event(root: Path) -> None:
    shutil.rmtree(folder(root, "b"))


def add_an_event(root: Path) -> None:
    shutil.copytree(folder(root, "b"), root / "20261125T100009_door_z")


def swap_two_folders(root: Path) -> None:
    first, second = folder(root, "a"), folder(root, "b")
    first.rename(root / "t")
    second.rename(first)
    (root / "t").rename(second)


def lines_of(root: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (root / "chain.jsonl").read_text().splitlines()]


def write_lines(root: Path, lines: list[dict[str, object]], linked: bool) -> None:
    """Write the chain; `linked` = as somebody would who knows how it is made."""
    head, text = "", ""
    for line in lines:
        line = {**line, "previous": head} if linked else line
        raw = json.dumps(line)
        head = hashlib.sha256(raw.encode()).hexdigest()
        text += raw + "\n"
    (root / "chain.jsonl").write_text(text)


def swap_two_lines(root: Path) -> None:
    one, two, three = lines_of(root)
    write_lines(root, [two, one, three], linked=False)


def take_an_event_out_of_the_chain_too(root: Path) -> None:
    remove_an_event(root)
    one, _, three = lines_of(root)
    write_lines(root, [one, {**three, "sequence": 2}], linked=True)


def rewrite_an_event_and_its_line(root: Path) -> None:
    edit_a_manifest(root)
    lines = lines_of(root)
    data = (folder(root, "b") / "manifest.json").read_bytes()
    lines[1]["manifest_sha256"] = hashlib.sha256(data).hexdigest()
    write_lines(root, lines, linked=True)


def pretend_the_quota_took_it(root: Path) -> None:
    remove_an_event(root)
    lines = lines_of(root)
    dropped = {**lines[1], "type": "dropped"}
    write_lines(root, [*lines, dropped], linked=True)


def remove_the_chain(root: Path) -> None:
    (root / "chain.jsonl").unlink()


def cut_the_last_line(root: Path) -> None:
    path = root / "chain.jsonl"
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (flip_a_bit, "_b: clip.mp4 was changed (SHA-256 differs)"),
        (shorten, "_b: scores.csv has "),
        (remove_a_file, "_b: crops_000.png is missing"),
        (add_a_file, "_b: more.png was added"),
        (link_a_file, "_b: clip.mp4 is missing"),
        (edit_a_manifest, "_b: manifest.json was changed"),
        (break_a_manifest, "_b: manifest.json is not a manifest"),
        (reach_outside, "_b: '../chain.jsonl' in manifest.json is no plain file name"),
        (remove_an_event, "_b: the event is missing (removed)"),
        (add_an_event, "_z: was added, the chain does not know it"),
        (swap_two_folders, "_a: manifest.json was changed"),
        (swap_two_lines, "chain.jsonl, line 1: does not follow the line before it"),
        (take_an_event_out_of_the_chain_too, "_c: does not follow the event before it"),
        (rewrite_an_event_and_its_line, "_c: does not follow the event before it"),
        (pretend_the_quota_took_it, "line 4: lets go of an event that is not the oldest"),
        (remove_the_chain, "chain.jsonl is missing"),
        (cut_the_last_line, "chain.jsonl: its last line is cut short"),
    ],
)
def test_tampering_is_found(
    root: Path, capsys: pytest.CaptureFixture[str], tamper: Callable[[Path], None], said: str
) -> None:
    tamper(root)
    assert main(["verify", str(root)]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert any(said in line and "PROBLEM" in line for line in lines), lines
    assert " problem" in lines[-1] and "as written" not in lines[-1]


def test_what_is_as_written_is_said_to_be(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(written)]) == 0
    last = (written / "chain.jsonl").read_bytes().splitlines()[-1]
    head = hashlib.sha256(last).hexdigest()
    assert capsys.readouterr().out == f"{written}: as written: 3 events, head {head}\n"


def test_a_head_noted_earlier_tells_a_chain_that_was_cut_off(root: Path) -> None:
    lines = (root / "chain.jsonl").read_bytes().splitlines()
    heads = [hashlib.sha256(line).hexdigest() for line in lines]
    assert main(["verify", str(root), "--head", heads[2]]) == 0
    assert main(["verify", str(root), "--head", heads[0]]) == 0  # grown since
    shutil.rmtree(folder(root, "c"))
    write = b"\n".join(lines[:2]) + b"\n"
    (root / "chain.jsonl").write_bytes(write)
    assert main(["verify", str(root)]) == 0  # the end of a chain by itself cannot tell
    assert main(["verify", str(root), "--head", heads[2]]) == 4


def test_one_folder_is_checked_with_and_without_its_chain(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(folder(root, "b"))]) == 0
    alone = Path(shutil.copytree(folder(root, "b"), tmp_path / "alone" / "b"))
    assert main(["verify", str(alone)]) == 0
    assert "its place is not checked" in capsys.readouterr().out
    (alone / "scores.csv").write_text("")
    assert main(["verify", str(alone)]) == 4
    edit_a_manifest(root)
    assert main(["verify", str(folder(root, "b"))]) == 4


def test_what_is_no_evidence_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("name what --evidence was given") == 2


def test_list_has_a_line_per_event(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(written)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:4] for line in lines] == [["door", "face", "1"]] * 3


def test_strips_come_back_as_they_went() -> None:
    clip = clip_of(0)
    assert np.array_equal(clip_from_png(png_from_clip(clip), 8, 64), clip)
    with pytest.raises(ValueError, match=r"uint8 \(64, 256, 3\), received uint8 \(64, 512, 3\)"):
        clip_from_png(png_from_clip(clip), 4, 64)
    with pytest.raises(ValueError, match="received no PNG"):
        clip_from_png(b"P6 1 1 255 abc", 8, 64)


def test_the_stored_scores_hold_under_the_bundle(
    written: Path, synthetic_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    assert main(["verify", str(written), "--bundle", str(synthetic_bundle)]) == 0
    assert capsys.readouterr().out.count(" judged again, scores hold within") == 3


def test_a_forged_score_is_found_by_judging_again(
    root: Path, synthetic_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    alone = folder(root, "b")
    (root / "chain.jsonl").unlink()

    def change(facts: dict[str, object]) -> None:
        facts["clips"][0]["fake_probability"] = 0.5

    edit(alone / "manifest.json", change)
    assert main(["verify", str(alone)]) == 0  # consistent in itself, and no chain to hold it
    assert main(["verify", str(alone), "--bundle", str(synthetic_bundle)]) == 4
    assert "the manifest says 0.500000" in capsys.readouterr().out


def test_another_models_bundle_is_told_apart(
    written: Path, make_bundle: Callable[..., Path], tmp_path: Path, capsys
) -> None:
    pytest.importorskip("onnxruntime")
    other = make_bundle(tmp_path / "other", weights_sha256="12" * 32)
    assert main(["verify", str(written), "--bundle", str(other)]) == 4
    assert capsys.readouterr().out.count("was judged by the weights") == 3


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        (None, "cannot be checked (it lists no clips)"),
        ([{"file": "crops_000.png"}], "cannot be checked (a clip of it cannot be read: 'frames')"),
        (["crops_000.png"], "cannot be checked (a clip of it cannot be read: "),
        (
            [{"file": "../b.png", "frames": 8, "size": 64, "fake_probability": 0.5}],
            "../b.png cannot be judged again: no plain file name",
        ),
    ],
)
def test_a_manifest_whose_clips_cannot_be_read_is_a_line(
    root: Path,
    synthetic_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    clips: object,
    said: str,
) -> None:
    pytest.importorskip("onnxruntime")
    edit(folder(root, "b") / "manifest.json", lambda facts: facts.update(clips=clips))
    assert main(["verify", str(folder(root, "b")), "--bundle", str(synthetic_bundle)]) == 4
    assert said in capsys.readouterr().out


def test_findings_name_the_folders_in_order(written: Path) -> None:
    assert [path.name[-1] for path in verify(written).folders] == list(EVENTS)


def test_the_command_runs_as_a_module(written: Path, environment: dict[str, str]) -> None:
    line = [sys.executable, "-m", "deploy.evidence", "verify", str(written)]
    done = subprocess.run(
        line, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
