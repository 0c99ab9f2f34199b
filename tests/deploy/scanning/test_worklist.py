"""The worklist of a scan and its ledger: what is left, what is known, and how much memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploy.scanning.file_record import JUDGED, SKIPPED
from deploy.scanning.files import Candidate
from deploy.scanning.results.ledger import Ledger
from deploy.scanning.worklist import Worklist


@pytest.fixture
def worklist() -> Iterator[Worklist]:
    with closing(Worklist()) as opened:
        yield opened


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path, "key") as opened:
        yield opened


def candidate(name: str, size: int = 10, **more: Any) -> Candidate:
    return Candidate(name, True, size, 5, **more)


def judged(path: str, verdict: str | None, score: float | None, **more: Any) -> dict[str, Any]:
    facts = {"path": path, "size": 10, "mtime_ns": 5, "sha256": "", "status": JUDGED}
    return {**facts, "verdict": verdict, "fake_probability": score, "reason": "", **more}


def test_large_files_come_first_and_a_settled_one_does_not(
    worklist: Worklist, ledger: Ledger
) -> None:
    for name, size in (("/a", 1), ("/b", 30), ("/c", 20)):
        worklist.add(candidate(name, size))
    worklist.settle_known(ledger)
    order = worklist.left()
    number, first = next(order)
    assert (first.path, first.size) == ("/b", 30)
    worklist.settle(number, *ledger.add(judged("/b", "REAL", 0.1, seconds=2.5)))
    assert [c.path for _, c in order] == ["/c", "/a"]  # as it was when it was begun
    assert [c.path for _, c in worklist.left()] == ["/c", "/a"]
    assert (worklist.found(), worklist.done(), worklist.bytes_left()) == (3, 1, 21)
    assert worklist.seconds() == 2.5


def test_records_come_most_suspicious_first_then_by_name_and_those_without_a_verdict_last(
    worklist: Worklist, ledger: Ledger
) -> None:
    facts = [
        judged("/no face", "NO_FACE", None),
        judged("/z", "FAKE", 0.8),
        judged("/broken", None, None) | {"status": "unreadable"},
        judged("/b", "UNCERTAIN", 0.5),
        judged("/a", "UNCERTAIN", 0.5),
        judged("/y", "FAKE", 0.9),
        judged("/text", None, None) | {"status": SKIPPED},
    ]
    for record in facts:
        worklist.add(candidate(record["path"]))
    worklist.add(Candidate("/closed", True, 0, 0, trouble="cannot be read: no"))
    worklist.settle_known(ledger)
    for (number, _), record in zip(list(worklist.left()), facts, strict=True):
        worklist.settle(number, *ledger.add(record))
    names = [record["path"] for record in worklist.records()]
    assert names == ["/y", "/z", "/a", "/b", "/no face", "/broken", "/closed"]
    assert [record["path"] for record in worklist.failed()] == ["/broken", "/closed"]
    assert worklist.totals() == {
        "FAKE": 2, "UNCERTAIN": 2, "REAL": 0, "NO_FACE": 1, "skipped": 1, "unreadable": 2,
    }  # fmt: skip
    assert (worklist.found(), worklist.done()) == (7, 7)  # the closed one cannot be tried


def test_the_ledger_is_read_once_more_where_a_file_has_not_changed(
    worklist: Worklist, tmp_path: Path
) -> None:
    with Ledger(tmp_path, "key") as first:
        for name in ("/same", "/larger", "s3://b/same", "s3://b/changed"):
            tag = {"tag": "t1"} if name.startswith("s3") else {}
            first.add(judged(name, "REAL", 0.1, **tag))
    for one in (
        candidate("/same"),
        candidate("/larger", 11),
        candidate("/new"),
        candidate("s3://b/same", tag="t1"),
        candidate("s3://b/changed", tag="t2"),
    ):
        worklist.add(one)
    with Ledger(tmp_path, "key") as again:
        worklist.settle_known(again)
        assert {r["path"] for r in worklist.records()} == {"/same", "s3://b/same"}
        left = {c.path for _, c in worklist.left()}
    assert left == {"/larger", "/new", "s3://b/changed"}


def test_a_name_that_is_no_utf_8_stays_what_it_is(worklist: Worklist, ledger: Ledger) -> None:
    name = "/no utf-8 \udcff.mp4"
    worklist.add(candidate(name))
    worklist.settle_known(ledger)
    ((number, found),) = worklist.left()
    assert found.path == name
    worklist.settle(number, *ledger.add(judged(name, "REAL", 0.1)))
    assert next(worklist.records())["path"] == name


MEASURE = """
import json, sys, tempfile
from pathlib import Path
from deploy.scanning.files import Candidate
from deploy.scanning.results.ledger import Ledger
from deploy.scanning.results.place import Results
from deploy.scanning.results.summary import write_summary
from deploy.scanning.worklist import Worklist
from keras_ddl.edge.memory import peak_mib

ABOUT = {"model": {"id": "", "domain": "", "weights_sha256": "", "model_sha256": "", "backend": ""},
    "thresholds": {"fake_from": 0.6, "real_to": 0.4}, "options": {"detector": ""}, "abstain": "",
    "program": "", "left": 0, "finished": "2026-11-25T10:00:00+00:00"}
TIMELINE = [[n / 96, 0.5] for n in range(96)]
with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder), "key") as ledger:
    worklist = Worklist()
    for n in range(int(sys.argv[1])):
        worklist.add(Candidate(f"s3://bucket/{n % 1000:03}/{n:07}.mp4", True, n % 977, 5, tag="t"))
    worklist.settle_known(ledger)
    for number, one in worklist.left():
        record = {"path": one.path, "size": one.size, "mtime_ns": 5, "sha256": "", "reason": "",
            "status": "judged", "verdict": "UNCERTAIN", "fake_probability": number % 101 / 100,
            "timeline": TIMELINE, "notes": [], "frames": 1, "clips": 1, "judged_at": "",
            "elapsed_s": 1.0, "records": "", "seconds": 1.0}
        worklist.settle(number, *ledger.add(record))
    write_summary(Results(folder), worklist.records(), worklist.totals(), ABOUT)
    assert worklist.done() == int(sys.argv[1])
print(round(peak_mib()))
"""


@pytest.mark.slow
def test_a_hundred_times_the_files_take_hardly_more_memory() -> None:
    """From listing to summary; the page's rows are what 2,000 do not fill and 200,000 do."""
    used = [
        int(subprocess.check_output([sys.executable, "-c", MEASURE, str(files)]).split()[-1])
        for files in (20_000, 200_000)
    ]
    assert used[1] - used[0] < 40, used  # MiB; as texts in a list their paths alone would be 20
