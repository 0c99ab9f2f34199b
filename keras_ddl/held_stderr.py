"""`held_stderr`: what native libraries write while they are loaded, less what says nothing."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_stderr(dropped: re.Pattern[bytes]) -> Iterator[None]:
    """Hold back file descriptor 2; then, also after an error, write what came, in order.

    C++ code writes there past Python and, before its logging is set up, past its log level.

    Args:
        dropped: Lines in which this is found are not written.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held:
                if not dropped.search(line):
                    os.write(2, line)
