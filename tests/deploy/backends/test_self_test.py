"""Proof clips: kept without loss, read with care, and answered before anybody is judged."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

from deploy.backends.proof_clips import ProofClips, read_proof, write_proof
from keras_ddl.edge.bundle import PROOF_FILE, check_sums, write_sums
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError

SPEC = ClipSpec(frames=8, size=64)


def some_proof(count: int = 4) -> ProofClips:
    clips = np.random.default_rng(0).integers(0, 256, (count, 8, 64, 64, 3), np.uint8)
    clips[count // 2 :] //= 4  # dark ones
    answers = np.linspace(0.05, 0.95, count)
    return ProofClips(clips, np.arange(count) % 2, answers, answers + 1e-7)


def test_clips_and_answers_come_back_as_they_were(tmp_path: Path) -> None:
    proof = some_proof()
    assert write_proof(tmp_path, proof) == (tmp_path / PROOF_FILE).stat().st_size
    found = read_proof(tmp_path, SPEC)
    assert found is not None
    for name in ("clips", "labels", "keras", "onnx"):
        np.testing.assert_array_equal(getattr(found, name), getattr(proof, name))
    assert found.surest().tolist() == [0, 3]
    assert read_proof(tmp_path / "elsewhere", SPEC) is None


def _damaged(kind: str, whole: bytes) -> bytes:
    if kind == "cut":
        return whole[: len(whole) // 2]
    if kind == "text":
        return b"no archive"
    file = io.BytesIO()
    if kind == "unfolds to 300 MiB":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("png.npy", bytes(300 << 20))
        return file.getvalue()
    with np.load(io.BytesIO(whole)) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    if kind == "objects":
        parts["labels"] = np.array([{}] * 4)
    if kind == "no answers":
        del parts["onnx"]
    if kind == "fewer answers":
        parts["onnx"] = parts["onnx"][:2]
    if kind == "no picture":
        parts["png"] = np.zeros_like(parts["png"])
    np.savez(file, **parts)
    return file.getvalue()


@pytest.mark.parametrize(
    "kind",
    ["cut", "text", "unfolds to 300 MiB", "objects", "no answers", "fewer answers", "no picture"],
)
def test_another_file_is_one_line(kind: str, tmp_path: Path) -> None:
    write_proof(tmp_path, some_proof())
    path = tmp_path / PROOF_FILE
    path.write_bytes(_damaged(kind, path.read_bytes()))
    with pytest.raises(UserError, match="expected the proof clips of this bundle") as caught:
        read_proof(tmp_path, SPEC)
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)
    assert ("(more than 256 MiB)" in str(caught.value)) == kind.startswith("unfolds")  # before it


def test_clips_of_another_contract_are_refused(tmp_path: Path) -> None:
    write_proof(tmp_path, some_proof())
    with pytest.raises(UserError, match="clips of another shape"):
        read_proof(tmp_path, replace(SPEC, size=32))


@pytest.fixture
def proven(tmp_path: Path, make_bundle: Callable[..., Path]) -> tuple[Path, ProofClips]:
    """A bundle with proof clips that its model answers as it says."""
    from deploy.backends.self_test import _judge
    from deploy.bundle import open_bundle

    folder = make_bundle(tmp_path / "bundle")
    proof = some_proof()
    _, backend = open_bundle(folder)
    with backend:
        answers = np.array([_judge(backend, clip) for clip in proof.clips])
    assert np.ptp(answers) > 0.3  # clips that tell models apart
    proof = replace(proof, keras=answers, onnx=answers)
    write_proof(folder, proof)
    write_sums(folder)
    return folder, proof


def test_a_bundle_proves_itself_when_it_is_opened(proven: tuple[Path, ProofClips]) -> None:
    from deploy.bundle import open_bundle

    folder, proof = proven
    bundle, backend = open_bundle(folder)
    backend.close()
    assert PROOF_FILE in bundle.files
    write_proof(folder, replace(proof, onnx=1 - proof.onnx))
    write_sums(folder)
    with pytest.raises(
        UserError, match="does not answer as the exported model: expected"
    ) as caught:
        open_bundle(folder)
    assert caught.value.exit_code == 4 and f"deploy.doctor --check {folder}" in str(caught.value)


def test_proof_clips_are_hashed(proven: tuple[Path, ProofClips]) -> None:
    folder, _ = proven
    digests = (folder / "SHA256SUMS").read_text()
    path = folder / PROOF_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="is not the file that was exported"):
        check_sums(folder)
    path.write_bytes(whole)
    check_sums(folder)
    lines = [line for line in digests.splitlines(True) if PROOF_FILE not in line]
    (folder / "SHA256SUMS").write_text("".join(lines))  # as if somebody had put it there
    with pytest.raises(UserError, match="expected SHA-256 none"):
        check_sums(folder)


def test_the_doctor_lets_everything_answer(
    proven: tuple[Path, ProofClips], capsys: pytest.CaptureFixture[str]
) -> None:
    from deploy import doctor

    folder, proof = proven
    assert doctor.main(["--check", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "+ proof" in shown and "model.onnx on cpu: 4 clips: |Δp| mean 0.0e+00" in shown
    assert "- proof         model.onnx on cuda: " in shown
    write_proof(folder, replace(proof, onnx=1 - proof.onnx))
    write_sums(folder)
    assert doctor.main(["--check", str(folder)]) == 4
    assert "! proof" in capsys.readouterr().out
    (folder / PROOF_FILE).unlink()
    write_sums(folder)
    assert doctor.main(["--check", str(folder)]) == 3
    assert "expected proof clips in" in capsys.readouterr().err
