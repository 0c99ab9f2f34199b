"""Every change of a verdict as an HTTP POST."""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from deploy.backoff import Backoff
from deploy.judging.records import to_line
from deploy.sinks.base import Output, Sink
from deploy.sinks.http.http_post import Answer, HttpPost
from deploy.sinks.http.signature import SECRET, sign
from deploy.sinks.spool import MAX_EVENTS, Spool, Waiting
from deploy.telemetry import NullTelemetry
from keras_ddl import __version__

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
LONGEST_RETRY_AFTER_S = 3600.0
LONGEST_REASON = 120  # characters
FINISH_S = 0.8  # for what is still waiting when the run ends
TRY_AGAIN = (408, 425, 429)  # of the 4xx, those that say "later" and not "never"
EVENT_HEADER = "X-Keras-DDL-Event"
TIMESTAMP_HEADER = "X-Keras-DDL-Timestamp"
SIGNATURE_HEADER = "X-Keras-DDL-Signature"


class Webhook(Sink):
    """Posts `verdict` records as JSON, in order, from a queue on disk.

    An event leaves the queue once it is answered with 2xx. Other answers, and none, are tried
    again with back-off, Retry-After heeded; a 4xx that says "never" moves the event to refused/
    and lets the next one pass. The queue survives kill -9 and goes on at the next start. A
    receiver may get an event twice (its answer was lost): the event header is the same each time.

    Args:
        url: Receiver, http:// or https://.
        spool: Folder for waiting events; each address has its own folder in it.
        secret: Shared with the receiver; b"" = unsigned (`signature.secret_from_environment`).
        timeout_s: Limit of one request.
        ca: Certificates to trust instead of the system's, PEM.
        max_events: Most events that may wait; beyond it the oldest are dropped.
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
        max_events: int = MAX_EVENTS,
        backoff: Backoff | None = None,
        telemetry: NullTelemetry | None = None,
    ) -> None:
        self._post = HttpPost(url, timeout_s, ca)
        self._secret = secret
        self._backoff = backoff or Backoff()
        self._telemetry = telemetry or NullTelemetry()
        folder = spool / f"webhook-{sha256(self._post.place.encode()).hexdigest()[:12]}"
        self._spool = Spool(
            folder, max_events, on_drop=lambda count: self._telemetry.drop("spool", "", count)
        )
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._failing = False  # the newest attempt found nobody who took it
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin with what waits from earlier runs; whether anybody receives it is not asked.

        Raises:
            UserError: the folder for waiting events cannot be used.
        """
        if self._thread is not None:
            return
        self._spool.open()
        if not self._secret:
            log.warning("%s: events are not signed; set %s to sign", self._post.shown, SECRET)
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def write(self, output: Output) -> None:
        """Put the events on disk; they are sent by another thread."""
        for record in output.records:
            if record["type"] == "verdict":
                self._spool.put(to_line(record).encode())
                self._telemetry.depth("webhook", len(self._spool))
                self._wake.set()

    def close(self) -> None:
        """Send what can be sent within a second; the rest waits on disk for the next run."""
        if self._thread is None or self._closing.is_set():
            return
        deadline = time.monotonic() + FINISH_S
        while len(self._spool) and not self._failing and time.monotonic() < deadline:
            time.sleep(0.01)
        self._closing.set()
        self._wake.set()
        self._post.abort()
        self._thread.join(FINISH_S)
        if len(self._spool):
            text = "%s: %d events wait in %s for the next run"
            log.warning(text, self._post.shown, len(self._spool), self._spool.folder)
        self._spool.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            waiting = self._spool.peek()
            if not waiting:
                self._wake.wait()
                continue
            try:
                delay = self._attempt(waiting[0])
            except Exception:  # a mistake of ours: the queue must not stand still for days
                log.exception("%s: an event could not be sent", self._post.shown)
                delay = self._again("see above", None)
            self._closing.wait(delay)

    def _attempt(self, event: Waiting) -> float:
        """Send one event; returns how many seconds to wait before the next attempt."""
        try:
            answer = self._post.send(event.content, self._headers(event.content))
        except (OSError, http.client.HTTPException) as error:
            return self._again(_one_line(error) or type(error).__name__, None)
        if 200 <= answer.status < 300:
            self._spool.done(event.number)
        elif is_refusal(answer):
            text = "%s refused an event: %d %s; it lies in %s/refused"
            reason = _one_line(answer.reason)
            log.warning(text, self._post.shown, answer.status, reason, self._spool.folder)
            self._spool.refuse(event.number)
        else:
            return self._again(f"{answer.status} {_one_line(answer.reason)}", answer.retry_after_s)
        if self._failing:
            log.warning("%s: it takes events again", self._post.shown)
        self._failing = False
        self._backoff.reset()
        self._telemetry.depth("webhook", len(self._spool))
        return 0.0

    def _again(self, reason: str, retry_after_s: float | None) -> float:
        if not self._failing and not self._closing.is_set():
            text = "%s: %s; events wait in %s and are tried again"
            log.warning(text, self._post.shown, reason, self._spool.folder)
        self._failing = True
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
