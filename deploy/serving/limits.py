"""Bounds of a server that judges what others send."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one visitor, and all of them together, may ask for.

    Attributes:
        most_bytes: Of one file.
        longest_s: Seconds of one video.
        file_timeout_s: Longest time to judge one.
        most_memory: Bytes of resident memory of a process that judges, its model included.
        jobs: Judged at a time.
        waiting: May wait, those that are still being sent or fetched included.
        kept_s: A result that is not kept for good is forgotten after so long.
        kept: And when there are so many newer ones.
        silent_s: An upload or a download that brings nothing for so long is given up.
        transfer_s: Longest time for one to arrive.
        nice: How far a process that judges gives way to others, as `nice` counts.
    """

    most_bytes: int = 512 * MIB
    longest_s: float = 600.0
    file_timeout_s: float = 900.0
    most_memory: int = 4096 * MIB
    jobs: int = 1
    waiting: int = 8
    kept_s: float = 3600.0
    kept: int = 100
    silent_s: float = 20.0
    transfer_s: float = 900.0
    nice: int = 0

    @property
    def waiting_each(self) -> int:
        """How many files of one visitor may wait: half of the places, so that others find some."""
        return (self.waiting + 1) // 2

    def too_large(self, received: int | None = None) -> str:
        """The sentence that refuses a file for its size."""
        most = _mb(self.most_bytes)
        came = "more" if received is None else _mb(received)
        return f"expected a file of at most {most}, received {came}; send a shorter or smaller one"


def _mb(size: int) -> str:
    """A size in words, so that one just above a bound does not read like it."""
    if size >= 100 * MIB and size % MIB == 0:
        return f"{size // MIB} MiB"
    return f"{size:,} bytes" if size < MIB else f"{size / MIB:.1f} MiB"
