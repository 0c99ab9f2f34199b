"""Progress of a scan: of the file at hand, and a bar over all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from deploy.sinks.base import Output, Sink
from deploy.sources.base import Source
from keras_ddl.edge.workers.throughput import Throughput

TELL_S = 0.25


class ShareSink(Sink):
    """Sink that tells the share of a file that is done, a few times per second.

    Args:
        source: The file; where it does not say how long it is, 0 is told all along.
        tell: Gets the share, in [0, 1].
    """

    name = "progress"

    def __init__(self, source: Source, tell: Callable[[float], None]) -> None:
        self._length, self._sample = source.length, source.sample
        self._tell = tell
        self._frames = 0
        self._time_ms = 0.0
        self._told = 0.0

    def write(self, output: Output) -> None:
        """Count the frame."""
        if output.frame is not None:
            self._frames += 1
            self._time_ms = output.frame.time_ms
        now = time.monotonic()
        if now - self._told > TELL_S:
            self._told = now
            self._tell(min(1.0, self._share()))

    def _share(self) -> float:
        if self._sample is not None:
            return self._time_ms / 1000.0 / max(self._sample["seconds"], 1e-9)
        return self._frames / self._length if self._length else 0.0


class Bar:
    """A bar on stderr over all files by their bytes: done, failed, speed, time left, by node.

    Silent without tqdm or without a terminal.

    Args:
        total: Bytes of the files that are to be judged.
        files: How many there are.
        done_by: As of `Throughput`.
    """

    def __init__(self, total: int, files: int, done_by: Mapping[str, int]) -> None:
        self._throughput = Throughput(files, done_by)
        self._sizes: dict[int, int] = {}  # of files that are being judged
        self._shares: dict[int, float] = {}
        self._began = time.monotonic()
        self._bar: Any = None
        try:
            from tqdm import tqdm
        except ImportError:
            return
        form = "{percentage:3.0f}% {bar} {elapsed}, {remaining} left{postfix}"
        self._bar = tqdm(total=total, disable=None, leave=False, bar_format=form, miniters=0)

    def begin(self, index: int, size: int) -> None:
        """A file of so many bytes is given to a worker."""
        self._sizes[index], self._shares[index] = size, 0.0

    def share(self, index: int, share: float) -> None:
        """A file is so far."""
        gained = max(0.0, share - self._shares.get(index, 1.0))
        if gained and self._bar is not None:
            self._shares[index] += gained
            self._bar.update(gained * self._sizes[index])

    def done(self, index: int, failed: bool, seconds: float) -> None:
        """A file is done.

        Args:
            index: Its number.
            failed: Whether it could not be judged.
            seconds: Of video that were judged.
        """
        self.share(index, 1.0)
        self._sizes.pop(index, None)
        self._shares.pop(index, None)
        self._throughput.add(failed, seconds)
        if self._bar is not None:
            self._bar.set_postfix_str(self._throughput.told(time.monotonic() - self._began))

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
