"""Page that stands under a path of another page's server, behind the same guard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.web.access import Access

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@dataclass(frozen=True)
class Mounted:
    """A further application of a server.

    Attributes:
        path: Where it stands, as "/judge"; its own addresses follow.
        make_app: Given who may come in, returns the application; it has no guard of its own.
        public: Those of its addresses that anybody may have, without `path`.
        dead_threads: Names of its threads that should live and do not.
    """

    path: str
    make_app: Callable[[Access], ASGIApp]
    public: frozenset[str]
    dead_threads: Callable[[], list[str]]

    def addresses(self) -> frozenset[str]:
        """What anybody may have, as the server has it; without the last slash too."""
        return frozenset({self.path, *(f"{self.path}{address}" for address in self.public)})
