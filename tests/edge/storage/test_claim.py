"""Claims on folders of a real S3 server: one command at a time, and none that died holds one up."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("s3fs")

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.storage import claim
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.claim import CLAIM, Claim
from keras_ddl.edge.storage.store import Store

HOLDER = """
import sys, time
from keras_ddl.edge.storage import claim
from keras_ddl.edge.storage.address import Address

claim.RENEWED_S = 0.3
with claim.Claim(Address(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(bucket: Address) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds a claim on the bucket until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(bucket)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_command_is_refused_and_told_who_holds_it(
    bucket: Address, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(UserError) as refused, Claim(bucket):
        pass
    who = f"process {holder.pid} of {socket.gethostname()}"
    assert str(refused.value) == (
        f"expected a folder of one command, another one, {who}, writes to '{bucket}'; "
        "wait for it, or name another --out"
    )
    holder.communicate("")  # it ends well
    assert Store(bucket).read(bucket / CLAIM) is None


def test_that_of_a_killed_process_of_this_machine_is_taken_over_at_once(
    bucket: Address, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    monkeypatch.setattr(claim, "LOST_S", float("inf"))  # waiting would last for good
    with Claim(bucket):
        held = json.loads(Store(bucket).read(bucket / CLAIM) or b"")
        assert held["process"] != holder.pid
    assert Store(bucket).read(bucket / CLAIM) is None


HERE = socket.gethostname()


@pytest.mark.parametrize(
    "content",
    [
        {"id": "a", "host": "elsewhere", "process": 7},
        {"id": "a", "host": HERE, "process": "seven"},
        {"id": "a", "host": HERE, "process": 10**30},
        "no claim",
    ],
)
def test_that_of_another_machine_is_free_once_nobody_renews_it(
    content: object, bucket: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(bucket)
    store.write(bucket / CLAIM, json.dumps(content).encode())
    monkeypatch.setattr(claim, "LOST_S", 1.5)
    began = time.monotonic()
    with Claim(bucket):
        waited = time.monotonic() - began
        assert (waited > 1.5) is isinstance(content, dict)
        assert json.loads(store.read(bucket / CLAIM) or b"")["host"] == HERE


def test_whoever_stood_still_for_too_long_leaves_the_others_alone(
    bucket: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "RENEWED_S", 60.0)  # not in between
    theirs = json.dumps({"id": "b", "host": "elsewhere", "process": 7}).encode()
    store = Store(bucket)
    with Claim(bucket):
        store.write(bucket / CLAIM, theirs)
    assert store.read(bucket / CLAIM) == theirs
