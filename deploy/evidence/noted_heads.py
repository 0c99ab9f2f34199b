"""Heads noted beside a signing key: the last line of every chain that the key signed.

Whoever can write to an evidence folder can put an older state of it back, signatures and all. The
note lies elsewhere, so it tells.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.evidence.line import json_object
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.files import write_durably

HEADS = ".heads"  # how the file's name ends, beside the key
FORMAT = "keras-ddl evidence heads"


class NotedHeads:
    """One file with the newest head of each chain, shared by the processes that sign.

    Args:
        path: The file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, str]:
        """Heads by chain.

        Raises:
            UserError: the file is something else (2).
            OSError: it cannot be read; `FileNotFoundError` where there is none.
        """
        value = json_object(self._path.read_bytes())
        chains = value.get("chains")
        if value.get("format") != FORMAT or not isinstance(chains, dict):
            message = f"expected the heads noted beside a signing key, received '{self._path}'"
            raise UserError(f"{message}, which is something else; name KEY{HEADS}", USAGE)
        return {str(chain): str(head) for chain, head in chains.items()}

    def head_of(self, chain: str) -> str:
        """The newest head of a chain, "" where none was noted.

        Raises:
            UserError, OSError: as `read`, a missing file aside.
        """
        try:
            return self.read().get(chain, "")
        except FileNotFoundError:
            return ""

    def note(self, chain: str, head: str) -> None:
        """Write a chain's newest head down; the chain is to be held meanwhile.

        Raises:
            UserError, OSError: as `read`, or it cannot be written.
        """
        import fcntl

        with self._path.with_name(f".{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                chains = self.read()
            except FileNotFoundError:
                chains = {}
            value = {"format": FORMAT, "chains": {**chains, chain: head}}
            write_durably(self._path, (json.dumps(value, indent=1) + "\n").encode())
