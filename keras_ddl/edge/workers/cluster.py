"""Options of a cluster on which jobs are done."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from keras_ddl.edge.values import at_least, positive

DECIMALS = 4  # of a share, as Ray counts them


@dataclass(frozen=True)
class ClusterOptions:
    """Where jobs are done that are not done on this machine alone.

    Attributes:
        address: Of a Ray cluster: `auto`, the one that this machine belongs to, or HOST:PORT.
        cpus_per_worker: CPUs that a worker takes of its node.
        gpus_per_worker: GPUs, also a part of one.
        workers_per_node: At most so many; None is as many as there is room for.
    """

    address: str
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    workers_per_node: int | None = None

    def room(self, resources: Mapping[str, float]) -> int:
        """Return how many workers a node has room for, by Ray's names of its resources."""
        shares = [int(resources.get("CPU", 0.0) / self.cpus_per_worker + 1e-9)]
        if self.gpus_per_worker:
            shares.append(int(resources.get("GPU", 0.0) / self.gpus_per_worker + 1e-9))
        if self.workers_per_node is not None:
            shares.append(self.workers_per_node)
        return min(shares)

    def asked(self) -> str:
        """Return what a worker takes, in words."""
        gpus = f" and {self.gpus_per_worker:g} GPUs" if self.gpus_per_worker else ""
        return f"{self.cpus_per_worker:g} CPUs{gpus} per worker"


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add `--cluster` and what a worker takes there to a command."""
    group = parser.add_argument_group("cluster (docs/cluster.md)")
    group.add_argument(
        "--cluster",
        metavar="auto|HOST:PORT",
        help="spread the videos over a Ray cluster, which sees the same paths; needs the extra "
        "cluster",
    )
    group.add_argument("--cpus-per-worker", type=_cpus, default=1.0, metavar="N")
    group.add_argument(
        "--gpus-per-worker", type=_gpus, metavar="N", help="also a part of one, as 0.25"
    )
    group.add_argument(
        "--workers-per-node",
        type=at_least(1),
        metavar="N",
        help="at most so many; default: as many as there is room for",
    )


def _cpus(text: str) -> float:
    value = positive(text)
    if round(value, DECIMALS) != value:
        raise argparse.ArgumentTypeError(f"expected at most {DECIMALS} decimals, got {text!r}")
    return value


def _gpus(text: str) -> float:
    value = _cpus(text)
    if value > 1 and not value.is_integer():
        raise argparse.ArgumentTypeError(f"expected a part of one, or whole ones, got {text!r}")
    return value


def cluster_options(args: argparse.Namespace) -> ClusterOptions | None:
    """Return what `add_cluster_options`' options say; None without `--cluster`."""
    if args.cluster is None:
        return None
    return ClusterOptions(
        args.cluster, args.cpus_per_worker, args.gpus_per_worker or 0.0, args.workers_per_node
    )
