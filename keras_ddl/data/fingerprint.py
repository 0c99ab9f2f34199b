"""Fingerprint of a dataset: digests of all that decides its clips."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_ddl.data.prepared import FORMAT
from keras_ddl.data.video_index import Video
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.files import printable
from keras_ddl.edge.storage.store import Store


@dataclass(frozen=True)
class Fingerprint:
    """Digests in hex.

    Attributes:
        rules: Of what decides the clips of every video.
        videos: Per video, of that and of its split, label and key and its file's size and time; in
            a store size and tag, without a tag SHA-256.
        whole: Of all together.
    """

    rules: str
    videos: tuple[str, ...]
    whole: str

    @classmethod
    def of(
        cls,
        videos: Sequence[Video],
        spec: ClipSpec,
        rules: Mapping[str, int],
        identity: str = "",
    ) -> Fingerprint:
        """Take the digests; of the files only their facts are looked at, if they have any.

        Args:
            videos: The dataset's.
            spec: What a clip is.
            rules: How clips are sampled and kept.
            identity: Pattern of an `IdentityRule`, where one was given.
        """
        text = " ".join(map(str, (FORMAT, *map(int, rules.values()), spec.to_json())))
        text += f" {identity}" if identity else ""  # without one as ever: older clips stand
        lines = [_line(video) for video in videos]
        names = tuple(_digest(text + line)[:32] for line in lines)
        return cls(_digest(text), names, _digest(text + "".join(lines)))


def _line(video: Video) -> str:
    mask = printable(video.mask.name) if video.mask else ""
    return f"{video.split} {video.label} {video.key} {_content(video)} {mask}\n"


def _content(video: Video) -> str:
    """What changes with a file's content: size and time, in a store size and tag or digest."""
    if (stored := video.stored) is not None:
        return f"{stored.size} {stored.tag or Store(stored.address).sha256(stored)}"
    try:
        facts = Path(video.path).stat()
    except OSError:  # gone since it was listed, or not to be looked at: cutting it says why
        return "-1 -1"
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
