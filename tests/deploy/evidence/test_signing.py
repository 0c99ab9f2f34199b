"""Who signs: the key's file, what openssl says of its signatures, and what a writer refuses."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("cryptography")

from forged_evidence import (
    folder,
    hashed_bundle,
    lines_of,
    outputs,
    raw_lines,
    rebuild,
    write_events,
    write_raw,
)

from deploy.bundle import Bundle
from deploy.evidence.__main__ import main
from deploy.evidence.line import line_bytes
from deploy.evidence.signing import SigningKey, public_key
from deploy.evidence.verify import Demands, verify
from deploy.sinks.evidence_folder import EvidenceFolder
from keras_ddl.edge.errors import UserError

OPENSSL = shutil.which("openssl")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return hashed_bundle(tmp_path / "model")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "evidence.key"


@pytest.fixture
def root(tmp_path: Path, bundle: Bundle, key: Path) -> Path:
    return write_events(tmp_path / "root", bundle, key=key)


def problems(root: Path, key: Path) -> list[str]:
    return verify(root, Demands(key=public_key(f"{key}.pub"), heads=Path(f"{key}.heads"))).problems


def test_the_key_is_made_at_the_first_start_for_its_owner_alone(root: Path, key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" in key.read_bytes()
    assert b"PRIVATE KEY" not in key.with_name("evidence.key.pub").read_bytes()
    assert sorted(path.name for path in key.parent.iterdir() if path.name[0] != ".") == [
        "evidence.key",
        "evidence.key.heads",
        "evidence.key.pub",
    ]
    before = key.read_bytes()
    assert SigningKey.open(key).public == public_key(f"{key}.pub")
    assert key.read_bytes() == before


def test_the_public_key_stands_in_every_manifest(root: Path, key: Path) -> None:
    for event in "abc":
        facts = json.loads((folder(root, event) / "manifest.json").read_text())
        assert facts["signing"] == {
            "algorithm": "Ed25519",
            "public_key": public_key(f"{key}.pub"),
        }


@pytest.mark.skipif(OPENSSL is None, reason="no openssl")
def test_openssl_finds_every_signature_good(root: Path, key: Path, tmp_path: Path) -> None:
    for raw in raw_lines(root):
        found = re.fullmatch(rb'(.*), "signature": "([0-9a-f]{128})"\}', raw)
        assert found is not None
        (tmp_path / "message").write_bytes(b"keras-ddl evidence line\n" + found[1] + b"}")
        (tmp_path / "signature").write_bytes(bytes.fromhex(found[2].decode()))
        line = [OPENSSL, "pkeyutl", "-verify", "-pubin", "-inkey", f"{key}.pub", "-rawin"]
        files = ["-in", tmp_path / "message", "-sigfile", tmp_path / "signature"]
        done = subprocess.run([*line, *files], capture_output=True, text=True)
        assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully")


@pytest.mark.skipif(OPENSSL is None, reason="no openssl")
def test_a_key_of_openssls_making_is_taken(tmp_path: Path, bundle: Bundle, key: Path) -> None:
    key.parent.mkdir()
    subprocess.run([OPENSSL, "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run([OPENSSL, "pkey", "-in", key, "-pubout", "-out", f"{key}.pub"], check=True)
    key.chmod(0o600)
    root = write_events(tmp_path / "root", bundle, key=key)
    assert problems(root, key) == []


def test_a_key_that_others_may_read_is_refused(root: Path, key: Path, bundle: Bundle) -> None:
    key.chmod(0o640)
    with pytest.raises(UserError, match=r"mode 0640: others may read or change it: chmod 600"):
        EvidenceFolder(root, bundle, key=key).open()


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_file_that_is_no_key_is_refused_and_kept(
    tmp_path: Path, bundle: Bundle, content: bytes
) -> None:
    path = tmp_path / "letter"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UserError, match="expected a private Ed25519 key") as caught:
        EvidenceFolder(tmp_path / "root", bundle, key=path).open()
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, x25519

    for made in (ec.generate_private_key(ec.SECP256R1()), x25519.X25519PrivateKey.generate()):
        path = tmp_path / "key"
        data = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(UserError, match="expected a private Ed25519 key"):
            EvidenceFolder(tmp_path / "root", bundle, key=path).open()


def test_a_key_inside_the_evidence_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(UserError, match="expected a signing key outside the evidence folder"):
        EvidenceFolder(tmp_path / "root", bundle, key=tmp_path / "root" / "a.key").open()
    assert not (tmp_path / "root" / "a.key").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("evidence.key", "received the private key"),
        ("absent", "cannot read"),
        ("evidence.key.heads", "which is none"),
    ],
)
def test_verify_takes_public_keys_alone(
    root: Path, key: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    assert main(["verify", str(root), "--key", str(key.with_name(name))]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert main(["verify", str(root), "--key", public_key(f"{key}.pub")]) == 0


@pytest.mark.parametrize(
    ("heads", "said"), [("absent", "No such file"), ("evidence.key.pub", "something else")]
)
def test_verify_takes_noted_heads_alone(
    root: Path, key: Path, capsys: pytest.CaptureFixture[str], heads: str, said: str
) -> None:
    assert main(["verify", str(root), "--heads", str(key.with_name(heads))]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_signed_chain_is_not_continued_without_its_key(
    root: Path, key: Path, bundle: Bundle, tmp_path: Path
) -> None:
    before = (root / "chain.jsonl").read_bytes()
    for other, said in ((None, "received none"), (tmp_path / "other.key", "received the key")):
        with pytest.raises(UserError, match=said) as caught:
            EvidenceFolder(root, bundle, key=other).open()
        assert caught.value.exit_code == 2
    assert (root / "chain.jsonl").read_bytes() == before
    write_events(root, bundle, events="d", key=key)
    assert problems(root, key) == []


def cut_the_tail(root: Path) -> None:
    shutil.rmtree(folder(root, "c"))
    write_raw(root, raw_lines(root)[:-1])


def add_a_line(root: Path) -> None:
    lines = raw_lines(root)
    head = hashlib.sha256(lines[-1]).hexdigest()
    which = {name: lines_of(root)[1][name] for name in ("folder", "sequence", "manifest_sha256")}
    record = {"type": "dropped", **which, "line": 5, "previous": head}
    write_raw(root, [*lines, line_bytes(record, None)[:-1]])


@pytest.mark.parametrize("tamper", [cut_the_tail, add_a_line, rebuild])
def test_a_signed_chain_that_was_changed_is_not_continued(
    root: Path, key: Path, bundle: Bundle, tamper
) -> None:
    tamper(root)
    before = sorted(root.rglob("*"))
    with pytest.raises(UserError, match="as its key left it") as caught:
        EvidenceFolder(root, bundle, key=key).open()
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)
    assert sorted(root.rglob("*")) == before


def test_what_is_added_to_a_chain_during_a_run_lets_nothing_go(
    root: Path, key: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        with EvidenceFolder(root, bundle, pre_ms=0, post_ms=0, key=key) as sink:
            sink.open()
            add_a_line(root)
            for output in outputs("d", lambda clips: [0.9]):
                sink.write(output)
    assert "is damaged" in caplog.text
    assert folder(root, "a").is_dir() and folder(root, "d").is_dir()
    assert any("line 5: is not signed" in line for line in problems(root, key))


def unfinished(root: Path, bundle: Bundle, key: Path | None) -> Path:
    """What a killed run leaves: the folder of the event "d", which nobody holds."""
    sink = EvidenceFolder(root, bundle, pre_ms=0, post_ms=9000, key=key)
    for output in outputs("d", lambda clips: [0.9]):
        sink.write(output)
    (partial,) = root.glob("*_d.partial")
    (sink._watched["door"].recordings[0])._partial.release()
    return partial


def test_an_event_that_was_cut_short_is_finished_and_signed(
    root: Path, key: Path, bundle: Bundle
) -> None:
    unfinished(root, bundle, key)
    assert any("is unfinished" in line for line in problems(root, key))
    EvidenceFolder(root, bundle, key=key).open()
    assert problems(root, key) == []
    assert json.loads((folder(root, "d") / "manifest.json").read_text())["interrupted"] is True


def strip_its_signature(partial: Path) -> None:
    path = partial / ".draft.json"
    value = json.loads(path.read_bytes())
    value.pop("signature")
    path.write_text(json.dumps(value))


def rename_it(partial: Path) -> None:
    partial.rename(partial.with_name("20261125T100000_door_e.partial"))


def change_what_happened(partial: Path) -> None:
    path = partial / ".draft.json"
    path.write_bytes(path.read_bytes().replace(b'"track": 1', b'"track": 2'))


def remove_its_draft(partial: Path) -> None:
    (partial / ".draft.json").unlink()


@pytest.mark.parametrize(
    "tamper", [strip_its_signature, rename_it, change_what_happened, remove_its_draft]
)
def test_an_unfinished_event_of_somebody_else_is_neither_signed_nor_cleared(
    root: Path, key: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture, tamper
) -> None:
    tamper(unfinished(root, bundle, key))
    before = raw_lines(root)
    with caplog.at_level(logging.WARNING):
        EvidenceFolder(root, bundle, key=key).open()
    assert "its draft is not signed with our key, left as it is" in caplog.text
    assert raw_lines(root) == before
    assert len(list(root.glob("*.partial"))) == 1
    assert any("is unfinished" in line for line in problems(root, key))


@pytest.mark.parametrize("name", ["crops_000.png", "more.png"])
def test_a_file_that_was_changed_before_its_event_was_finished_is_not_signed(
    root: Path, key: Path, bundle: Bundle, name: str
) -> None:
    with EvidenceFolder(root, bundle, pre_ms=0, post_ms=9000, key=key) as sink:
        for output in outputs("d", lambda clips: [0.9]):
            sink.write(output)
        (partial,) = root.glob("*_d.partial")
        (partial / name).write_bytes(b"forged")
    assert any(f"_d: {name}" in line for line in problems(root, key))


@pytest.mark.parametrize("name", ["crops_000.png", "more.png"])
def test_nor_is_one_that_was_changed_after_a_run_was_killed(
    root: Path, key: Path, bundle: Bundle, name: str
) -> None:
    (unfinished(root, bundle, key) / name).write_bytes(b"forged")
    EvidenceFolder(root, bundle, key=key).open()
    assert any(f"_d: {name} was added" in line for line in problems(root, key))


def test_an_event_that_was_let_go_does_not_come_back_as_unfinished(
    root: Path, key: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    partial = unfinished(root, bundle, key)
    copy = shutil.copytree(partial, root.parent / "copy")
    EvidenceFolder(root, bundle, key=key).open()
    shutil.copytree(copy, partial)
    with caplog.at_level(logging.WARNING):
        EvidenceFolder(root, bundle, key=key).open()
    assert "its event was finished long ago, left as it is" in caplog.text
    assert [line["event"] for line in lines_of(root) if line["type"] == "event"] == list("abcd")


@pytest.mark.parametrize("name", ["../precious", ".", "stamps", "20261125T100000_door_z"])
def test_a_forged_line_has_nothing_deleted_that_is_no_event(
    tmp_path: Path, bundle: Bundle, name: str
) -> None:
    root = write_events(tmp_path / "root", bundle)
    for made in (tmp_path / "precious", root / "stamps"):
        made.mkdir()
    lines = raw_lines(root)
    head = hashlib.sha256(lines[-1]).hexdigest()
    record = {"type": "dropped", "folder": name, "line": 5, "previous": head}
    write_raw(root, [*lines, line_bytes(record, None)[:-1]])
    EvidenceFolder(root, bundle).open()
    assert (tmp_path / "precious").is_dir() and (root / "stamps").is_dir()
    assert all(folder(root, event).is_dir() for event in "abc")


def test_drops_after_a_noted_head_are_told_apart_by_signatures_alone(
    tmp_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_events(tmp_path / "root", bundle)
    head = hashlib.sha256(raw_lines(root)[-1]).hexdigest()
    write_events(root, bundle, events="d", max_bytes=1)
    assert main(["verify", str(root)]) == 0
    assert "the limits were changed: " in capsys.readouterr().out
    assert main(["verify", str(root), "--head", head]) == 4
    assert "by lines that nobody signed, no different from removed: 3" in capsys.readouterr().out


def test_evidence_of_an_early_version_proves_what_it_did(
    tmp_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `opened`, line numbers, and what manifests say of them; it is continued as well."""

    def old(facts: dict[str, object]) -> None:
        facts.pop("chain"), facts.pop("signing")

    root = write_events(tmp_path / "root", bundle)
    write_raw(root, raw_lines(root)[1:])
    rebuild(root, lambda line: line.pop("line"), old)
    oldest = lines_of(root)[0]
    head = hashlib.sha256(raw_lines(root)[-1]).hexdigest()
    names = ("folder", "sequence", "manifest_sha256")
    record = {"type": "dropped", **{name: oldest[name] for name in names}, "previous": head}
    write_raw(root, [*raw_lines(root), line_bytes(record, None)[:-1]])
    shutil.rmtree(folder(root, "a"))
    assert main(["verify", str(root)]) == 0
    out = capsys.readouterr().out
    assert "which did not write down under which limit: 1" in out
    assert "unbroken: 2 events, 1 let go by the quota" in out
    write_events(root, bundle, events="d")
    assert main(["verify", str(root)]) == 0
    assert [line["type"] for line in lines_of(root)[-2:]] == ["opened", "event"]


@pytest.mark.parametrize("module", ["signing", "verify"])
def test_without_the_extra_one_line_says_so(
    root: Path,
    key: Path,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    if module == "signing":
        with pytest.raises(UserError, match=r"pip install 'keras-ddl\[evidence\]'") as caught:
            EvidenceFolder(root, bundle, key=key).open()
        assert caught.value.exit_code == 3
    else:
        assert main(["verify", str(root), "--key", f"{key}.pub"]) == 3
        assert capsys.readouterr().err.count("\n") == 1
