"""`python -m keras_ddl.comparison.costs`: parameters and GMAC of a configuration's network.

The network is built with the weights it would start from, so that what cannot be trained is known
before anything is trained.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from keras_ddl import config as configs
from keras_ddl.config import TrainConfig
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.edge.files import write_json


@dataclass(frozen=True)
class Costs:
    """What a network costs.

    Args:
        parameters: Trainable numbers.
        gmac: 10⁹ multiply-accumulates per clip; None where they cannot be counted.
        cost_error: Why not.
    """

    parameters: int
    gmac: float | None
    cost_error: str = ""


def costs(config: TrainConfig) -> Costs:
    """Build a configuration's network as its training would and return what it costs.

    Raises:
        UserError: The network cannot be built, or its weights cannot be had.
    """
    from keras_ddl.build_network import build_started
    from keras_ddl.networks.cost import GIGA, macs, parameters

    model = build_started(config)
    try:
        return Costs(parameters(model), sum(macs(model).values()) / GIGA)
    except ValueError as error:  # a layer of a kind that `cost` does not know
        return Costs(parameters(model), None, f"its operations are not counted: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.comparison.costs",
        description="Parameters and GMAC per clip of a configuration's network, as JSON.",
    )
    configs.add_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there, not to stdout")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    found = asdict(costs(configs.from_arguments(args)))
    if args.out:
        write_json(args.out, found)
    else:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
