"""Download of what is behind a link, into the folder of its job, within bounds."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import IO

from deploy.serving.addresses import (
    SCHEMES,
    RefusedError,
    Target,
    read_target,
    redirected,
    resolve,
)
from deploy.serving.job import Job
from deploy.serving.limits import Limits
from deploy.sinks.tls import client_tls
from keras_ddl import __version__

REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 5
CHUNK = 1 << 16
LOOK_S = 0.2  # how often it is looked whether a file is still wanted, and in time


class FetchError(Exception):
    """Nothing was fetched; its words are for the visitor, without what an address may hide."""


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to an address that was checked, under the name that it was asked by."""

    def __init__(self, target: Target, place: tuple[str, int], timeout: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout)
        self.default_port = SCHEMES["https" if target.secure else "http"]  # not said in `Host`
        self._target, self._place = target, place

    def connect(self) -> None:
        """Connect to the address, never to the name."""
        plain = socket.create_connection(self._place, self.timeout)
        if self._target.secure:
            self.sock = client_tls(None).wrap_socket(plain, server_hostname=self._target.host)
        else:
            self.sock = plain


class Fetcher:
    """Client for links.

    Args:
        limits: On size and time.
        private: Whether it may fetch from this machine's own network.
        clock: Seconds.
    """

    def __init__(
        self, limits: Limits, private: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._private = private
        self._clock = clock

    def fetch(self, job: Job) -> None:
        """Bring the file behind a job's link, and tell the share that is here.

        Raises:
            FetchError: it is not a public address, does not answer, is too large or too slow.
        """
        ends = self._clock() + self._limits.transfer_s
        try:
            target = read_target(job.link)
            for _ in range(MOST_REDIRECTS + 1):
                place = resolve(target, self._private)
                link = _PinnedConnection(target, place, self._limits.silent_s)
                with closing(link):
                    location = self._ask(link, target, job, ends)
                if location is None:
                    return
                target = redirected(target, location)
            raise FetchError(f"expected a file, received more than {MOST_REDIRECTS} redirects")
        except RefusedError as error:
            raise FetchError(str(error)) from None
        except ssl.SSLCertVerificationError:
            raise FetchError("the server's certificate is not trusted") from None
        except TimeoutError:
            raise FetchError(f"nothing came for {self._limits.silent_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            self._check(job, ends)  # then the connection was shut here
            why = getattr(error, "strerror", None) or type(error).__name__
            raise FetchError(f"the file could not be fetched: {why}") from None

    def _ask(self, link: _PinnedConnection, target: Target, job: Job, ends: float) -> str | None:
        """Ask for the file; return where else it is, None once it is here."""
        agent = {"User-Agent": f"keras-ddl/{__version__}", "Accept": "video/*, image/*, */*;q=0.1"}
        link.connect()
        with _shut_when(lambda: job.cancelled.is_set() or self._clock() > ends, link.sock):
            link.request("GET", target.path, headers=agent)
            return self._take(link.getresponse(), job, ends)

    def _take(self, answer: http.client.HTTPResponse, job: Job, ends: float) -> str | None:
        """Take an answer; return where else the file is, None once it is here."""
        location = answer.getheader("Location")
        if answer.status in REDIRECTS and location:
            return location
        if answer.status != 200:
            raise FetchError(f"expected a file, the server answered {answer.status}")
        if (answer.getheader("Content-Type") or "").startswith("text/html"):
            raise FetchError("expected a link to a video file, received one to a web page")
        size = answer.length
        if size is not None and size > self._limits.most_bytes:
            raise FetchError(self._limits.too_large(size))
        with job.video.open("wb") as file:
            self._copy(answer, file, job, size, ends)
        self._check(job, ends)  # of a file without a length, being shut looks like its end
        if size is not None and job.size < size:
            raise FetchError(f"the connection broke off after {job.size:,} of {size:,} bytes")
        return None

    def _copy(
        self,
        answer: http.client.HTTPResponse,
        file: IO[bytes],
        job: Job,
        size: int | None,
        ends: float,
    ) -> None:
        while block := answer.read1(CHUNK):
            job.size += len(block)
            self._check(job, ends)
            if job.size > self._limits.most_bytes:
                raise FetchError(self._limits.too_large())
            file.write(block)
            job.share = job.size / size if size else 0.0

    def _check(self, job: Job, ends: float) -> None:
        if job.cancelled.is_set():
            raise FetchError("given up")
        if self._clock() > ends:
            raise FetchError(f"not here after {self._limits.transfer_s:g} s")


@contextmanager
def _shut_when(over: Callable[[], bool], connection: socket.socket) -> Iterator[None]:
    """Shut a connection once it is over: a server may send one byte now and then, without end."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_S):
            if over():
                with suppress(OSError):  # it has just ended by itself
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
