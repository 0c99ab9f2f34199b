"""Pool of actors on the nodes of a Ray cluster, with the promises of the pool on one machine."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Generic

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.workers.cluster import ClusterOptions
from keras_ddl.edge.workers.pool import (
    CRASHED,
    JOB_S,
    TIMEOUT,
    Job,
    Loss,
    Result,
    WorkerPool,
)
from keras_ddl.edge.workers.ray_head import Head, connect
from keras_ddl.edge.workers.ray_worker import VERSIONS, RayWorker
from keras_ddl.edge.workers.tasks import BROKEN, FAILED, Opened, Task, Tasks

NODES_S = 5.0  # how often new and lost nodes are looked for
SHARE_S = 1.0  # how often workers are asked what share is done
PATIENCE_S = 60.0  # after so long without any worker a line says what is waited for
MOVES = 5  # a job that lost so many machines under it is given up

_log = logging.getLogger(__name__)


@dataclass
class _Node:
    """A node of the cluster, and the workers that it has room for."""

    id: str
    name: str
    room: int


@dataclass
class _Worker:
    """An actor; `answer` is what it is to say next, `until` when its task is given up.

    `asked` is when it was last asked for something.
    """

    actor: Any
    node: _Node
    answer: Any
    task: Task[Any] | None = None
    until: float = float("inf")
    ready: bool = False
    share: Any = None
    asked: float = field(default_factory=time.monotonic)

    def takes_one(self) -> bool:
        """Whether it is free, or likely to be soon: not where others hold its node's CPUs."""
        begins = time.monotonic() < self.asked + PATIENCE_S
        return self.task is None and (self.ready or begins)


class RayPool(WorkerPool[Job, Result], Generic[Opened, Job, Result]):
    """Actors of a Ray cluster, as many as its nodes have room for; nodes may come and go.

    A job whose process dies is begun once more on another worker, as in `ProcessPool`; one whose
    node is lost is begun again elsewhere and is not blamed. A worker has one job at a time. The
    actors end with the pool, and with this process, even by `kill -9`.

    Args:
        options: Which cluster, and what a worker takes of a node.
        start: Run once in each worker before its first job; opens what every job needs.
        work: Does a job, with what `start` returned. Both are picklable.
        seconds: Longest time for one job; what `start` takes does not count.

    Raises:
        UserError: Ray is not installed, no cluster is at the address, or it has no fitting node.
    """

    def __init__(
        self,
        options: ClusterOptions,
        start: Callable[[], Opened],
        work: Callable[[Opened, Job], Result],
        seconds: float = JOB_S,
    ) -> None:
        self.done_by = Counter()
        self._options, self._start, self._work = options, start, work
        self._seconds = seconds
        self._workers: list[_Worker] = []
        self._looked = -float("inf")
        self._told = False
        self._connected = connect(options.address)
        self._ray = need("ray", "--cluster", "cluster")
        here = self._ray.get_runtime_context()
        self._head, self._here = Head(options.address, here.gcs_address), here.get_node_id()
        if not self._nodes():
            told = self._no_room()
            self.__exit__()
            raise UserError(told, MISSING)

    def map(
        self,
        jobs: Iterable[Job],
        lost: Callable[[Job, Loss], Result],
        tell: Callable[[int, float], None] | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """As `WorkerPool.map`; once all its results are there it may be called again."""
        tasks: Tasks[Job] = Tasks(jobs)
        manned = time.monotonic()
        while tasks.left(1) or any(worker.task for worker in self._workers):
            self._man(tasks)
            for worker in self._workers:
                if worker.ready and worker.task is None:
                    self._give(worker, tasks)
            if any(worker.ready for worker in self._workers):
                manned = time.monotonic()
            else:
                self._say_what_is_waited_for(manned)
            for worker in self._wait(tell):
                end = self._answer(worker, tasks)
                if end is not None:
                    task, value = end
                    yield task.number, lost(task.job, value) if isinstance(value, Loss) else value

    def _give(self, worker: _Worker, tasks: Tasks[Job]) -> None:
        """Give a free worker the next task, if there is one."""
        worker.task = tasks.next()
        if worker.task is not None:
            worker.answer = worker.actor.do.remote(worker.task.number, worker.task.job)
            worker.asked = time.monotonic()
            worker.until = worker.asked + self._seconds

    def _wait(self, tell: Callable[[int, float], None] | None) -> list[_Worker]:
        """Wait a moment; return the workers that have answered, or that are late."""
        expected = [w for w in self._workers if w.task is not None or not w.ready]
        if tell is not None:
            self._ask_for_shares(expected, tell)
        if not expected:
            time.sleep(SHARE_S)
            return []
        until = min(w.until for w in expected)
        patience = max(0.0, min(SHARE_S, until - time.monotonic()))
        refs = [w.answer for w in expected]
        heard = set(self._ray.wait(refs, num_returns=1, timeout=patience)[0])
        now = time.monotonic()
        return [w for w in expected if w.answer in heard or w.until <= now]

    def _ask_for_shares(self, workers: list[_Worker], tell: Callable[[int, float], None]) -> None:
        for worker in workers:
            if worker.share is not None:
                if not self._ray.wait([worker.share], timeout=0)[0]:
                    continue
                asked, worker.share = worker.share, None
                try:
                    number, share = self._ray.get(asked)
                except self._ray.exceptions.RayError:  # its answer says so too
                    continue
                if worker.task is not None and number == worker.task.number:
                    tell(number, share)
            elif worker.task is not None and worker.asked + SHARE_S <= time.monotonic():
                worker.share, worker.asked = worker.actor.share.remote(), time.monotonic()

    def _answer(self, worker: _Worker, tasks: Tasks[Job]) -> tuple[Task[Job], Any] | None:
        """Take an answer; return a task that has ended and its result or its `Loss`."""
        task = worker.task
        if not self._ray.wait([worker.answer], timeout=0)[0]:
            self._dismiss(worker)
            late = Loss(TIMEOUT, f"not done after {self._seconds:g} s, the bound on time")
            return None if task is None else (task, late)
        try:
            kind, value = self._ray.get(worker.answer)
        except self._ray.exceptions.RayError as error:
            return self._after_death(worker, tasks, error)
        if kind == FAILED:
            raised, trace = value
            if isinstance(raised, UserError):
                raised = UserError(f"{worker.node.name}: {raised}", raised.exit_code)
            raise raised from RuntimeError(f"on {worker.node.name}:\n{trace}")
        worker.task, worker.until = None, float("inf")
        if task is None:
            worker.ready = True
            return None
        self.done_by[worker.node.name] += 1
        return task, Loss(CRASHED, value) if kind == BROKEN else value

    def _after_death(
        self, worker: _Worker, tasks: Tasks[Job], error: Exception
    ) -> tuple[Task[Job], Loss] | None:
        """Replace a worker that has died; return its task if that is given up."""
        self._dismiss(worker)
        unreachable = isinstance(error, self._ray.exceptions.ActorUnavailableError)
        lost = unreachable or not self._head.answers()
        gone = lost or worker.node.id not in self._nodes()
        task = worker.task
        if task is None:
            if gone:
                return None
            reason = (str(error).strip().splitlines() or [""])[-1].strip()
            raise UserError(f"{worker.node.name}: no worker can begin: {reason}") from error
        if not gone:
            loss = tasks.after_death(task, f"on {worker.node.name}")
        elif task.moves + 1 < MOVES:
            tasks.put_back(task)
            loss = None
        else:
            loss = Loss(CRASHED, f"{MOVES} nodes were lost under it")
        return None if loss is None else (task, loss)

    def _dismiss(self, worker: _Worker) -> None:
        self._ray.kill(worker.actor, no_restart=True)
        self._workers.remove(worker)
        self._looked = -float("inf")

    def _man(self, tasks: Tasks[Job]) -> None:
        """Give the nodes their workers, now and then, the emptiest first; never more than tasks."""
        if time.monotonic() < self._looked + NODES_S or not self._head.answers():
            return
        self._looked = time.monotonic()
        nodes = self._nodes()
        if not nodes and not self._workers:
            raise UserError(self._no_room(), MISSING)
        there = Counter(worker.node.id for worker in self._workers)
        free = [(n, node) for node in nodes.values() for n in range(there[node.id], node.room)]
        without = sum(worker.takes_one() for worker in self._workers)
        wanted = max(0, tasks.left(without + len(free)) - without)
        for _, node in sorted(free, key=itemgetter(0))[:wanted]:
            self._workers.append(self._spawn(node))

    def _nodes(self) -> dict[str, _Node]:
        """Nodes that are alive and have room, by their ids.

        Raises:
            UserError: That of this process is not: no worker of ours is left to live.
        """
        found = {}
        for facts in self._ray.nodes():
            if facts["NodeID"] == self._here and not facts["Alive"]:
                raise UserError(
                    f"--cluster {self._options.address}: expected the node of this machine, which "
                    "has ended; what is done is kept: start it and run the same command again",
                    MISSING,
                )
            room = self._options.room(facts["Resources"])
            if facts["Alive"] and room:
                name = f"node {facts['NodeManagerHostname']}"
                found[facts["NodeID"]] = _Node(facts["NodeID"], name, room)
        return found

    def _spawn(self, node: _Node) -> _Worker:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            self._ray.remote(RayWorker)
            .options(
                num_cpus=self._options.cpus_per_worker,
                num_gpus=self._options.gpus_per_worker,
                max_concurrency=2,  # a job, and the question for its share
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            )
            .remote()
        )
        begun = actor.open.remote(VERSIONS, os.getcwd(), self._start, self._work)
        return _Worker(actor, node, begun)

    def _say_what_is_waited_for(self, since: float) -> None:
        if not self._told and time.monotonic() > since + PATIENCE_S:
            self._told = True
            count, address = len(self._workers), self._options.address
            _log.warning(
                "waiting for %d workers at %s; are its CPUs and GPUs in use?", count, address
            )

    def _no_room(self) -> str:
        alive = [facts["Resources"] for facts in self._ray.nodes() if facts["Alive"]]
        kinds = {f"{r.get('CPU', 0):g} CPUs and {r.get('GPU', 0):g} GPUs" for r in alive}
        there = "; ".join(sorted(kinds))
        return (
            f"--cluster {self._options.address}: expected a node with {self._options.asked()}, "
            f"received {there or 'no node'}; ask for less per worker or start more nodes"
        )

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            self._ray.kill(worker.actor, no_restart=True)
        self._workers.clear()
        if self._connected:
            self._ray.shutdown()
