"""Time stamps of evidence: the newest head goes to an authority, beside the run."""

from __future__ import annotations

import http.client
import logging
import threading
from datetime import datetime
from pathlib import Path

from deploy.backoff import Backoff
from deploy.evidence.stamps import LARGEST, QUERY, REPLY, Request
from deploy.evidence.store import EvidenceStore
from deploy.sinks.http.http_post import HttpPost
from keras_ddl.edge.errors import UserError

TIMEOUT_S = 10.0
EVERY_S = 60.0  # other processes may write to the same folder
FINISH_S = 10.0  # for the last head, when a run ends
GRANTED = 200

log = logging.getLogger(__name__)


class EvidenceStamps:
    """Asker for RFC 3161 time stamps on a thread of its own; an authority that fails costs nothing.

    A head stands for all that is above it, so only the newest one is stamped, and one that could
    not be is covered by the next that can. Use it as a context manager, or `close` it.

    Args:
        url: The authority's address, http:// or https://.
        store: Whose chain is stamped.
        ca: Certificates to trust for https instead of the system's, PEM.

    Raises:
        UserError: no such address (2), or the package that knows the format is missing (3).
    """

    def __init__(self, url: str, store: EvidenceStore, ca: Path | None = None) -> None:
        self._post = HttpPost(url, TIMEOUT_S, ca, LARGEST)
        Request.of(b"head")  # what is missing is said at the start, not at the first event
        self._store = store
        self._news, self._closing = threading.Event(), threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="evidence stamps", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that there is a new head."""
        self._news.set()

    def __enter__(self) -> EvidenceStamps:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """Have the last head stamped, unless the authority is failing, and end."""
        self._closing.set()
        self._news.set()
        self._thread.join(FINISH_S)
        self._post.abort()

    def _run(self) -> None:
        backoff = Backoff()
        while True:
            self._news.wait(EVERY_S)
            self._news.clear()
            while not self._stamp():
                if self._closing.wait(backoff.next_s()):
                    return
            backoff.reset()
            if self._closing.is_set() and not self._news.is_set():
                return

    def _stamp(self) -> bool:
        """Stamp the newest head; returns whether nothing is left to stamp."""
        try:
            self._store.stamp(self._ask)
        except (OSError, UserError, ValueError, http.client.HTTPException) as error:
            if not self._failing:
                log.warning(
                    "%s gives no time stamp (%s); evidence is kept and stamped later",
                    self._post.shown,
                    error,
                )
            self._failing = True
            return False
        if self._failing:
            log.warning("%s gives time stamps again", self._post.shown)
        self._failing = False
        return True

    def _ask(self, line: bytes) -> tuple[bytes, datetime]:
        request = Request.of(line)
        answer = self._post.send(request.body, {"Content-Type": QUERY, "Accept": REPLY})
        if answer.status != GRANTED:
            raise ValueError(f"it answered {answer.status} {answer.reason}")
        return answer.body, request.time(answer.body)
