"""Robustness of a run to damaged videos (`python -m keras_ddl.robustness [RUN]`)."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.data.cut_video import cut_video, lost_cut
from keras_ddl.data.layouts import read_index
from keras_ddl.data.prepare import PROCESSES
from keras_ddl.data.prepared import Cut, read_summary
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.data.video_index import Video
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.faces import FaceDetector
from keras_ddl.edge.files import read_json, write_json, write_text
from keras_ddl.edge.metrics import accuracy, auc
from keras_ddl.edge.runs import find_run
from keras_ddl.edge.storage.address import location
from keras_ddl.edge.workers.cluster import ClusterOptions, add_cluster_options, cluster_options
from keras_ddl.edge.workers.pool import JOB_S, Loss, add_file_timeout
from keras_ddl.edge.workers.pools import unordered_map
from keras_ddl.evaluation.calibration import probabilities_from_margins
from keras_ddl.evaluation.perturb import FAMILIES, LEVELS, perturb
from keras_ddl.evaluation.results import (
    ROBUSTNESS,
    UNTOUCHED,
    ConditionResult,
    RobustnessResult,
)
from keras_ddl.evaluation.tables import markdown_table

FOLDER = "robustness"
BATCH = 16


@dataclass(frozen=True)
class Condition:
    """What is done to the videos; family `UNTOUCHED` at level 0 is nothing."""

    family: str
    level: int

    @property
    def file(self) -> str:
        """Name of the file that keeps its result."""
        return f"{self.family.replace(' ', '-').replace('.', '').lower()}-{self.level}.json"


def conditions(families: Sequence[str], levels: Sequence[int]) -> list[Condition]:
    """Nothing, and then every family at every level."""
    return [Condition(UNTOUCHED, 0), *(Condition(f, level) for f in families for level in levels)]


def robustness(
    run: Path,
    families: Sequence[str] = tuple(FAMILIES),
    levels: Sequence[int] = LEVELS,
    limit: int | None = None,
    processes: int = PROCESSES,
    progress: bool = True,
    timeout_s: float = JOB_S,
    cluster: ClusterOptions | None = None,
) -> RobustnessResult:
    """Score a run's test videos under perturbations of their whole frames.

    Faces are found, followed and cropped in the perturbed frames, as on a device. Finished
    conditions are kept in RUN/robustness and not computed again for the same run and videos.

    Args:
        run: A complete run whose dataset is still where it was.
        families: Names in `perturb.FAMILIES`.
        levels: 1 to 5.
        limit: Take this many test videos of either class, evenly chosen; None = all.
        processes: Worker processes that decode, perturb and crop; 0 = in this process, without
            `timeout_s`.
        progress: Show a bar over conditions and videos.
        timeout_s: A video that takes longer under a condition has no score there.
        cluster: Decode, perturb and crop there, in place of `processes`.

    Returns:
        What `RUN/robustness.json` holds.
    """
    from tqdm import tqdm

    from keras_ddl.build_network import load_run

    run = find_run(run)
    model, _, spec = load_run(run)
    prepared = prepared_here(read_json(run / "config.json")["data"]["prepared"])
    videos = _videos(prepared, limit)
    clips = int(read_summary(prepared)["clips_per_video"])
    identity = {"weights": spec.weights_sha256, "videos": [list(v.key) for v in videos]}
    (run / FOLDER).mkdir(exist_ok=True)
    wanted = conditions(families, levels)
    start = functools.partial(_open, spec)
    results = []
    with tqdm(total=len(wanted) * len(videos), unit="video", disable=not progress) as bar:
        for condition in wanted:
            bar.set_description(f"{condition.family} {condition.level or ''}".strip())
            file = run / FOLDER / condition.file
            known = read_json(file) if file.is_file() else {}
            if known.get("identity") == identity:
                bar.update(len(videos))
            else:
                jobs = [(condition, video, clips, number) for number, video in enumerate(videos)]
                cuts: dict[int, Cut] = {}
                pooled = unordered_map(_cut, jobs, processes, start, _lost, timeout_s, cluster)
                for number, cut in pooled:
                    cuts[number] = cut
                    bar.update()
                known = {"identity": identity, "margins": _margins(model, videos, cuts)}
                write_json(file, known)
            results.append(_judged(condition, spec, videos, known["margins"]))
    units = {
        name: {"unit": FAMILIES[name].unit, "values": list(FAMILIES[name].values)}
        for name in families
    }
    result = RobustnessResult(len(videos), spec.weights_sha256, units, tuple(results))
    write_json(run / ROBUSTNESS, result.to_json())
    write_text(run / "robustness.md", table(result) + "\n")
    return result


def table(found: RobustnessResult) -> str:
    """Return the results in Markdown: AUC, and below 100 % the share of videos with a score."""
    levels = found.levels()
    heads = ["perturbation", *(f"level {level}" for level in levels)]
    rows = [
        [family, *(_cell(found.at(family, level)) for level in levels)]
        for family in found.families()
    ]
    plain = _cell(found.at(UNTOUCHED, 0))
    about = f"Video-level AUC on {found.videos} test videos; untouched: {plain}."
    return f"{markdown_table(heads, rows)}\n\n{about}"


def _cell(result: ConditionResult) -> str:
    auc = "—" if result.auc is None else f"{result.auc:.3f}"
    return auc if result.scored == 1 else f"{auc} ({result.scored:.0%} scored)"


def _videos(prepared: Path, limit: int | None) -> list[Video]:
    """The test videos that were prepared, evenly thinned in either class."""
    summary = read_summary(prepared)
    root = location(summary["root"])
    if isinstance(root, Path) and not root.exists():
        raise UserError(f"{root}, which the run was trained on, is gone; put it back")
    index = read_json(prepared / "test" / "index.json")["videos"]
    prepared_ones = {tuple(row["key"]) for row in index}  # not all, after `prepare --only`
    everything = read_index(root, summary["layout"], summary.get("identity", "")).present()
    test = [v for v in everything if v.split == "test" and v.key in prepared_ones]
    chosen = []
    for label in (0, 1):
        mine = [video for video in test if video.label == label]
        if not mine:
            name = ("real", "fake")[label]
            raise UserError(
                f"expected {name} test videos in {prepared} and still in {root}, received none; "
                "add some and prepare them"
            )
        count = len(mine) if limit is None else min(limit, len(mine))
        chosen += [mine[int((i + 0.5) * len(mine) / count)] for i in range(count)]
    return chosen


def _open(spec: ClipSpec) -> tuple[ClipSpec, FaceDetector]:
    import cv2

    from keras_ddl.edge.faces import open_detector

    cv2.setNumThreads(1)
    return spec, open_detector(spec.detector)


def _cut(opened: tuple[ClipSpec, FaceDetector], job: tuple[Condition, Video, int, int]) -> Cut:
    condition, video, clips, seed = job

    def change(frames: Iterator[Any]) -> Iterator[Any]:
        if condition.family == UNTOUCHED:
            return frames
        return perturb(frames, condition.family, condition.level, seed)

    everyone = video.label == 0
    with video.here() as path:
        return cut_video(path, *opened, clips, everyone=everyone, mask=video.mask, change=change)


def _lost(job: tuple[Condition, Video, int, int], loss: Loss) -> Cut:
    return lost_cut(job[1].path, loss)


def _margins(model: Any, videos: list[Video], cuts: dict[int, Cut]) -> list[list[float]]:
    """Per video the logit of fake minus that of real of each of its clips."""
    numbers = [number for number in range(len(videos)) for _ in cuts[number].clips]
    clips = [clip for number in range(len(videos)) for clip in cuts[number].clips]
    margins: list[list[float]] = [[] for _ in videos]
    for start in range(0, len(clips), BATCH):
        batch = np.stack([_decoded(clip.images) for clip in clips[start : start + BATCH]])
        logits = model.predict_on_batch(batch).astype(np.float64)
        for number, pair in zip(numbers[start : start + BATCH], logits, strict=True):
            margins[number].append(float(pair[1] - pair[0]))
    return margins


def _judged(
    condition: Condition, spec: ClipSpec, videos: list[Video], margins: list[list[float]]
) -> ConditionResult:
    """AUC and accuracy at video level, over the videos that gave a score."""
    scored = [
        (video.label, values) for video, values in zip(videos, margins, strict=True) if values
    ]
    family, level = condition.family, condition.level
    if not scored:
        return ConditionResult(family, level, None, None, 0.0)
    labels = [label for label, _ in scored]
    scores = [
        float(probabilities_from_margins(np.array(values), spec.temperature).mean())
        for _, values in scored
    ]
    return ConditionResult(
        family,
        level,
        auc=auc(labels, scores) if len(set(labels)) == 2 else None,
        accuracy=accuracy(labels, scores, spec.threshold),
        scored=len(scored) / len(videos),
    )


def _decoded(images: Sequence[bytes]) -> np.ndarray:
    """The frames of an encoded clip, uint8 (T, S, S, 3)."""
    from keras_ddl.framework import tf

    frames = [tf.io.decode_jpeg(image, 3, dct_method="INTEGER_ACCURATE") for image in images]
    return np.stack([frame.numpy() for frame in frames])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.robustness",
        description="Score a run's test videos under eleven kinds of damage at five levels.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default runs/latest")
    parser.add_argument(
        "--families",
        nargs="+",
        choices=list(FAMILIES),
        default=list(FAMILIES),
        metavar="NAME",
        help=f"some of: {', '.join(FAMILIES)}",
    )
    parser.add_argument("--levels", type=int, nargs="+", choices=LEVELS, default=list(LEVELS))
    parser.add_argument("--videos", type=int, metavar="N", help="at most N test videos a class")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N")
    add_file_timeout(parser)
    add_cluster_options(parser)
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    run = find_run(args.run)
    if args.videos is not None and args.videos < 1:
        raise UserError(f"--videos: expected 1 or more, received {args.videos}")
    chosen = (args.families, args.levels, args.videos, args.processes)
    where = {"timeout_s": args.file_timeout, "cluster": cluster_options(args)}
    summary = robustness(run, *chosen, **where)
    print(table(summary))
    print(f"\n{typed('evaluate')} {run} puts the curves into report.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
