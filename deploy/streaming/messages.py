"""What passes from the thread that looks at a source to the one that makes its verdicts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from deploy.judging.frame_result import Sight
from deploy.streaming.micro_batcher import Answer
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.faces import Track

if TYPE_CHECKING:
    AnswerFuture = Future[Answer | None]

SIGHTS = 16  # frames that were looked at and may wait for their verdict
POLL_S = 0.1


@dataclass(frozen=True)
class Asked:
    """A clip that the model was asked about, and the future that has its answer."""

    clip: Clip
    track: Track
    captured_s: float
    answer: AnswerFuture


@dataclass(frozen=True)
class Seen:
    """A frame; with `asked`, its verdict waits for the answers."""

    sight: Sight
    asked: tuple[Asked, ...] = ()


@dataclass(frozen=True)
class Ended:
    """The last message; how it ended: "source", "limit", "stopped" or "error"."""

    how: str


class Inbox:
    """Messages in order. Frames are bounded and make their sender wait, answers never do."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[Seen | Asked | Ended] = SimpleQueue()
        self._room = threading.Semaphore(SIGHTS)

    def put_seen(self, seen: Seen, stop: Callable[[], bool]) -> bool:
        """Put a frame when there is room; false when `stop` said so before that."""
        while not self._room.acquire(timeout=POLL_S):
            if stop():
                return False
        self._messages.put(seen)
        return True

    def put(self, message: Asked | Ended) -> None:
        """Put an answer or the end."""
        self._messages.put(message)

    def get(self, timeout_s: float | None = None) -> Seen | Asked | Ended | None:
        """Take the next message; None when none came in time."""
        try:
            message = self._messages.get(timeout=timeout_s)
        except Empty:
            return None
        if isinstance(message, Seen):
            self._room.release()
        return message
