"""Stores: an S3 server and a web server on loopback, what they list, give, take and refuse."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.edge.errors import MISSING, USAGE, UserError
from keras_ddl.edge.storage.address import Address, location
from keras_ddl.edge.storage.spool import PREFIX, Spool
from keras_ddl.edge.storage.store import Store, StoredFile

CONTENT = bytes(range(256)) * 9000  # more than two blocks


@pytest.fixture
def store(bucket: Address) -> Store:
    return Store(bucket)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Address]:
    pytest.importorskip("aiohttp")
    (tmp_path / "site").mkdir()
    serve = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Address(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("text", "is_address"),
    [("s3://b/k", True), ("https://h/v.mp4", True), ("GS://b/k", True), ("a/b.mp4", False)],
)
def test_an_address_is_told_from_a_path(text: str, is_address: bool) -> None:
    assert isinstance(location(text), Address) is is_address
    assert str(location(text)) == text  # no slash is lost


def test_a_path_with_a_colon_is_a_path_and_file_addresses_are_paths() -> None:
    assert location("c:/videos/a.mp4") == Path("c:/videos/a.mp4")
    assert location("file:///videos") == Path("/videos")


@pytest.mark.parametrize("text", ["ftp://host/x", "s3://", "s3:///"])
def test_another_scheme_or_no_place_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(UserError, match=r"expected a path or an address \(s3://"):
        location(text)


def test_the_parts_of_an_address() -> None:
    address = location("https://host/a b/clip.mp4?token=1.x")
    assert isinstance(address, Address)
    assert (address.name, address.suffix, address.scheme) == ("clip.mp4", ".mp4", "https")
    assert Address("s3://b/k/") / "x" == "s3://b/k/x"


def test_what_is_written_is_listed_with_its_size_and_read_again(
    store: Store, bucket: Address
) -> None:
    for name in ("b.mp4", "deep/a.mp4", "deep/er/c.mp4"):
        store.write(bucket / "archive" / name, CONTENT)
    store.write(bucket / "archives.mp4", b"a neighbour whose name begins alike")
    found = list(store.below(bucket / "archive"))
    names = [file.address.removeprefix(f"{bucket}/archive/") for file in found]
    assert sorted(names) == ["b.mp4", "deep/a.mp4", "deep/er/c.mp4"]
    assert {file.size for file in found} == {len(CONTENT)}
    assert all(file.tag and file.mtime_ns for file in found)
    assert store.read(bucket / "archive/deep/a.mp4") == CONTENT
    assert store.read(bucket / "archive/none") is None


def test_a_tag_changes_with_the_content_alone(store: Store, bucket: Address) -> None:
    tags = []
    for content in (b"one", b"two", b"one"):
        store.write(bucket / "x", content)
        found = store.look(bucket / "x")
        assert found is not None
        tags.append(found.tag)
    assert tags[0] == tags[2] != tags[1]


def test_a_folder_is_no_file(store: Store, bucket: Address) -> None:
    store.write(bucket / "folder/x", b"1")
    assert store.look(bucket / "folder") is None
    assert store.look(bucket / "nothing") is None


def test_a_download_has_the_digest_of_what_was_stored(
    store: Store, bucket: Address, tmp_path: Path
) -> None:
    store.write(bucket / "x.mp4", CONTENT)
    (file,) = store.below(bucket)
    shares: list[float] = []
    digest = store.download(file, tmp_path / "x.mp4", shares.append)
    assert (tmp_path / "x.mp4").read_bytes() == CONTENT
    assert digest == hashlib.sha256(CONTENT).hexdigest() == store.sha256(file)
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 2


def test_a_file_that_changed_after_it_was_listed_is_told_and_nothing_is_left(
    store: Store, bucket: Address, tmp_path: Path
) -> None:
    store.write(bucket / "x", CONTENT)
    (file,) = store.below(bucket)
    store.write(bucket / "x", CONTENT[:-1])
    with pytest.raises(UserError, match="as it was listed, received 2303999; run"):
        store.download(file, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_no_room_is_told_before_a_byte_is_fetched(store: Store, tmp_path: Path) -> None:
    file = StoredFile(Address("s3://nowhere/x"), 1 << 60)
    with pytest.raises(OSError, match="free") as refused:
        store.download(file, tmp_path / "x")
    assert refused.value.errno == 28


def test_what_is_not_there_is_a_line(store: Store, bucket: Address) -> None:
    with pytest.raises(UserError, match="check the address") as told:
        list(store.below(Address("s3://no-such-bucket/x")))
    assert told.value.exit_code == USAGE


def test_a_store_that_does_not_answer_is_a_line(monkeypatch: Any, s3_server: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(UserError, match="check the address, the credentials") as told:
            Store(Address("s3://b")).look(Address("s3://b/x"))
    finally:
        pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    assert told.value.exit_code == MISSING


def test_a_web_server_gives_files_and_takes_none(web: Address, tmp_path: Path) -> None:
    (tmp_path / "site" / "clip.mp4").write_bytes(CONTENT)
    store = Store(web)
    found = store.look(web / "clip.mp4")
    assert found is not None and found.size == len(CONTENT)
    store.download(found, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == CONTENT
    assert store.look(web / "none.mp4") is None
    with pytest.raises(UserError, match="a web server takes no results"):
        store.write(web / "x", b"")


def test_a_web_server_that_does_not_answer_is_not_one_without_the_file() -> None:
    pytest.importorskip("aiohttp")
    dead = Address("http://127.0.0.1:9/clip.mp4")
    store = Store(dead)
    for ask in (store.look, store.read):
        with pytest.raises(UserError, match="check the address, the credentials") as told:
            ask(dead)
        assert told.value.exit_code == MISSING


def test_a_spool_holds_a_file_for_as_long_as_it_is_read(
    store: Store, bucket: Address, tmp_path: Path
) -> None:
    store.write(bucket / "x.mp4", CONTENT)
    (file,) = store.below(bucket)
    with Spool(str(tmp_path)).fetched(file) as (path, digest):
        assert path.suffix == ".mp4" and path.read_bytes() == CONTENT
        assert digest == hashlib.sha256(CONTENT).hexdigest()
        Spool(str(tmp_path))  # another process begins, and leaves it alone
        assert path.exists()
    assert not list(tmp_path.iterdir())


def test_the_spool_of_a_killed_process_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / ".owner").touch()
    (left / "file.mp4").touch()
    Spool(str(tmp_path))
    assert not left.exists()
