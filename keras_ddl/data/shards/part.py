"""A part of a prepared folder: the clips of one or a few videos, written where they are made.

Its shards are files of the finished folder from the start, named by their content; nothing is
copied afterwards. A shard that nobody noted, of a worker that was killed, is in no index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_ddl.data.prepared import Cut
from keras_ddl.data.shards.records import HEAD, example, framed
from keras_ddl.data.video_index import Video
from keras_ddl.edge.storage.folder import Folder

SHARD_BYTES = 256 << 20  # a shard that has grown so large takes no further video
FILES = 2048  # a set of more videos has several of them in a part
LONGEST = 32  # videos of a part at most
_OPTIONAL = ("original", "source")  # facts of a video that not every dataset gives


@dataclass(frozen=True)
class Part:
    """Videos that one worker cuts, one after the other, all of one split.

    Attributes:
        name: Of a file, unlike any other part's: a digest of what decides its clips.
        videos: Their own such names, and the videos.
    """

    name: str
    videos: tuple[tuple[str, Video], ...]

    @property
    def split(self) -> str:
        """The split of its videos."""
        return self.videos[0][1].split

    def singly(self) -> list[Part]:
        """Return its videos as a part each."""
        return [Part(name, ((name, video),)) for name, video in self.videos]


def parts_of(names: Sequence[str], videos: Sequence[Video]) -> list[Part]:
    """Return the parts of a set, which depend on its videos alone, not on who cuts them when.

    Up to `FILES` videos are a part each. Of more, several neighbours are one; where a part ends its
    videos' own names decide, so that a video that comes or goes changes its own part and no other.
    """
    mean = 1
    while len(names) > FILES * mean and 2 * mean < LONGEST:
        mean *= 2
    parts, held = [], []
    for number, (name, video) in enumerate(zip(names, videos, strict=True)):
        held.append((name, video))
        last = number + 1 == len(names) or videos[number + 1].split != video.split
        if last or len(held) == 2 * mean or not int(name[:8], 16) % mean:
            joined = hashlib.sha256(" ".join(name for name, _ in held).encode()).hexdigest()
            parts.append(Part(joined[:32] if len(held) > 1 else name, tuple(held)))
            held = []
    return parts


def write_part(folder: Folder, cuts: Iterable[tuple[Video, Cut]]) -> dict[str, Any]:
    """Write the clips of videos of one split into a prepared folder.

    Args:
        folder: The folder.
        cuts: The videos and what they gave, taken one by one.

    Returns:
        A JSON object: `videos`, per video its `split`, its row of the index and the rows of its
        clips; `shards`, per file its name, bytes and SHA-256.

    Raises:
        UserError: As the folder's `write`.
        OSError: Of the disk.
    """
    videos, shards = [], _Shards(folder)
    for video, cut in cuts:
        rows = []
        for clip in cut.clips:
            start, end = (round(float(clip.times_ms[i]), 3) for i in (0, -1))
            row = {**_common(video), "track": clip.track_id, "start_ms": start, "end_ms": end}
            rows.append(shards.placed(row, example(video.key, video.label, clip)))
        videos.append({"split": video.split, "video": _row(video, cut), "clips": rows})
        shards.seal(video.split, SHARD_BYTES)
    if videos:
        shards.seal(videos[-1]["split"])
    return {"videos": videos, "shards": shards.written}


class _Shards:
    """The shard at hand, and those that are written."""

    def __init__(self, folder: Folder) -> None:
        self.written: list[dict[str, Any]] = []
        self._folder = folder
        self._records: list[bytes] = []
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def placed(self, row: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """Take a clip; return its row of the index, which has its shard's name once that is
        sealed."""
        self._rows.append({**row, "offset": self._size + HEAD, "length": len(payload)})
        self._records.append(framed(payload))
        self._size += len(self._records[-1])
        return self._rows[-1]

    def seal(self, split: str, least: int = 1) -> None:
        """Write the shard, if it has so many bytes."""
        if self._size < least:
            return
        content = b"".join(self._records)
        digest = hashlib.sha256(content).hexdigest()
        name = f"clips-{digest[:32]}.tfrecord"
        self._folder.write(f"{split}/{name}", content)
        self.written.append({"name": name, "bytes": len(content), "sha256": digest})
        for row in self._rows:
            row["shard"] = name
        self._records, self._rows, self._size = [], [], 0


def _common(video: Video) -> dict[str, Any]:
    return {"key": list(video.key), "label": video.label}


def _row(video: Video, cut: Cut) -> dict[str, Any]:
    facts = {"identities": list(video.identities), "clips": len(cut.clips), "status": cut.status}
    more = {"message": cut.message, "duration_ms": round(cut.duration_ms, 3)}
    more |= {name: getattr(video, name) for name in _OPTIONAL if getattr(video, name)}
    return {**_common(video), **facts, **more}
