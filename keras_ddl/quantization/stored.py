"""The int8 network of a run: `RUN/int8/`, written by `python -m keras_ddl.quantize`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl.build_network import load_run
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.files import file_sha256, read_json, write_json
from keras_ddl.edge.runs import WEIGHTS

if TYPE_CHECKING:
    from keras_ddl.framework import keras

FOLDER, RECORD = "int8", "quantization.json"


def load_quantised(run: Path) -> tuple[keras.Model, ClipSpec]:
    """Rebuild the int8 network of a run.

    Returns:
        The network and its clip spec, whose weights hash is that of the int8 weights.

    Raises:
        UserError: If the run has none (3), or its float weights have changed since (2).
    """
    from keras_ddl.quantization.quantise import quantised
    from keras_ddl.quantization.rules import Rule

    folder = Path(run) / FOLDER
    if not (folder / RECORD).is_file():
        raise UserError(
            f"{run} has no int8 network; make one with: {typed('quantize')} {run}", MISSING
        )
    record = read_json(folder / RECORD)
    model, config, spec = load_run(run)
    if record["float_sha256"] != spec.weights_sha256:
        raise UserError(
            f"{folder} was made from other weights than {run} has now; make it again with: "
            f"{typed('quantize')} {run}"
        )
    int8 = quantised(model, [Rule(**rule) for rule in record["rules"]])
    if file_sha256(folder / WEIGHTS) != record["weights_sha256"]:
        raise UserError(f"{folder / WEIGHTS} is not what {RECORD} names; quantise again")
    try:
        int8.load_weights(str(folder / WEIGHTS))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder / WEIGHTS} does not fit {config.described()}: {str(error).splitlines()[0]}; "
            f"make it again with: {typed('quantize')} {run}"
        ) from error
    return int8, spec.replace(weights_sha256=record["weights_sha256"])


def store_quantised(run: Path, rules: Any, float_sha256: str, facts: dict[str, Any]) -> None:
    """Write the record beside weights that lie in `RUN/int8/` already."""
    folder = Path(run) / FOLDER
    record = {
        "rules": [asdict(rule) for rule in rules],
        "float_sha256": float_sha256,
        "weights_sha256": file_sha256(folder / WEIGHTS),
        **facts,
    }
    write_json(folder / RECORD, record)
