"""`cut_video`: one video through the face corridor, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl.data.mask_track import ManipulatedTrack
from keras_ddl.data.prepared import JPEG_QUALITY, Cut, encode_clip
from keras_ddl.data.sampling import ClipSampler
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError

if TYPE_CHECKING:
    from keras_ddl.edge.video import Frame


def cut_video(
    path: Path,
    spec: ClipSpec,
    detector: Any,
    clips_per_video: int,
    everyone: bool = False,
    mask: Path | None = None,
    quality: int = JPEG_QUALITY,
    change: Callable[[Iterator[Frame]], Iterator[Frame]] = iter,
) -> Cut:
    """Walk one video through the face corridor and sample its clips.

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
        change: What happens to the whole frames first (see `keras_ddl.evaluation.perturb`).
    """
    from keras_ddl.edge.clipper import FaceClipper
    from keras_ddl.edge.video import read_video

    clipper = FaceClipper(spec, detector, stride_ms=spec.span_ms / 2)
    sampler, manipulated = ClipSampler(clips_per_video), ManipulatedTrack(mask)
    reason, end_ms = "", 0.0
    try:
        for frame in change(read_video(path)):
            step = clipper.push(frame)
            sampler.push([track.id for track in step.tracks], step.clips)
            manipulated.push(step.tracks)
            reason = next((clipper.reason(track.id) for track in step.tracks), reason)
            end_ms = frame.time_ms
    except UserError as error:
        return Cut("unreadable", str(error))
    if sampler.longest is None:
        return Cut("no face", "no face was found in any frame", duration_ms=end_ms)
    chosen = manipulated.best()
    if chosen is None or not sampler.clips(chosen):
        chosen = sampler.longest
    tracks = sampler.tracks() if everyone else (chosen,)
    clips = [encode_clip(clip, quality) for track in tracks for clip in sampler.clips(track)]
    if not clips:
        return Cut("too short", reason or "no complete clip of one face", duration_ms=end_ms)
    return Cut("ok", clips=tuple(clips), duration_ms=end_ms)


def lost_cut(path: Path, how: str) -> Cut:
    """Return what becomes of a video whose process died over it (`SIGKILL`, `code 1`)."""
    return Cut("unreadable", f"{path}: the process that read it died ({how})")
