"""Judging of one upload in a worker process: the scan's judging, and what is shown of each face."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy.judging.records import Record
from deploy.judging.verdict import policy_for
from deploy.scanning.file_record import JUDGED
from deploy.scanning.files import Candidate
from deploy.scanning.judge import judge_file
from deploy.scanning.kit import Kit
from deploy.scanning.results.place import RECORDS, THUMBS
from deploy.serving.faces import FaceCollector
from deploy.sinks.base import Output, Sink
from deploy.sources.base import Source
from keras_ddl.edge.errors import MISSING, USAGE, UserError
from keras_ddl.edge.memory import resident_bytes
from keras_ddl.edge.workers.pool import tell_share

LINES, PICTURE = "records.jsonl", "moment.jpg"
FROM_SCAN = (  # what a result has of the record of a scan
    *("status", "verdict", "reason", "fake_probability", "size", "sha256", "frames", "clips"),
    *("seconds", "still", "moment_ms", "moment_probability", "notes", "judged_at", "elapsed_s"),
)


@dataclass(frozen=True)
class Upload:
    """A file that is to be judged.

    Attributes:
        path: Where it is.
        name: What people call it.
        folder: Where lines and pictures go.
        longest_s: A longer video is not judged.
        most_memory: Nor one for which the process needs more bytes.
    """

    path: str
    name: str
    folder: str
    longest_s: float
    most_memory: int


class LengthBound(Sink):
    """Sink that ends a video which is too long: at once where its header says so, else when it is.

    Args:
        source: The video.
        longest_s: Its bound in seconds.

    Raises:
        UserError: its header says that it is longer.
    """

    name = "length"

    def __init__(self, source: Source, longest_s: float) -> None:
        self._longest_s = longest_s
        if source.length is not None and source.fps and not source.still:
            self._check((source.length - 1) / source.fps)

    def write(self, output: Output) -> None:
        """Look at the time of a frame."""
        if output.frame is not None:
            self._check(output.frame.time_ms / 1000.0)

    def _check(self, seconds: float) -> None:
        if seconds > self._longest_s:
            most = f"{self._longest_s / 60.0:g} minutes"
            received = f"one of {seconds / 60.0:.1f} or more"
            raise UserError(
                f"expected a video of at most {most}, received {received}; cut out the part that "
                "matters",
                USAGE,
            )


class MemoryBound(Sink):
    """Sink that ends a video for which this process has come to need too much memory.

    Args:
        most: Bytes of resident memory.
    """

    name = "memory"

    def __init__(self, most: int) -> None:
        self._most = most

    def write(self, output: Output) -> None:
        """Look at the memory of this process."""
        if resident_bytes() > self._most:
            most = f"{self._most >> 20} MiB"
            raise UserError(f"judging it needs more than the {most} of memory that it may", USAGE)


def judge_upload(kit: Kit, upload: Upload) -> Record:
    """Judge an upload in a process of a pool; returns what its result says beside who judged.

    Raises:
        UserError: something that is not this file's fault.
    """
    try:
        return _judge(kit, upload)
    except OSError as error:
        why = f"writing the result failed: {error.strerror or error}"
        raise UserError(f"{why}; make room where results go", MISSING) from error


def _judge(kit: Kit, upload: Upload) -> Record:
    folder, path = Path(upload.folder), Path(upload.path)
    for name in (RECORDS, THUMBS):
        (folder / name).mkdir(exist_ok=True)  # a process that died over it has made them already
    status = path.stat()
    candidate = Candidate(str(path), True, status.st_size, status.st_mtime_ns, name=upload.name)
    faces = FaceCollector()

    def watchers(source: Source) -> Sequence[Sink]:
        return LengthBound(source, upload.longest_s), MemoryBound(upload.most_memory), faces

    kit = replace(kit, options=replace(kit.options, out=str(folder)))
    record = judge_file(candidate, kit, tell_share, watchers)
    result = result_of(record)
    result["notes"] = [note.removeprefix(f"{path.name}: ") for note in record["notes"]]
    if record["status"] == JUDGED:
        policy = policy_for(kit.bundle, kit.options.footage, record["still"])
        length_ms = record["seconds"] * 1000.0
        result["faces"] = faces.conclude(record["tracks"], policy, length_ms, folder)
        result["abstain"] = policy.abstain  # of a still picture more than of a video
        (folder / record["records"]).rename(folder / LINES)
        (folder / record["thumb"]).rename(folder / PICTURE)
        result["picture"] = PICTURE
    for name in (RECORDS, THUMBS):  # with what a process left that died over it
        shutil.rmtree(folder / name, ignore_errors=True)
    return result


def result_of(record: Record) -> dict[str, Any]:
    """What a result has of a scan's record; of one that was not judged the rest is null or empty.

    Args:
        record: As in `scan.jsonl`.
    """
    tracks: Sequence[dict[str, Any]] = record.get("tracks") or ()
    return {
        **{name: record.get(name) for name in FROM_SCAN},
        "faces": [],
        "faces_by_verdict": dict(Counter(facts["verdict"] for facts in tracks)),
        "picture": None,
        "notes": list(record["notes"]),
    }
