"""Even sample of the clips of each face's track, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from keras_ddl.edge.clips import Clip

MAX_TRACKS = 8  # people of one video whose clips are held at a time
LEAST_SHARE = 0.25  # of the longest track's frames that a track needs to be taken


Kept = TypeVar("Kept")


class ClipSampler(Generic[Kept]):
    """Even sample of each long track's clips, which come one by one.

    The video's length is not known beforehand, so candidates are thinned as they pile up: past
    four times the wanted number every second one goes, and from then on every second new one.

    Args:
        count: Number of clips wanted of each track.
        keep: What is kept of a clip: itself, or something smaller.
    """

    def __init__(self, count: int, keep: Callable[[Clip], Kept]) -> None:
        self._count, self._keep = count, keep
        self._frames: Counter[int] = Counter()
        self._offered: Counter[int] = Counter()
        self._every: dict[int, int] = {}
        self._kept: dict[int, list[Kept]] = {}

    def push(self, tracks: Iterable[int], clips: Iterable[Clip]) -> None:
        """Take one frame's living tracks and the clips that it completed."""
        tracks = set(tracks)
        self._frames.update(tracks)
        for clip in clips:
            self._offer(clip)
        ended = [track for track in self._kept if track not in tracks]
        for track in sorted(ended, key=self._rank)[MAX_TRACKS:]:
            del self._kept[track]

    @property
    def longest(self) -> int | None:
        """Id of the track seen in most frames (the older one of equals); None without a face."""
        return min(self._frames, key=self._rank, default=None)

    def tracks(self) -> tuple[int, ...]:
        """Ids of the tracks seen at least a quarter as long as the longest, by time of birth."""
        longest = self.longest
        if longest is None:
            return ()
        least = LEAST_SHARE * self._frames[longest]
        return tuple(sorted(t for t in self._kept if self._frames[t] >= least))

    def clips(self, track: int | None = None) -> tuple[Kept, ...]:
        """Return up to `count` clips, one from each equal part of a track; default: the longest."""
        track = self.longest if track is None else track
        kept = self._kept.get(track, []) if track is not None else []
        if len(kept) <= self._count:
            return tuple(kept)
        step = len(kept) / self._count
        return tuple(kept[int((i + 0.5) * step)] for i in range(self._count))

    def _rank(self, track: int) -> tuple[int, int]:
        """Sorts tracks: the longest first, of equals the older one."""
        return -self._frames[track], track

    def _offer(self, clip: Clip) -> None:
        track = clip.track_id
        kept = self._kept.setdefault(track, [])
        every = self._every.setdefault(track, 1)
        if self._offered[track] % every == 0:
            kept.append(self._keep(clip))
        self._offered[track] += 1
        if len(kept) > 4 * self._count:
            kept[:] = kept[::2]
            self._every[track] = 2 * every
