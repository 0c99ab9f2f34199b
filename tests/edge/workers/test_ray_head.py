"""Head of a real Ray cluster: others that listen in its place, and the end of a command with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

pytest.importorskip("ray")

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.workers import ray_head
from keras_ddl.edge.workers.ray_head import Head, connect


def test_somebody_else_at_the_address_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            line, _ = server.accept()
            with line:
                line.recv(100)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(UserError, match=r"answers \(something else listens there\)") as caught:
            connect(address)
    assert caught.value.exit_code == MISSING


def test_auto_is_the_address_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match=r"^--cluster auto: no Ray cluster answers \(.*refused"):
        connect("auto")


def test_a_silent_head_is_lost_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        head = Head("auto", address)
        assert head.answers()
    assert not head.answers()
    monkeypatch.setattr(ray_head, "SILENCE_S", 0.0)
    told = f"^--cluster auto: expected the cluster's head at {address}, which no longer answers; wh"
    with pytest.raises(UserError, match=told) as caught:
        head.answers()
    assert caught.value.exit_code == MISSING


LOST = """
import sys, time
import ray._private.ray_constants
ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # all on 127.0.0.1
from ray.cluster_utils import Cluster
from keras_ddl.edge.errors import run_cli
from keras_ddl.edge.workers import ray_head
from keras_ddl.edge.workers.cluster import ClusterOptions
from keras_ddl.edge.workers.ray_pool import RayPool
ray_head.SILENCE_S = 5.0
cluster = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
def body():
    work = lambda _, number: time.sleep(0.1)
    with RayPool(ClusterOptions(cluster.address), int, work) as pool:
        for number, _ in pool.map(range(10_000), lambda job, loss: loss):
            if number == 3:
                getattr(cluster.head_node, sys.argv[1])(check_alive=False)
code = run_cli(body)
cluster.shutdown()
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed", "told"),
    [
        ("kill_gcs_server", "which no longer answers; what is done is kept: start a head and run"),
        ("kill_raylet", "expected the node of this machine, which has ended; what is done is kept"),
    ],
)
def test_a_lost_head_or_own_node_ends_the_command_in_a_line(killed: str, told: str) -> None:
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    line = [sys.executable, "-c", LOST, killed]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == MISSING
    assert told in done.stderr
    assert "Traceback" not in done.stderr
