"""`python -m keras_ddl.import_mesonet WEIGHTS.h5`: the authors' weights of MesoNet as a run.

The run is a complete one: `python -m keras_ddl.evaluate RUN --prepared DIR --keep-operating-point`
scores it, `python export/to_onnx.py RUN` exports it, and a training can start from it. See
docs/mesonet.md.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_ddl import __version__
from keras_ddl.config import TrainConfig, load
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.files import file_sha256, write_json
from keras_ddl.edge.runs import CONFIG, WEIGHTS, finish_run, start_run
from keras_ddl.networks import zoo

NETWORKS = ("meso4", "mesoinception4")
DATASET = "MesoNet's authors' own"


def mesonet_run(weights: Path, network: str | None = None, out: Path | None = None) -> Path:
    """Make a run of a file of the authors' weights; `latest` beside it then points to it.

    Args:
        weights: Their file.
        network: One of `NETWORKS`; default: the one that it fits.
        out: The run folder; default: one named after the time, in `runs/`.

    Returns:
        The run folder.

    Raises:
        UserError: the file is not there, is none of Keras weights, or fits no network; `out` is in
            use.
    """
    model, config = _loaded(Path(weights), (network,) if network else NETWORKS)
    run = start_run(out)
    source = {"weights": weights.name, "sha256": file_sha256(weights), "trained by": DATASET}
    model.save_weights(str(run / WEIGHTS))
    write_json(
        run / CONFIG, {"config": config.to_dict(), "data": {"prepared": "", "fingerprint": ""}}
    )
    manifest = {
        "program": {"version": __version__},
        "command": shlex.join(sys.orig_argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "imported": source,
    }
    write_json(run / "manifest.json", manifest)
    write_json(run / "metrics.json", {"parameters": model.count_params()})
    training = {"dataset": DATASET, "network": config.described(), "imported": source}
    spec = config.spec().replace(training=training, weights_sha256=file_sha256(run / WEIGHTS))
    spec.write(run / "clipspec.json")
    from keras_ddl.model_card import write_model_card

    write_model_card(run)
    finish_run(run)
    return run


def _loaded(weights: Path, networks: Sequence[str]) -> tuple[Any, TrainConfig]:
    """The first of the networks that the file fits, with its weights."""
    if not weights.is_file():
        raise UserError(f"no weights file {weights}; expected one of MesoNet's .h5 files")
    reasons = []
    for network in networks:
        config = replace(load(network), weights=str(weights))
        try:
            model = zoo.get(network).build(config.size, config.frames, str(weights))
        except ValueError as error:
            reasons.append(str(error))
        else:
            return model, config
    raise UserError("; ".join(reasons))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.import_mesonet",
        description="Make a run of weights that MesoNet's authors published, to evaluate, export "
        "or train on; see docs/mesonet.md.",
    )
    parser.add_argument("weights", type=Path, help="their file, as Meso4_DF.h5")
    parser.add_argument("--network", choices=NETWORKS, help="default: the one that it fits")
    parser.add_argument("--out", type=Path, metavar="RUN", help="default: by time, in runs/")
    args = parser.parse_args(argv)

    def body() -> int:
        run = mesonet_run(args.weights, args.network, args.out)
        print(
            f"{run}: score it with: {typed('evaluate')} {run} --prepared DIR "
            f"--keep-operating-point; export it with: {typed('to-onnx')} {run}"
        )
        return 0

    return run_cli(body)


if __name__ == "__main__":
    sys.exit(main())
