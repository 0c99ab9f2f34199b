"""Model card of a run in Markdown, from its own files (`python -m keras_ddl.model_card [RUN]`).

It states only what the files in the run say; what they do not say is "not measured" or "not
recorded".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_ddl import robustness
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.edge.files import write_text
from keras_ddl.edge.runs import find_run
from keras_ddl.evaluation.operating_point import OperatingPoint
from keras_ddl.evaluation.results import Numbers, SetResult
from keras_ddl.evaluation.tables import NONE, label, markdown_table
from keras_ddl.report.run_facts import RunFacts

MODEL_CARD = "MODEL_CARD.md"
NOT_MEASURED = "not measured"
NOT_RECORDED = "not recorded"
_NUMBERS = {
    "ACC": "accuracy",
    "AUC": "auc",
    "F1": "f1",
    "AP": "average_precision",
    "EER": "eer",
    "TPR at 1 % FPR": "tpr_at_1pct_fpr",
}


def write_model_card(run: Path) -> Path:
    """Write RUN/MODEL_CARD.md, whole or not at all; equal files in the run give an equal card."""
    path = Path(run) / MODEL_CARD
    write_text(path, card(RunFacts.read(Path(run))))
    return path


def card(facts: RunFacts) -> str:
    """Return the whole card as Markdown."""
    sections = {
        "": _model(facts),
        "Intended use": _use(facts),
        "Data": _data(facts),
        "Training": _training(facts),
        "Validation": _validation(facts),
        "Test": _test(facts),
        "Per dataset, compression and method": _breakdown(facts),
        "Calibration and operating point": _operating_point(facts),
        "Robustness": _robustness(facts),
        "Hardest validation videos": _hardest(facts),
        "Time, energy, machine": _cost(facts),
        "Versions": _versions(facts),
        "Configuration": [f"```json\n{json.dumps(facts.config.to_dict(), indent=1)}\n```"],
    }
    paragraphs = [f"# Model card: {facts.name}"]
    for title, body in sections.items():
        paragraphs += [*([f"## {title}"] if title else []), *body]
    return "\n\n".join(paragraphs) + "\n"


def _model(facts: RunFacts) -> list[str]:
    config, spec = facts.config, facts.spec
    size = facts.metrics.get("parameters")
    pairs = {
        "network": config.described(),
        "parameters": NOT_RECORDED if size is None else f"{size:,}",
        "input": f"face crops, {spec.frames} frames {spec.interval_ms:g} ms apart, "
        f"{spec.size} × {spec.size} px, {spec.color}, crop {spec.margin:g} × the face box of "
        f"detector {spec.detector}",
        "output": "probability of fake per clip; a video's score is the mean of its clips'",
        "weights (SHA-256)": spec.weights_sha256,
    }
    about = "Says how likely the face in a short video clip is to have been manipulated."
    return [about, _pairs(pairs)]


def _use(facts: RunFacts) -> list[str]:
    paragraphs = [
        "For research, and to point people who look for themselves to videos worth a closer look.",
        "Out of scope:",
        "- **Proof.** A score is a hint, with error rates known for the videos below alone.\n"
        "- **Automated decisions about persons**: blocking, reporting, accusing, clearing.\n"
        "- Forgeries, cameras, compressions and people unlike those of the training data; sound; "
        "pictures without a face; faces smaller, darker or more blurred than those.",
    ]
    if facts.spec.training.get("dataset") == "synthetic":
        paragraphs.append(
            "**This model has seen generated faces only. It knows nothing about real footage, and "
            "its scores there mean nothing.**"
        )
    return paragraphs


def _data(facts: RunFacts) -> list[str]:
    data = facts.manifest.get("data")
    name = facts.spec.training.get("dataset") or NOT_RECORDED
    if data is None:
        return [f"Dataset {name}; counts and fingerprint {NOT_RECORDED}."]
    known = ("clips", "real", "fake", "ok", "index_sha256")
    rows = []
    for split, counts in data["splits"].items():
        shown = [counts.get(key, NOT_RECORDED) for key in known[:4]]
        without = ", ".join(f"{n} {why}" for why, n in counts.items() if why not in known)
        rows.append([split, *shown, without or "none"])
    heads = ("split", "clips", "real", "fake", "videos", "videos without a clip")
    return [
        f"Dataset {name}, fingerprint of the prepared clips `{data['fingerprint']}`.",
        markdown_table(heads, rows),
        f"Unequal classes: {data['imbalance']}.",
    ]


def _training(facts: RunFacts) -> list[str]:
    config, manifest, metrics = facts.config, facts.manifest, facts.metrics
    if "imported" in manifest:  # the configuration below is where a training would go on from
        return ["Trained elsewhere, nothing of it recorded:", _pairs(manifest["imported"])]
    batch, devices = manifest.get("batch", {}), manifest.get("devices", {})
    best = metrics.get("best_epoch", NOT_RECORDED)
    gamma = ", ".join(f"{name} {value:+.4f}" for name, value in metrics.get("gamma", {}).items())
    halved = f", halved every {config.halve_every} epochs" if config.halve_every else ""
    pairs = {
        "preset": config.preset,
        "start": config.weights or "random weights",
        "optimiser": f"Adam, learning rate {config.learning_rate:g}{halved}",
        "batch": f"{config.batch} clips, {batch.get('per_replica', NOT_RECORDED)} per "
        f"replica; replicas: {devices.get('replicas', NOT_RECORDED)}",
        "precision": config.precision,
        "epochs": f"selected {best} of {config.epochs} ({metrics.get('selection', NOT_RECORDED)})",
        "seed": f"{config.seed}{', deterministic' if config.deterministic else ''}",
        "γ of the modules": gamma or ("none" if metrics else NOT_RECORDED),
    }
    return [_pairs(pairs)]


def _validation(facts: RunFacts) -> list[str]:
    found = facts.metrics.get("validation")
    if found is None:
        return [f"{NOT_MEASURED}."]
    rows = [[level, *_numbers(found[level])] for level in ("clip", "video")]
    return [
        f"At threshold {found['threshold']:g}; the epoch was selected on these very videos:",
        markdown_table(("level", *_NUMBERS, "real", "fake"), rows),
    ]


def _test(facts: RunFacts) -> list[str]:
    if facts.test is None:
        return [f"{NOT_MEASURED}: `python -m keras_ddl.evaluate`."]
    paragraphs: list[str] = []
    for part in facts.test.sets:
        seen = "the set trained on" if part.trained_on else "another set than trained on"
        levels = (("clip", part.clip), ("video", part.video))
        rows = [[level, *_numbers(found, part.intervals[level])] for level, found in levels]
        paragraphs += [
            f"{part.name} ({seen}, `{part.fingerprint}`), threshold {part.threshold:g}; "
            "in brackets 95 % of 1000 resamples of whole videos:",
            markdown_table(("level", *_NUMBERS, "real", "fake"), rows),
            *([f"{NONE} {part.undefined()}."] if part.undefined() else []),
            *_errors_known(part),
        ]
    return paragraphs


def _errors_known(part: SetResult) -> list[str]:
    """False alarms, pairs and probes of one set, where they were measured."""
    tables = (
        (
            "reals of",
            ("called fake", "of"),
            [
                (row.source or "all", _share(row.rate, row.low, row.high), row.reals)
                for row in part.false_alarms
            ],
        ),
        (
            "fakes by",
            ("above their originals", "pairs"),
            [
                (row.method or "all", _share(row.accuracy, row.low, row.high), row.pairs)
                for row in part.pairs
            ],
        ),
        (
            "reals, harmlessly changed",
            ("AUC against themselves", "clips called fake", "clips"),
            [(row.name, f"{row.auc:.2f}", row.calls(), row.clips) for row in part.probes],
        ),
    )
    found = [markdown_table((first, *heads), rows) for first, heads, rows in tables if rows]
    for name, where in part.pointing().items():
        found.append(
            f"{name[0].upper()}{name[1:]}, on {where.clips} pseudo-fakes of these reals: its "
            f"brightest cell is forged in {_share(where.pointing, where.low, where.high)} of the "
            f"frames ({where.compared()}), pixel AUC {where.pixel_auc:.2f}, "
            f"brighter than on the real twin in {where.contrast:.2f}."
        )
    return found


def _share(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _breakdown(facts: RunFacts) -> list[str]:
    if facts.test is None:
        return [f"{NOT_MEASURED}."]
    rows = [
        [part.name, kind[:-1], label(row)]
        + (_numbers(row.video, row.intervals["video"]) if row.video else [row.missing])
        for part in facts.test.sets
        for kind, group in part.groups().items()
        for row in group
    ]
    heads = ("set", "by", "", *_NUMBERS, "real", "fake")
    return ["At video level:", markdown_table(heads, rows)]


def _operating_point(facts: RunFacts) -> list[str]:
    found = OperatingPoint.of(facts.spec)
    if found is None:
        return [
            f"{NOT_MEASURED}: threshold {facts.spec.threshold:g} and temperature "
            f"{facts.spec.temperature:g} are those that nothing was fitted to."
        ]
    errors = {"validation": (found.ece_before, found.ece_after)}
    for part in facts.test.sets if facts.test else ():
        if part.ece_before is not None and part.ece_after is not None:
            errors[f"test, {part.name}"] = (part.ece_before, part.ece_after)
    rows = [(name, f"{before:.4f}", f"{after:.4f}") for name, (before, after) in errors.items()]
    heads = ("expected calibration error of clips", "before", "after the temperature")
    return [
        f"Chosen on {found.videos} validation videos ({found.clips} clips): temperature "
        f"{found.temperature:g}, threshold {found.threshold:g}, balanced accuracy "
        f"there {found.balanced_accuracy:.4f}. Rule: {found.rule}.{_real_bound(found)}",
        markdown_table(heads, rows),
    ]


def _real_bound(found: OperatingPoint) -> str:
    if not found.real_to:
        return ""
    return (
        f" REAL is said up to {found.real_to:g}, by the same rule for its forgeries, and UNCERTAIN "
        "between the two."
    )


def _robustness(facts: RunFacts) -> list[str]:
    if facts.robustness is None:
        return [f"{NOT_MEASURED}: `python -m keras_ddl.robustness`."]
    return [robustness.table(facts.robustness)]


def _hardest(facts: RunFacts) -> list[str]:
    if facts.hardest is None:
        return [f"{NOT_RECORDED}."]
    if not facts.hardest:
        return ["None was on the wrong side of 0.5 after any epoch."]
    return [markdown_table(("video", "epochs in which it was wrong"), facts.hardest)]


def _cost(facts: RunFacts) -> list[str]:
    manifest = facts.manifest
    machine = manifest.get("hardware", {})
    seconds, joules = manifest.get("training_seconds"), manifest.get("energy_joules")
    pairs = {
        "training, validation included": f"{seconds:g} s" if seconds else NOT_MEASURED,
        "energy of the GPUs": NOT_MEASURED if joules is None else f"{joules:.0f} J",
        "processor": f"{machine.get('processor', NOT_RECORDED)}, cores: "
        f"{machine.get('cores', NOT_RECORDED)}",
        "GPUs": ", ".join(machine["gpus"]) or "none" if "gpus" in machine else NOT_RECORDED,
    }
    return [_pairs(pairs)]


def _versions(facts: RunFacts) -> list[str]:
    manifest = facts.manifest
    program = manifest.get("program", {})
    packages = manifest.get("packages", {})
    listed = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    pairs = {
        "started": manifest.get("started", NOT_RECORDED),
        "keras-ddl": f"{program.get('version', NOT_RECORDED)}, commit "
        f"{program.get('git') or NOT_RECORDED}",
        "Python": manifest.get("python", NOT_RECORDED),
        "packages": listed or NOT_RECORDED,
        "command": f"`{manifest['command']}`" if "command" in manifest else NOT_RECORDED,
    }
    return [_pairs(pairs)]


def _numbers(found: Numbers, intervals: Mapping[str, Sequence[float]] | None = None) -> list[str]:
    """The cells of one row: numbers, with their intervals where there are any, and counts."""
    cells = []
    for name in _NUMBERS.values():
        ends = intervals and intervals.get(name)
        value = NONE if found[name] is None else f"{found[name]:.4f}"
        cells.append(value + (f" [{ends[0]:.4f}, {ends[1]:.4f}]" if ends else ""))
    return [*cells, str(found["real"]), str(found["fake"])]


def _pairs(values: Mapping[str, Any]) -> str:
    return markdown_table(("", ""), values.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.model_card",
        description="Write a run's MODEL_CARD.md anew, from the files in it; `train` and "
        "`evaluate` do so too.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default runs/latest")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    print(write_model_card(find_run(args.run)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
