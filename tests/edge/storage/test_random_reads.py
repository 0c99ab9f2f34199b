"""Pieces of files read at random, and the cache of those that were fetched."""

from __future__ import annotations

import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keras_ddl.edge.errors import CHECK_FAILED, MISSING, UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.file_cache import DAY_S, GIB, FileCache, cache_bytes
from keras_ddl.edge.storage.random_reads import MOST_OPEN, RandomReads, refusals_told
from keras_ddl.edge.storage.store import Store


def content(number: int) -> bytes:
    return random.Random(number).randbytes(200)


def digest(number: int) -> str:
    return hashlib.sha256(content(number)).hexdigest()


def test_threads_read_more_files_than_are_kept_open(tmp_path: Path) -> None:
    count = MOST_OPEN + 50
    for number in range(count):
        (tmp_path / str(number)).write_bytes(content(number))
    before = len(os.listdir("/proc/self/fd"))
    reads = RandomReads(tmp_path)

    def read(turn: int) -> bool:
        number = random.Random(turn).randrange(count)
        return reads.read(str(number), 20, 30) == content(number)[20:50]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(5 * count)))
    assert len(os.listdir("/proc/self/fd")) <= before + MOST_OPEN
    assert reads.read("0", 190, 30) == content(0)[190:]  # it ends early


def test_a_refusal_is_told_where_a_library_made_another_error_of_it(tmp_path: Path) -> None:
    def library() -> None:
        try:
            RandomReads(tmp_path).read("none", 0, 1)
        except UserError as error:
            raise RuntimeError("in thread 7") from error

    with pytest.raises(UserError, match="none is missing") as told, refusals_told():
        library()
    assert told.value.exit_code == MISSING
    with pytest.raises(RuntimeError), refusals_told():  # nothing was refused this time
        raise RuntimeError("another")


def test_a_cache_is_a_number_of_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GIB, raising=False)
    assert cache_bytes() == 50 << 30
    monkeypatch.setenv(GIB, "0.5")
    assert cache_bytes() == 1 << 29
    for wrong in ("-1", "much", "nan", "inf"):
        monkeypatch.setenv(GIB, wrong)
        with pytest.raises(UserError, match="expected a number of GiB"):
            cache_bytes()


def test_what_others_left_makes_room_the_oldest_first_and_what_is_wanted_stays(
    bucket: Address, tmp_path: Path
) -> None:
    store = Store(bucket)
    for number in range(4):
        store.write(bucket / str(number), content(number))
    for age, name in enumerate(("older", "newer")):
        (tmp_path / name).write_bytes(bytes(200))
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    wanted = [digest(number) for number in range(4)]
    cache = FileCache(tmp_path, 500, wanted)

    def fetch(number: int) -> Path | None:
        return cache.fetched(store, bucket / str(number), 200, digest(number))

    first = fetch(0)
    assert first is not None and first.read_bytes() == content(0)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([digest(0), "newer"])
    assert fetch(1) is not None and not (tmp_path / "newer").exists()
    assert fetch(2) is None and fetch(0) == first  # no room, and nothing is dropped for it
    store.remove(bucket / "1")
    assert fetch(1) is not None  # it is here


def test_another_content_is_refused_and_not_kept(bucket: Address, tmp_path: Path) -> None:
    store = Store(bucket)
    store.write(bucket / "x", content(1))
    cache = FileCache(tmp_path / "cache", 1000, [])
    for wrong, told in ((digest(2), "expected SHA-256"), ("../x", "expected its SHA-256")):
        with pytest.raises(UserError, match=told) as refused:
            cache.fetched(store, bucket / "x", 200, wrong)
        assert refused.value.exit_code == CHECK_FAILED
    assert not list((tmp_path / "cache").iterdir()) and not (tmp_path / "x").exists()


def test_what_a_killed_process_fetched_half_is_deleted_a_day_later(tmp_path: Path) -> None:
    for name, age in ((".old.1.part", 2 * DAY_S), (".new.2.part", 0)):
        (tmp_path / name).touch()
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    FileCache(tmp_path, 1000, [])
    assert [path.name for path in tmp_path.iterdir()] == [".new.2.part"]
