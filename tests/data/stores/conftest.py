"""Prepared sets and datasets in an S3 server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.store import Store


@pytest.fixture(autouse=True)
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sets of stores are kept here: a folder of this test."""
    from keras_ddl.data.shards import stored_set

    monkeypatch.setattr(stored_set, "FETCHED", tmp_path / "fetched")
    return tmp_path / "fetched"


@pytest.fixture
def out(bucket: Address) -> Address:
    """Where a set is to be."""
    return bucket / "sets" / "clips"


@pytest.fixture(scope="session")
def prepared() -> Callable[..., Path | Address]:
    """Prepares as `OPTIONS` of the tests say. Call: `prepared(root, out, **changes)`."""
    from keras_ddl.data.prepare import prepare
    from keras_ddl.edge.clipspec import ClipSpec

    def run(root: Path | Address, out: Path | Address, **changes: Any) -> Path | Address:
        settings = {"processes": 0, "clips_per_video": 3, "progress": False, **changes}
        return prepare(root, out, ClipSpec(frames=8, size=32), **settings)

    return run


@pytest.fixture(scope="session")
def objects() -> Callable[[Address], dict[str, bytes]]:
    """Reads all objects below an address, by their names there."""

    def read(place: Address) -> dict[str, bytes]:
        store, start = Store(place), f"{place}/"
        found = {file.address.removeprefix(start): file.address for file in store.below(place)}
        return {name: store.read(address) or b"" for name, address in found.items()}

    return read
