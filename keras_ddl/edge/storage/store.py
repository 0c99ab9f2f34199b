"""A store of files elsewhere: listing, download with a digest, and writing of whole objects."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import MISSING, USAGE, UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.storage.address import SCHEMES, Address

BLOCK = 1 << 20
CHATTY = ("aiobotocore", "botocore", "gcsfs", "s3fs")  # they log each credential that they find
OF_ONE_OBJECT = ("AccessDenied", "InvalidObjectState")  # the latter: in an archive class
_TAGS = ("ETag", "etag", "md5Hash", "crc32c")  # what a store calls the digest of an object
_TIMES = ("LastModified", "updated", "mtime")


@dataclass(frozen=True)
class StoredFile:
    """A file of a store, as its listing has it.

    Attributes:
        address: Where it is.
        size: Bytes.
        tag: What changes with its content: an ETag, a digest; "" where the store has none.
        mtime_ns: When it was last written; 0 where the store does not say.
    """

    address: Address
    size: int
    tag: str = ""
    mtime_ns: int = 0


class Store:
    """The store that an address is of. Credentials and endpoints are those its library finds.

    Args:
        address: Of anything in it.

    Raises:
        UserError: What it needs is not installed.
    """

    def __init__(self, address: Address) -> None:
        extra = SCHEMES[address.scheme]
        fsspec = need("fsspec", f"{address.scheme}://", extra)
        self._web = extra == "http"
        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(logging.WARNING)
        with told(address):
            try:
                # Listings are not kept: another program may write, and a million files are large.
                options: dict[str, Any] = {} if self._web else {"use_listings_cache": False}
                self._files = fsspec.filesystem(address.scheme, **options)
            except ImportError as error:
                reason = str(error).splitlines()[0]
                remedy = f"pip install 'keras-ddl[{extra}]'"
                raise UserError(f"{address}: {reason}: {remedy}", MISSING) from error

    def look(self, address: Address) -> StoredFile | None:
        """Return a file's facts; None where no file has this address: a folder, or nothing."""
        with told(address):
            try:
                facts = self._files.info(str(address))
            except FileNotFoundError as error:
                if not _is_gone(error):
                    raise
                return None
        return _stored(address, facts) if facts["type"] == "file" else None

    def below(self, folder: Address, missing: bool = False) -> Iterator[StoredFile]:
        """Yield the files below a folder, one folder's listing after the other.

        Args:
            folder: Its address.
            missing: One that is not there is as an empty one.

        Raises:
            UserError: It is not there, or may not be read.
        """
        with told(folder):
            if missing and not self._files.exists(str(folder)):
                return
            walk = self._files.walk(str(folder), detail=True, on_error="raise")
            for _, _, files in walk:
                for name in sorted(files):
                    if name:  # an object whose name ends with "/" stands for its folder
                        yield _stored(self._address(folder, files[name]["name"]), files[name])

    def download(
        self, file: StoredFile, to: Path, tell: Callable[[float], None] = lambda share: None
    ) -> str:
        """Fetch a file and return the SHA-256 of its bytes.

        Args:
            file: As it was listed.
            to: Where to; of what was begun nothing is left if this fails.
            tell: Gets the share that is done, in [0, 1].

        Raises:
            UserError: It is not there any more, is another than was listed, or cannot be read.
            OSError: No room.
        """
        _check_room(file, to)
        try:
            with to.open("wb") as written:
                digest = self._stream(file, written.write, tell)
        except BaseException:
            to.unlink(missing_ok=True)
            raise
        return digest

    def sha256(self, file: StoredFile) -> str:
        """Return the SHA-256 of a file's bytes, which go nowhere."""
        return self._stream(file, lambda block: None, lambda share: None)

    def read_range(self, address: Address, start: int, length: int) -> bytes:
        """Return bytes of an object; fewer where it ends early.

        Raises:
            UserError: It is not there, or cannot be read.
        """
        with told(address):
            return bytes(self._files.cat_file(str(address), start=start, end=start + length))

    def remove_below(self, folder: Address) -> None:
        """Delete all objects below a folder; one that is not there is no error."""
        with told(folder):
            with suppress(FileNotFoundError):
                self._files.rm(str(folder), recursive=True)

    def _stream(
        self, file: StoredFile, take: Callable[[bytes], Any], tell: Callable[[float], None]
    ) -> str:
        digest, received = hashlib.sha256(), 0
        with told(file.address, alone=True), self._files.open(str(file.address), "rb") as source:
            while block := source.read(BLOCK):
                take(block)
                digest.update(block)
                received += len(block)
                tell(min(1.0, received / max(file.size, 1)))
        if received != file.size:
            message = f"expected {file.size} bytes, as it was listed, received {received}"
            raise UserError(f"{file.address}: {message}; run the same command again", USAGE)
        return digest.hexdigest()

    def read(self, address: Address) -> bytes | None:
        """Return what an object holds; None where it is not there."""
        with told(address):
            try:
                return bytes(self._files.cat_file(str(address)))
            except FileNotFoundError as error:
                if not _is_gone(error):
                    raise
                return None

    def write(self, address: Address, content: bytes) -> None:
        """Write an object whole or not at all."""
        self.check_writable(address)
        with told(address):
            self._files.pipe_file(str(address), content)

    def upload(self, file: Path, address: Address) -> None:
        """Write a file of this machine as an object, whole or not at all."""
        self.check_writable(address)
        with told(address):
            self._files.put_file(str(file), str(address))

    def remove(self, address: Address) -> None:
        """Delete an object; one that is not there is no error."""
        with told(address):
            with suppress(FileNotFoundError):
                self._files.rm_file(str(address))

    def check_writable(self, address: Address) -> None:
        """Refuse an address that can only be read.

        Raises:
            UserError: It is that of a web server.
        """
        if self._web:
            message = "a web server takes no results; name a folder or an object store"
            raise UserError(f"{address}: {message}", USAGE)

    def _address(self, root: Address, name: str) -> Address:
        return Address(name if "://" in name else f"{root.scheme}://{name.lstrip('/')}")


def _stored(address: Address, facts: dict[str, Any]) -> StoredFile:
    tag = next((str(facts[name]) for name in _TAGS if facts.get(name)), "")
    time = next((facts[name] for name in _TIMES if facts.get(name)), None)
    if isinstance(time, str):
        time = datetime.fromisoformat(time.replace("Z", "+00:00"))
    written = int(time.timestamp() * 1e9) if isinstance(time, datetime) else 0
    return StoredFile(address, int(facts.get("size") or 0), tag.strip('"'), written)


def _check_room(file: StoredFile, to: Path) -> None:
    free = shutil.disk_usage(to.parent).free
    if file.size > free:
        message = f"{os.strerror(errno.ENOSPC)}: {file.size} bytes to fetch, {free} free"
        raise OSError(errno.ENOSPC, message, str(to.parent))


@contextmanager
def told(address: Address, alone: bool = False) -> Iterator[None]:
    """Turn what a store's library raises into one line.

    Its errors are of many kinds: those of the system, of HTTP clients, of each cloud's package.

    Args:
        address: What was asked for.
        alone: It is one file of many, which may be refused while the others are not.

    Raises:
        UserError: With 3 where there are no credentials or no connection, else 2.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt, GeneratorExit):
        raise
    except FileNotFoundError as error:
        if not _is_gone(error):
            raise UserError(_unreachable(address, error.__cause__ or error), MISSING) from error
        raise UserError(f"{address}: expected it to be there; check the address", USAGE) from error
    except PermissionError as error:
        message = f"{address}: access was refused ({_first_line(error)})"
        if alone and _code(error) in OF_ONE_OBJECT:
            raise UserError(f"{message}; restore it, or allow it, and call again", USAGE) from error
        raise UserError(f"{message}; check the credentials", MISSING) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise UserError(_unreachable(address, error), MISSING) from error


def _code(error: PermissionError) -> str:
    """S3's own word for why, "" of another store."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _is_gone(error: FileNotFoundError) -> bool:
    """Whether a file is not there: fsspec says so of a web server that does not answer, too."""
    cause = error.__cause__
    return not isinstance(cause, OSError) or isinstance(cause, FileNotFoundError)


def _unreachable(address: Address, error: BaseException) -> str:
    message = f"{address}: {type(error).__name__}: {_first_line(error)}"
    return f"{message}; check the address, the credentials and the connection"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
