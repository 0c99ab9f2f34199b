"""Videos → face clips on disk: decode, find and follow faces, crop, clip, write.

The crops are cut by `keras_ddl.edge.clipper.FaceClipper`, the code that also runs on the device;
what lies on disk is described in `keras_ddl.data.prepared`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keras_ddl.data.fingerprint import Fingerprint
from keras_ddl.data.layouts import add_arguments, read_index
from keras_ddl.data.prepared import JPEG_QUALITY, SUMMARY, read_summary
from keras_ddl.data.prepared_report import REPORT, write_report
from keras_ddl.data.shard_writer import PreparedWriter, check_hashes, drop_unfinished
from keras_ddl.data.shards.cut_parts import Workers, cut_parts
from keras_ddl.data.shards.part import Part, parts_of
from keras_ddl.data.video_index import Video
from keras_ddl.edge.clipspec import CUTTING, ClipSpec
from keras_ddl.edge.errors import CHECK_FAILED, Parser, UserError, run_cli
from keras_ddl.edge.storage.address import Address, absolute, place
from keras_ddl.edge.storage.folder import open_folder
from keras_ddl.edge.workers.cluster import ClusterOptions, add_cluster_options, cluster_options
from keras_ddl.edge.workers.pool import JOB_S, add_file_timeout
from keras_ddl.edge.workers.throughput import Throughput

CLIPS_PER_VIDEO = 8
PROCESSES = 2
DETECTORS = ("haar", "auto", "yunet")
CACHE = Path("data")
"""Where commands keep generated and prepared sets; ignored by git."""

_SEEN = ("ok", "no face", "too short")  # statuses of videos that could be looked at

_log = logging.getLogger(__name__)


def prepare(
    root: Path | Address,
    out: Path | Address,
    spec: ClipSpec,
    detector: str = "auto",
    processes: int = PROCESSES,
    clips_per_video: int = CLIPS_PER_VIDEO,
    layout: str = "folder",
    quality: int = JPEG_QUALITY,
    only: Sequence[str] = (),
    surroundings: bool = False,
    progress: bool = True,
    identity: str = "",
    timeout_s: float = JOB_S,
    cluster: ClusterOptions | None = None,
    spool: str = "",
) -> Path | Address:
    """Cut a dataset's videos into clips; go on where an earlier call was stopped.

    A finished video is kept as long as it, the spec and the sampling stay; others may come and go.

    Args:
        root: The dataset's folder, or its address.
        out: Where the clips go, a folder or an address. Is whole or is no prepared folder; an older
            one there is replaced when the videos, the spec or the sampling have changed, and left
            alone when nothing has.
        spec: What a clip is.
        detector: `auto` (YuNet where it can be had, else Haar), `yunet` or `haar`.
        processes: Worker processes; a video that kills two, one after the other, is `crashed`, and
            the others go on. 0 = in this process, without that and without `timeout_s`.
        clips_per_video: Clips sampled from each face: its track is cut into that many equal parts
            and each gives one clip of T frames. Short tracks give fewer.
        layout: A name in `keras_ddl.data.layouts.LAYOUTS`.
        quality: Of the JPEG frames, 1 to 100.
        only: Take only videos whose dataset, method or compression is among these names; a kind
            of which none is named is not restricted, and reals have the method `real`, which is
            never left out.
        surroundings: Keep wide crops of the clips too, of which pseudo-fakes are made.
        progress: Show a progress bar.
        identity: Pattern of an `IdentityRule`: who is in a video, by its path.
        timeout_s: A video that takes longer is `timeout`, and the others go on.
        cluster: Cut the videos there, in place of `processes`; its nodes see the same paths.
        spool: As of `Spool`; for videos in a store.

    Returns:
        `out`.

    Raises:
        UserError: On a wrong root, two videos with one key, an `out` that is something else or is
            being written by another process.
    """
    from keras_ddl.edge.faces import open_detector

    if clips_per_video < 1:
        raise UserError(f"clips per video: expected 1 or more, received {clips_per_video}")
    if not timeout_s > 0:
        raise UserError(f"file timeout: expected above 0 seconds, received {timeout_s}")
    if not 1 <= quality <= 100:
        raise UserError(f"JPEG quality: expected 1 to 100, received {quality}")
    root, out = (p if isinstance(p, Address) else Path(p) for p in (root, out))
    videos = _chosen(list(read_index(root, layout, identity).present()), only)
    _check_keys(videos)
    spec = spec.replace(detector=open_detector(detector).name)
    rules = {"clips_per_video": clips_per_video, "quality": quality, "surroundings": surroundings}
    fingerprint = Fingerprint.of(videos, spec, rules, identity)
    if _is_there(out) and read_summary(out)["fingerprint"] == fingerprint.whole:
        drop_unfinished(out)
        _log.info("%s is up to date", out)
    else:
        parts = parts_of(fingerprint.videos, videos)
        with PreparedWriter(out, spec, fingerprint.rules) as writer:
            workers = Workers(processes, cluster, timeout_s, spool)
            cut = partial(cut_parts, spec=spec, rules=rules, workers=workers)
            _add_missing(writer, parts, cut, progress, workers.done_by)
            named = {"identity": identity} if identity else {}
            facts = {"root": absolute(root), "layout": layout, **named, **rules}
            writer.finish(parts, fingerprint.whole, facts)
    if open_folder(out).read(REPORT) is None:
        write_report(out)
    return out


def _is_there(out: Path | Address) -> bool:
    if isinstance(out, Path):  # also a folder of something else, which is not to be replaced
        return out.exists()
    return open_folder(out).read(SUMMARY) is not None


def _chosen(videos: list[Video], only: Sequence[str]) -> list[Video]:
    """The videos that `only` names."""
    kinds = [
        {v.dataset for v in videos},
        {v.method for v in videos},
        {v.compression for v in videos},
    ]
    unknown = set(only) - set().union(*kinds)
    if unknown:
        known = ", ".join(sorted(set().union(*kinds) - {""}))
        raise UserError(f"--only: expected some of {known}, received {', '.join(sorted(unknown))}")
    asked = [kind & set(only) or kind for kind in kinds]
    asked[1] |= {"real"}
    return [
        video
        for video in videos
        if all(part in wanted for part, wanted in zip(video.key[:3], asked, strict=True))
    ]


def _check_keys(videos: Sequence[Video]) -> None:
    """Two videos of one key would be averaged into one score: refuse."""
    seen: dict[tuple[str, ...], Video] = {}
    for video in videos:
        key = (*video.key, video.split)
        if key in seen:
            raise UserError(f"{seen[key].path} and {video.path} have one key {key}; rename one")
        seen[key] = video


def _add_missing(
    writer: PreparedWriter,
    parts: Sequence[Part],
    cut: Callable[[Sequence[Part], Path | Address], Iterator[tuple[Part, dict[str, Any]]]],
    progress: bool,
    done_by: Mapping[str, int],
) -> None:
    """Cut the videos that an earlier call has not finished."""
    from tqdm import tqdm

    done = writer.done()
    left = [lacking for part in parts for lacking in _left(part, done)]
    total, lacking = (sum(len(part.videos) for part in these) for these in (parts, left))
    found = total - lacking
    if found:
        _log.info("going on: %d of %d videos are done", found, total)
    if not left:
        return
    began, throughput = time.monotonic(), Throughput(lacking, done_by, "videos")
    form = "face clips: {percentage:3.0f}% {bar} {elapsed}, {remaining} left{postfix}"
    with tqdm(total=total, initial=found, disable=not progress, bar_format=form) as bar:
        for part, written in cut(left, writer.folder.where("")):
            writer.note(part.name, written)
            for video in (of_video["video"] for of_video in written["videos"]):
                throughput.add(video["status"] not in _SEEN, video["duration_ms"] / 1000.0)
            bar.set_postfix_str(throughput.told(time.monotonic() - began), refresh=False)
            bar.update(len(part.videos))


def _left(part: Part, done: set[str]) -> list[Part]:
    """What is to be done of a part: all, or what is left of one that was done video by video."""
    if part.name in done:
        return []
    left = [single for single in part.singly() if single.name not in done]
    return [part] if len(left) == len(part.videos) else left


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.data.prepare",
        description="Cut a dataset's videos into face clips.",
    )
    parser.add_argument(
        "root", type=place, nargs="?", help="folder of the dataset, or s3://… of one"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=place, help="folder for the clips, or s3://… of one")
    target.add_argument(
        "--check", type=place, metavar="DIR", help="compare a prepared folder with its hashes"
    )
    add_arguments(parser)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="datasets, methods, compressions"
    )
    parser.add_argument("--detector", choices=DETECTORS, default="auto")
    parser.add_argument(
        "--surroundings", action="store_true", help="keep what pseudo-fakes are made of"
    )
    parser.add_argument("--clips-per-video", type=int, default=CLIPS_PER_VIDEO, metavar="N")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N")
    add_file_timeout(parser)
    parser.add_argument(
        "--spool",
        type=Path,
        metavar="DIR",
        help="where videos of addresses are fetched to, one per process, while they are cut "
        "(default: the system's folder for temporary files)",
    )
    add_cluster_options(parser)
    parser.add_argument(
        "--jpeg-quality", type=int, default=JPEG_QUALITY, metavar="Q", help="default %(default)s"
    )
    _add_spec_options(parser)
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _add_spec_options(parser: argparse.ArgumentParser) -> None:
    defaults = ClipSpec()
    group = parser.add_argument_group("what a clip is")
    group.add_argument("--frames", type=int, default=defaults.frames)
    group.add_argument("--interval-ms", type=float, default=defaults.interval_ms)
    group.add_argument(
        "--longest-interval-ms",
        type=float,
        default=defaults.longest_interval_ms,
        help="above --interval-ms: clips of many frame rates; default 0, one interval",
    )
    group.add_argument("--size", type=int, default=defaults.size, help="side of a crop, pixels")
    group.add_argument("--margin", type=float, default=defaults.margin, help="crop over face box")
    group.add_argument("--smoothing", type=float, default=defaults.smoothing)


def _run(args: argparse.Namespace) -> int:
    if args.check:
        return _check(args.check)
    if args.root is None:
        raise UserError("expected the dataset's folder, received none; name it before --out")
    try:
        spec = ClipSpec(**{name: getattr(args, name) for name in CUTTING})
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
        quality=args.jpeg_quality,
        only=args.only,
        surroundings=args.surroundings,
        identity=args.identity,
        timeout_s=args.file_timeout,
        cluster=cluster_options(args),
        spool=str(args.spool or ""),
    )
    for split, counts in read_summary(args.out)["splits"].items():
        rest = [f"{count} {status}" for status, count in counts.items() if status != "clips"]
        print(f"{split}: {counts['clips']} clips; videos: {', '.join(rest) or 'none'}")
    print(f"look at {args.out / REPORT}")
    return 0


def _check(prepared: Path) -> int:
    problems = check_hashes(prepared)
    if problems:
        raise UserError("; ".join(problems) + "; prepare the videos again", CHECK_FAILED)
    print(f"{prepared}: every shard is as it was written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
