"""The detectors here beside what one would take instead: `python -m benchmarks.networks.against`.

How many videos of ten seconds with one face a core judges in an hour: decoding and faces, measured
once, and the network on as many clips or frames as its rule takes. Processor seconds of one thread,
each subject a process of its own, in turn. Without weights of one's own networks cost the same;
their AUC comes from files of scores.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.drawn_video import write_drawn
from benchmarks.networks.int8 import inference
from benchmarks.networks.preview_int8 import preview_int8
from benchmarks.networks.untrained_bundle import FORMS, untrained_graphs
from benchmarks.settings import BENCH, add_settings, merge_json
from benchmarks.timed_process import OtherPython, timed_in_turn
from deploy.judging.options import EVERY_S
from keras_ddl.edge.bundle import MODEL_FILE, PRETRAINED, read_spec
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import USAGE, Parser, UserError, run_cli
from keras_ddl.edge.optional_import import need

SECONDS, FPS = 10, 25.0
ADDRESS = f"synthetic://?faces=1&size=640x480&fps={FPS:g}&seconds={SECONDS}"
FRAMES_A_VIDEO = 32  # of the detectors that judge single frames, as DeepfakeBench samples them
COMPACT = ClipSpec(frames=8, size=256)
SAMPLING = "decoding and faces"
ROWS = {
    "preview": "edge preview, fp32",
    "preview-int8": "edge preview's network, int8 for CPUs",
    "compact": "the authors' compact network, 256 px",
    "xception": "Xception, 299 px, frames",
    "mesoinception4": "MesoInception4, 256 px, frames",
    "pytorch": "the compact network, naive PyTorch",
}
BY_FRAME = ("xception", "mesoinception4")  # as they are named in `keras_ddl.networks.zoo`


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    description = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="python -m benchmarks.networks.against", description=description)
    add_settings(parser, ("rounds",), BENCH)
    names = ", ".join(ROWS)
    parser.add_argument(
        "--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME", help=names
    )
    parser.add_argument(
        "--scores",
        type=_named,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="test_scores.csv of a run, for the AUC of one of them",
    )
    parser.add_argument(
        "--torch-python", type=Path, metavar="PYTHON", help="one that has PyTorch and NumPy"
    )
    args = parser.parse_args(argv)
    return run_cli(lambda: _bench(args))


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if name not in ROWS or not path:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(ROWS)}, =, and a file")
    return name, Path(path)


def _bench(args: argparse.Namespace) -> int:
    scores = {name: auc_of(path) for name, path in args.scores}
    torch_python = args.torch_python or (sys.executable if find_spec("torch") else None)
    names = [name for name in args.only if name != "pytorch" or torch_python]
    with tempfile.TemporaryDirectory() as folder:
        video = write_drawn(Path(folder, "drawn.mp4"), ADDRESS, FPS)
        edge = read_spec(PRETRAINED)
        clips = sampling(video, edge)(), sampling(video, COMPACT)()
        subjects: dict[str, Any] = {SAMPLING: partial(sampling, video, edge)}
        for name in names:
            subjects[name] = (
                OtherPython(torch_python, "benchmarks.networks.naive.torch_network")
                if name == "pytorch"
                else partial(inference, _graph(name, Path(folder)), 1, 1)
            )
        seconds, memory = timed_in_turn(subjects, args.rounds, time.process_time)
    looks = {name: clips[not name.startswith("preview")] for name in names}
    looks |= {name: FRAMES_A_VIDEO for name in BY_FRAME if name in names}
    result = summary(seconds, memory, looks, scores)
    print(table(result))
    if "pytorch" in args.only and "pytorch" not in names:
        print("PyTorch is not here: --torch-python PYTHON names one that has it")
    merge_json(args.out, {"against": result})
    print(f"added to {args.out}")
    return 0


def sampling(video: Path, spec: ClipSpec) -> Callable[[], int]:
    """What decodes a video, finds its faces as `scan` does, and returns how many clips it gave."""
    from keras_ddl.edge.clipper import FaceClipper
    from keras_ddl.edge.faces import open_detector
    from keras_ddl.edge.faces.search import FULL_EVERY, SearchRule
    from keras_ddl.edge.video import read_video

    need("cv2", "finding faces").setNumThreads(1)
    detector = open_detector()

    def run() -> int:
        rule = SearchRule(FULL_EVERY)
        clipper = FaceClipper(spec, detector, stride_ms=1000.0 * EVERY_S, search=rule)
        return sum(len(clipper.push(frame).clips) for frame in read_video(video))

    return run


def _graph(name: str, folder: Path) -> Path:
    """The ONNX file of a subject."""
    if name == "preview":
        return PRETRAINED / MODEL_FILE
    if name == "preview-int8":
        return preview_int8(folder / name) / MODEL_FILE
    if name == "compact":
        _, graphs = untrained_graphs([FORMS[0]], COMPACT.size, COMPACT.frames, 1.0)
        graph = graphs[FORMS[0]]
    else:
        from export.conversion.onnx_from_keras import onnx_from_keras
        from keras_ddl.networks import zoo

        graph = onnx_from_keras(zoo.get(name).build(frames=1), with_map=False)
    file = folder / f"{name}.onnx"
    file.write_bytes(graph.SerializeToString())
    return file


def auc_of(path: Path) -> float:
    """The AUC of videos, each the mean of its clips, of a `test_scores.csv`.

    Raises:
        UserError: it cannot be read, has other columns, or one class alone (2).
    """
    from keras_ddl.edge.metrics import auc, video_scores

    keys = ("set", "dataset", "method", "compression", "video")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = video_scores(
            [tuple(row[key] for key in keys) for row in rows],
            [int(row["label"]) for row in rows],
            [float(row["fake_probability"]) for row in rows],
        )
        return auc(found.labels, found.scores)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"expected a test_scores.csv, received '{path}': {error}", USAGE) from error


def summary(
    seconds: Mapping[str, Sequence[float]],
    memory: Mapping[str, Mapping[str, float]],
    looks: Mapping[str, int],
    scores: Mapping[str, float],
) -> dict[str, Any]:
    """What the rounds say.

    Args:
        seconds: Subject → processor seconds of every round; of `SAMPLING`, of the video; of the
            networks, of a clip or frame.
        memory: The same → `peak_mib`.
        looks: Network → clips or frames of the video that it judges.
        scores: Network → its AUC, where measured.
    """
    sampled = median(seconds[SAMPLING])
    rows = []
    for name, count in looks.items():
        look = median(seconds[name])
        rows.append(
            {
                "name": name,
                "looks": count,
                "ms_a_look": 1e3 * look,
                "videos_an_hour": 3600 / (sampled + count * look),
                "auc": scores.get(name),
                "peak_mib": memory[name]["peak_mib"],
            }
        )
    return {"sampling_s": sampled, "sampling_mib": memory[SAMPLING]["peak_mib"], "rows": rows}


def table(result: Mapping[str, Any]) -> str:
    """The result as text."""
    lines = [
        f"{SECONDS} s of video, 640 × 480, one face; {SAMPLING} take {result['sampling_s']:.2f} s "
        f"and {result['sampling_mib']:.0f} MiB of each",
        "",
        f"{'':<40}{'clips, frames':>14}{'ms each':>9}{'videos/h':>10}{'AUC':>14}{'MiB':>7}",
    ]
    for row in result["rows"]:
        score = "not measured" if row["auc"] is None else f"{row['auc']:.3f}"
        lines.append(
            f"{ROWS[row['name']]:<40}{row['looks']:>14}{row['ms_a_look']:>9.1f}"
            f"{row['videos_an_hour']:>10.0f}{score:>14}{row['peak_mib']:>7.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
