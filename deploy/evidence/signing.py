"""Signing key of evidence, Ed25519: made at its first use, for its owner's eyes alone."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.files import sync_folder
from keras_ddl.edge.optional_import import need

ALGORITHM = "Ed25519"
PUBLIC = ".pub"  # how the name of the public half ends
LARGEST = 1 << 16  # bytes of a file that may hold a key


class SigningKey:
    """A private key.

    Attributes:
        path: Its file, PEM (PKCS #8), mode 0600.
        public: The public key: 64 hex digits, the 32 bytes of RFC 8032.
    """

    def __init__(self, path: Path, key: Any) -> None:
        self.path = path
        self._key = key
        self.public: str = key.public_key().public_bytes_raw().hex()

    @classmethod
    def open(cls, path: Path) -> SigningKey:
        """Read a key; where there is none, make it, and its public half as `PATH.pub` beside it.

        Raises:
            UserError: the file is something else, or others may read it (2), or the package that
                signs is missing (3).
            OSError: it cannot be read or written.
        """
        serialization = _serialization()
        if not path.exists():
            _make(path)
        if path.is_symlink() or not path.is_file():
            raise _no_key(path, "no plain file")
        if os.name == "posix" and path.stat().st_mode & 0o077:
            mode = f"mode {path.stat().st_mode & 0o777:04o}: others may read or change it"
            raise _no_key(path, mode, f"chmod 600 '{path}'")
        try:
            key = serialization.load_pem_private_key(_content(path), None)
            found = cls(path, key)
        except (ValueError, TypeError, AttributeError) as error:
            raise _no_key(path, "none that can be read") from error
        if len(found.public) != 64 or not type(key).__name__.startswith(ALGORITHM):
            raise _no_key(path, f"a key of another kind ({type(key).__name__})")
        return found

    def sign(self, message: bytes) -> str:
        """Return the signature of a message: 128 hex digits."""
        signature: bytes = self._key.sign(message)
        return signature.hex()


def public_key(text: str) -> str:
    """Return the public key that an option names, as 64 hex digits.

    Args:
        text: A PEM file of a public key, or the 64 digits.

    Raises:
        UserError: neither, or a key of another kind (2), or a package is missing (3).
    """
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return text.lower()
    serialization = _serialization()
    path = Path(text)
    expected = (
        "expected a public key: a PEM file (the .pub beside the signing key) or 64 hex digits"
    )
    try:
        data = _content(path)
    except OSError as error:
        raise UserError(f"{expected}, cannot read '{text}': {error.strerror}", USAGE) from error
    if b"PRIVATE KEY" in data:
        message = f"{expected}, received the private key '{text}'"
        raise UserError(f"{message}: name '{text}{PUBLIC}', and keep this one where it is", USAGE)
    try:
        key = serialization.load_pem_public_key(data)
        raw: bytes = key.public_bytes_raw()
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{expected}, received '{text}', which is none", USAGE) from error
    if not type(key).__name__.startswith(ALGORITHM):
        raise UserError(f"{expected} of {ALGORITHM}, received {type(key).__name__}", USAGE)
    return raw.hex()


def holds(key: str, message: bytes, signature: str) -> bool:
    """Whether `signature` (128 hex digits) is that of a message under `key` (64 hex digits).

    Raises:
        UserError: the package that checks it is missing (3).
    """
    ed25519 = _need("cryptography.hazmat.primitives.asymmetric.ed25519")
    invalid = _need("cryptography.exceptions").InvalidSignature
    try:
        public = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(signature), message)
    except (ValueError, invalid):
        return False
    return True


def _make(path: Path) -> None:
    """Write a new key; of several processes that do so at once, one wins."""
    serialization = _serialization()
    key = _need("cryptography.hazmat.primitives.asymmetric.ed25519").Ed25519PrivateKey.generate()
    private: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(private)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, never replaces a key that signed something
        path.with_name(path.name + PUBLIC).write_bytes(public)
        sync_folder(path.parent)
    except FileExistsError:  # another process has made one meanwhile, which is then read
        return
    finally:
        temporary.unlink(missing_ok=True)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST)


def _serialization() -> Any:
    return _need("cryptography.hazmat.primitives.serialization")


def _need(module: str) -> Any:
    return need(module, "signed evidence", extra="evidence")


def _no_key(path: Path, received: str, remedy: str = "") -> UserError:
    message = f"expected a private {ALGORITHM} key (PEM) of mode 0600 in '{path}', received"
    return UserError(f"{message} {received}: {remedy or 'name another file, or none yet'}", USAGE)
