"""Parts cut by workers, each written where it is made; the command takes down what they say."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from keras_ddl.data.cut_video import cut_video, lost_cut
from keras_ddl.data.prepared import Cut
from keras_ddl.data.shards.part import Part, write_part
from keras_ddl.data.video_index import Video
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces import FaceDetector
from keras_ddl.edge.files import printable
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.folder import Folder, open_folder
from keras_ddl.edge.workers.cluster import ClusterOptions
from keras_ddl.edge.workers.pool import Loss
from keras_ddl.edge.workers.pools import unordered_map

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workers:
    """Who cuts.

    Attributes:
        processes: Of this machine; 0 = this one, which isolates nothing.
        cluster: In place of them.
        timeout_s: Longest time for a video.
        spool: As of `Spool`; for videos in a store.
        done_by: As of `WorkerPool`, in parts; counted on while they cut.
    """

    processes: int
    cluster: ClusterOptions | None
    timeout_s: float
    spool: str = ""
    done_by: Counter[str] = field(default_factory=Counter, compare=False)


def cut_parts(
    parts: Sequence[Part],
    place: Path | Address,
    spec: ClipSpec,
    rules: Mapping[str, int],
    workers: Workers,
) -> Iterator[tuple[Part, dict[str, Any]]]:
    """Yield parts with what `write_part` says of them, as they come.

    A part of several videos whose worker dies, or that takes longer than its videos may, is done
    again video by video: a video costs itself alone.

    Args:
        parts: What to cut.
        place: Where the folder is that the workers write into.
        spec: What a clip is.
        rules: Of `cut_video`: how clips are sampled and kept.
        workers: Who does it.

    Raises:
        UserError: As `WorkerPool.map`.
        OSError: The same.
    """
    left = list(parts)
    while left:
        pooled = unordered_map(
            _cut_part,
            left,
            workers.processes,
            partial(_open, place, workers.spool, spec, dict(rules)),
            partial(_lost, place),
            workers.timeout_s * max(len(part.videos) for part in left),
            workers.cluster,
            workers.done_by,
        )
        again: list[Part] = []
        for number, written in pooled:
            if written is None:
                again += left[number].singly()
            else:
                yield left[number], written
        left = again


@dataclass(frozen=True)
class _Opened:
    """What every part needs, opened once per process."""

    folder: Folder
    spool: str
    spec: ClipSpec
    detector: FaceDetector
    rules: dict[str, int]


def _open(place: Path | Address, spool: str, spec: ClipSpec, rules: dict[str, int]) -> _Opened:
    import cv2

    from keras_ddl.edge.faces import open_detector

    cv2.setNumThreads(1)
    return _Opened(open_folder(place), spool, spec, open_detector(spec.detector), rules)


def _cut_part(opened: _Opened, part: Part) -> dict[str, Any] | None:
    return write_part(opened.folder, ((video, _cut(opened, video)) for _, video in part.videos))


def _cut(opened: _Opened, video: Video) -> Cut:
    try:
        with video.here(opened.spool) as path:
            cut = cut_video(
                path,
                opened.spec,
                opened.detector,
                everyone=video.label == 0,
                mask=video.mask,
                varied=video.split == "train",
                **opened.rules,
            )
            named = cut.message.replace(printable(path), printable(video.path))
            return _warned(video, replace(cut, message=named))
    except UserError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise  # a store that does not answer concerns all videos
    gone = f"{printable(video.path)}: expected a video file, received no such file"
    return _warned(video, Cut("unreadable", gone))


def _lost(place: Path | Address, part: Part, loss: Loss) -> dict[str, Any] | None:
    if len(part.videos) > 1:
        count = len(part.videos)
        _log.warning("%d videos are done again, one by one: %s", count, loss.reason)
        return None
    ((_, video),) = part.videos
    return write_part(open_folder(place), [(video, _warned(video, lost_cut(video.path, loss)))])


def _warned(video: Video, cut: Cut) -> Cut:
    if cut.status != "ok":
        _log.warning("%s: %s: %s", printable(video.path.name), cut.status, cut.message)
    return cut
