"""HMAC-SHA-256 signature of webhook requests, over time stamp and body."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from keras_ddl.edge.errors import USAGE, UserError

SECRET = "KERAS_DDL_WEBHOOK_SECRET"
SECRET_FILE = "KERAS_DDL_WEBHOOK_SECRET_FILE"


def sign(secret: bytes, timestamp: int, body: bytes) -> str:
    """The signature of a body sent at a time.

    Args:
        secret: What sender and receiver share.
        timestamp: Seconds since 1970, as in the timestamp header.
        body: The request's body, byte for byte.

    Returns:
        "sha256=" and the HMAC-SHA-256 of TIMESTAMP.BODY in lower-case hex.
    """
    message = str(timestamp).encode() + b"." + body
    return "sha256=" + hmac.new(secret, message, hashlib.sha256).hexdigest()


def secret_from_environment() -> bytes:
    """The shared secret from KERAS_DDL_WEBHOOK_SECRET, or from the file that …_FILE names.

    White space around it does not count; b"" when neither is set. It is never taken from the
    command line, which every user of a machine can read.

    Raises:
        UserError: the file cannot be read, or is empty.
    """
    if path := os.environ.get(SECRET_FILE):
        try:
            secret = Path(path).read_bytes().strip()
        except OSError as error:
            message = f"{SECRET_FILE}: expected a readable file, received '{path}'"
            raise UserError(f"{message}: {error.strerror}", USAGE) from error
        if not secret:
            raise UserError(f"{SECRET_FILE}: expected a secret in '{path}', it is empty", USAGE)
        return secret
    return os.environ.get(SECRET, "").strip().encode()
