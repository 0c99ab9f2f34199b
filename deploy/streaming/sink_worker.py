"""Sink worker: the thread of a sink, which may be slow, hang or fail; nothing else notices."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from deploy.judging.output import Output
from deploy.sinks import Sink
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import MISSING, UserError

log = logging.getLogger(__name__)

PICTURES = 64  # outputs with a frame that may wait
RECORDS = 10_000  # outputs that may wait when their frames are gone
POLL_S = 0.2
SILENCE_S = 60.0  # the same trouble is reported again after this long


class SinkWorker:
    """The outputs that wait for a sink, and the thread that hands them over in order.

    Where the sink is too slow, a patient worker lets its source wait (files: nothing is lost); an
    impatient one gives up waiting frames and pictures first, the oldest first, and records only
    when ten thousand outputs wait. What is lost is counted as "overflow NAME".

    Args:
        sink: Where results go; already opened.
        patient: Whether `put` waits for room.
        telemetry: Is told losses, failures and the queue's length.
        on_broken_pipe: Called once when the reader of the sink has gone for good.
    """

    def __init__(
        self,
        sink: Sink,
        patient: bool,
        telemetry: NullTelemetry,
        on_broken_pipe: Callable[[], None],
    ) -> None:
        self.sink = sink
        self.error: Exception | None = None  # the last trouble
        self._patient = patient
        self._telemetry = telemetry
        self._on_broken_pipe = on_broken_pipe
        self._said: tuple[str, float] = ("", 0.0)
        self._waiting: deque[Output] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._broken = False
        self._thread = threading.Thread(target=self._work, name=f"sink {sink.name}", daemon=True)
        self._thread.start()

    @property
    def wants_picture(self) -> bool:
        """Whether the sink wants annotated frames just now and has room for one."""
        room = self._patient or len(self._waiting) < PICTURES
        return room and not self._broken and self.sink.wants_picture

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def put(self, output: Output) -> None:
        """Hand over an output."""
        with self._changed:
            if self._patient:
                while len(self._waiting) >= PICTURES and not (self._closed or self._broken):
                    self._changed.wait(POLL_S)
            elif len(self._waiting) >= PICTURES:
                self._relieve()
            if self._closed or self._broken:
                return
            self._waiting.append(output)
            self._telemetry.depth(f"sink {self.sink.name}", len(self._waiting))
            self._changed.notify_all()

    def _relieve(self) -> None:
        """Make room: give up the oldest frame, or the oldest output when there are too many."""
        self._telemetry.drop(f"overflow {self.sink.name}")
        if len(self._waiting) >= RECORDS:
            self._waiting.popleft()
            return
        for index, output in enumerate(self._waiting):
            if output.frame is not None or output.picture is not None or output.scored:
                del self._waiting[index]
                if output.records:
                    bare = dataclasses.replace(output, frame=None, picture=None, scored=())
                    self._waiting.insert(index, bare)
                return

    def close(self, timeout_s: float) -> bool:
        """Write what waits, close the sink, and say whether that was done in time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            left = len(self._waiting)
            log.warning("%s did not finish in time: %d outputs are lost", self.sink.name, left)
            if left and self.error is None:
                self.error = UserError(f"{left} outputs waited when the run had ended", MISSING)
            return False
        return True

    def _work(self) -> None:
        while (output := self._next()) is not None:
            try:
                self.sink.write(output)
            except BrokenPipeError:
                self._broken = True
                self._on_broken_pipe()
                break
            except Exception as error:  # whatever a sink's library raises must stop nothing else
                self._fail(error)
        try:
            self.sink.close()
        except BrokenPipeError:
            self._on_broken_pipe()
        except Exception as error:
            self._fail(error)

    def _next(self) -> Output | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            output = self._waiting.popleft()
            self._telemetry.depth(f"sink {self.sink.name}", len(self._waiting))
            self._changed.notify_all()
            return output

    def _fail(self, error: Exception) -> None:
        """Count a failure, and report it unless the same was reported a moment ago."""
        self.error = error
        self._telemetry.failure(self.sink.name)
        known = isinstance(error, UserError | OSError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        now = time.monotonic()
        if text != self._said[0] or now - self._said[1] >= SILENCE_S:
            self._said = (text, now)
            log.warning("%s failed, the run goes on: %s", self.sink.name, text, exc_info=not known)
