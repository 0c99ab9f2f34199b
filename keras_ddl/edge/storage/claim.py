"""Claim on a folder of a store, which has no locks: an object that its holder renews."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from contextlib import AbstractContextManager, suppress
from typing import Any

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.store import Store

CLAIM = ".claim.json"
RENEWED_S = 5.0
LOST_S = 20.0  # a claim that nobody has renewed for so long is free; some renewals may be late
ASKED_S, SETTLED_S = 1.0, 0.5

_log = logging.getLogger(__name__)


class Claim(AbstractContextManager["Claim"]):
    """A claim that holds for as long as `with` lasts and this process lives.

    That of a process of this machine which has died is taken over at once, that of another
    machine once it has not been renewed for `LOST_S`.

    Args:
        folder: What is claimed.

    Raises:
        UserError: On entering it: another process has claimed it, or the store does not answer.
    """

    def __init__(self, folder: Address) -> None:
        self._store, self._folder, self._address = Store(folder), folder, folder / CLAIM
        self._mine = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid()}
        self._renewals = 0
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Claim:
        """Claim it."""
        self._wait_until_free()
        self._write()
        self._ended.wait(SETTLED_S)  # of two that begin together the later one has it
        if not self._is_mine(found := self._read()):
            raise self._taken(found)
        self._renewing.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Give it up."""
        self._ended.set()
        if self._renewing.is_alive():
            self._renewing.join()
        with suppress(UserError):
            if self._is_mine(self._read()):
                self._store.remove(self._address)

    def _wait_until_free(self) -> None:
        first = self._read()
        if first is None or self._has_died(first):
            return
        _log.warning("%s: %s wrote here; waiting whether it still does", self._folder, _who(first))
        until = time.monotonic() + LOST_S
        while time.monotonic() < until:
            time.sleep(ASKED_S)
            now = self._read()
            if now is None:
                return
            if now != first:
                raise self._taken(now)

    def _has_died(self, other: dict[str, Any]) -> bool:
        """Whether it was a process of this machine that is no more, or had this one's number."""
        if other.get("host") != self._mine["host"]:
            return False
        number = other.get("process")
        if number == self._mine["process"]:  # with this machine's name: its container was restarted
            return True
        if not isinstance(number, int) or number < 1:  # not of ours: it is waited for
            return False
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):  # another user's, or no number of a process
            return False
        else:
            return False

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED_S):
            with suppress(UserError):  # the next one may come through
                if not self._is_mine(self._read()):
                    return  # this process stood still for too long
                self._renewals += 1
                self._write()

    def _read(self) -> dict[str, Any] | None:
        content = self._store.read(self._address)
        try:
            found = json.loads(content or b"")
        except ValueError:
            found = None
        return found if isinstance(found, dict) else None

    def _write(self) -> None:
        claim = {**self._mine, "renewals": self._renewals}
        self._store.write(self._address, json.dumps(claim).encode())

    def _is_mine(self, found: dict[str, Any] | None) -> bool:
        return found is not None and found.get("id") == self._mine["id"]

    def _taken(self, found: dict[str, Any] | None) -> UserError:
        who = f", {_who(found)}," if found else ""
        message = f"expected a folder of one command, another one{who} writes to '{self._folder}'"
        return UserError(f"{message}; wait for it, or name another --out")


def _who(claim: dict[str, Any]) -> str:
    return f"process {claim.get('process')} of {claim.get('host')}"
