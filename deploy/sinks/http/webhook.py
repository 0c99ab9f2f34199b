"""Webhook: every change of a verdict as an HTTP POST."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from urllib.parse import quote

from deploy.backoff import Backoff
from deploy.sinks.http.http_post import Answer, HttpPost
from deploy.sinks.http.signature import SECRET, sign
from deploy.sinks.spool import Waiting
from deploy.sinks.spooled import FINISH_S, SpooledSink
from deploy.telemetry import NullTelemetry
from keras_ddl import __version__

TIMEOUT_S = 10.0
LONGEST_RETRY_AFTER_S = 3600.0
LONGEST_REASON = 120  # characters
TRY_AGAIN = (408, 425, 429)  # of the 4xx, those that say "later" and not "never"
EVENT_HEADER = "X-Keras-DDL-Event"
TIMESTAMP_HEADER = "X-Keras-DDL-Timestamp"
SIGNATURE_HEADER = "X-Keras-DDL-Signature"


class Webhook(SpooledSink):
    """Sink that posts `verdict` records as JSON, in order, from a queue on disk.

    An event leaves the queue once it is answered with 2xx. Other answers, and none, are tried
    again with back-off, Retry-After heeded; a 4xx that says "never" moves the event to refused/
    and lets the next one pass. A receiver may get an event twice (its answer was lost): the event
    header is the same each time.

    Args:
        url: Receiver, http:// or https://.
        spool: Folder for waiting events; each address has its own folder in it.
        secret: Shared with the receiver; b"" = unsigned (`signature.secret_from_environment`).
        timeout_s: Limit of one request.
        ca: Certificates to trust instead of the system's, PEM.
        backoff: Delays between attempts.
        telemetry: Told of dropped events and of how many wait.

    Raises:
        UserError: not an address that can be posted to.
    """

    name = "webhook"

    def __init__(
        self,
        url: str,
        spool: Path,
        secret: bytes = b"",
        timeout_s: float = TIMEOUT_S,
        ca: Path | None = None,
        backoff: Backoff | None = None,
        telemetry: NullTelemetry | None = None,
    ) -> None:
        self._post = HttpPost(url, timeout_s, ca)
        self._secret = secret
        self._news = threading.Event()
        super().__init__(self._post.shown, self._post.place, spool, backoff, telemetry)

    def open(self) -> None:
        """Begin, as every sink with a queue; says so when nothing will be signed."""
        if self._thread is None and not self._secret:
            self._log.warning("%s: events are not signed; set %s to sign", self._shown, SECRET)
        super().open()

    def _wake(self) -> None:
        self._news.set()

    def _finish(self, thread: threading.Thread) -> None:
        deadline = time.monotonic() + FINISH_S
        while len(self._spool) and not self._failing and time.monotonic() < deadline:
            time.sleep(0.01)
        self._closing.set()
        self._wake()
        self._post.abort()
        thread.join(FINISH_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._news.clear()
            waiting = self._spool.peek()
            if not waiting:
                self._news.wait()
                continue
            try:
                delay = self._attempt(waiting[0])
            except Exception:  # a mistake of ours: the queue must not stand still for days
                self._log.exception("%s: an event could not be sent", self._shown)
                delay = self._again("see above", None)
            self._closing.wait(delay)

    def _attempt(self, event: Waiting) -> float:
        """Send one event; returns how many seconds to wait before the next attempt."""
        try:
            answer = self._post.send(event.content, self._headers(event.content))
        except (OSError, http.client.HTTPException) as error:
            return self._again(_one_line(error) or type(error).__name__, None)
        said = f"{answer.status} {_one_line(answer.reason)}"
        if 200 <= answer.status < 300:
            self._spool.done(event.number)
        elif is_refusal(answer):
            self._refuse(event.number, said)
        else:
            return self._again(said, answer.retry_after_s)
        self._recover("it takes events again")
        self._tell_depth()
        return 0.0

    def _again(self, reason: str, retry_after_s: float | None) -> float:
        self._fail(reason, "and are tried again")
        return max(self._backoff.next_s(), min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))

    def _headers(self, body: bytes) -> dict[str, str]:
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"keras-ddl/{__version__}",
            EVENT_HEADER: quote(str(json.loads(body)["event"])),
            TIMESTAMP_HEADER: str(now),
        }
        if self._secret:
            headers[SIGNATURE_HEADER] = sign(self._secret, now, body)
        return headers


def is_refusal(answer: Answer) -> bool:
    """Whether a receiver will never take this event."""
    return 400 <= answer.status < 500 and answer.status not in TRY_AGAIN


def _one_line(text: object) -> str:
    """What a stranger's server said, fit for a log."""
    words = "".join(letter if letter.isprintable() else " " for letter in str(text)).split()
    return " ".join(words)[:LONGEST_REASON]
