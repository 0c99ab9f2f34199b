"""`python -m keras_ddl.quantize [RUN]`: a trained network in int8, and what that costs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.build_network import load_run
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_split, read_summary
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.files import read_json, write_text
from keras_ddl.edge.runs import CONFIG, WEIGHTS, find_run
from keras_ddl.evaluation.split_scores import score_split

if TYPE_CHECKING:
    from keras_ddl.evaluation.clip_scores import Scores
    from keras_ddl.framework import keras

CLIPS, SENSITIVITY_CLIPS = 64, 8
EPOCHS = 2
RATE = 0.01  # of the training's learning rate


def quantize(
    run: Path,
    method: str = "average",
    clips: int = CLIPS,
    epochs: int = EPOCHS,
    learning_rate: float | None = None,
    keep_float: Sequence[str] = (),
    with_sensitivity: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Quantise a run's network, fine-tune it, and compare both with the float one.

    Writes `RUN/int8/`: the weights, `quantization.json`, and the sensitivity of each layer as CSV
    and PNG. What is kept is the fine-tuned network, or the calibrated one where validation prefers
    it.

    Args:
        run: A complete run folder whose prepared clips are still there.
        method: Of calibration; see `quantization.calibration`.
        clips: Training clips to calibrate on.
        epochs: Of fine-tuning; 0 calibrates only.
        learning_rate: Of fine-tuning; default: a hundredth of the training's.
        keep_float: Patterns of layers that stay float.
        with_sensitivity: Measure every layer alone, which takes a while.
        progress: Show bars.

    Returns:
        What `quantization.json` holds.

    Raises:
        UserError: If the run or its clips are not there, or have changed.
    """
    from keras_ddl.quantization.calibration import calibrate
    from keras_ddl.quantization.compare import compare
    from keras_ddl.quantization.quantise import quantised
    from keras_ddl.quantization.rules import with_floats
    from keras_ddl.quantization.stored import FOLDER, store_quantised

    model, config, spec = load_run(run)
    prepared = _prepared(run)
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    rules = with_floats(keep_float)
    int8 = quantised(model, rules)
    few = _few(prepared, "train", clips)
    batches = np.array_split(few, max(1, len(few) // config.batch))
    ranges = calibrate(int8, batches, method)
    networks = {"float": model, "PTQ": int8}
    layers = _sensitivity(int8, prepared, folder, progress) if with_sensitivity else []
    if epochs:
        tuned = quantised(model, rules)
        tuned.set_weights(int8.get_weights())
        rate = learning_rate or RATE * config.learning_rate
        networks["QAT"] = _fine_tuned(tuned, config, prepared, folder, epochs, rate, progress)

    def scores(network: keras.Model, split: str) -> Scores:
        return score_split(network, spec, prepared, split, config.pseudo_fakes)[0]

    chosen = _chosen(networks, scores)
    networks[chosen].save_weights(str(folder / WEIGHTS))
    tested = {name: scores(network, "test") for name, network in networks.items()}
    facts = {
        "chosen": chosen,
        "calibration": {"method": method, "clips": clips},
        "fine_tuning": {"epochs": epochs, "learning_rate": rate} if epochs else None,
        "test": compare(tested, spec.threshold),
        "threshold": spec.threshold,
        "sensitivity": [{"layer": layer, "mean_margin_change": value} for layer, value in layers],
        "ranges": ranges,
    }
    store_quantised(run, rules, spec.weights_sha256, facts)
    return facts


def _prepared(run: Path) -> Path:
    recorded = read_json(run / CONFIG)["data"]
    if not recorded["prepared"]:
        raise UserError(f"{run} has no data of its own, its weights were imported; train from it")
    prepared = prepared_here(recorded["prepared"])
    if not prepared.is_dir() or read_summary(prepared)["fingerprint"] != recorded["fingerprint"]:
        raise UserError(
            f"{prepared}, which {run} was trained on, is gone or has changed; prepare it again"
        )
    return prepared


def _few(prepared: Path, split: str, count: int) -> np.ndarray:
    """Clips, evenly over a split."""
    stored = read_split(prepared, split).clips
    return stored[np.linspace(0, len(stored) - 1, min(count, len(stored))).astype(int)]


def _sensitivity(
    int8: keras.Model, prepared: Path, folder: Path, progress: bool
) -> list[tuple[str, float]]:
    """Measure every layer alone, and write it as CSV and PNG."""
    from keras_ddl.quantization.sensitivity import plot_sensitivity, sensitivity

    layers = sensitivity(int8, _few(prepared, "val", SENSITIVITY_CLIPS), progress)
    lines = [f"{layer},{value:.6g}\n" for layer, value in layers]
    write_text(folder / "sensitivity.csv", "layer,mean_margin_change\n" + "".join(lines))
    plot_sensitivity(layers, folder / "sensitivity.png")
    return layers


def _fine_tuned(
    model: keras.Model,
    config: TrainConfig,
    prepared: Path,
    folder: Path,
    epochs: int,
    rate: float,
    progress: bool,
) -> keras.Model:
    """Train on with the quantisers, at a constant low rate."""
    from keras_ddl.training.fit import fit
    from keras_ddl.training.options import TrainingOptions

    gentle = {"halve_every": 0, "warmup_steps": 0, "scale_lr": "", "frozen_epochs": 0}
    once = {"patience": 0, "ema": 0.0, "precision": "float32", "xla": False, "weights": ""}
    whole = {"single_frames": False}
    tuning = replace(config, epochs=epochs, learning_rate=rate, **gentle, **once, **whole)
    weights = folder / f"tuned-{WEIGHTS}"
    try:
        options = TrainingOptions(progress=progress)
        return fit(tuning, prepared, weights, options, model=model).model
    finally:
        weights.unlink(missing_ok=True)


def _chosen(networks: Mapping[str, keras.Model], scores: Callable[..., Scores]) -> str:
    """The int8 network with the higher video-level validation AUC; a tie goes to the tuned one."""
    from keras_ddl.edge.metrics import auc

    found = {}
    for name in ("PTQ", "QAT"):
        if name in networks:
            videos = scores(networks[name], "val").videos()
            found[name] = auc(videos.labels, videos.probabilities)
    return max(sorted(found, reverse=True), key=lambda name: found[name])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.quantize",
        description="Quantise a run to int8 by TensorRT's rules and show what that costs.",
    )
    add = parser.add_argument
    add("run", type=Path, nargs="?", help="run folder; default runs/latest")
    add("--method", default="average", help="of calibration: average, percentile or entropy")
    add("--clips", type=int, default=CLIPS, help="to calibrate on; default %(default)s")
    add("--epochs", type=int, default=EPOCHS, help="of fine-tuning; 0 = none; default %(default)s")
    add("--learning-rate", type=float, metavar="RATE", help="default: training's / 100")
    add(
        "--keep-float",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="layers that stay float, as block1_*",
    )
    add("--no-sensitivity", action="store_true", help="do not measure every layer alone")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    run = find_run(args.run)
    from keras_ddl.framework import need_keras_2

    need_keras_2("quantisation")
    facts = quantize(
        run,
        args.method,
        args.clips,
        args.epochs,
        args.learning_rate,
        args.keep_float,
        not args.no_sensitivity,
    )
    from keras_ddl.quantization.compare import table

    if facts["sensitivity"]:
        print("most sensitive layers, each alone in int8 (mean |Δ margin|):")
        for row in facts["sensitivity"][:5]:
            print(f"  {row['layer']:<28} {row['mean_margin_change']:.4f}")
    print(table(facts["test"]))
    print(f"kept: {facts['chosen']}; export it with: {typed('to-onnx')} --precision int8 {run}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
