"""Prepared clips on disk, written once and then mapped.

A prepared folder holds `clipspec.json`, `prepared.json` (fingerprint and counts) and, for each
split, `clips.npy` (uint8, (N, T, S, S, 3), RGB, memory-mappable) and `index.json`: a row per clip
(video key, label, track, start in ms) and a row per video with what became of it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.clips import Clip
from keras_ddl.clipspec import ClipSpec
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.errors import UserError
from keras_ddl.runs import read_json, write_json

FORMAT = 1
SUMMARY = "prepared.json"

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Cut:
    """What one video gave.

    Args:
        status: `ok`, `no face`, `too short` (faces, but no complete clip) or `unreadable`.
        message: Why it is not `ok`, in one line.
        clips: The sampled clips, all of one track.
    """

    status: str
    message: str = ""
    clips: tuple[Clip, ...] = ()


@dataclass(frozen=True)
class PreparedSplit:
    """The clips of one split.

    Args:
        clips: uint8, (N, T, S, S, 3), RGB, mapped from disk.
        labels: int32, (N,), 0 = real, 1 = fake.
        keys: Per clip its video's key (dataset, method, compression, video id).
        rows: Per clip the row of `index.json`.
        videos: Per video the row of `index.json`, with its status.
    """

    clips: np.ndarray
    labels: np.ndarray
    keys: tuple[Key, ...]
    rows: tuple[dict[str, Any], ...]
    videos: tuple[dict[str, Any], ...]


def read_summary(prepared: Path) -> dict[str, Any]:
    """Return `prepared.json`; a UserError says that a folder is not a prepared one."""
    path = Path(prepared) / SUMMARY
    if not path.is_file():
        raise UserError(
            f"expected a folder of prepared clips, received {prepared}, which holds no "
            f"{SUMMARY}; make one with: python -m keras_ddl.data.prepare ROOT --out DIR"
        )
    summary: dict[str, Any] = read_json(path)
    return summary


def read_split(prepared: Path, split: str) -> PreparedSplit:
    """Map one split of a prepared folder.

    Raises:
        UserError: If the folder is not a prepared one, or the split has no clips.
    """
    if split not in SPLITS:
        raise UserError(f"split: expected one of {', '.join(SPLITS)}; received {split!r}")
    counts = read_summary(prepared)["splits"]
    if not counts[split]["clips"]:
        raise UserError(f"{prepared} has no clips in {split}; it has {json.dumps(counts)}")
    index = read_json(Path(prepared) / split / "index.json")
    rows = index["clips"]
    return PreparedSplit(
        clips=np.load(Path(prepared) / split / "clips.npy", mmap_mode="r"),
        labels=np.array([row["label"] for row in rows], np.int32),
        keys=tuple(tuple(row["key"]) for row in rows),
        rows=tuple(rows),
        videos=tuple(index["videos"]),
    )


def write_prepared(
    out: Path,
    spec: ClipSpec,
    cuts: Iterable[tuple[Video, Cut]],
    fingerprint: str,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a prepared folder, whole or not at all; one that is there already is replaced.

    Args:
        out: The folder.
        spec: What a clip is.
        cuts: Videos with what they gave, written as they come.
        fingerprint: Of all that decides the clips.
        facts: More for `prepared.json`.
    """
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            writers = {s: stack.enter_context(_SplitWriter(partial / s, spec)) for s in SPLITS}
            for video, cut in cuts:
                writers[video.split].add(video, cut)
        counts = {split: writer.counts() for split, writer in writers.items()}
        summary = {"format": FORMAT, "fingerprint": fingerprint, "splits": counts}
        write_json(partial / SUMMARY, {**summary, **(facts or {})})
        spec.write(partial / "clipspec.json")
        if out.exists():
            read_summary(out)  # refuses to replace a folder of anything else
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


class _SplitWriter:
    """Appends clips to a `.npy` file whose length is known only at the end."""

    def __init__(self, folder: Path, spec: ClipSpec) -> None:
        folder.mkdir()
        self._folder = folder
        self._shape = (spec.frames, spec.size, spec.size, 3)
        self._rows: list[dict[str, Any]] = []
        self._videos: list[dict[str, Any]] = []
        self._file = (folder / "clips.npy").open("wb")
        self._data_start = self._header()

    def __enter__(self) -> _SplitWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        """Write the length into the header, and the index."""
        self._file.seek(0)
        end = self._header()
        self._file.close()
        if end != self._data_start:
            raise RuntimeError("the .npy header changed its length: NumPy no longer pads it")
        write_json(self._folder / "index.json", {"clips": self._rows, "videos": self._videos})

    def add(self, video: Video, cut: Cut) -> None:
        common = {"key": list(video.key), "label": video.label}
        entry = {**common, "identities": list(video.identities), "clips": len(cut.clips)}
        self._videos.append({**entry, "status": cut.status, "message": cut.message})
        for clip in cut.clips:
            if clip.frames.shape != self._shape:
                raise ValueError(f"clip: expected {self._shape}, received {clip.frames.shape}")
            self._file.write(np.ascontiguousarray(clip.frames, np.uint8).tobytes())
            start_ms = round(float(clip.times_ms[0]), 3)
            self._rows.append({**common, "track": int(clip.track_id), "start_ms": start_ms})

    def counts(self) -> dict[str, int]:
        """Return the number of clips, and of videos by status."""
        statuses = Counter(video["status"] for video in self._videos)
        return {"clips": len(self._rows), **statuses}

    def _header(self) -> int:
        shape = (len(self._rows), *self._shape)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()
