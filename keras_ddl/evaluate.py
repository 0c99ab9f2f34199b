"""`python -m keras_ddl.evaluate [RUN]`: clip- and video-level numbers on the test split."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.clipspec import ClipSpec
from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.prepare import CACHE, prepared_for
from keras_ddl.data.store import Key, PreparedSplit, read_split, read_summary
from keras_ddl.errors import UserError, run_cli
from keras_ddl.metrics import report, video_scores
from keras_ddl.runs import find_run, load_run, read_json, write_json, write_text

if TYPE_CHECKING:
    from keras_ddl.framework import keras, tf

BATCH = 16
COLUMNS = ("accuracy", "auc", "f1")


@dataclass(frozen=True)
class Scores:
    """What a model says about each clip.

    Args:
        keys: Per clip its video's key.
        labels: int32, (N,), 1 = fake.
        probabilities: float64, (N,), of fake, in [0, 1].
    """

    keys: tuple[Key, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def from_logits(
        cls, data: PreparedSplit, logits: np.ndarray, temperature: float = 1.0
    ) -> Scores:
        """Take logits (N, 2) of a split's clips, in the order of its index."""
        margin = (logits[:, 1] - logits[:, 0]).astype(np.float64) / temperature
        return cls(data.keys, data.labels, 0.5 * (1.0 + np.tanh(0.5 * margin)))

    def videos(self) -> Scores:
        """Return one score per video: the mean of its clips' probabilities."""
        videos = video_scores(self.keys, self.labels, self.probabilities, how="mean")
        return Scores(tuple(videos.keys), videos.labels, videos.scores)


def clip_logits(model: keras.Model, clips: tf.data.Dataset) -> np.ndarray:
    """Return the logits, float32 (N, 2), of a dataset's clips in its order."""
    batches = [model.predict_on_batch(clip) for clip, _ in clips]
    return np.concatenate(batches).astype(np.float32)


def summary(scores: Scores, threshold: float) -> dict[str, dict[str, Any]]:
    """Return `metrics.report` at `clip` and `video` level.

    Raises:
        ValueError: If there is only one class.
    """
    levels = {"clip": scores, "video": scores.videos()}
    return {
        level: report(part.labels, part.probabilities, threshold) for level, part in levels.items()
    }


def score_split(
    model: keras.Model, spec: ClipSpec, prepared: Path, split: str = "test"
) -> tuple[Scores, dict[str, Any]]:
    """Score a split of prepared clips.

    Returns:
        The clips' scores, and the results: clip and video level, threshold, and what became of
        the videos (those without a clip have no score and are counted as such).
    """
    data = read_split(prepared, split)
    logits = clip_logits(model, clip_dataset(prepared, split, BATCH))
    scores = Scores.from_logits(data, logits, spec.temperature)
    try:
        result = summary(scores, spec.threshold)
    except ValueError as error:
        raise UserError(f"{prepared}, {split}: {error}") from error
    statuses = dict(Counter(video["status"] for video in data.videos))
    return scores, {"split": split, "threshold": spec.threshold, **result, "videos": statuses}


def evaluate(run: Path, prepared: Path | None = None, data: Path | None = None) -> dict[str, Any]:
    """Score a run on a test split and write `test.json` and `test_scores.csv` into it.

    Args:
        run: A complete run folder.
        prepared: Prepared clips; by default those that the run was trained on.
        data: A dataset to prepare as the run's spec says, instead.

    Raises:
        UserError: If the clips are not there, or cut to another spec than the model's.
    """
    run = find_run(run)
    recorded = read_json(run / "config.json")["data"]
    model, config, spec = load_run(run)
    if data is not None:
        prepared = prepared_for(config, data, CACHE)
    elif prepared is None:
        prepared = Path(recorded["prepared"])
        if read_summary(prepared)["fingerprint"] != recorded["fingerprint"]:
            raise UserError(f"{prepared} has changed since {run.name} was trained; name --prepared")
    _check_spec(prepared, spec)
    scores, result = score_split(model, spec, prepared)
    result["fingerprint"] = read_summary(prepared)["fingerprint"]
    write_json(run / "test.json", result)
    write_text(run / "test_scores.csv", _csv(scores))
    return result


def table(result: dict[str, Any]) -> str:
    """Return the results as a readable table, in the paper's form."""
    lines = [
        f"{result['split']} split, threshold {result['threshold']:g}",
        f"{'level':<8}{'ACC':>8}{'AUC':>8}{'F1':>8}{'real':>8}{'fake':>8}",
    ]
    for level in ("clip", "video"):
        row = result[level]
        numbers = "".join(f"{row[name]:>8.4f}" for name in COLUMNS)
        lines.append(f"{level:<8}{numbers}{row['real']:>8}{row['fake']:>8}")
    without = {name: count for name, count in result["videos"].items() if name != "ok"}
    if without:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(without.items()))
        lines.append(f"videos without a score: {listed}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_ddl.evaluate",
        description="Score a run on the test split; writes test.json and test_scores.csv into it.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default runs/latest")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--prepared", type=Path, metavar="DIR", help="other prepared clips")
    group.add_argument("--data", type=Path, metavar="ROOT", help="another dataset, prepared first")
    parser.add_argument("--json", action="store_true", help="print the JSON, not the table")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    run = find_run(args.run)
    result = evaluate(run, args.prepared, args.data)
    print((run / "test.json").read_text(encoding="utf-8") if args.json else table(result))
    return 0


def _check_spec(prepared: Path, spec: ClipSpec) -> None:
    """Refuse clips that were cut to other rules than the model's."""
    cut = ClipSpec.read(prepared / "clipspec.json")
    for name in ("frames", "size", "interval_ms", "margin", "smoothing", "color"):
        if getattr(cut, name) != getattr(spec, name):
            raise UserError(
                f"{prepared} is cut with {name} {getattr(cut, name)}, the model expects "
                f"{getattr(spec, name)}; prepare the videos again with --data"
            )


def _csv(scores: Scores) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("dataset", "method", "compression", "video", "label", "fake_probability"))
    for key, label, value in zip(scores.keys, scores.labels, scores.probabilities, strict=True):
        writer.writerow((*key, int(label), repr(float(value))))
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
