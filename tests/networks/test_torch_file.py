"""PyTorch files read without PyTorch: both formats, and what a hostile file tries."""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_ddl.edge.errors import UserError
from keras_ddl.networks.torch_file import MAGIC, read_tensors

KINDS = {"<f4": "FloatStorage", "<f2": "HalfStorage", "<f8": "DoubleStorage", "<i8": "LongStorage"}


class Stored:
    """Stands for a tensor; the pickler below writes it as PyTorch does."""

    def __init__(self, row: np.ndarray, offset: int, sizes: Any, strides: Any) -> None:
        self.row, self.place = row, (offset, sizes, strides)

    @classmethod
    def of(cls, array: np.ndarray) -> Stored:
        """A tensor alone in its storage."""
        strides = tuple(step // array.itemsize for step in array.strides)
        return cls(array.ravel(), 0, array.shape, strides)


class Row:
    """Stands for a storage."""

    def __init__(self, row: np.ndarray) -> None:
        self.row = row


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Modules by PyTorch's names, so that a pickle may refer to what is in them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in (*KINDS.values(), "BFloat16Storage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*arguments: Any) -> None: ...

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


class Pickler(pickle.Pickler):
    """Writes `Stored` as PyTorch's tensors are written, and remembers their storages."""

    def __init__(self, file: Any, torch: types.ModuleType, older: bool) -> None:
        super().__init__(file, protocol=2)
        self.torch, self.older = torch, older
        self.rows: dict[int, np.ndarray] = {}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Row):
            return None
        self.rows[id(value.row)] = value.row
        kind = getattr(self.torch, KINDS.get(value.row.dtype.str, "BFloat16Storage"))
        found = ("storage", kind, str(id(value.row)), "cpu", len(value.row))
        return (*found, None) if self.older else found

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Stored):
            return NotImplemented
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (Row(value.row), *value.place, False, OrderedDict())


def write_zip(path: Path, state: Any, torch: types.ModuleType) -> None:
    """The format since PyTorch 1.6."""
    buffer = io.BytesIO()
    pickler = Pickler(buffer, torch, older=False)
    pickler.dump(state)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", buffer.getvalue())
        for key, row in pickler.rows.items():
            archive.writestr(f"weights/data/{key}", row.tobytes())
        archive.writestr("weights/version", "3\n")


def write_older(path: Path, state: Any, torch: types.ModuleType) -> None:
    """The format before."""
    with path.open("wb") as file:
        for value in (MAGIC, 1001, {"little_endian": True}):
            pickle.dump(value, file, protocol=2)
        pickler = Pickler(file, torch, older=True)
        pickler.dump(state)
        pickle.dump([str(key) for key in pickler.rows], file, protocol=2)
        for row in pickler.rows.values():
            file.write(np.int64(len(row)).tobytes() + row.tobytes())


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "conv.weight": random.standard_normal((4, 3, 2, 2)).astype(np.float32),
        "half": random.standard_normal(5).astype(np.float16),
        "double": random.standard_normal((2, 2)),
        "counter": np.array(7),
    }


@pytest.fixture(params=[write_zip, write_older])
def write(request: pytest.FixtureRequest, torch_names: types.ModuleType) -> Iterator[Any]:
    yield lambda path, state: request.param(path, state, torch_names)


def test_tensors_come_back_by_name(write, arrays: Mapping[str, np.ndarray], tmp_path: Path) -> None:
    state = OrderedDict((name, Stored.of(array)) for name, array in arrays.items())
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    for wrapped in (state, {"epoch": 3, "state_dict": state}):
        write(tmp_path / "w.pth", wrapped)
        found = read_tensors(tmp_path / "w.pth")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == np.float32 and found[name].shape == array.shape
            np.testing.assert_array_equal(found[name], array.astype(np.float32))


def test_views_of_one_storage(write, tmp_path: Path) -> None:
    row = np.arange(12, dtype=np.float32)
    state = {"turned": Stored(row, 0, (4, 3), (1, 4)), "part": Stored(row, 5, (2,), (3,))}
    write(tmp_path / "w.pth", state)
    found = read_tensors(tmp_path / "w.pth")
    np.testing.assert_array_equal(found["turned"], row.reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [5, 8])


def test_bfloat16(write, tmp_path: Path) -> None:
    values = np.array([1.5, -2.0, 0.15625], np.float32)
    high = (values.view(np.uint32) >> 16).astype(np.uint16)
    write(tmp_path / "w.pth", {"w": Stored.of(high)})
    np.testing.assert_array_equal(read_tensors(tmp_path / "w.pth")["w"], values)


class Malicious:
    """Unpickling this creates a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return (open, (str(self.trace), "w"))


def test_nothing_is_run(write, tmp_path: Path) -> None:
    trace = tmp_path / "was_run"
    write(tmp_path / "w.pth", {"w": Malicious(trace)})
    with pytest.raises(UserError, match=r"no PyTorch file of tensors alone: it asks for .*open"):
        read_tensors(tmp_path / "w.pth")
    assert not trace.exists()


@pytest.mark.parametrize(
    "place",
    [
        (0, (1 << 40,), (0,)),  # four terabytes of one number
        (0, (5,), (1,)),
        (3, (2,), (1,)),
        (-1, (1,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        ("0", (2,), (1,)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(write, place: Any, tmp_path: Path) -> None:
    write(tmp_path / "w.pth", {"w": Stored(np.zeros(4, np.float32), *place)})
    with pytest.raises(UserError, match="no PyTorch file of tensors alone") as caught:
        read_tensors(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_a_file_cut_anywhere_is_one_line(write, arrays: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    write(path, {name: Stored.of(array) for name, array in arrays.items()})
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="no PyTorch file of tensors alone"):
            read_tensors(path)


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", pickle.dumps({"gamma": 1})])
def test_other_files_are_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match="no PyTorch file of tensors alone"):
        read_tensors(tmp_path / "w.pth")


def test_something_else_than_names_and_tensors(write, tmp_path: Path) -> None:
    write(tmp_path / "w.pth", [Stored.of(np.zeros(1, np.float32))])
    with pytest.raises(UserError, match="holds a list; expected names and tensors"):
        read_tensors(tmp_path / "w.pth")


def test_a_member_that_unpacks_to_more_than_the_file(torch_names, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    write_zip(path, {"w": Stored.of(np.zeros(1 << 20, np.float32))}, torch_names)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(UserError, match="is larger than the file"):
        read_tensors(path)
