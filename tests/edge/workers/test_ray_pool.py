"""Actors of a real Ray cluster on loopback: their results, and what a dead one costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray")

from keras_ddl.edge.errors import Parser, UserError
from keras_ddl.edge.workers.cluster import ClusterOptions, add_cluster_options
from keras_ddl.edge.workers.pool import CRASHED, TIMEOUT, Loss, tell_share
from keras_ddl.edge.workers.pools import open_pool
from keras_ddl.edge.workers.ray_pool import RayPool


@pytest.fixture
def options(ray_cluster: Any) -> ClusterOptions:
    return ClusterOptions(ray_cluster.address)


def as_it_is(folder: Path) -> Path:
    return folder


def square(_: Any, number: int) -> int:
    return number * number


def die_over_some(folder: Path, number: int) -> tuple[int, int]:
    """Kill this process over job 3 always, and over the first of all at the first attempt."""
    if number == 3 or (number == 0 and not (folder / "tried").exists()):
        (folder / "tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5:
        raise IndexError("no such frame\nand more")
    return number, os.getpid()


def tell_and_hang(_: Any, number: int) -> int:
    tell_share(0.25)
    time.sleep(2.5 if number == 0 else 600)
    return number


def refuse(_: Any, number: int) -> int:
    raise UserError("this one is not to be done", 4)


def cannot_open() -> None:
    raise UserError("expected model abc, received model def", 5)


def lost(number: int, loss: Loss) -> tuple[int, Loss]:
    return number, loss


def test_results_of_all_jobs_are_those_of_processes(options: ClusterOptions) -> None:
    start = partial(as_it_is, Path())
    found = []
    for where in (options, None):
        with open_pool(where, 2, start, square) as pool:
            found.append(sorted(pool.map(range(20), lost)))
            assert sorted(pool.map(range(3), lost)) == [(0, 0), (1, 1), (2, 4)]  # and again
            counted = sum(pool.done_by.values())
            assert counted == (23 if where is options else 0)  # this machine has no nodes
    assert found[0] == found[1] == [(number, number**2) for number in range(20)]


def test_a_job_that_kills_its_worker_costs_itself_alone(
    options: ClusterOptions, tmp_path: Path
) -> None:
    with RayPool(options, partial(as_it_is, tmp_path), die_over_some) as pool:
        found = dict(pool.map(range(8), lost))
    (number, death), (_, error) = found.pop(3), found.pop(5)
    assert (number, death.kind) == (3, CRASHED)
    assert death.reason.startswith("2 worker processes died over it (on node ")
    assert error.kind == CRASHED
    assert error.reason.startswith("an internal error, IndexError: no such frame (test_ray_pool")
    assert {number: value[0] for number, value in found.items()} == {
        n: n for n in (0, 1, 2, 4, 6, 7)
    }
    assert os.getpid() not in {pid for _, pid in found.values()}


def test_shares_are_told_and_a_late_job_costs_itself_alone(options: ClusterOptions) -> None:
    told: list[tuple[int, float]] = []
    with RayPool(options, partial(as_it_is, Path()), tell_and_hang, seconds=4.0) as pool:
        found = dict(pool.map(range(2), lost, lambda number, share: told.append((number, share))))
    bound = Loss(TIMEOUT, "not done after 4 s, the bound on time")
    assert found == {0: 0, 1: (1, bound)}
    assert set(told) == {(0, 0.25), (1, 0.25)}


def test_what_concerns_all_jobs_ends_them_and_names_the_node(options: ClusterOptions) -> None:
    with (
        RayPool(options, partial(as_it_is, Path()), refuse) as pool,
        pytest.raises(UserError, match=r"^node .*: this one is not to be done$") as caught,
    ):
        list(pool.map(range(9), lost))
    assert caught.value.exit_code == 4
    with (
        RayPool(options, cannot_open, square) as pool,
        pytest.raises(UserError, match=r"^node .*: expected model abc, received model def$"),
    ):
        list(pool.map(range(9), lost))


def test_a_worker_of_another_version_refuses_to_begin(
    options: ClusterOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras_ddl.edge.workers.ray_pool.VERSIONS", ("9.9", "3.99"))
    told = r"^node .*: expected keras-ddl 9\.9 on Python 3\.99, as the command has, received keras-"
    with (
        RayPool(options, partial(as_it_is, Path()), square) as pool,
        pytest.raises(UserError, match=told) as caught,
    ):
        list(pool.map(range(2), lost))
    assert caught.value.exit_code == 4


def test_a_cluster_without_room_is_told_in_a_line(options: ClusterOptions) -> None:
    greedy = ClusterOptions(options.address, 2.0, 0.5)
    told = r"expected a node with 2 CPUs and 0\.5 GPUs per worker, received 0 CPUs and 0 GPUs; 1 C"
    with pytest.raises(UserError, match=told):
        RayPool(greedy, partial(as_it_is, Path()), square)


@pytest.mark.parametrize(
    ("option", "received", "message"),
    [
        ("--cpus-per-worker", "0.00001", "expected at most 4 decimals, got '0.00001'"),
        ("--gpus-per-worker", "0.33333", "expected at most 4 decimals, got '0.33333'"),
        ("--gpus-per-worker", "1.5", "expected a part of one, or whole ones, got '1.5'"),
        ("--gpus-per-worker", "0", "expected a number > 0, got '0'"),
    ],
)
def test_a_share_that_ray_cannot_give_is_refused_in_a_line(
    option: str, received: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser()
    add_cluster_options(parser)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([option, received])
    assert f"argument {option}: {message}; see" in capsys.readouterr().err
    given = parser.parse_args(["--cpus-per-worker", "1.5", "--gpus-per-worker", "0.3333"])
    assert (given.cpus_per_worker, given.gpus_per_worker) == (1.5, 0.3333)


def test_room_of_a_node() -> None:
    node = {"CPU": 8.0, "GPU": 1.0, "memory": 1e9}
    assert ClusterOptions("auto").room(node) == 8
    assert ClusterOptions("auto", 3.0).room(node) == 2
    assert ClusterOptions("auto", 1.0, 0.25).room(node) == 4
    assert ClusterOptions("auto", 0.1, 0.1).room(node) == 10  # and not 9, as 1 / 0.1 rounds down
    assert ClusterOptions("auto", 1.0, 0.25, 2).room(node) == 2
    assert ClusterOptions("auto", 1.0, 0.25).room({"CPU": 8.0}) == 0


def test_no_jobs_need_no_worker_and_many_are_not_taken_far_ahead(options: ClusterOptions) -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with RayPool(options, partial(as_it_is, Path()), square) as pool:
        assert [*pool.map([], lost)] == []
        assert pool._workers == []
        assert [*pool.map([3], lost)] == [(0, 9)]
        assert len(pool._workers) == 1  # of two that the nodes have room for
        results = pool.map(jobs(), lost)
        for count in range(1, 20):
            next(results)
            assert len(taken) <= count + 4  # two at work, two that are counted


def test_jobs_that_cannot_be_told_end_the_pool_with_their_error(options: ClusterOptions) -> None:
    def jobs() -> Iterator[int]:
        yield 0
        raise LookupError("no more of them")

    with (
        RayPool(options, partial(as_it_is, Path()), square) as pool,
        pytest.raises(LookupError, match=r"^no more of them$"),
    ):
        [*pool.map(jobs(), lost)]


SLEEPING = """
import sys, time
from keras_ddl.edge.errors import run_cli
from keras_ddl.edge.workers.cluster import ClusterOptions
from keras_ddl.edge.workers.ray_pool import RayPool
def body():
    with RayPool(ClusterOptions(sys.argv[1]), int, lambda _, seconds: time.sleep(seconds)) as pool:
        for _ in pool.map([0, 600, 600], lambda job, loss: loss):
            print("one is done", file=sys.stderr, flush=True)
sys.exit(run_cli(body))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_as_it_ends_any_other(
    options: ClusterOptions, number: signal.Signals
) -> None:
    line = [sys.executable, "-c", SLEEPING, options.address]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    with subprocess.Popen(line, **pipes, text=True, env=environment) as process:  # type: ignore[call-overload]
        assert process.stderr.readline() == "one is done\n"
        process.send_signal(number)
        assert process.communicate() == ("", "interrupted\n")
    assert process.returncode == 130


def note_and_sleep(folder: Path, number: int) -> tuple[int, str]:
    (folder / f"{number}-{os.getpid()}").touch()
    time.sleep(1.0)
    return number, ray.get_runtime_context().get_node_id()


@pytest.mark.slow
def test_a_lost_node_costs_no_job(
    ray_cluster: Any,
    options: ClusterOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keras_ddl.edge.workers.tasks.ATTEMPTS", 1)  # whoever is blamed is lost
    node = ray_cluster.add_node(num_cpus=1)
    with RayPool(options, partial(as_it_is, tmp_path), note_and_sleep) as pool:
        results = pool.map(range(12), lost)
        found = [next(results)]
        while node.node_id not in {where for _, (_, where) in found}:
            found.append(next(results))
        ray_cluster.remove_node(node, allow_graceful=False)
        found += results
    assert sorted(number for number, _ in found) == [*range(12)]
    assert all(isinstance(value[1], str) for _, value in found), found
