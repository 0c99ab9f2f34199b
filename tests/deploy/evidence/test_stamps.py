"""Time stamps of heads by a real RFC 3161 authority on loopback."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("rfc3161_client")
if shutil.which("openssl") is None:
    pytest.skip("no openssl, which stamps", allow_module_level=True)

from forged_evidence import (
    folder,
    hashed_bundle,
    lines_of,
    raw_lines,
    rebuild,
    write_events,
    write_raw,
)
from stamp_authority import StampAuthority

from deploy.evidence.__main__ import main
from deploy.evidence.stamps import Request
from deploy.evidence.store import EvidenceStore
from deploy.sinks import evidence_stamps
from deploy.sinks.evidence_stamps import EvidenceStamps
from keras_ddl.edge.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """However slow the machine is, it is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence_stamps, "TIMEOUT_S", 600.0)
        patch.setattr(evidence_stamps, "FINISH_S", 600.0)
        yield


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StampAuthority]:
    with StampAuthority(tmp_path_factory.mktemp("authority") / "made") as authority:
        yield authority


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory, authority: StampAuthority) -> Path:
    """Three events in two runs, each of which ended with a stamp."""
    top = tmp_path_factory.mktemp("stamped")
    bundle = hashed_bundle(top / "model")
    write_events(top / "root", bundle, events="ab", stamps=authority.url)
    return write_events(top / "root", bundle, events="c", stamps=authority.url)


@pytest.fixture
def root(stamped: Path, tmp_path: Path, authority: StampAuthority) -> Iterator[Path]:
    yield Path(shutil.copytree(stamped, tmp_path / "root"))
    authority.mode = "stamp"


def stamps_of(root: Path) -> list[Path]:
    """Stamps in the order of the lines that they stamp."""
    heads = [line["head"] for line in lines_of(root) if line["type"] == "stamped"]
    return [root / "stamps" / f"{head}.tsr" for head in heads]


def test_stamps_prove_since_when_the_events_exist(
    root: Path, authority: StampAuthority, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(root), "--authority", str(authority.roots)]) == 0
    lines = capsys.readouterr().out.splitlines()
    number = max(i for i, line in enumerate(lines_of(root), 1) if line["type"] == "event")
    assert f"time: lines 1 to {number} existed at 20" in lines[-2]
    assert "unbroken, stamped: 3 events" in lines[-1]
    assert main(["verify", str(root)]) == 0
    assert "by whom is not asked for (--authority)" in capsys.readouterr().out


def test_openssl_finds_every_stamp_good(root: Path, authority: StampAuthority) -> None:
    by_head = {hashlib.sha256(raw).hexdigest(): raw for raw in raw_lines(root)}
    stamps = stamps_of(root)
    assert sorted(stamps) == sorted((root / "stamps").iterdir()) and len(stamps) >= 2
    for stamp in stamps:
        assert stamp.stem in by_head
        line = ["openssl", "ts", "-verify", "-digest", stamp.stem, "-in", stamp, "-CAfile"]
        done = subprocess.run([*line, authority.roots], capture_output=True, text=True)
        assert (done.returncode, done.stdout.strip()) == (0, "Verification: OK"), done.stderr


def remove_a_stamp(root: Path) -> None:
    stamps_of(root)[0].unlink()


def remove_all_stamps(root: Path) -> None:
    shutil.rmtree(root / "stamps")


def change_a_stamp(root: Path) -> None:
    path = stamps_of(root)[-1]
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def swap_two_stamps(root: Path) -> None:
    one, two = stamps_of(root)[0], stamps_of(root)[-1]
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)


def link_a_stamp(root: Path) -> None:
    path = stamps_of(root)[0]
    path.rename(root.parent / "elsewhere.tsr")
    path.symlink_to(root.parent / "elsewhere.tsr")


def rebuild_everything(root: Path) -> None:
    rebuild(root, lambda line: line.pop("written"))


def rebuild_without_stamps(root: Path) -> None:
    """All that somebody can do who may write there: a chain that never had a stamp."""
    lines = [line for line in raw_lines(root) if b'"stamped"' not in line]
    write_raw(root, lines)
    numbers = iter(range(1, len(lines) + 1))
    rebuild(root, lambda line: line.update(line=next(numbers)))
    remove_all_stamps(root)


def keep_the_stamps_of_another_chain(root: Path) -> None:
    kept = Path(shutil.copytree(root / "stamps", root.parent / "kept"))
    rebuild_without_stamps(root)
    shutil.copytree(kept, root / "stamps")


def stamp_the_last_line_oneself(root: Path) -> None:
    """With an authority of his own, under the name of the true one."""
    rebuild_without_stamps(root)
    with StampAuthority(root.parent / "forger") as forger:
        EvidenceStamps(forger.url, EvidenceStore(root)).close()


@pytest.mark.parametrize(
    ("tamper", "asked", "said"),
    [
        (remove_a_stamp, False, "its time stamp is missing"),
        (remove_all_stamps, False, "its time stamp is missing"),
        (change_a_stamp, False, "was changed (SHA-256 differs)"),
        (swap_two_stamps, False, "was changed (SHA-256 differs)"),
        (link_a_stamp, False, "its time stamp is missing"),
        (rebuild_everything, False, "it stamps no line of the chain"),
        (rebuild_without_stamps, True, "no line has a time stamp by this authority"),
        (keep_the_stamps_of_another_chain, False, "it stamps no line of the chain"),
        (stamp_the_last_line_oneself, True, "no line has a time stamp by this authority"),
    ],
)
def test_tampering_is_found(
    root: Path,
    authority: StampAuthority,
    capsys: pytest.CaptureFixture[str],
    tamper: Callable[[Path], None],
    asked: bool,
    said: str,
) -> None:
    tamper(root)
    options = ["--authority", str(authority.roots)]
    assert main(["verify", str(root)]) == (0 if asked else 4)
    assert main(["verify", str(root), *options]) == 4
    assert said in capsys.readouterr().out


def test_an_event_after_the_last_stamp_is_not_at_that_level(
    root: Path, authority: StampAuthority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_events(root, hashed_bundle(tmp_path / "model"), events="d")
    assert main(["verify", str(root), "--authority", str(authority.roots)]) == 4
    assert "the last one stamped: 1" in capsys.readouterr().out
    EvidenceStamps(authority.url, EvidenceStore(root)).close()
    assert main(["verify", str(root), "--authority", str(authority.roots)]) == 0


def test_an_event_that_says_it_was_written_after_its_stamp_is_found(
    root: Path, authority: StampAuthority, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with a clock set forward; the stamps are real and of these very lines."""
    rebuild_without_stamps(root)
    later = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat(timespec="milliseconds")
    rebuild(root, lambda line: line.update(written=later))
    EvidenceStamps(authority.url, EvidenceStore(root)).close()
    assert main(["verify", str(root)]) == 0
    assert main(["verify", str(root), "--authority", str(authority.roots)]) == 4
    assert "after it was stamped" in capsys.readouterr().out


def test_an_event_dated_back_shows_by_how_long_it_waited(
    root: Path, authority: StampAuthority, capsys: pytest.CaptureFixture[str]
) -> None:
    rebuild_without_stamps(root)
    long_ago = (datetime.now(timezone.utc) - timedelta(days=2)).isoformat(timespec="milliseconds")
    rebuild(root, lambda line: line.update(written=long_ago))
    EvidenceStamps(authority.url, EvidenceStore(root)).close()
    assert main(["verify", str(root), "--authority", str(authority.roots)]) == 0
    waited = capsys.readouterr().out.split("events waited ")[1].split(" s at most")[0]
    assert 2 * 86_400 - 1 <= int(waited) < 2 * 86_400 + 3600


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("fail", "it answered 500"),
        ("garbage", "it is no time stamp"),
        ("replay", "it stamps something else"),
    ],
)
def test_an_authority_that_fails_costs_nothing_but_its_stamps(
    root: Path,
    authority: StampAuthority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    said: str,
) -> None:
    authority.mode = mode
    bundle = hashed_bundle(tmp_path / "model")
    before = len(stamps_of(root))
    with caplog.at_level(logging.WARNING):
        write_events(root, bundle, events="d", stamps=authority.url)
    assert caplog.text.count("gives no time stamp") == 1 and said in caplog.text
    assert folder(root, "d").is_dir() and len(stamps_of(root)) == before
    assert main(["verify", str(root)]) == 0
    authority.mode = "stamp"
    write_events(root, bundle, events="", stamps=authority.url)
    with EvidenceStamps(authority.url, EvidenceStore(root)):
        pass
    assert main(["verify", str(root), "--authority", str(authority.roots)]) == 0


def test_an_event_that_comes_while_a_stamp_is_asked_for_is_stamped_next(
    root: Path, authority: StampAuthority, tmp_path: Path
) -> None:
    bundle, store = hashed_bundle(tmp_path / "model"), EvidenceStore(root)
    write_events(root, bundle, events="d")

    def ask(line: bytes) -> tuple[bytes, datetime]:
        write_events(root, bundle, events="e")
        request = Request.of(line)
        _, body = authority.answer(request.body)
        return body, request.time(body)

    store.stamp(ask)
    assert [line["type"] for line in lines_of(root)[-3:]] == ["event", "event", "stamped"]
    EvidenceStamps(authority.url, store).close()
    assert main(["verify", str(root), "--authority", str(authority.roots)]) == 0


def test_nothing_new_is_not_stamped_again(root: Path, authority: StampAuthority) -> None:
    before = authority.asked
    for _ in range(3):
        EvidenceStamps(authority.url, EvidenceStore(root)).close()
    assert authority.asked == before


def test_signed_and_stamped_evidence_reaches_every_level(
    tmp_path: Path, authority: StampAuthority, capsys: pytest.CaptureFixture[str]
) -> None:
    key, bundle = tmp_path / "a.key", hashed_bundle(tmp_path / "model")
    root = write_events(tmp_path / "root", bundle, key=key, stamps=authority.url)
    proofs = ["--key", f"{key}.pub", "--heads", f"{key}.heads", "--authority"]
    assert main(["verify", str(root), *proofs, str(authority.roots)]) == 0
    out = capsys.readouterr().out
    assert "unbroken, complete up to the head, signed, stamped: 3 events" in out
    assert [json.loads(raw)["type"] for raw in raw_lines(root)][-1] == "stamped"


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_verify_takes_certificates_alone(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "roots.pem").write_text(content)
    for name in ("roots.pem", "absent.pem"):
        assert main(["verify", str(root), "--authority", str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert "expected the certificates of a time-stamp authority" in error
        assert error.count("\n") == 1


def test_an_address_that_is_none_is_said_at_the_start(root: Path) -> None:
    with pytest.raises(UserError, match=r"expected http\(s\)://"):
        EvidenceStamps("ftp://here", EvidenceStore(root))
