"""`python -m deploy.evidence`: what it says of whole evidence, and scores proved again."""

from __future__ import annotations

import hashlib
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

from forged_evidence import EVENTS, clip_of, edit, folder, write_events

from deploy.bundle import open_bundle
from deploy.evidence.__main__ import main
from deploy.evidence.pictures import clip_from_png, png_from_clip
from deploy.evidence.verify import verify
from keras_ddl.edge.bundle import write_sums
from keras_ddl.edge.files import file_sha256

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_as_written_is_said_to_be(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(written)]) == 0
    last = (written / "chain.jsonl").read_bytes().splitlines()[-1]
    head = hashlib.sha256(last).hexdigest()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{written}: unbroken: 3 events, head {head}"
    assert [line.split(": ")[1] for line in lines[:-1]] == ["hashes", "end", "signature", "time"]
    assert "could make all of it anew" in lines[0] and lines[2].endswith("what was removed")


def test_a_head_noted_earlier_tells_a_chain_that_was_cut_off(root: Path) -> None:
    lines = (root / "chain.jsonl").read_bytes().splitlines()
    heads = [hashlib.sha256(line).hexdigest() for line in lines]
    assert main(["verify", str(root), "--head", heads[3]]) == 0
    assert main(["verify", str(root), "--head", heads[0]]) == 0  # grown since
    shutil.rmtree(folder(root, "c"))
    write = b"\n".join(lines[:3]) + b"\n"
    (root / "chain.jsonl").write_bytes(write)
    assert main(["verify", str(root)]) == 0  # the end of a chain by itself cannot tell
    assert main(["verify", str(root), "--head", heads[3]]) == 4


def test_one_folder_is_checked_with_and_without_its_chain(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(folder(root, "b"))]) == 0
    alone = Path(shutil.copytree(folder(root, "b"), tmp_path / "alone" / "b"))
    assert main(["verify", str(alone)]) == 0
    assert "its place is not checked" in capsys.readouterr().out
    (alone / "scores.csv").write_text("")
    assert main(["verify", str(alone)]) == 4
    edit(folder(root, "b") / "manifest.json", lambda facts: facts.update(track=9))
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


@pytest.mark.parametrize("signed", [False, True])
def test_signed_evidence_is_bound_to_the_files_that_judged(
    synthetic_bundle: Path,
    tmp_path: Path,
    brightness: Callable[[np.ndarray], np.ndarray],
    capsys: pytest.CaptureFixture[str],
    signed: bool,
) -> None:
    """The other model has the same weights by its own word, and gives the same scores."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("cryptography")
    bundle, backend = open_bundle(synthetic_bundle)
    backend.close()
    key = tmp_path / "a.key" if signed else None
    root = write_events(tmp_path / "root", bundle, brightness, key=key)
    assert main(["verify", str(root), "--bundle", str(synthetic_bundle)]) == 0
    assert "was judged with" not in capsys.readouterr().out
    other = Path(shutil.copytree(synthetic_bundle, tmp_path / "other"))
    model = onnx.load(other / "model.onnx")
    model.producer_name = "somebody"
    onnx.save(model, other / "model.onnx")
    write_sums(other)
    assert main(["verify", str(root), "--bundle", str(other)]) == (4 if signed else 0)
    out = capsys.readouterr().out
    kind = "PROBLEM" if signed else "note:"
    was, now = (file_sha256(each / "model.onnx")[:12] for each in (synthetic_bundle, other))
    said = f"was judged with model.onnx {was}…, this bundle has {now}…"
    assert sum(kind in line and said in line for line in out.splitlines()) == 3


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
