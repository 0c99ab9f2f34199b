"""Judge files and folders of videos, faster than they play: `python deploy/scan.py videos/`.

The verdicts are those of `deploy/stream.py`. A call that was stopped goes on where it was. Results
are in docs/scan.md, exit codes in docs/exit-codes.md. Needs the `edge` extra, not TensorFlow.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.bundle import Bundle, open_bundle
from deploy.evidence.store import EvidenceStore
from deploy.judging.options import (
    add_decode,
    add_evidence_proofs,
    add_face_options,
    add_max_megapixels,
    add_model_options,
    check_evidence_proofs,
    search_rule,
)
from deploy.log_lines import set_up_logging
from deploy.machine.choose_model import choose_model
from deploy.scanning.about import rule_key, who_judges
from deploy.scanning.files import find
from deploy.scanning.kit import Options
from deploy.scanning.results.place import Results
from deploy.scanning.run import ScanRun, open_ledger
from deploy.scanning.worklist import Worklist
from deploy.sinks.evidence_stamps import EvidenceStamps
from keras_ddl.edge.errors import USAGE, Parser, UserError, run_cli
from keras_ddl.edge.storage.address import Address, place
from keras_ddl.edge.storage.spool import Spool
from keras_ddl.edge.storage.store import Store
from keras_ddl.edge.values import at_least
from keras_ddl.edge.video.decoder import choose_decoder
from keras_ddl.edge.workers.cluster import add_cluster_options, cluster_options
from keras_ddl.edge.workers.pool import add_file_timeout

OUT = Path("runs/scan")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _run(args))


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = Parser(prog="scan.py", description=(__doc__ or "").partition("\n")[0])
    options.add_argument(
        "paths",
        nargs="+",
        type=place,
        metavar="PATH",
        help="files and folders, also s3://bucket/folder, gs://… and https://… addresses",
    )
    results = options.add_argument_group("results")
    results.add_argument(
        "--out", type=place, default=OUT, help="folder, or its address (default: %(default)s)"
    )
    results.add_argument(
        "--evidence", type=place, metavar="DIR", help="keep a folder per FAKE event there"
    )
    add_evidence_proofs(results)
    add_model_options(options)
    add_face_options(options)
    effort = options.add_argument_group("effort")
    effort.add_argument(
        "--jobs", type=at_least(1), metavar="N", help="processes (default: one per core)"
    )
    add_file_timeout(effort)
    add_max_megapixels(effort)
    effort.add_argument(
        "--clips",
        type=at_least(1),
        metavar="N",
        help="by sample: look at N places of each video, spread evenly, and take a clip of each "
        "face there (default: look at every frame)",
    )
    add_cluster_options(options)
    add_decode(effort)
    effort.add_argument(
        "--spool",
        type=Path,
        metavar="DIR",
        help="where files of addresses are fetched to, one per process, until they are judged "
        "(default: the system's folder for temporary files)",
    )
    return options


def _run(args: argparse.Namespace) -> int:
    _check(args)
    args.bundle = choose_model(args.bundle, args.backend)
    bundle, backend_name, detector = _look_at(args)
    cluster = cluster_options(args)
    options = _options(args, detector)
    about = who_judges(bundle, backend_name, options)
    key = rule_key(about)
    with ExitStack() as stack:
        worklist = stack.enter_context(closing(Worklist()))
        leave_out = [args.out, *([args.evidence] if args.evidence else [])]
        for candidate in find(args.paths, leave_out):
            worklist.add(candidate)
        if not sum(worklist.totals().values()) + worklist.found():
            raise UserError("expected files or folders with files, received empty folders", USAGE)
        results = Results(str(args.out))
        results.begin()
        if isinstance(args.evidence, Path):
            store = EvidenceStore(args.evidence, key=args.evidence_key)
            store.open()  # a mistake is one line, not one per file
            if args.evidence_stamps:
                stack.enter_context(EvidenceStamps(args.evidence_stamps, store))
        ledger = stack.enter_context(open_ledger(results, key, options.timeout_s))
        worklist.settle_known(ledger)
        jobs, threads = _shares(args.jobs, max(1, worklist.found()))
        if cluster is not None:
            threads = max(1, int(cluster.cpus_per_worker))
        model_sha256 = about["model"]["model_sha256"]
        options = replace(options, key=key, model_sha256=model_sha256, threads=threads)
        return ScanRun(results, ledger, worklist, about).judge(options, jobs, cluster)


def _check(args: argparse.Namespace) -> None:
    check_evidence_proofs(args)
    if isinstance(args.evidence, Address):
        if args.evidence_key or args.evidence_stamps:
            message = "expected a folder of this machine for signed or stamped evidence"
            raise UserError(f"--evidence: {message}, received '{args.evidence}'", USAGE)
        Store(args.evidence).check_writable(args.evidence)
    if any(isinstance(path, Address) for path in args.paths):
        Spool(str(args.spool or ""))  # a mistake is one line, before any process
    if args.cluster is not None and args.jobs:
        raise UserError("--jobs is of this machine; with --cluster name --workers-per-node", USAGE)


def _options(args: argparse.Namespace, detector: str) -> Options:
    return Options(
        bundle=str(args.bundle),
        device=args.device,
        footage=args.domain,
        detector=detector,
        detect_every=args.detect_every,
        search=search_rule(args),
        stride_ms=args.every * 1000.0,
        out=str(args.out),
        evidence=str(args.evidence or ""),
        evidence_key=str(args.evidence_key or ""),
        timeout_s=args.file_timeout,
        most_pixels=round(args.max_megapixels * 1e6),
        decoder=choose_decoder(args.decode),
        spool=str(args.spool or ""),
        clips=args.clips or 0,
    )


def _look_at(args: argparse.Namespace) -> tuple[Bundle, str, str]:
    """Model and detector, opened once here so that a mistake is one line, before any process."""
    from keras_ddl.edge.faces import open_detector
    from keras_ddl.edge.optional_import import need

    need("jinja2", "scan.html")  # now, and not when all files are judged
    bundle, backend = open_bundle(args.bundle, 1, args.device)
    with backend:
        return bundle, backend.name, open_detector(args.detector).name


def _shares(jobs: int | None, files: int) -> tuple[int, int]:
    """Processes, never more than files, and the threads of each, so that they do not fight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    jobs = min(jobs or cores, files)
    return jobs, max(1, cores // jobs)


if __name__ == "__main__":
    raise SystemExit(main())
