"""Weights files of strangers, looked through before Keras reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import UserError

SLACK = 1 << 20  # bytes: names, counters


def check_weights_file(path: Path, expected_bytes: int) -> None:
    """Refuse an HDF5 file that reaches outside itself, or unfolds to more than the network holds.

    HDF5 knows links to other files, data kept in other files, and datasets that are larger than
    what is stored of them; Keras follows all three.

    Args:
        path: The file.
        expected_bytes: Of the network's weights.

    Raises:
        UserError: It is such a file, or no HDF5 at all.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            total = _looked_through(file, path)
    except OSError as error:
        cause = str(error).splitlines()[0]
        raise UserError(f"{path} is no whole file of weights: {cause}") from error
    if total > expected_bytes + SLACK:
        raise UserError(
            f"{path} unfolds to {total:,} bytes; expected at most {expected_bytes + SLACK:,}, for "
            "the network that config.json describes"
        )


def _looked_through(group: Any, path: Path) -> int:
    """Bytes of all datasets below a group."""
    import h5py

    total = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"{path}: {group.name}/{name} is a link; expected weights themselves")
        found = group[name]
        if isinstance(found, h5py.Group):
            total += _looked_through(found, path)
            continue
        if found.external or found.is_virtual:
            raise UserError(f"{path}: {found.name} keeps its numbers in another file")
        total += found.size * found.dtype.itemsize
    return total
