"""Bundle folder: an exported model with its clip contract, as the exporter writes it.

BUNDLE/model.onnx      the graph; its metadata hold the ClipSpec under the key `clipspec`
BUNDLE/clipspec.json   the same ClipSpec
BUNDLE/SHA256SUMS      digests of both, and of weights that the graph keeps in files of their own,
                       as `sha256sum -c` reads them
BUNDLE/proof.npz       clips and the right answers (`deploy.backends.proof_clips`); may be left out
BUNDLE/trt/            what `export/to_trt.py` built from it: graphs, plans, engines
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, USAGE, UserError
from keras_ddl.edge.files import file_sha256, write_text
from keras_ddl.edge.onnx_file import read_graph

MODEL_FILE = "model.onnx"
SPEC_FILE = "clipspec.json"
SUMS_FILE = "SHA256SUMS"
PROOF_FILE = "proof.npz"
METADATA_KEY = "clipspec"
ENGINE_FOLDER = "trt"
RUN_BUNDLE = "bundle"  # folder of a run; further forms of it have the form's name behind
DEFAULT_BUNDLE = Path("runs/latest", RUN_BUNDLE)
PRETRAINED = Path(__file__).parents[1] / "pretrained" / "edge"
"""The bundle that ships with the program; may be left out of it."""
# Names of operations by which the exporter finds them again in a converted graph.
GATHER, SCATTER = "gather_kept", "scatter_kept"  # DFDC's, around the value of the kept positions
RANGE_MARK = "int8_range"  # the clip that a channels-first QuantPoint leaves of its range
REMEDY = f"run `{typed('demo')}`, or `{typed('train')}` and then `{typed('to-onnx')}`"


def is_bundle(folder: Path) -> bool:
    """Whether both files are there."""
    return (folder / MODEL_FILE).is_file() and (folder / SPEC_FILE).is_file()


def default_bundle() -> Path:
    """Return the newest run's bundle, or where there is none what ships with the program."""
    if not is_bundle(DEFAULT_BUNDLE) and is_bundle(PRETRAINED):
        return PRETRAINED
    return DEFAULT_BUNDLE


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


def write_sums(bundle: Path) -> None:
    """Write the digests of a bundle's files beside them."""
    try:
        names = sorted(read_graph(bundle / MODEL_FILE).external)
    except ValueError:  # not a graph: whoever opens the bundle says so
        names = []
    outside = [name for name in names if name == Path(name).name and (bundle / name).is_file()]
    proof = [PROOF_FILE] if (bundle / PROOF_FILE).is_file() else []
    names = [MODEL_FILE, SPEC_FILE, *outside, *proof]
    lines = [f"{file_sha256(bundle / name)}  {name}\n" for name in names]
    write_text(bundle / SUMS_FILE, "".join(lines))


def check_sums(bundle: Path) -> dict[str, str]:
    """Hold a bundle's files against the digests that were written with them.

    So a model is what was exported, and not what a disk or a hand made of it. Whoever changes the
    digests too is not noticed here.

    Returns:
        The digests by name.

    Raises:
        UserError: there are no digests, or a file has another one (4).
    """
    again = f"export '{bundle}' again with `{typed('to-onnx')}`"
    try:
        lines = (bundle / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"expected {SUMS_FILE} in bundle '{bundle}', which tells whether its model is what was "
            f"exported, found none that can be read: {again}",
            CHECK_FAILED,
        ) from None
    known = {name.strip(): digest for digest, _, name in (line.partition("  ") for line in lines)}
    known = {name: digest for name, digest in known.items() if name}
    proof = {PROOF_FILE} if (bundle / PROOF_FILE).exists() else set()
    for name in (MODEL_FILE, SPEC_FILE, *((known.keys() | proof) - {MODEL_FILE, SPEC_FILE})):
        expected, found = known.get(name, "none"), "no such file"
        if name == Path(name).name and (bundle / name).is_file():
            found = file_sha256(bundle / name)
        if found != expected:
            raise UserError(
                f"'{bundle / name}' is not the file that was exported: expected SHA-256 "
                f"{expected}, found {found}: {again}",
                CHECK_FAILED,
            )
    return known


def check_external(bundle: Path, sums: Mapping[str, str]) -> None:
    """Refuse a graph that keeps weights in files of which there is no digest.

    Args:
        bundle: Its folder.
        sums: From `check_sums`.

    Raises:
        UserError: it does (4).
    """
    try:
        outside = read_graph(bundle / MODEL_FILE).external - sums.keys()
    except ValueError:  # not a graph: the runtime's own line is better
        return
    if outside:
        raise UserError(
            f"expected a digest in {SUMS_FILE} of every file that '{bundle / MODEL_FILE}' reads, "
            f"found none of {sorted(outside)}: export '{bundle}' again with "
            f"`{typed('to-onnx')}`",
            CHECK_FAILED,
        )


def bundle_of(engine: Path) -> Path | None:
    """Return the bundle that an engine file lies in, None where it lies in none."""
    folders = (*list(engine.parents)[:3], *list(engine.resolve().parents)[:3])
    return next((folder for folder in folders if is_bundle(folder)), None)
