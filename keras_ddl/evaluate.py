"""Evaluation of a run (`python -m keras_ddl.evaluate [RUN]`): choose, score, write.

Threshold and temperature are chosen on validation, the tables are made of test splits.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_ddl.build_network import load_run
from keras_ddl.comparison.related_results import related_results
from keras_ddl.data.layouts import add_arguments, check_arguments
from keras_ddl.data.prepare import CACHE
from keras_ddl.data.prepared import check_spec, read_summary
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.datasets import prepared_for
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.files import read_json, write_json, write_text
from keras_ddl.edge.measured import onto
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.runs import find_run
from keras_ddl.edge.storage.address import Address, place
from keras_ddl.edge.storage.random_reads import refusals_told
from keras_ddl.evaluation.breakdown import DATASET
from keras_ddl.evaluation.calibration import margins_from_logits
from keras_ddl.evaluation.operating_point import OperatingPoint
from keras_ddl.evaluation.results import TEST, VALIDATION, EvaluationResult
from keras_ddl.evaluation.score_sets import ScoredSet, Subject, measured_of, score, scores_table
from keras_ddl.evaluation.split_scores import judged_classes, need_both_classes, split_logits
from keras_ddl.evaluation.tables import table
from keras_ddl.model_card import write_model_card
from keras_ddl.report import REPORT, Content, write_report
from keras_ddl.report.run_facts import RunFacts

KEEP = "--keep-operating-point"
OTHERS = f"name others with --prepared and take its threshold as it is with {KEEP}"

_log = logging.getLogger(__name__)


def evaluate(
    run: Path,
    prepared: Sequence[Path | Address] = (),
    data: Path | Address | None = None,
    layout: str = "folder",
    keep: bool = False,
    false_alarms: float | None = None,
    identity: str = "",
) -> EvaluationResult:
    """Choose a run's threshold and temperature on validation, then score test splits.

    Writes `test.json`, `test_scores.csv`, `report.html` and `MODEL_CARD.md` into the run and the
    two numbers and the error rates into its `clipspec.json`; the same files again when nothing has
    changed.

    Args:
        run: A complete run folder.
        prepared: Folders of prepared clips, or their addresses, whose test splits to score; by
            default the one that the run was trained on.
        data: A dataset to prepare as the run's spec says, instead.
        layout, identity: How that dataset lies; see `data.layouts.read_index`.
        keep: Take threshold and temperature as `clipspec.json` has them, for a run whose
            validation clips are not at hand.
        false_alarms: Share of reals that may be called fake, in place of the configuration's.

    Returns:
        What `test.json` holds; docs/evaluation.md describes it.

    Raises:
        UserError: If clips are not there, have changed, are cut to another spec, or those of
            validation are of one class only. Of a test split of one class, what that defines is
            given, and the rest is None.
    """
    need("jinja2", "the report")  # now, and not when all is scored
    run = find_run(run)
    recorded = read_json(run / "config.json")["data"]
    folders = [prepared_here(folder) for folder in prepared]
    own = None if keep and (folders or data) else _own(recorded, run)
    model, config, spec = load_run(run)
    if data is not None:
        folders = [prepared_for(config, data, CACHE, layout, identity)]
    elif own is not None and not folders:
        folders = [own]
    for folder in folders:
        check_spec(folder, spec)
        _note_one_class(folder, config.pseudo_fakes)
    subject = Subject(run, model, config, spec, recorded["fingerprint"])
    if own is not None and not keep:
        subject = choose(subject, own, false_alarms)
    sets = score(subject, folders)
    return write(subject, sets)


def validate(run: Path, false_alarms: float | None = None) -> EvaluationResult:
    """Score a run's validation split as `evaluate` scores test splits; no test clip is read.

    For choosing among recipes, which must not be done on the test split. Writes `validation.json`
    into the run and nothing else. The threshold is chosen on the same clips, so that false alarms
    and accuracy are a little too good here; AUC, pairs, probes and the map are not.

    Args:
        run: A complete run folder.
        false_alarms: Share of reals that may be called fake, in place of the configuration's.

    Returns:
        What `validation.json` holds.

    Raises:
        UserError: If the run's clips are not there, have changed, or those of validation are of
            one class only.
    """
    run = find_run(run)
    recorded = read_json(run / "config.json")["data"]
    own = _own(recorded, run, "without them there is no validation split to score")
    subject = choose(Subject(run, *load_run(run), recorded["fingerprint"]), own, false_alarms)
    result = _result(subject.spec, score(subject, [own], "val"))
    write_json(run / VALIDATION, result.to_json())
    return result


def choose(subject: Subject, own: Path, false_alarms: float | None = None) -> Subject:
    """Choose temperature, threshold and bound of REAL on the clips that chose the epoch.

    Args:
        subject: The run.
        own: The prepared clips that it was trained on.
        false_alarms: See `OperatingPoint.fit`; default: the configuration's.

    Returns:
        The run with a spec that carries them.

    Raises:
        UserError: If the validation clips are of one class only.
    """
    need_both_classes(own, "val", subject.config.pseudo_fakes)
    pseudo = subject.config.pseudo_fakes
    data, logits = split_logits(subject.model, own, "val", pseudo)
    margins = margins_from_logits(logits)
    fingerprint = read_summary(own)["fingerprint"]
    true_fakes = judged_classes(own, "val") == judged_classes(own, "val", pseudo)
    share = subject.config.false_alarms if false_alarms is None else false_alarms
    try:
        point = OperatingPoint.fit(data.keys, data.labels, margins, fingerprint, share, true_fakes)
    except ValueError as error:
        raise UserError(f"{own}, val: {error}") from error
    return replace(subject, spec=point.onto(subject.spec))


def write(subject: Subject, sets: Sequence[ScoredSet]) -> EvaluationResult:
    """Write all files of an evaluation into the run; return what `test.json` holds."""
    rates = [one for scored in sets if (one := measured_of(scored.result)) is not None]
    run, spec = subject.run, onto(subject.spec, rates)
    result = _result(spec, sets)
    if spec != ClipSpec.read(run / "clipspec.json"):  # a bundle's age is told by that file's
        spec.write(run / "clipspec.json")
    write_json(run / TEST, result.to_json())
    write_text(run / "test_scores.csv", scores_table(sets))
    tested = {key[DATASET] for scored in sets for key in scored.scores.keys}
    content = Content(
        facts=RunFacts.read(run),
        sets=tuple(sets),
        views=subject.views,
        related=related_results(run, tested),
    )
    write_report(run / REPORT, content)
    write_model_card(run)
    return result


def _result(spec: ClipSpec, sets: Sequence[ScoredSet]) -> EvaluationResult:
    return EvaluationResult(
        threshold=spec.threshold,
        temperature=spec.temperature,
        calibration=OperatingPoint.of(spec),
        weights_sha256=spec.weights_sha256,
        sets=tuple(scored.result for scored in sets),
    )


def _note_one_class(folder: Path, pseudo: str) -> None:
    """Say before the work which numbers a test split cannot give."""
    real, fake = judged_classes(folder, "test", pseudo)
    if not (real and fake):
        defined = "accuracy and false alarms" if real else "the share called fake"
        _log.warning(
            "%s, test: %d real and %d fake clips: only %s can be told, nothing that compares the "
            "two classes",
            folder,
            real,
            fake,
            defined,
        )


def _own(recorded: dict[str, Any], run: Path, remedy: str = OTHERS) -> Path:
    """Return the clips that a run was trained on, unchanged since."""
    if not recorded["prepared"]:
        raise UserError(f"{run.name} has no data of its own, its weights were imported; {remedy}")
    own = prepared_here(recorded["prepared"])
    if not own.is_dir():
        raise UserError(f"{own}, which {run.name} was trained on, is not there; {remedy}")
    if read_summary(own)["fingerprint"] != recorded["fingerprint"]:
        raise UserError(f"{own} has changed since {run.name} was trained; {remedy}")
    return own


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.evaluate",
        description="Choose a run's threshold and temperature on validation and score it on test "
        "splits; writes test.json, test_scores.csv and report.html into it. See "
        "docs/evaluation.md.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default runs/latest")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--prepared",
        type=place,
        nargs="+",
        default=[],
        metavar="DIR",
        help="prepared clips to score, one or more; default those the run was trained on",
    )
    group.add_argument("--data", type=place, metavar="ROOT", help="another dataset, prepared first")
    add_arguments(parser, "--data")
    parser.add_argument(
        KEEP,
        action="store_true",
        dest="keep",
        help="take threshold and temperature from the run's clipspec.json",
    )
    parser.add_argument(
        "--validation",
        action="store_true",
        help=f"score the run's own validation split instead, into {VALIDATION}: to choose among "
        "recipes without a look at the test split",
    )
    parser.add_argument(
        "--false-alarms",
        type=float,
        metavar="SHARE",
        help="choose the threshold that this share of real videos exceeds, as 0.05; default: as "
        "the run's configuration says",
    )
    parser.add_argument("--json", action="store_true", help="print the JSON, not the tables")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    check_arguments(args)
    run = find_run(args.run)
    share = args.false_alarms
    if args.validation:
        if args.prepared or args.data or args.keep:
            raise UserError(
                f"--validation: expected the run alone, whose own clips are scored; drop "
                f"--prepared, --data and {KEEP}"
            )
        with refusals_told():
            result, file = validate(run, share), run / VALIDATION
    else:
        prepared, data, layout, keep = args.prepared, args.data, args.layout, args.keep
        with refusals_told():
            result = evaluate(run, prepared, data, layout, keep, share, args.identity)
        file = run / TEST
    if args.json:
        print(file.read_text(encoding="utf-8"))
        return 0
    for part in result.sets:
        print(f"{part.name}{'' if part.trained_on else ', never seen in training'}")
        print(table(part))
    print(f"threshold {result.threshold:g}, temperature {result.temperature:g}")
    if args.validation:
        print("chosen on these very clips: accuracy and false alarms are a little too good here")
        return 0
    print(f"report: {run / REPORT}")
    bundle = run / "bundle" / "clipspec.json"
    if bundle.is_file() and bundle.read_bytes() != (run / "clipspec.json").read_bytes():
        print(f"{bundle.parent} carries another clipspec.json: {typed('to-onnx')} {run}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
