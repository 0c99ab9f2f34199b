"""Page on which files are judged, with all that works behind it, for whichever server has it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.scanning.about import rule_key
from deploy.scanning.kit import Options
from deploy.serving.app import PUBLIC, App, Offer
from deploy.serving.desk import Desk
from deploy.serving.fetch import Fetcher
from deploy.serving.limits import Limits
from deploy.serving.slot import Slots
from deploy.serving.store import Store
from deploy.web.access import Access
from deploy.web.mounted import Mounted

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class FilesPage:
    """A context manager around folders, threads and processes; the page works while it is open.

    Args:
        options: How files are judged.
        offer: What visitors are offered, and who judges.
        limits: How much they may ask for.
        keep: Where results stay; None = for a while, in a folder that goes at the end.
        private: Whether links may lead into this machine's own network.
    """

    def __init__(
        self,
        options: Options,
        offer: Offer,
        limits: Limits,
        keep: Path | None = None,
        private: bool = False,
    ) -> None:
        self._offer = offer
        self._store = Store(keep)
        self._desk = Desk(self._store, limits)
        options = replace(options, key=rule_key(offer.about))
        fetcher = Fetcher(limits, private)
        self._slots = Slots(self._desk, options, offer.about, fetcher, offer.keep_videos)
        self._stack = ExitStack()

    def __enter__(self) -> FilesPage:
        """Make its folder, start its threads.

        Raises:
            UserError: another server keeps results in that folder, or nobody can.
        """
        with ExitStack() as stack:
            stack.enter_context(self._store)
            stack.enter_context(self._slots)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def guarded(self, access: Access) -> ASGIApp:
        """The application of a server that has nothing else."""
        return self._app(access).guarded()

    def under(self, path: str) -> Mounted:
        """The same page under a path of another one's server."""
        return Mounted(path, lambda access: self._app(access).asgi(), PUBLIC, self._dead_threads)

    def _app(self, access: Access) -> App:
        return App(self._desk, self._offer, access, self._slots)

    def _dead_threads(self) -> list[str]:
        return [] if self._slots.alive else ["uploads"]
