"""The command writes a bundle only after its gate, and says where the answers come apart."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")

from graph_changes import copy_of, spoil

from deploy.backends.proof_clips import read_proof
from deploy.bundle import open_bundle
from export import to_onnx
from export.bundle_writer import write_bundle
from export.conversion.keras_parity import ask_keras, export_limits, exported_candidate
from export.graph import precision as form
from export.parity import agreement
from export.parity.clips import ParityClips, clips_for
from export.parity.prove import prove
from keras_ddl.edge.bundle import PROOF_FILE
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError

CLIPS = np.random.default_rng(1).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
TIGHT = agreement.Tolerance(1.0, 1.0, 1.0, 1e-6, 1.0, 1.0, 1.0, 1.0)
SPOILT = "block3_sepconv1_pointwise"


def test_a_failing_gate_leaves_the_earlier_bundle(tmp_path: Path, msa_network: Any, msa_graph: Any):
    folder, spec = tmp_path / "bundle", ClipSpec(frames=4, size=32)
    write_bundle(folder, copy_of(msa_graph), spec, lambda candidate: None)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def gate(written: Path) -> object:
        file = written / "model.onnx"
        candidate = exported_candidate(file, msa_graph, msa_graph, msa_network, "fp32")
        colder = partial(ask_keras, msa_network, temperature=2.0)
        sample = ParityClips(CLIPS, None, "clips")
        return prove(colder, candidate, sample, export_limits("fp32", 0.5))

    with pytest.raises(UserError, match="does not keep the answer") as caught:
        write_bundle(folder, copy_of(msa_graph), spec, gate)
    assert caught.value.exit_code == 4
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_clips_of_both_classes_stay_in_the_bundle_as_proof(
    tmp_path: Path, msa_network: Any, msa_graph: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    (tmp_path / "config.json").write_text('{"data": {}}')
    spec = ClipSpec(frames=4, size=32)
    monkeypatch.setattr("keras_ddl.edge.runs.find_run", lambda path: tmp_path)
    monkeypatch.setattr(to_onnx, "_network", lambda folder, precision: (msa_network, spec))
    monkeypatch.setattr(to_onnx, "onnx_from_keras", lambda *a, **k: copy_of(msa_graph))
    sample = ParityClips(CLIPS, np.array([0, 1]), "two clips")
    monkeypatch.setattr(to_onnx, "run_clips", lambda *a: sample)
    assert to_onnx.main([]) == 0
    assert "proof clips: 1 real and 1 fake of validation, " in capsys.readouterr().out
    bundle, backend = open_bundle(tmp_path / "bundle")  # which answers them
    backend.close()
    assert PROOF_FILE in bundle.files
    proof = read_proof(tmp_path / "bundle", spec)
    assert proof is not None and proof.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(proof.clips, CLIPS)
    wanted = ask_keras(msa_network, CLIPS, spec.temperature).probability
    np.testing.assert_allclose(proof.keras, wanted, atol=1e-6)
    np.testing.assert_allclose(proof.onnx, wanted, atol=1e-4)
    given = clips_for(tmp_path / "bundle", spec, None)
    assert (given.compared.origin, given.calibrated, given.noise) == ("proof clips", False, False)
    assert to_onnx.main(["--no-proof"]) == 0
    assert not (tmp_path / "bundle" / PROOF_FILE).exists()
    assert clips_for(tmp_path / "bundle", spec, None).noise


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_gate_says_where_and_keeps_the_earlier_bundle(
    msa_network: Any,
    msa_graph: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    precision: str,
):
    (tmp_path / "config.json").write_text('{"data": {}}')
    spec = ClipSpec(frames=4, size=32)
    monkeypatch.setattr("keras_ddl.edge.runs.find_run", lambda path: tmp_path)
    monkeypatch.setattr(to_onnx, "_network", lambda folder, precision: (msa_network, spec))
    monkeypatch.setattr(to_onnx, "onnx_from_keras", lambda *a, **k: copy_of(msa_graph))
    sample = ParityClips(CLIPS, None, "two clips")
    monkeypatch.setattr(to_onnx, "run_clips", lambda *a: sample)
    assert to_onnx.main(["--precision", precision]) == 0
    name = "bundle" if precision == "fp32" else "bundle-fp16"
    before = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    in_form = form.in_form
    if precision == "fp32":
        monkeypatch.setattr(to_onnx, "onnx_from_keras", lambda *a, **k: spoil(msa_graph, SPOILT))
    else:
        monkeypatch.setattr(form, "in_form", lambda *a: spoil(in_form(*a), SPOILT))
    monkeypatch.setitem(agreement.EXPORTED, precision, TIGHT)
    capsys.readouterr()
    assert to_onnx.main(["--precision", precision]) == 4
    (line,) = [ln for ln in capsys.readouterr().err.splitlines() if ln.startswith("error")]
    assert f"; first beyond {0.001 if precision == 'fp32' else 0.02:g} of its largest" in line
    assert f"layer '{SPOILT}'" in line
    assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == before
    assert not list(tmp_path.glob(".*.part"))
