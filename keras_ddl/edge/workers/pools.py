"""Choice of a pool: processes of this machine, or actors of a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from keras_ddl.edge.workers.cluster import ClusterOptions
from keras_ddl.edge.workers.pool import JOB_S, Job, Loss, Result, WorkerPool
from keras_ddl.edge.workers.tasks import Opened


def open_pool(
    cluster: ClusterOptions | None,
    processes: int,
    start: Callable[[], Opened],
    work: Callable[[Opened, Job], Result],
    seconds: float = JOB_S,
) -> WorkerPool[Any, Any]:
    """Open the pool of a cluster, or without one `processes` processes of this machine."""
    if cluster is not None:
        from keras_ddl.edge.workers.ray_pool import RayPool

        return RayPool(cluster, start, work, seconds)
    from keras_ddl.edge.workers.process_pool import ProcessPool

    return ProcessPool(processes, start, work, seconds)


def unordered_map(
    work: Callable[[Opened, Job], Result],
    jobs: Iterable[Job],
    processes: int,
    start: Callable[[], Opened],
    lost: Callable[[Job, Loss], Result],
    seconds: float = JOB_S,
    cluster: ClusterOptions | None = None,
    done_by: Counter[str] | None = None,
) -> Iterator[tuple[int, Result]]:
    """Yield (number of the job, its result) as they come.

    Args:
        work: As in `ProcessPool`.
        jobs: Picklable; taken when a process is free.
        processes: Worker processes; 0 = in this process, without isolation and bound.
        start: As in `ProcessPool`.
        lost: As in `WorkerPool.map`.
        seconds: As in `ProcessPool`.
        cluster: Do them there, in place of `processes`.
        done_by: As of `WorkerPool`; counted on where one is given.
    """
    if cluster is None and processes < 1:
        opened = start()
        for number, job in enumerate(jobs):
            yield number, work(opened, job)
        return
    with open_pool(cluster, processes, start, work, seconds) as pool:
        if done_by is not None:
            pool.done_by = done_by
        yield from pool.map(jobs, lost)
