"""`deploy/scan.py` on an S3 server: files are fetched, results are put, nothing is left behind."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("av")
pytest.importorskip("s3fs")

from deploy import scan
from deploy.evidence.verify import Demands, verify
from deploy.scanning.results.stored_ledger import StoredLedger
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.claim import CLAIM
from keras_ddl.edge.storage.store import Store

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

OF_ITS_TIME = ("elapsed_s", "stage_s", "judged_at", "finished")


@pytest.fixture
def archive(bucket: Address, tmp_path: Path, face_video: Path, empty_video: Path) -> Path:
    """The same files here and in the bucket; returns the folder here."""
    folder = tmp_path / "archive"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(face_video, folder / "face.mp4")
    shutil.copy(empty_video, folder / "deep" / "nobody")  # no suffix: it is looked into
    (folder / "broken.mp4").write_bytes(face_video.read_bytes()[:2000])
    store = Store(bucket)
    for file in folder.rglob("*"):
        if file.is_file():
            name = file.relative_to(folder).as_posix()
            store.upload(file, bucket / "archive" / name)
    store.write(bucket / "archive/notes.txt", b"a text that nobody fetches")
    return folder


@pytest.fixture
def call(filmed_bundle: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*words: object) -> int:
        spool = tmp_path / "spool"
        line = [*words, "--bundle", filmed_bundle, "--detector", "haar", "--jobs", 1]
        return scan.main([str(word) for word in [*line, "--spool", spool]])

    return run


def comparable(summary: bytes, root: object) -> Any:
    """A summary without times and places."""
    text = summary.decode().replace(f"{root}/", "")
    found = json.loads(text)
    for facts in (found, *found["files"]):
        for name in (*OF_ITS_TIME, "mtime_ns", "tag", "key", "records", "thumb"):
            facts.pop(name, None)
    return found


def test_results_in_a_store_are_those_of_a_folder_and_are_gone_on_with(
    archive: Path,
    bucket: Address,
    call: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {path.name for path in Path(tempfile.gettempdir()).glob("keras-ddl-*")}
    here, there = tmp_path / "here", bucket / "scans" / "one"
    assert call(archive, "--out", here) == 2  # of the broken one
    assert call(bucket / "archive", "--out", there) == 2
    assert f"{there}/scan.html\n" in capsys.readouterr().out
    store = Store(bucket)
    summary = store.read(there / "scan.json")
    assert summary is not None
    face = next(f for f in json.loads(summary)["files"] if f["path"].endswith("face.mp4"))
    assert list(face["stage_s"]) == ["fetch", "decode", "detect", "crop", "infer"]
    assert min(face["stage_s"].values()) > 0 and sum(face["stage_s"].values()) <= face["elapsed_s"]
    near = comparable((here / "scan.json").read_bytes(), archive)
    far = comparable(summary, bucket / "archive")
    assert far["files"] == near["files"] and far == near
    files = {file.address.removeprefix(f"{there}/") for file in store.below(there)}
    kinds = {re.sub(r"-[0-9a-f]{12}|\.parts/.*", "", name) for name in files}
    assert kinds == {
        "scan.csv", "scan.html", "scan.json", "scan.jsonl", "records/face.jsonl",
        "records/nobody.jsonl", "thumbs/face.jpg", "thumbs/nobody.jpg",
    }  # fmt: skip
    page = store.read(there / "scan.html")
    assert page is not None and page.count(b"data:image/jpeg;base64,") == 2
    ledger = store.read(there / "scan.jsonl")

    assert call(bucket / "archive", "--out", there) == 2
    assert "going on: 3 of 3 files are done" in capsys.readouterr().err
    assert store.read(there / "scan.jsonl") == ledger

    store.upload(archive / "face.mp4", bucket / "archive/broken.mp4")
    assert call(bucket / "archive", "--out", there) == 0
    assert "going on: 2 of 3 files are done" in capsys.readouterr().err
    assert not list((tmp_path / "spool").iterdir())
    assert {path.name for path in Path(tempfile.gettempdir()).glob("keras-ddl-*")} <= before


@pytest.mark.slow
def test_a_cluster_scans_from_a_store_into_a_store(
    archive: Path, bucket: Address, filmed_bundle: Path, ray_cluster: Any
) -> None:
    near, far = bucket / "near", bucket / "far"
    line = [bucket / "archive", "--bundle", filmed_bundle, "--detector", "haar", "--out"]
    assert scan.main([str(word) for word in [*line, near, "--jobs", 1]]) == 2
    assert scan.main([str(word) for word in [*line, far, "--cluster", ray_cluster.address]]) == 2
    store = Store(bucket)
    one, other = (store.read(place / "scan.json") for place in (near, far))
    assert one is not None and other is not None
    assert comparable(other, bucket) == comparable(one, bucket)


def test_a_spool_that_cannot_be_is_a_line_and_no_files_fault(
    archive: Path, bucket: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [bucket / "archive", "--out", tmp_path / "out", "--spool", "/proc/none"]
    assert scan.main([str(word) for word in line]) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: expected a folder to fetch files to, received '/proc/none'")
    assert not (tmp_path / "out").exists()


def test_an_object_in_an_archive_class_costs_itself_alone_and_is_tried_again(
    archive: Path, bucket: Address, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    import boto3

    client, name = boto3.client("s3"), bucket.removeprefix("s3://")
    content = (archive / "deep/nobody").read_bytes()
    client.put_object(Bucket=name, Key="archive/cold.mp4", Body=content, StorageClass="GLACIER")
    assert call(bucket / "archive", "--out", bucket / "out") == 2
    said = capsys.readouterr().err
    assert f"{bucket}/archive/cold.mp4: access was refused (" in said
    assert "4 files: 1 " in said and "2 unreadable" in said
    client.delete_object(Bucket=name, Key="archive/cold.mp4")
    client.put_object(Bucket=name, Key="archive/cold.mp4", Body=content)  # of the same ETag
    assert call(bucket / "archive", "--out", bucket / "out") == 2
    said = capsys.readouterr().err
    assert "going on: 3 of 4 files are done" in said and "1 unreadable" in said


def test_evidence_in_a_store_is_a_chain_for_each_file(
    archive: Path, bucket: Address, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    model = make_bundle(tmp_path / "model", training={"dataset": "someset"}, threshold=0.05)
    out, evidence = bucket / "out", bucket / "evidence"
    line = [bucket, "--out", out, "--evidence", evidence, "--bundle", model, "--jobs", 1]
    words = [str(word) for word in [*line, "--detector", "haar"]]
    assert scan.main(words) == 2  # of the broken one
    store = Store(bucket)
    found = {file.address.removeprefix(f"{evidence}/") for file in store.below(evidence)}
    roots = {name.partition("/")[0] for name in found}
    assert len(roots) == 1 and f"{next(iter(roots))}/chain.jsonl" in found
    here = tmp_path / "fetched"
    for name in found:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(store.read(evidence / name) or b"")
    held = verify(here / next(iter(roots)), Demands())
    assert held.problems == [] and held.folders
    assert scan.main(words) == 2  # results and evidence below the same address are not scanned
    summary = json.loads(store.read(out / "scan.json") or b"")
    assert len(summary["files"]) == 3


def test_what_a_killed_call_had_sent_is_not_judged_again(
    archive: Path,
    bucket: Address,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, store = bucket / "out", Store(bucket)
    assert call(bucket / "archive", "--out", out) == 2
    whole = store.read(out / "scan.jsonl")
    assert whole is not None
    lines = whole.splitlines(keepends=True)
    store.remove(out / "scan.jsonl")  # as a call leaves it that was killed after two files
    store.write(out / "scan.jsonl.parts/1-a.jsonl", lines[0])
    store.write(out / "scan.jsonl.parts/2-b.jsonl", lines[1])
    assert call(bucket / "archive", "--out", out) == 2
    assert "going on: 2 of 3 files are done" in capsys.readouterr().err
    again = store.read(out / "scan.jsonl")
    assert again is not None and again.startswith(lines[0] + lines[1])
    assert again.count(b"\n") == 3
    assert not list(store.below(out / "scan.jsonl.parts", missing=True))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["s3://no-such-bucket/x"], "expected it to be there; check the address"),
        (["ftp://host/x"], "expected a path or an address"),
        (["{bucket}", "--evidence", "s3://b/e", "--evidence-key", "k"], "expected a folder of th"),
        (["{bucket}/archive", "--evidence", "https://host/e"], "a web server takes no results"),
        (["{bucket}/none"], "check the address"),
        (["{bucket}/archive", "--out", "https://host/out"], "a web server takes no results"),
    ],
)
def test_mistakes_are_one_line(
    archive: Path,
    bucket: Address,
    call: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    told: str,
) -> None:
    words = [word.format(bucket=bucket) for word in words]
    out = [] if "--out" in words else ["--out", tmp_path / "out"]
    try:
        code = call(*words, *out)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    said = capsys.readouterr().err.splitlines()
    assert told in said[-1] and not any("Traceback" in line for line in said)


def test_a_scan_holds_a_claim_on_its_place(bucket: Address) -> None:
    place, store = bucket / "scan", Store(bucket)
    with StoredLedger(place, "key"):
        assert store.read(place / CLAIM) is not None
    assert store.read(place / CLAIM) is None
