"""The queue on disk: order, bounds, damage, a full disk, kill -9 at any moment."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.sinks.spool import Spool
from keras_ddl.edge.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


def opened(folder: Path, **limits: int) -> Spool:
    spool = Spool(folder, **limits)
    spool.open()
    return spool


def contents(spool: Spool) -> list[bytes]:
    return [event.content for event in spool.peek(10**6)]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.json"))


@pytest.mark.parametrize("seed", range(5))
def test_it_behaves_like_a_list_that_survives(tmp_path: Path, seed: int) -> None:
    """Random puts, takings, refusals and restarts against a plain list."""
    rng = random.Random(seed)
    spool, model, refused, made = opened(tmp_path / "s"), [], [], 0
    for _ in range(150):
        action = rng.choice(["put", "put", "put", "done", "refuse", "restart"])
        if action == "put":
            made += 1
            content = json.dumps({"event": made, "text": "é" * rng.randrange(50)}).encode()
            spool.put(content)
            model.append(content)
        elif action == "restart":
            spool.close()
            spool = opened(tmp_path / "s")
        elif model:
            (oldest,) = spool.peek()
            assert oldest.content == model.pop(0)
            if action == "refuse":
                spool.refuse(oldest.number)
                refused.append(oldest.content)
            else:
                spool.done(oldest.number)
        assert contents(spool) == model
        assert len(spool) == len(model) == len(files(tmp_path / "s"))
    aside = sorted((tmp_path / "s" / "refused").glob("*.json"))
    assert [path.read_bytes() for path in aside] == refused
    assert spool.lost == 0
    spool.close()


def test_names_sort_by_order_beyond_a_restart_of_the_numbers(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(12):
        spool.put(b"%d" % number)
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.json"))] == [
        b"%d" % number for number in range(12)
    ]
    spool.refuse(spool.peek()[0].number)
    for event in spool.peek(99):
        spool.done(event.number)
    spool.close()
    spool = opened(tmp_path)  # empty but for what was refused, whose name stays its own
    spool.put(b"next")
    spool.refuse(spool.peek()[0].number)
    assert len(list((tmp_path / "refused").iterdir())) == 2
    spool.close()


def test_the_oldest_are_dropped_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dropped: list[int] = []
    spool = Spool(tmp_path, max_events=3, on_drop=dropped.append)
    spool.open()
    for number in range(10):
        spool.put(b"%d" % number)
    assert contents(spool) == [b"7", b"8", b"9"]
    assert (spool.lost, sum(dropped), len(files(tmp_path))) == (7, 7, 3)
    assert len(caplog.records) == 1
    spool.close()
    spool = opened(tmp_path, max_bytes=2)
    assert contents(spool) == [b"8", b"9"]
    spool.put(b"longer than all that may wait")
    assert contents(spool) == [b"longer than all that may wait"]
    spool.close()


def test_damaged_files_are_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = opened(tmp_path)
    for word in (b"first", b"second", b"third", b"fourth", b"fifth"):
        spool.put(word)
    spool.close()
    names = files(tmp_path)
    (tmp_path / names[1]).write_bytes(b"secon")  # cut short
    (tmp_path / names[2]).write_bytes(b"thirD")  # a flipped bit
    (tmp_path / ".0000000000000009-00000000.json.part").write_bytes(b"never finished")
    (tmp_path / "README").write_text("somebody's own")
    spool = opened(tmp_path)
    (tmp_path / names[3]).unlink()  # somebody cleaned up
    assert contents(spool) == [b"first", b"fifth"]
    assert spool.lost == 3
    assert sorted(path.name for path in (tmp_path / "damaged").iterdir()) == names[1:3]
    assert len([r for r in caplog.records if "damaged" in r.getMessage()]) == 3
    assert not list(tmp_path.glob(".*.part"))
    assert (tmp_path / "README").exists()
    spool.close()


def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(UserError, match="another running process"):
        Spool(tmp_path).open()
    spool.close()
    opened(tmp_path).close()


def test_a_folder_that_cannot_be_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"expected a folder .*--spool"):
        Spool(tmp_path / "file" / "below").open()


FULL = """
import json, logging, resource, sys
from pathlib import Path
from deploy.sinks.spool import Spool
logging.basicConfig(level=logging.WARNING, format="%(message)s")
folder = Path(sys.argv[1])
spool = Spool(folder)
spool.open()
spool.put(b"a" * 10)
everything = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, everything))  # EFBIG: no file may grow
for letter in (b"b", b"c", b"d"):
    spool.put(letter * 10)
full = [event.content.decode() for event in spool.peek(9)], len(list(folder.glob("*.json")))
spool.done(spool.peek(2)[1].number)  # "b" is delivered though it never was on disk
resource.setrlimit(resource.RLIMIT_FSIZE, (everything, everything))
spool.put(b"e" * 10)
room = [path.read_text() for path in sorted(folder.glob("*.json"))]
print(json.dumps([full, room, list(map(str, folder.glob(".*.part"))), spool.lost]))
"""


def test_a_full_disk_costs_nothing_but_a_line(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    line = [sys.executable, "-c", FULL, str(tmp_path / "s")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    full, room, parts, lost = json.loads(done.stdout)
    assert full == [["a" * 10, "b" * 10, "c" * 10, "d" * 10], 1]
    assert room == ["a" * 10, "c" * 10, "d" * 10, "e" * 10]
    assert (parts, lost) == ([], 0)
    assert [("memory" in text, "room again" in text) for text in done.stderr.splitlines()] == [
        (True, False),
        (False, True),
    ]


def test_memory_is_bounded_too_while_the_disk_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    spool = opened(tmp_path)
    spool.put(b"on disk")
    monkeypatch.setattr("deploy.sinks.spool.write_durably", full)
    monkeypatch.setattr("deploy.sinks.spool.MAX_IN_MEMORY", 2)
    for number in range(5):
        spool.put(b"%d" % number)
    assert contents(spool) == [b"on disk", b"3", b"4"]
    assert spool.lost == 3
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 2
    spool.close()
    assert spool.lost == 5  # what could not be written in the end is counted as well
    monkeypatch.undo()
    spool = opened(tmp_path)
    assert contents(spool) == [b"on disk"]
    spool.close()


# Says each number once it is safe, and takes every third event out again; ends by kill -9.
VICTIM = """
import sys
from pathlib import Path
from deploy.sinks.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.open()
number = int(sys.argv[2])
while True:
    number += 1
    spool.put(b"%d " % number + b"x" * 3000)
    print("put", number, flush=True)
    if number % 3 == 0:
        event = spool.peek()[0]
        print("took", int(event.content.split()[0]), flush=True)
        spool.done(event.number)
"""


def test_kill_9_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(1)
    put, took, last = set(), [], 0
    for _ in range(3):
        line = [sys.executable, "-c", VICTIM, str(tmp_path), str(last)]
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as victim:
            seen = [victim.stdout.readline() for _ in range(rng.randrange(5, 60))]
            os.kill(victim.pid, signal.SIGKILL)
            said = "".join(seen) + victim.stdout.read()
        for word, number in (text.split() for text in said.splitlines() if text.count(" ") == 1):
            (put.add if word == "put" else took.append)(int(number))
        spool = opened(tmp_path)
        waiting = [int(event.content.split()[0]) for event in spool.peek(10**6)]
        spool.close()
        assert waiting == sorted(waiting)
        assert put <= {*took, *waiting}
        assert len({*took} & {*waiting}) <= 1  # the one that was being taken
        last = max(put | {*waiting})
    assert took == sorted(took)
    assert not list(tmp_path.glob("damaged/*"))
