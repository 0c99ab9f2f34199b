"""`index.json` of a split, written row by row: an index of millions of clips is never in memory."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO, Any

from keras_ddl.edge.files import file_sha256


class IndexFile(AbstractContextManager["IndexFile"]):
    """The index of a split; it is whole behind the `with`.

    Args:
        path: Of a file of this machine.

    Attributes:
        counts: Clips, and videos by status.
        shards: Per shard its name, bytes and SHA-256, in the order of the index.
        sha256: Of the file, once it is whole.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.sha256 = path, ""
        self.counts: Counter[str] = Counter(clips=0)
        self.shards: list[dict[str, Any]] = []
        self._stack = ExitStack()

    def __enter__(self) -> IndexFile:
        self._clips = self._stack.enter_context(self.path.open("wb+"))
        aside = self.path.with_suffix(".videos")
        self._stack.callback(aside.unlink)
        self._videos = self._stack.enter_context(aside.open("wb+"))
        self._clips.write(b'{"clips": [')
        return self

    def add(self, note: Mapping[str, Any]) -> None:
        """Take what `write_part` said of a part."""
        for video in note["videos"]:
            for row in video["clips"]:
                _write(self._clips, row, first=not self.counts["clips"])
                self.counts["clips"] += 1
            _write(self._videos, video["video"], first=not self._videos.tell())
            self.counts[video["video"]["status"]] += 1
        self.shards += note["shards"]

    def __exit__(self, *exception: object) -> None:
        with self._stack:
            self._clips.write(b'],\n"videos": [')
            self._videos.seek(0)
            shutil.copyfileobj(self._videos, self._clips, 1 << 20)
            self._clips.write(b"]}\n")
        self.sha256 = file_sha256(self.path)


def _write(file: IO[bytes], row: Mapping[str, Any], first: bool) -> None:
    text = json.dumps(row, allow_nan=False, ensure_ascii=False)
    file.write((b"\n" if first else b",\n") + text.encode("utf-8", "backslashreplace"))
