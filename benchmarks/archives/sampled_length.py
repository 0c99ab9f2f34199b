"""Time of a scan by sample, of a short file and of a long one.

`python -m benchmarks.archives.sampled_length` makes 1080p files of a portrait, with key frames
where x264 sets them, the longer ones by repeating the packets of 20 seconds, and scans each alone.
Processor seconds include the start of the command and of its worker, and the hash of the file.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.settings import BENCH, merge_json
from deploy.scanning.results.summary import JSON
from keras_ddl.edge.errors import USAGE, Parser, UserError, run_cli
from keras_ddl.edge.optional_import import need, need_pyav
from keras_ddl.edge.values import at_least

REPO = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, FPS = 1920, 1080, 25
PIECE_S = 20
MINUTES = (1, 10)
CODED = {"preset": "veryfast", "crf": "23"}  # the rest as x264 has it: 250 frames a group at most
GRAIN = 4  # grey levels that pixels differ by from frame to frame, as a camera's do


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    description = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="python -m benchmarks.archives.sampled_length", description=description)
    parser.add_argument("--minutes", type=at_least(1), nargs="+", default=MINUTES, metavar="M")
    parser.add_argument("--clips", type=at_least(1), default=16, metavar="N")
    parser.add_argument("--options", default="", help="of the scan, such as '--detector haar'")
    parser.add_argument("--json", type=Path, default=BENCH, help="default: %(default)s")
    args = parser.parse_args(argv)
    return run_cli(lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        piece = _piece(Path(folder) / "piece.mp4")
        print("minutes     MB  judged in s  whole command s  processor s  frames  clips")
        for minutes in args.minutes:
            path = _repeated(piece, Path(folder) / f"{minutes}.mp4", 60 * minutes // PIECE_S)
            row = _scan(path, [*args.options.split(), "--clips", str(args.clips)])
            rows.append({"minutes": minutes, **row})
            print(
                f"{minutes:>7}{row['bytes'] / 1e6:>7.0f}{row['judged_s']:>13.1f}"
                f"{row['wall_s']:>17.1f}{row['cpu_s']:>13.1f}{row['frames']:>8}{row['clips']:>7}"
            )
    merge_json(args.json, {"sampled_length": rows})
    return 0


def _piece(path: Path) -> Path:
    """Twenty seconds of a portrait that moves."""
    av = need_pyav()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=CODED)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image in _pictures(path.parent / "portrait"):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _pictures(folder: Path) -> Iterator[np.ndarray]:
    from keras_ddl.data.synthetic import generate
    from keras_ddl.edge.video import read_video

    cv2 = need("cv2", "drawing portraits")
    generate(folder, identities={"test": 1}, seed=3)
    small = [f.image for f in read_video(next((folder / "test" / "real").glob("*.mp4")))]
    there_and_back = small + small[::-1]
    rng = np.random.default_rng(0)
    for number in range(PIECE_S * FPS):
        portrait = there_and_back[number % len(there_and_back)]
        image = np.full((HEIGHT, WIDTH, 3), 90, np.int16)
        wide = HEIGHT * portrait.shape[1] // portrait.shape[0]
        left = (WIDTH - wide) // 2
        image[:, left : left + wide] = cv2.resize(portrait, (wide, HEIGHT))
        grain = rng.integers(-GRAIN, GRAIN + 1, (HEIGHT // 4, WIDTH // 4), np.int16)
        image += cv2.resize(grain, (WIDTH, HEIGHT))[..., None]
        yield np.clip(image, 0, 255).astype(np.uint8)


def _repeated(piece: Path, path: Path, times: int) -> Path:
    """The same packets over and over, at later times."""
    av = need_pyav()
    with av.open(str(path), "w") as out:
        copy: Any = None
        for number in range(times):
            with av.open(str(piece)) as container:
                stream = container.streams.video[0]
                copy = copy or out.add_stream_from_template(stream)
                shift = round(number * PIECE_S / stream.time_base)
                for packet in container.demux(stream):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = copy
                        out.mux(packet)
    return path


def _scan(path: Path, options: Sequence[str]) -> dict[str, Any]:
    out = path.with_suffix("")
    line = [sys.executable, str(REPO / "deploy" / "scan.py"), str(path), *options]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([*line, "--out", str(out)], capture_output=True, text=True, check=False)
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise UserError(f"expected a scan to end with 0, received: {done.stderr[-300:]}", USAGE)
    (record,) = json.loads((out / JSON).read_text(encoding="utf-8"))["files"]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "bytes": path.stat().st_size,
        "judged_s": record["elapsed_s"],
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "frames": record["frames"],
        "clips": record["clips"],
    }


if __name__ == "__main__":
    sys.exit(main())
