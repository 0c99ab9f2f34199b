"""`python -m keras_ddl.robustness [RUN]`: how a run's numbers fall as videos get worse."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.parallel import unordered_map
from keras_ddl.data.prepare import PROCESSES, cut_video
from keras_ddl.data.store import Cut, read_summary
from keras_ddl.data.video_index import Video
from keras_ddl.errors import UserError, run_cli
from keras_ddl.files import read_json, write_json, write_text
from keras_ddl.perturb import FAMILIES, LEVELS, perturb

FOLDER = "robustness"
NONE = "none"
BATCH = 16


@dataclass(frozen=True)
class Condition:
    """What is done to the videos; family `none` at level 0 is nothing."""

    family: str
    level: int

    @property
    def file(self) -> str:
        """Name of the file that keeps its result."""
        return f"{self.family.replace(' ', '-').replace('.', '').lower()}-{self.level}.json"


def conditions(families: Sequence[str], levels: Sequence[int]) -> list[Condition]:
    """Nothing, and then every family at every level."""
    return [Condition(NONE, 0), *(Condition(f, level) for f in families for level in levels)]


def robustness(
    run: Path,
    families: Sequence[str] = tuple(FAMILIES),
    levels: Sequence[int] = LEVELS,
    limit: int | None = None,
    processes: int = PROCESSES,
    progress: bool = True,
) -> dict[str, Any]:
    """Score a run's test videos under perturbations of their whole frames.

    Faces are found, followed and cropped in the perturbed frames, as on a device. Finished
    conditions are kept in RUN/robustness and not computed again for the same run and videos.

    Args:
        run: A complete run whose dataset is still where it was.
        families: Names in `perturb.FAMILIES`.
        levels: 1 to 5.
        limit: Take this many test videos of either class, evenly chosen; None = all.
        processes: Worker processes that decode, perturb and crop.
        progress: Show a bar over conditions and videos.

    Returns:
        What `RUN/robustness.json` holds: per condition the video-level AUC and accuracy, and the
        share of the videos that gave a score at all.
    """
    from tqdm import tqdm

    from keras_ddl.runs import find_run, load_run

    run = find_run(run)
    model, _, spec = load_run(run)
    prepared = Path(read_json(run / "config.json")["data"]["prepared"])
    videos = _videos(prepared, limit)
    clips = int(read_summary(prepared)["clips_per_video"])
    identity = {"weights": spec.weights_sha256, "videos": [list(v.key) for v in videos]}
    (run / FOLDER).mkdir(exist_ok=True)
    wanted = conditions(families, levels)
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
                for number, cut in unordered_map(_cut, jobs, processes, _start, (spec,)):
                    cuts[number] = cut
                    bar.update()
                known = {"identity": identity, **_judged(model, spec, videos, cuts)}
                write_json(file, known)
            result = {name: value for name, value in known.items() if name != "identity"}
            results.append({"family": condition.family, "level": condition.level, **result})
    summary = {"videos": len(videos), "units": _units(families), "conditions": results}
    write_json(run / "robustness.json", summary)
    write_text(run / "robustness.md", table(summary) + "\n")
    return summary


def table(summary: dict[str, Any]) -> str:
    """The results in Markdown: AUC per level, and below 100 % the share of videos with a score."""
    rows = {(r["family"], r["level"]): r for r in summary["conditions"]}
    levels = sorted({level for _, level in rows if level})
    head = "| perturbation | " + " | ".join(f"level {level}" for level in levels) + " |"
    lines = [head, "|---" * (len(levels) + 1) + "|"]
    for family in dict.fromkeys(family for family, level in rows if level):
        cells = [_cell(rows[family, level]) for level in levels]
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    plain = _cell(rows[NONE, 0])
    lines += ["", f"Video-level AUC on {summary['videos']} test videos; untouched: {plain}."]
    return "\n".join(lines)


def _cell(result: dict[str, Any]) -> str:
    auc = "—" if result["auc"] is None else f"{result['auc']:.3f}"
    return auc if result["scored"] == 1 else f"{auc} ({result['scored']:.0%} scored)"


def _units(families: Sequence[str]) -> dict[str, Any]:
    return {f: {"unit": FAMILIES[f].unit, "values": list(FAMILIES[f].values)} for f in families}


def _videos(prepared: Path, limit: int | None) -> list[Video]:
    """The dataset's test videos, evenly thinned in either class."""
    summary = read_summary(prepared)
    root = Path(summary["root"])
    if not root.is_dir():
        raise UserError(f"{root}, which the run was trained on, is gone; put it back")
    test = [v for v in LAYOUTS[summary["layout"]](root) if v.split == "test"]
    chosen = []
    for label in (0, 1):
        mine = [video for video in test if video.label == label]
        if not mine:
            raise UserError(f"{root} has no {('real', 'fake')[label]} test videos; add some")
        count = len(mine) if limit is None else min(limit, len(mine))
        chosen += [mine[int((i + 0.5) * len(mine) / count)] for i in range(count)]
    return chosen


_worker: dict[str, Any] = {}


def _start(spec: Any) -> None:
    import cv2

    from keras_ddl.faces import open_detector

    cv2.setNumThreads(1)
    _worker.update(spec=spec, detector=open_detector(spec.detector))


def _cut(job: tuple[Condition, Video, int, int]) -> Cut:
    condition, video, clips, seed = job

    def change(frames: Iterator[Any]) -> Iterator[Any]:
        if condition.family == NONE:
            return frames
        return perturb(frames, condition.family, condition.level, seed)

    spec, detector = _worker["spec"], _worker["detector"]
    everyone = video.label == 0
    return cut_video(
        video.path, spec, detector, clips, everyone=everyone, mask=video.mask, change=change
    )


def _judged(model: Any, spec: Any, videos: list[Video], cuts: dict[int, Cut]) -> dict[str, Any]:
    """AUC and accuracy at video level, over the videos that gave a score."""
    from keras_ddl.metrics import accuracy, auc, video_scores

    keys, labels, clips = [], [], []
    for number, video in enumerate(videos):
        for clip in cuts[number].clips:
            keys.append(video.key)
            labels.append(video.label)
            clips.append(decode_clip(clip.images))
    if not clips:
        return {"auc": None, "accuracy": None, "scored": 0.0}
    logits = [model.predict_on_batch(np.stack(part)) for part in _batches(clips)]
    margin = np.concatenate([each[:, 1] - each[:, 0] for each in logits]).astype(np.float64)
    probabilities = 0.5 * (1 + np.tanh(0.5 * margin / spec.temperature))
    scored = video_scores(keys, labels, probabilities)
    both = len(set(scored.labels.tolist())) == 2
    return {
        "auc": auc(scored.labels, scored.scores) if both else None,
        "accuracy": accuracy(scored.labels, scored.scores, spec.threshold),
        "scored": len(scored.keys) / len(videos),
    }


def decode_clip(images: Sequence[bytes]) -> np.ndarray:
    """The frames of an encoded clip, uint8 (T, S, S, 3)."""
    from keras_ddl.framework import tf

    frames = [tf.io.decode_jpeg(image, 3, dct_method="INTEGER_ACCURATE") for image in images]
    return np.stack([frame.numpy() for frame in frames])


def _batches(clips: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(clips), BATCH):
        yield clips[start : start + BATCH]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_ddl.robustness",
        description="Score a run's test videos under ten kinds of damage at five levels.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default runs/latest")
    parser.add_argument(
        "--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), metavar="NAME",
        help=f"some of: {', '.join(FAMILIES)}",
    )  # fmt: skip
    parser.add_argument("--levels", type=int, nargs="+", choices=LEVELS, default=list(LEVELS))
    parser.add_argument("--videos", type=int, metavar="N", help="at most N test videos a class")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from keras_ddl.runs import find_run

    run = find_run(args.run)
    if args.videos is not None and args.videos < 1:
        raise UserError(f"--videos: expected 1 or more, received {args.videos}")
    summary = robustness(run, args.families, args.levels, args.videos, args.processes)
    print(table(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
