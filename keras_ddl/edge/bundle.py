"""Bundle folder: an exported model with its clip contract, as the exporter writes it.

BUNDLE/model.onnx      the graph; its metadata hold the ClipSpec under the key `clipspec`
BUNDLE/clipspec.json   the same ClipSpec
BUNDLE/trt/            what `export/to_trt.py` built from it: graphs, plans, engines
"""

from __future__ import annotations

from pathlib import Path

from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import MISSING, USAGE, UserError

MODEL_FILE = "model.onnx"
SPEC_FILE = "clipspec.json"
METADATA_KEY = "clipspec"
ENGINE_FOLDER = "trt"
RUN_BUNDLE = "bundle"  # folder of a run; further forms of it have the form's name behind
DEFAULT_BUNDLE = Path("runs/latest", RUN_BUNDLE)
# Names of operations by which the exporter finds them again in a converted graph.
GATHER, SCATTER = "gather_kept", "scatter_kept"  # DFDC's, around the value of the kept positions
RANGE_MARK = "int8_range"  # the clip that a channels-first QuantPoint leaves of its range
REMEDY = "run `make demo`, or `python -m keras_ddl.train` and then `python export/to_onnx.py`"


def is_bundle(folder: Path) -> bool:
    """Whether both files are there."""
    return (folder / MODEL_FILE).is_file() and (folder / SPEC_FILE).is_file()


def read_spec(bundle: Path) -> ClipSpec:
    """Read the contract of a bundle.

    Raises:
        UserError: a file is missing (exit code 3) or the spec is unreadable (2).
    """
    for name in (MODEL_FILE, SPEC_FILE):
        if not (bundle / name).is_file():
            raise UserError(f"expected {name} in bundle '{bundle}', found none: {REMEDY}", MISSING)
    try:
        return ClipSpec.read(bundle / SPEC_FILE)
    except ValueError as error:
        raise UserError(f"cannot read '{bundle / SPEC_FILE}': {error}", USAGE) from error


def bundle_of(engine: Path) -> Path | None:
    """Return the bundle that an engine file lies in, None where it lies in none."""
    folders = (*list(engine.parents)[:3], *list(engine.resolve().parents)[:3])
    return next((folder for folder in folders if is_bundle(folder)), None)
