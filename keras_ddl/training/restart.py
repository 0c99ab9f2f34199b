"""What a worker does when another one is gone: begin again from the last checkpoint.

TensorFlow's collective operations fail on all workers when one dies, and cannot be joined again by
the same process. The survivors therefore replace themselves by a fresh process of the same command,
which waits until the lost worker has been started again.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.training.strategy import Place

RESTARTS = 3
_COUNT = "KERAS_DDL_RESTARTS"

_log = logging.getLogger(__name__)


@contextmanager
def restart_when_a_worker_is_lost(place: Place, run: Path) -> Iterator[None]:
    """Replace this process by one that goes on with the run, where another worker is lost.

    Args:
        place: Where the training runs; alone, nothing is done.
        run: The run folder.

    Raises:
        UserError: After `RESTARTS` such losses.
    """
    from keras_ddl.framework import tf

    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if place.workers == 1:
            raise
        count = int(os.environ.get(_COUNT, "0"))
        if count >= RESTARTS:
            raise UserError(
                f"a worker was lost for the {count + 1}th time; look at its output, then start all "
                f"of them again with --resume {run}",
                CHECK_FAILED,
            ) from error
        _log.warning("a worker was lost; waiting for it, to go on from the last checkpoint")
        command = resuming(sys.orig_argv, run)
        os.execve(sys.executable, command, {**os.environ, _COUNT: str(count + 1)})


def resuming(command: list[str], run: Path) -> list[str]:
    """The same command, going on with a run instead of beginning one."""
    kept, skip = [], False
    for word in command:
        if skip:
            skip = False
        elif word in ("--out", "--resume"):
            skip = True
        elif word != "--previous" and not word.startswith(("--out=", "--resume=")):
            kept.append(word)
    return [*kept, "--resume", str(run)]
