"""Weights files of strangers, looked through before Keras reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import UserError

SLACK = 1 << 20  # bytes: names, counters
NUMBERS = "biuf"  # kinds of a NumPy type


def check_weights_file(path: Path, expected_bytes: int) -> None:
    """Refuse an HDF5 file that reaches outside itself, or unfolds to more than the network holds.

    HDF5 knows links to other files, data kept in other files, groups that hold themselves, and
    datasets that are larger than what is stored of them; Keras follows them all.

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


def _looked_through(file: Any, path: Path) -> int:
    """Bytes of all datasets of a file."""
    import h5py

    total, groups, seen = 0, [file], {_object(file)}
    while groups:
        group = groups.pop()
        for name in group:
            where = f"{path}: {group.name}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UserError(f"{where} is a link; expected weights themselves")
            found = group[name]
            if _object(found) in seen:  # a loop, or one of thousands of names for the same
                raise UserError(f"{where} is there under another name too; expected one")
            seen.add(_object(found))
            if isinstance(found, h5py.Group):
                groups.append(found)
            elif not isinstance(found, h5py.Dataset) or found.dtype.kind not in NUMBERS:
                raise UserError(f"{where} holds no numbers; expected weights")
            elif found.external or found.is_virtual:
                raise UserError(f"{where} keeps its numbers in another file")
            else:
                total += (found.size or 0) * found.dtype.itemsize
    return total


def _object(found: Any) -> int:
    """Where an object lies in its file, which is the same under all its names."""
    import h5py

    address: int = h5py.h5o.get_info(found.id).addr
    return address
