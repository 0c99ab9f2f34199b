"""Face clips of one video, or the reason why it gives none."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ddl.data.prepared import JPEG_QUALITY, Cut, encode_clip
from keras_ddl.data.sampling import ClipSampler
from keras_ddl.data.surroundings import Surroundings, encode_wide, with_points
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces import FaceDetector, Track
from keras_ddl.edge.files import printable
from keras_ddl.edge.workers.pool import Loss

if TYPE_CHECKING:
    from keras_ddl.edge.video import Frame

MASKED = 32  # grey level from which a pixel of a mask video counts; compression blurs its edges

_log = logging.getLogger(__name__)


def cut_video(
    path: Path,
    spec: ClipSpec,
    detector: FaceDetector,
    clips_per_video: int,
    everyone: bool = False,
    mask: Path | None = None,
    quality: int = JPEG_QUALITY,
    surroundings: bool = False,
    varied: bool = False,
    change: Callable[[Iterator[Frame]], Iterator[Frame]] = iter,
) -> Cut:
    """Follow the faces of one video and sample their clips.

    Args:
        path: The video.
        spec: What a clip is.
        detector: An open face detector.
        clips_per_video: Largest number of clips of one face.
        everyone: Take every face that stays long enough, not the one that stays longest: right for
            reals, where the label holds for all.
        mask: Video of the manipulated region, same frames; takes the face that lies on it. Where
            none does, the longest track.
        quality: Of the JPEG frames.
        surroundings: Keep wide crops and points too, of which pseudo-fakes are made.
        varied: Vary the clips' intervals, where the spec has a range of them.
        change: What happens to the whole frames first (see `keras_ddl.evaluation.perturb`).
    """
    from keras_ddl.edge.clipper import FaceClipper
    from keras_ddl.edge.video import read_video

    clipper = FaceClipper(spec, detector, stride_ms=spec.span_ms / 2, varied=varied)
    wide, manipulated = Surroundings(spec) if surroundings else None, ManipulatedTrack(mask)
    keep = encode_wide if wide else encode_clip
    sampler = ClipSampler(clips_per_video, partial(keep, quality=quality))
    reason, end_ms = "", 0.0
    try:
        for frame in change(read_video(path)):
            step = clipper.push(frame)
            complete = wide.push(step) if wide else step.clips
            whole = [clip for clip in complete if not clip.damaged]
            sampler.push([track.id for track in step.tracks], whole)
            manipulated.push(step.tracks)
            reason = next((clipper.reason(track.id) for track in step.tracks), reason)
            end_ms = frame.time_ms
    except UserError as error:
        return Cut("unreadable", str(error))
    except OSError as error:  # of the disk that it lies on
        return Cut("unreadable", f"{printable(path)}: cannot be read: {error.strerror or error}")
    if sampler.longest is None:
        return Cut("no face", "no face was found in any frame", duration_ms=end_ms)
    chosen = manipulated.best()
    if chosen is None or not sampler.clips(chosen):
        chosen = sampler.longest
    tracks = sampler.tracks() if everyone else (chosen,)
    clips = [clip for track in tracks for clip in sampler.clips(track)]
    if not clips:
        return Cut("too short", reason or "no complete clip of one face", duration_ms=end_ms)
    chosen_clips = tuple(with_points(c, detector) for c in clips) if wide else tuple(clips)
    return Cut("ok", clips=chosen_clips, duration_ms=end_ms)


def lost_cut(path: Path, loss: Loss) -> Cut:
    """Return what becomes of a video whose worker died over it, or took too long."""
    return Cut(loss.kind, f"{printable(path)}: {loss.reason}")


class ManipulatedTrack:
    """The track that lies on the bright part of a mask video.

    Args:
        mask: Video of the same frames, bright where the picture was manipulated; None or an
            unreadable file (logged) answers None.
    """

    def __init__(self, mask: Path | None) -> None:
        self._masks = _frames(mask)
        self._covered: dict[int, float] = defaultdict(float)

    def push(self, tracks: Iterable[Track]) -> None:
        """Take the tracks of the next frame."""
        mask = next(self._masks, None)
        if mask is None:
            return
        for track in tracks:
            x, y, w, h = (round(v) for v in track.box)
            part = mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
            self._covered[track.id] += float((part >= MASKED).sum()) / max(w * h, 1)

    def best(self) -> int | None:
        """Id of the track with the largest covered share, summed over time; None where none is."""
        if not self._covered or max(self._covered.values()) <= 0:
            return None
        return max(self._covered, key=lambda track: self._covered[track])


def _frames(mask: Path | None) -> Iterator[np.ndarray]:
    from keras_ddl.edge.video import read_video

    if mask is None:
        return
    try:
        for frame in read_video(mask):
            yield frame.image.max(axis=2)
    except UserError as error:
        _log.warning("mask not used: %s", error)
