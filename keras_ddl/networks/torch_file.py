"""Tensors of a PyTorch file, read without PyTorch; nothing that the file holds is ever run.

Both of PyTorch's formats are pickles that name tensors, with the numbers beside them: in a ZIP
archive since 1.6, before that behind the pickle in the same file.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from keras_ddl.edge.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C  # of the older format
BFLOAT16 = "bfloat16"
STORAGES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_BROKEN = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, KeyError, IndexError, ValueError),
    *(TypeError, AttributeError, UnicodeDecodeError, OverflowError, MemoryError, RecursionError),
    *(NotImplementedError, RuntimeError),  # a compression unknown, a password
)


class Storage(NamedTuple):
    """A row of numbers that tensors lie in: its key, and numpy's name of its type."""

    key: str
    kind: str


class Tensor(NamedTuple):
    """Where a tensor's numbers lie: storage, place of the first, sizes, strides (in numbers)."""

    storage: Storage
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a `state_dict`, or of the one in a checkpoint's `state_dict`.

    Args:
        path: A file that `torch.save` wrote, ``.pth`` or ``.pt``.

    Returns:
        Name → float32 array, in PyTorch's layout; what is no tensor is left out.

    Raises:
        UserError: The file is not whole, holds other objects than tensors, lists and numbers, or
            no names and tensors.
    """
    try:
        state, numbers = _read_zip(path) if zipfile.is_zipfile(path) else _read_older(path)
        state = state.get("state_dict", state) if isinstance(state, dict) else state
        if not isinstance(state, dict):
            kind = type(state).__name__
            raise UserError(
                f"{path} holds a {kind}; expected names and tensors, as state_dict() gives"
            )
        tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
        return {name: _array(tensor, numbers(tensor.storage)) for name, tensor in tensors.items()}
    except _BROKEN as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is no PyTorch file of tensors alone: {cause}") from error


def _read_zip(path: Path) -> tuple[Any, Callable[[Storage], bytes]]:
    archive = zipfile.ZipFile(path)
    size = path.stat().st_size
    (index,) = (name for name in archive.namelist() if name.count("/") == 1 and "data.pkl" in name)

    def read(name: str) -> bytes:
        # PyTorch stores without compression: what unpacks to more than the file is no such file.
        if archive.getinfo(name).file_size > size:
            raise ValueError(f"{name} is larger than the file")
        return archive.read(name)

    def numbers(storage: Storage) -> bytes:
        return read(index.replace("data.pkl", f"data/{storage.key}"))

    return _Tensors(io.BytesIO(read(index))).load(), numbers


def _read_older(path: Path) -> tuple[Any, Callable[[Storage], bytes]]:
    with path.open("rb") as file:
        if _Tensors(file).load() != MAGIC:
            raise ValueError("it does not start as one")
        version, _ = _Tensors(file).load(), _Tensors(file).load()
        if version != 1001:
            raise ValueError(f"version {version}")
        reader = _Tensors(file)
        state = reader.load()
        kinds = {storage.key: storage.kind for storage in reader.storages}
        order = _Tensors(file).load()
        rows = {str(key): row for key, row in _rows(file, path.stat().st_size, order, kinds)}
    return state, lambda storage: rows[storage.key]


def _rows(
    file: BinaryIO, size: int, order: list[Any], kinds: dict[str, str]
) -> Iterator[tuple[Any, bytes]]:
    """The numbers of each storage; their count stands before them."""
    for key in order:
        (count,) = np.frombuffer(file.read(8), "<i8")
        length = int(count) * _width(kinds[str(key)])
        if not 0 <= length <= size:
            raise ValueError(f"{count} numbers in a file of {size} bytes")
        yield key, file.read(length)


class _Tensors(pickle.Unpickler):
    """Unpickler that knows tensors, storages and ordered dictionaries, and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: list[Storage] = []

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Dictionary
        if module == "torch" and name in STORAGES:
            return _Kind(STORAGES[name])
        known = {"_rebuild_tensor_v2": _tensor, "_rebuild_parameter": _parameter}
        if module == "torch._utils" and name in known:
            return known[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Storage:
        word, kind, key, *_ = pid
        if word != "storage" or not isinstance(kind, _Kind):
            raise pickle.UnpicklingError(f"it refers to {word}")
        self.storages.append(Storage(str(key), kind.name))
        return self.storages[-1]


class _Kind(NamedTuple):
    name: str


class _Dictionary(dict):  # type: ignore[type-arg]
    """A dictionary that takes attributes, as a `state_dict` has them."""


def _tensor(storage: Any, offset: Any, sizes: Any, strides: Any, *rest: Any) -> Tensor:
    return Tensor(storage, offset, tuple(sizes), tuple(strides))


def _parameter(tensor: Any, *rest: Any) -> Any:
    return tensor


def _width(kind: str) -> int:
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize


def _array(tensor: Tensor, row: bytes) -> np.ndarray:
    storage, offset, sizes, strides = tensor
    if storage.kind == BFLOAT16:
        numbers = (np.frombuffer(row, "<u2").astype("<u4") << 16).view("<f4")
    else:
        numbers = np.frombuffer(row, storage.kind)
    if len(sizes) != len(strides) or min((offset, *sizes, *strides), default=0) < 0:
        raise ValueError(f"a tensor of sizes {sizes} and strides {strides}")
    if 0 in sizes:
        return np.zeros(sizes, np.float32)
    last = offset + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
    if last >= len(numbers) or math.prod(sizes) > len(numbers):
        raise ValueError(f"a tensor of sizes {sizes} in {len(numbers)} numbers")
    steps = [step * numbers.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(numbers[offset:], sizes, steps).astype(np.float32)
