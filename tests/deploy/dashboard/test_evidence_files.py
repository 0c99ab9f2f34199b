"""Evidence is served from where it lies, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.dashboard import evidence_files
from deploy.dashboard.evidence_files import EvidenceFiles
from deploy.dashboard.report import Report, Seen


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_files, "REFRESH_S", 0.0)


def test_files_are_served_with_their_types(
    serve: Callable[..., Any], write_evidence: Callable[..., Path]
) -> None:
    folder = write_evidence("event-1", crop_png=b"PNG", clip_mp4=bytes(range(100)))
    served = serve(evidence=folder.parent)
    served.run.verdict("camera 0", 1, "FAKE")
    (event,) = served.get.json("/api/events")["events"]
    assert event["evidence"] == ["clip.mp4", "crop.png", "manifest.json"]
    status, headers, body = served.get("/evidence/event-1/crop.png")
    assert (status, headers["content-type"], body) == (200, "image/png", b"PNG")
    status, headers, body = served.get("/evidence/event-1/clip.mp4", Range="bytes=10-19")
    assert (status, headers["content-type"], body) == (206, "video/mp4", bytes(range(10, 20)))
    assert headers["content-range"] == "bytes 10-19/100"
    assert served.get("/evidence/event-1/crop.png", "POST")[0] == 405


def test_evidence_of_earlier_runs_is_not_sent_to_the_page(
    played: Any, write_evidence: Callable[..., Path]
) -> None:
    run = played()
    event = run.verdict("camera 0", 1, "FAKE")
    write_evidence("of-an-earlier-run")
    folder = write_evidence(event)
    report = Report(run, run.sink, run.telemetry, EvidenceFiles(folder.parent))
    message, seen = report.update(Seen())
    assert message["evidence"] == {event: ["manifest.json"]}
    assert report.update(seen)[0]["evidence"] == {}


def test_nothing_outside_the_folders_can_be_reached(
    serve: Callable[..., Any], write_evidence: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_evidence("event-1", crop_png=b"PNG", notes_txt=b"not of a shown kind")
    (tmp_path / "secret.png").write_bytes(b"SECRET")
    (folder.parent / "loose.png").write_bytes(b"SECRET")
    (folder / "inner").mkdir()
    (folder / "inner" / "deep.png").write_bytes(b"SECRET")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder.parent / "linked").symlink_to(folder)
    get = serve(evidence=folder.parent).get
    assert get("/evidence/event-1/crop.png")[0] == 200
    listed = EvidenceFiles(folder.parent).since(0)[1]
    assert listed == {"event-1": ["crop.png", "manifest.json"]}
    for path in (
        "event-1/../../secret.png",
        "event-1/..%2f..%2fsecret.png",
        "event-1/..%2F..%2Fsecret.png",
        "event-1/%2e%2e/%2e%2e/secret.png",
        "event-1/..%5c..%5csecret.png",
        "event-1/%252e%252e%252f%252e%252e%252fsecret.png",
        "..%2fsecret.png",
        "../secret.png",
        "..%2f/secret.png",
        "./loose.png",
        ".%2fevent-1/crop.png",
        "event-1/inner%2fdeep.png",
        "event-1/inner/deep.png",
        "event-1/link.png",
        "event-1/notes.txt",
        "event-1/",
        "event-1/crop.png%00.txt",
        "event-1/%00",
        f"event-1/{str(tmp_path / 'secret.png').replace('/', '%2f')}",
        "folder%20of%20event-1/crop.png",  # the folder's name is not the event
        "linked/crop.png",
    ):
        status, _, body = get(f"/evidence/{path}")
        assert status == 404, path
        assert b"SECRET" not in body


def test_a_file_swapped_for_a_link_later_is_not_followed(
    write_evidence: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_evidence("event-1", crop_png=b"PNG")
    files = EvidenceFiles(folder.parent)
    assert files.path("event-1", "crop.png") == (folder / "crop.png", "image/png")
    (tmp_path / "secret.png").write_bytes(b"SECRET")
    (folder / "crop.png").unlink()
    (folder / "crop.png").symlink_to(tmp_path / "secret.png")
    assert files.path("event-1", "crop.png") is None


def test_folders_come_and_go(write_evidence: Callable[..., Path], tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path / "evidence")
    assert files.since(0) == (0, {})  # the root is not there yet
    folder = write_evidence("event-1", crop_png=b"PNG")
    revision, new = files.since(0)
    assert new == {"event-1": ["crop.png", "manifest.json"]}
    assert files.since(revision) == (revision, {})
    write_evidence("event-2")
    (folder.parent / "folder of event-3.partial").mkdir()
    (folder.parent / "folder of event-3.partial" / "manifest.json").write_text('{"event": "3"}')
    assert set(files.since(revision)[1]) == {"event-2"}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert set(files.since(0)[1]) == {"event-2"}
    assert files.path("event-1", "crop.png") is None


@pytest.mark.parametrize(
    "manifest",
    [b"{", b"[]", b"{}", b'{"event": 3}', b'{"event": ""}', b"\xff", b'"event"'],
)
def test_a_broken_manifest_is_left_out_with_one_warning(
    tmp_path: Path, manifest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "evidence" / "a"
    folder.mkdir(parents=True)
    files = EvidenceFiles(folder.parent)
    assert files.since(0) == (0, {})  # being written: no manifest yet
    assert not caplog.records
    (folder / "manifest.json").write_bytes(manifest)
    for _ in range(3):
        assert files.since(0) == (0, {})
    assert len(caplog.records) == 1
    assert str(tmp_path) not in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_root_that_may_not_be_read_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0)
    try:
        assert EvidenceFiles(tmp_path).since(0) == (0, {})
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be listed" in caplog.text
