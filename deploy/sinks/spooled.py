"""Base of the sinks whose events wait on disk until somebody far away has taken them."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from hashlib import sha256
from pathlib import Path

from deploy.backoff import Backoff
from deploy.judging.records import to_line
from deploy.sinks.base import Output, Sink
from deploy.sinks.spool import Spool
from deploy.telemetry import NullTelemetry

FINISH_S = 0.8  # for what is still waiting when the run ends


class SpooledSink(Sink):
    """Sink that puts `verdict` records on disk; a thread of its own delivers them, in order.

    The queue survives kill -9 and goes on at the next start.

    Args:
        shown: The receiver, for logs.
        place: The same for the name of its folder in `spool`: each receiver has its own.
        spool: Folder for waiting events.
        backoff: Delays between attempts.
        telemetry: Told of dropped events and of how many wait.
    """

    def __init__(
        self,
        shown: str,
        place: str,
        spool: Path,
        backoff: Backoff | None,
        telemetry: NullTelemetry | None,
    ) -> None:
        self._shown = shown
        self._backoff = backoff or Backoff()
        self._telemetry = telemetry or NullTelemetry()
        folder = spool / f"{self.name}-{sha256(place.encode()).hexdigest()[:12]}"
        self._spool = Spool(folder, on_drop=lambda count: self._telemetry.drop("spool", "", count))
        self._closing = threading.Event()
        self._failing = False  # the newest attempt found nobody who took it
        self._thread: threading.Thread | None = None
        self._log = logging.getLogger(type(self).__module__)

    @property
    def missing(self) -> str:
        lost = self._spool.lost
        return f"{lost} events are lost, there was no room for them to wait" if lost else ""

    def open(self) -> None:
        """Begin with what waits from earlier runs; whether anybody receives it is not asked.

        Raises:
            UserError: the folder for waiting events, or what else is needed, cannot be used.
        """
        if self._thread is None:
            self._spool.open()
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def write(self, output: Output) -> None:
        """Put the events on disk; they are sent by the other thread."""
        for record in output.records:
            if record["type"] == "verdict":
                self._spool.put(to_line(record).encode())
                self._tell_depth()
                self._wake()

    def close(self) -> None:
        """Send what can be sent within a second; the rest waits on disk for the next run."""
        if self._thread is None or self._closing.is_set():
            return
        self._finish(self._thread)
        if len(self._spool):
            text = "%s: %d events wait in %s for the next run"
            self._log.warning(text, self._shown, len(self._spool), self._spool.folder)
        self._spool.close()

    @abstractmethod
    def _run(self) -> None:
        """Deliver events until `_closing` is set; the body of the thread."""

    @abstractmethod
    def _wake(self) -> None:
        """There is something new for the thread."""

    @abstractmethod
    def _finish(self, thread: threading.Thread) -> None:
        """Set `_closing` once what can be sent in time is, and wait for the thread."""

    def _tell_depth(self) -> None:
        self._telemetry.depth(self.name, len(self._spool))

    def _refuse(self, event: int, reason: str) -> None:
        """The receiver will never take this event."""
        text = "%s refused an event: %s; it lies in %s/refused"
        self._log.warning(text, self._shown, reason, self._spool.folder)
        self._spool.refuse(event)

    def _fail(self, reason: object, until: str) -> None:
        """Nobody takes events just now; said once, not at every attempt."""
        if not self._failing and not self._closing.is_set():
            text = "%s: %s; events wait in %s %s"
            self._log.warning(text, self._shown, reason, self._spool.folder, until)
        self._failing = True

    def _recover(self, words: str) -> None:
        """Somebody takes events."""
        if self._failing:
            self._log.warning("%s: %s", self._shown, words)
        self._failing = False
        self._backoff.reset()
