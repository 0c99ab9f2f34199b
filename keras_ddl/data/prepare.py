"""Videos → face clips on disk: decode, find and follow faces, crop, clip, write.

The crops are cut by `keras_ddl.faceclips.FaceClipper`, the code that also runs on the device; what
lies on disk is described in `keras_ddl.data.store`.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_ddl.clipspec import ClipSpec
from keras_ddl.config import TrainConfig
from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.parallel import ordered_map
from keras_ddl.data.sampling import ClipSampler
from keras_ddl.data.store import FORMAT, Cut, read_summary, write_prepared
from keras_ddl.data.video_index import Video
from keras_ddl.errors import UserError, run_cli

CLIPS_PER_VIDEO = 8
PROCESSES = 2
DETECTORS = ("haar", "auto", "yunet")
CACHE = Path("data")
"""Where commands keep generated and prepared sets; ignored by git."""

_log = logging.getLogger(__name__)


def prepare(
    root: Path,
    out: Path,
    spec: ClipSpec,
    detector: str = "haar",
    processes: int = PROCESSES,
    clips_per_video: int = CLIPS_PER_VIDEO,
    layout: str = "folder",
    progress: bool = True,
) -> Path:
    """Cut a dataset's videos into clips; do nothing where that is done already.

    Args:
        root: The dataset's folder.
        out: Where the clips go. Appears whole or not at all; an older prepared folder there is
            replaced when the videos, the spec or the sampling have changed.
        spec: What a clip is.
        detector: `haar`, `yunet` or `auto`.
        processes: Worker processes; 1 = in this process.
        clips_per_video: Clips sampled from each video: it is cut into that many equal parts and
            each gives one clip of T frames. Short videos give fewer.
        layout: A name in `keras_ddl.data.layouts.LAYOUTS`.
        progress: Show a progress bar.

    Returns:
        `out`.

    Raises:
        UserError: On a wrong root, two videos with one key, or an `out` that is something else.
    """
    from keras_ddl.faces import open_detector

    if clips_per_video < 1:
        raise UserError(f"clips per video: expected 1 or more, received {clips_per_video}")
    root, out = Path(root), Path(out)
    videos = list(LAYOUTS[layout](root))
    _check_keys(videos)
    spec = spec.replace(detector=open_detector(detector).name)
    fingerprint = _fingerprint(videos, spec, clips_per_video)
    if out.exists():
        if read_summary(out)["fingerprint"] == fingerprint:
            _log.info("%s is up to date", out)
            return out
        _log.info("%s is out of date, preparing it again", out)
    jobs = [(video.path, clips_per_video) for video in videos]
    cuts = ordered_map(_work, jobs, processes, _start_worker, (spec,))
    shown = _bar(zip(videos, cuts, strict=True), len(videos), progress)
    facts = {"root": str(root.resolve()), "layout": layout, "clips_per_video": clips_per_video}
    return write_prepared(out, spec, shown, fingerprint, facts)


def prepared_for(config: TrainConfig, root: Path, cache: Path, processes: int = PROCESSES) -> Path:
    """Prepare a dataset as a configuration asks, in a folder of `cache` named after both."""
    root, spec = Path(root), config.spec()
    rules = f"{root.resolve()} {spec.to_json()} {config.detector} {config.clips_per_video}"
    name = f"clips-{root.resolve().name}-{hashlib.sha256(rules.encode()).hexdigest()[:8]}"
    return prepare(root, cache / name, spec, config.detector, processes, config.clips_per_video)


def cut_video(path: Path, spec: ClipSpec, detector: Any, clips_per_video: int) -> Cut:
    """Walk one video through the face corridor and sample the longest track's clips.

    Args:
        path: The video.
        spec: What a clip is.
        detector: An open face detector.
        clips_per_video: Largest number of clips.
    """
    from keras_ddl.faceclips import FaceClipper
    from keras_ddl.video import read_video

    clipper = FaceClipper(spec, detector, stride_ms=spec.span_ms / 2)
    sampler = ClipSampler(clips_per_video)
    reason = ""
    try:
        for frame in read_video(path):
            step = clipper.push(frame)
            sampler.push([track.id for track in step.tracks], step.clips)
            reason = next((clipper.reason(track.id) for track in step.tracks), reason)
    except UserError as error:
        return Cut("unreadable", str(error))
    if sampler.longest is None:
        return Cut("no face", "no face was found in any frame")
    clips = sampler.clips()
    if not clips:
        return Cut("too short", reason or "no complete clip of one face")
    return Cut("ok", clips=clips)


def _check_keys(videos: Sequence[Video]) -> None:
    """Two videos of one key would be averaged into one score: refuse."""
    seen: dict[tuple[str, ...], Video] = {}
    for video in videos:
        key = (*video.key, video.split)
        if key in seen:
            raise UserError(f"{seen[key].path} and {video.path} have one key {key}; rename one")
        seen[key] = video


def _fingerprint(videos: Sequence[Video], spec: ClipSpec, clips_per_video: int) -> str:
    """Digest of all that decides the clips: the files' names, sizes and times, and the rules."""
    digest = hashlib.sha256(f"{FORMAT} {clips_per_video} {spec.to_json()}".encode())
    for video in videos:
        stat = video.path.stat()
        line = f"{video.split} {video.label} {video.key} {stat.st_size} {stat.st_mtime_ns}\n"
        digest.update(line.encode())
    return digest.hexdigest()


_worker: dict[str, Any] = {}


def _start_worker(spec: ClipSpec) -> None:
    """Open what every video needs, once per process; the detector's name is in the spec."""
    import cv2

    from keras_ddl.faces import open_detector

    cv2.setNumThreads(1)
    _worker["spec"] = spec
    _worker["detector"] = open_detector(spec.detector)


def _work(job: tuple[Path, int]) -> Cut:
    path, clips_per_video = job
    cut = cut_video(path, _worker["spec"], _worker["detector"], clips_per_video)
    if cut.status != "ok":
        _log.warning("%s: %s: %s", path.name, cut.status, cut.message)
    return cut


def _bar(cuts: Iterable[tuple[Video, Cut]], total: int, show: bool) -> Iterable[tuple[Video, Cut]]:
    if not show:
        return cuts
    from tqdm import tqdm

    bar: Iterable[tuple[Video, Cut]] = tqdm(
        cuts, total=total, desc="face clips", unit="video", dynamic_ncols=True
    )
    return bar


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    defaults = ClipSpec()
    parser = argparse.ArgumentParser(
        prog="python -m keras_ddl.data.prepare",
        description="Cut a dataset's videos into face clips.",
    )
    parser.add_argument("root", type=Path, help="folder of the dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips")
    parser.add_argument("--layout", choices=sorted(LAYOUTS), default="folder")
    parser.add_argument("--detector", choices=DETECTORS, default="haar")
    parser.add_argument("--clips-per-video", type=int, default=CLIPS_PER_VIDEO, metavar="N")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N")
    group = parser.add_argument_group("what a clip is")
    group.add_argument("--frames", type=int, default=defaults.frames)
    group.add_argument("--interval-ms", type=float, default=defaults.interval_ms)
    group.add_argument("--size", type=int, default=defaults.size, help="side of a crop, pixels")
    group.add_argument("--margin", type=float, default=defaults.margin, help="crop over face box")
    group.add_argument("--smoothing", type=float, default=defaults.smoothing)
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    names = ("frames", "interval_ms", "size", "margin", "smoothing")
    try:
        spec = ClipSpec(**{name: getattr(args, name) for name in names})
    except ValueError as error:
        raise UserError(str(error)) from error
    prepare(
        args.root,
        args.out,
        spec,
        detector=args.detector,
        processes=args.processes,
        clips_per_video=args.clips_per_video,
        layout=args.layout,
    )
    for split, counts in read_summary(args.out)["splits"].items():
        rest = [f"{count} {status}" for status, count in counts.items() if status != "clips"]
        print(f"{split}: {counts['clips']} clips; videos: {', '.join(rest) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
