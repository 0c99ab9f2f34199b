"""Speed of preparation and of the input pipeline: `python -m benchmarks.training.data`.

Part of `make bench`. The faces are generated, 640 × 480; one file of ten minutes shows that memory
does not grow with length.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.settings import BENCH, add_settings, settings, write_report
from benchmarks.timed_process import peak_of
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.edge.files import read_json
from keras_ddl.networks.ablations import TITLES

OUT = Path("runs/bench-data.json")
SIZE = (640, 480)
FPS = 25
CLIPS = 48


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.training.data",
        description="Time preparation (× real time, peak memory) and the input pipeline (clips/s).",
    )
    parser.add_argument("--processes", type=int, default=2, help="worker processes (default 2)")
    parser.add_argument("--minutes", type=int, default=10, help="length of the long file")
    add_settings(parser, ["size"], OUT)
    args = parser.parse_args(argv)
    return run_cli(lambda: _bench(args))


def _bench(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        minute = folder / "minute.mp4"
        _write_minute(minute)
        result = {
            "settings": settings(args, ("processes", "minutes", "size")),
            "preparation": _preparation(minute, folder, args),
            "memory_mib": {
                str(minutes): peak_of(_cut, _repeated(minute, minutes, folder), args.size)
                for minutes in (1, args.minutes)
            },
            "pipeline": _pipeline(folder, args.size),
        }
    write_report(args.out, result, table(result))
    return 0


def _write_minute(path: Path) -> None:
    """A generated portrait of 640 × 480 pixels, to and fro for a minute."""
    from keras_ddl.data.synthetic import generate
    from keras_ddl.edge.video import VideoWriter, read_video

    root = generate(path.parent / "portrait", identities={"test": 1}, size=SIZE)
    source = next((root / "test" / "real").glob("*.mp4"))
    pictures = [frame.image for frame in read_video(source)]
    with VideoWriter(path, FPS, crf=23) as writer:
        for number in range(60 * FPS):
            period = 2 * len(pictures) - 2
            place = number % period
            writer.write(pictures[min(place, period - place)])


def _repeated(minute: Path, minutes: int, folder: Path) -> Path:
    """The file some times over, without encoding it again."""
    import av

    path = folder / f"{minutes}.mp4"
    with av.open(str(path), "w") as target:
        stream: Any = None
        for turn in range(minutes):
            with av.open(str(minute)) as source:
                video = source.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                shift = int(turn * 60 / Fraction(video.time_base or 1))
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = stream
                    target.mux(packet)
    return path


def _preparation(minute: Path, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """A minute of video for each process, through `prepare`."""
    from keras_ddl.data.prepare import prepare
    from keras_ddl.edge.clipspec import ClipSpec

    root = folder / "set"
    (root / "train" / "real").mkdir(parents=True)
    for number in range(args.processes):
        (root / "train" / "real" / f"{number}.mp4").symlink_to(minute)
    started = time.perf_counter()
    spec, count = ClipSpec(size=args.size), args.processes
    prepare(root, folder / "clips", spec, processes=count, progress=False)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "times_real_time": 60 * args.processes / seconds}


def _cut(video: Path, size: int) -> None:
    from keras_ddl.data.cut_video import cut_video
    from keras_ddl.edge.clipspec import ClipSpec
    from keras_ddl.edge.faces import open_detector

    cut_video(video, ClipSpec(size=size), open_detector("haar"), 8)


def _pipeline(folder: Path, size: int) -> dict[str, float]:
    """Clips per second through decoding, augmentation and batching."""
    import cv2

    from keras_ddl.data.augment_rules import Augment
    from keras_ddl.data.pipeline import TrainingClips
    from keras_ddl.data.prepared import Cut, encode_clip
    from keras_ddl.data.shard_writer import write_prepared
    from keras_ddl.data.video_index import Video
    from keras_ddl.edge.clips import Clip
    from keras_ddl.edge.clipspec import ClipSpec
    from keras_ddl.edge.video import read_video

    pictures = itertools.islice(read_video(folder / "minute.mp4"), 8)
    frames = np.stack([cv2.resize(picture.image, (size, size)) for picture in pictures])
    clip = encode_clip(Clip(frames, 40.0 * np.arange(8), 1))
    video = Video(Path("a"), 0, "bench", "real", "", "a", ("a",), "train")
    out = folder / "pipeline"
    write_prepared(out, ClipSpec(size=size), [(video, Cut("ok", clips=(clip,) * CLIPS))], "f" * 64)
    strong = Augment(saturation=0.1, jpeg=0.3, blur=0.2, noise=0.2, cutout=0.2)
    speeds = {}
    for name, rules, cache in (
        ("from disk", Augment(), 0),
        ("from memory", Augment(), 1 << 40),
        ("from disk, strong augmentation", strong, 0),
    ):
        batches = TrainingClips(out, 0, augment=rules, cache_bytes=cache).one_pass(4)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            for _ in batches:
                pass
            seconds.append(time.perf_counter() - started)
        speeds[name] = CLIPS / min(seconds)
    return speeds


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    given, preparation = result["settings"], result["preparation"]
    lines = [
        f"preparation, 640 × 480, {given['processes']} processes, Haar: "
        f"{preparation['times_real_time']:.1f} × real time",
        "peak memory of one process: "
        + ", ".join(f"{mib:.0f} MiB for {m} min" for m, mib in result["memory_mib"].items()),
    ]
    lines += [
        f"pipeline, {given['size']} px, {name}: {speed:.0f} clips/s"
        for name, speed in result["pipeline"].items()
    ]
    if BENCH.is_file():
        row = read_json(BENCH)["networks"][TITLES["both"]]
        lines.append(f"a training step here takes {1 / row['training_step_s']:.1f} clips/s")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
