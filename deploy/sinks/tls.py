"""TLS settings of the connections to brokers and receivers."""

from __future__ import annotations

import ssl
from pathlib import Path

from keras_ddl.edge.errors import USAGE, UserError


class _Closing(ssl.SSLSocket):
    """A socket closed where the other side is not trusted; paho-mqtt leaves that to chance."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def client_tls(ca: Path | None, certificate: Path | None = None) -> ssl.SSLContext:
    """Return the settings of a client that checks the other side's certificate and name.

    Args:
        ca: Certificates to trust instead of the system's, PEM.
        certificate: This device's certificate and key in one PEM file, for a server that asks.

    Raises:
        UserError: a file cannot be read, or holds something else.
    """
    path = ca
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            path = certificate
            context.load_cert_chain(certificate)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or error
        raise UserError(f"expected a PEM file in '{path}': {reason}", USAGE) from error
    context.sslsocket_class = _Closing
    return context
