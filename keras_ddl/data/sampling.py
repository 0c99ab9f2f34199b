"""`ClipSampler`: a few clips, evenly over the longest track, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from keras_ddl.clips import Clip


class ClipSampler:
    """Collects a video's clips as they come and keeps an even sample of the longest track's.

    The video's length is not known beforehand, so candidates are thinned as they pile up: past
    four times the wanted number every second one goes, and from then on every second new one.

    Args:
        count: Number of clips wanted.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._frames: Counter[int] = Counter()
        self._offered: Counter[int] = Counter()
        self._every: dict[int, int] = {}
        self._kept: dict[int, list[Clip]] = {}

    def push(self, tracks: Iterable[int], clips: Iterable[Clip]) -> None:
        """Take one frame's living tracks and the clips that it completed."""
        tracks = set(tracks)
        self._frames.update(tracks)
        for clip in clips:
            self._offer(clip)
        longest = self.longest
        for track in [t for t in self._kept if t not in tracks and t != longest]:
            del self._kept[track]  # ended, and shorter: it cannot win any more

    @property
    def longest(self) -> int | None:
        """Id of the track seen in most frames (the older one of equals); None without a face."""
        return min(self._frames, key=lambda t: (-self._frames[t], t), default=None)

    def clips(self) -> tuple[Clip, ...]:
        """Return up to `count` clips of the longest track: one from each equal part of it."""
        longest = self.longest
        kept = self._kept.get(longest, []) if longest is not None else []
        if len(kept) <= self._count:
            return tuple(kept)
        step = len(kept) / self._count
        return tuple(kept[int((i + 0.5) * step)] for i in range(self._count))

    def _offer(self, clip: Clip) -> None:
        track = clip.track_id
        kept = self._kept.setdefault(track, [])
        every = self._every.setdefault(track, 1)
        if self._offered[track] % every == 0:
            kept.append(clip)
        self._offered[track] += 1
        if len(kept) > 4 * self._count:
            kept[:] = kept[::2]
            self._every[track] = 2 * every
