"""Time stamps of heads, RFC 3161: a request for a line, and what a response proves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.optional_import import need

QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"
LARGEST = 1 << 18  # bytes of a response


@dataclass(frozen=True)
class Request:
    """Request for a stamp of some bytes; what is stamped is their SHA-256.

    Attributes:
        message: The bytes.
        body: What goes to the authority, DER.
    """

    message: bytes
    body: bytes
    _nonce: int | None

    @classmethod
    def of(cls, message: bytes) -> Request:
        """Make a request.

        Raises:
            UserError: the package that knows the format is missing (3).
        """
        rfc3161 = _need("rfc3161_client")
        builder = rfc3161.TimestampRequestBuilder(message, rfc3161.HashAlgorithm.SHA256)
        request = builder.build()
        return cls(message, request.as_bytes(), request.nonce)

    def time(self, response: bytes) -> datetime:
        """Return the time that the answer to this request names.

        Raises:
            ValueError: it is no stamp, or of something else.
        """
        return _time(response, self.message, self._nonce)


def stamped_time(response: bytes, message: bytes) -> datetime:
    """Return the time that a stamp of some bytes names; whether anybody signed it is not checked.

    Raises:
        ValueError: it is no stamp, or of something else.
        UserError: the package that knows the format is missing (3).
    """
    return _time(response, message, None)


def _time(response: bytes, message: bytes, nonce: int | None) -> datetime:
    rfc3161 = _need("rfc3161_client")
    try:
        found = rfc3161.decode_timestamp_response(response)
        info = found.tst_info
        imprint, named, answered = info.message_imprint.message, info.gen_time, info.nonce
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError("it is no time stamp") from error
    if imprint != hashlib.sha256(message).digest() or nonce not in (None, answered):
        raise ValueError("it stamps something else")
    moment: datetime = named
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment


class Authority:
    """Authority whose stamps are believed.

    Args:
        path: Its certificates, PEM: the root, and those below it that its stamps do not bring.

    Raises:
        UserError: there are none that can be read (2), or a package is missing (3).
    """

    def __init__(self, path: Path) -> None:
        x509 = _need("cryptography.x509")
        rfc3161 = _need("rfc3161_client")
        expected = "expected the certificates of a time-stamp authority, PEM"
        try:
            certificates = x509.load_pem_x509_certificates(path.read_bytes())
        except OSError as error:
            raise UserError(f"{expected}, cannot read '{path}': {error.strerror}", USAGE) from error
        except ValueError as error:
            raise UserError(f"{expected}, received '{path}', which holds none", USAGE) from error
        self._verifier: Any = rfc3161.VerifierBuilder(roots=list(certificates)).build()
        self._decode: Any = rfc3161.decode_timestamp_response
        self._refusals: Any = (ValueError, TypeError, AttributeError, rfc3161.VerificationError)

    def signed(self, response: bytes, message: bytes) -> bool:
        """Whether the authority stamped these bytes, by the certificates' validity at that time."""
        try:
            return bool(self._verifier.verify_message(self._decode(response), message))
        except self._refusals:
            return False


def _need(module: str) -> Any:
    return need(module, "time-stamped evidence", extra="evidence")
