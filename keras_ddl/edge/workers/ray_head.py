"""Head of a Ray cluster: connecting to it, and noticing that it is lost."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need

KNOCK_S = 10.0
ANSWER_S = 2.0
SILENCE_S = 20.0  # after so long without an answer the head is lost; Ray ends the process after 60
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # RFC 9113, 3.4
SETTINGS = 4  # type of the first frame that a server sends


class Head:
    """The head of the cluster that this process is connected to.

    It is asked before Ray is, which waits for a lost one for a minute and then ends the process,
    with exit code 1 and nothing closed.

    Args:
        cluster: The cluster as the user named it.
        address: HOST:PORT of the head.
    """

    def __init__(self, cluster: str, address: str) -> None:
        self._cluster, self._address = cluster, address
        self._heard = time.monotonic()

    def answers(self) -> bool:
        """Return whether it answers.

        Raises:
            UserError: It has not for `SILENCE_S` seconds.
        """
        try:
            _called(self._address, ANSWER_S).close()
        except OSError as error:
            if time.monotonic() < self._heard + SILENCE_S:
                return False
            told = f"expected the cluster's head at {self._address}, which no longer answers"
            remedy = "what is done is kept: start a head and run the same command again"
            line = f"--cluster {self._cluster}: {told}; {remedy}"
            raise UserError(line, MISSING) from error
        self._heard = time.monotonic()
        return True


def connect(address: str) -> bool:
    """Connect to a cluster; return whether this process was not connected before.

    Raises:
        UserError: No cluster answers at the address, or Ray is not installed.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray prints a paragraph on each worker that dies to stdout, where results go.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    ray = need("ray", "--cluster", "cluster")
    if ray.is_initialized():
        return False
    named = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    try:
        if named not in ("", "auto", "local"):
            _knock(named)
        with _own_sigterm():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UserError(
            f"--cluster {address}: no Ray cluster answers ({reason}); start one with "
            "`ray start --head` or name another as HOST:PORT",
            MISSING,
        ) from error
    return True


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Leave SIGTERM as it is: Ray has it print a stack and end the process with another code."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _knock(address: str) -> None:
    """Greet as gRPC does and hang up: Ray itself goes on trying for minutes where no head is.

    Raises:
        ValueError: It is no address.
        OSError: Nobody answers, or somebody else.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and "/" not in host):
        raise ValueError("expected auto or HOST:PORT")
    with _called(address, KNOCK_S) as line:
        if os.environ.get("RAY_USE_TLS", "0") not in ("0", "false", "False"):
            return  # another greeting is Ray's own business
        line.sendall(PREFACE)
        answer = line.recv(9, socket.MSG_WAITALL)
    if len(answer) < 9 or answer[3] != SETTINGS:
        raise OSError("something else listens there")


def _called(address: str, seconds: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), seconds)
