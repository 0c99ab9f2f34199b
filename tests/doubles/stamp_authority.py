"""RFC 3161 authority on loopback: OpenSSL stamps, a small HTTP server hands it on."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

CONFIG = """
[tsa]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[req]
distinguished_name = name
[name]
"""


class StampAuthority:
    """A server in a thread; use it as a context manager.

    Args:
        folder: For its keys and certificates.

    Attributes:
        roots: Its root certificate, PEM.
        url: Its address.
        asked: Requests that it was sent.
        mode: "stamp", "fail" (500), "garbage", or "replay" (its first answer again).
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.roots = folder / "ca.pem"
        self.asked = 0
        self.mode = "stamp"
        self._first = b""
        self._make()
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                authority.asked += 1
                status, body = authority.answer(query)
                self.send_response(status)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/stamp"

    def __enter__(self) -> StampAuthority:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, query: bytes) -> tuple[int, bytes]:
        """What a query is answered with."""
        if self.mode == "fail":
            return 500, b""
        if self.mode == "garbage":
            return 200, b"garbage"
        if self.mode == "replay":
            return 200, self._first
        with tempfile.NamedTemporaryFile() as file:
            file.write(query)
            file.flush()
            files = ["-queryfile", file.name, "-inkey", "tsa.key", "-signer", "tsa.pem"]
            body = self._openssl("ts", "-reply", "-section", "tsa", "-config", "conf", *files)
        self._first = self._first or body
        return 200, body

    def _make(self) -> None:
        (self._folder / "conf").write_text(CONFIG.format(folder=self._folder))
        (self._folder / "serial").write_text("01\n")
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        both = ("req", "-config", "conf", *new)
        root = ("-x509", "-days", "2", "-extensions", "ca", "-subj", "/CN=test root")
        self._openssl(*both, *root, "-keyout", "ca.key", "-out", "ca.pem")
        self._openssl(*both, "-subj", "/CN=test authority", "-keyout", "tsa.key", "-out", "tsa.csr")
        signed = ("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days")
        extensions = ("-extfile", "conf", "-extensions", "signer")
        self._openssl(*signed, "2", "-set_serial", "7", *extensions, "-out", "tsa.pem")

    def _openssl(self, *words: str) -> bytes:
        done = subprocess.run(["openssl", *words], cwd=self._folder, capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return done.stdout
