"""Judge files and folders of videos, faster than they play: `python deploy/scan.py videos/`.

The verdicts are those of `deploy/stream.py`. A call that was stopped goes on where it was. Results
are in docs/scan.md, exit codes in docs/exit-codes.md. Needs the `edge` extra, not TensorFlow.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

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
from deploy.judging.records import Record
from deploy.log_lines import set_up_logging
from deploy.machine.choose_model import choose_model
from deploy.scanning.about import rule_key, who_judges
from deploy.scanning.file_record import JUDGED, SKIPPED, lost_record, troubled_record
from deploy.scanning.files import Candidate, find
from deploy.scanning.judge import RECORDS, THUMBS, judge_in_worker
from deploy.scanning.kit import Options, open_kit
from deploy.scanning.ledger import Ledger
from deploy.scanning.progress import Bar
from deploy.scanning.summary import HTML, totals, write_summary
from deploy.sinks.evidence_stamps import EvidenceStamps
from keras_ddl.edge.errors import USAGE, Parser, UserError, output_code, run_cli
from keras_ddl.edge.files import PART, printable
from keras_ddl.edge.values import at_least
from keras_ddl.edge.video.decoder import choose_decoder
from keras_ddl.edge.workers.cluster import ClusterOptions, add_cluster_options, cluster_options
from keras_ddl.edge.workers.pool import add_file_timeout
from keras_ddl.edge.workers.pools import open_pool

OUT = Path("runs/scan")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parser().parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="scan.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files and folders")
    results = parser.add_argument_group("results")
    results.add_argument("--out", type=Path, default=OUT, help="folder (default: %(default)s)")
    results.add_argument(
        "--evidence", type=Path, metavar="DIR", help="keep a folder per FAKE event there"
    )
    add_evidence_proofs(results)
    add_model_options(parser)
    add_face_options(parser)
    effort = parser.add_argument_group("effort")
    effort.add_argument(
        "--jobs", type=at_least(1), metavar="N", help="processes (default: one per core)"
    )
    add_file_timeout(effort)
    add_max_megapixels(effort)
    add_cluster_options(parser)
    add_decode(effort)
    return parser


def _run(args: argparse.Namespace) -> int:
    check_evidence_proofs(args)
    args.bundle = choose_model(args.bundle, args.backend)
    bundle, backend_name, detector = _look_at(args)
    evidence = [args.evidence] if args.evidence else []
    candidates = find(args.paths, leave_out=[args.out, *evidence])
    if not candidates:
        raise UserError("expected files or folders with files, received empty folders", USAGE)
    cluster = cluster_options(args)
    if cluster is not None and args.jobs:
        raise UserError("--jobs is of this machine; with --cluster name --workers-per-node", USAGE)
    jobs, threads = _shares(args.jobs, len(candidates))
    if cluster is not None:
        threads = max(1, int(cluster.cpus_per_worker))
    options = Options(
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
        threads=threads,
        timeout_s=args.file_timeout,
        most_pixels=round(args.max_megapixels * 1e6),
        decoder=choose_decoder(args.decode),
    )
    about = who_judges(bundle, backend_name, options)
    key = rule_key(about)
    _make_folders(args.out)
    with ExitStack() as stack:
        if args.evidence:
            store = EvidenceStore(args.evidence, key=args.evidence_key)
            store.open()  # a mistake is one line, not one per file
            if args.evidence_stamps:
                stack.enter_context(EvidenceStamps(args.evidence_stamps, store))
        ledger = stack.enter_context(Ledger(args.out, key, options.timeout_s))
        for half_written in args.out.glob(f"*/.*{PART}"):  # by processes that were killed
            half_written.unlink(missing_ok=True)
        scan = _Scan(args.out, candidates, ledger, about)
        options = replace(options, key=key, model_sha256=about["model"]["model_sha256"])
        return scan.run(options, jobs, cluster)


class _Scan:
    """Run of a scan: what is known, what is left, and what it comes to."""

    def __init__(
        self, out: Path, candidates: list[Candidate], ledger: Ledger, about: dict[str, Any]
    ) -> None:
        self._out = out
        self._about = about
        self._ledger = ledger
        files = [candidate for candidate in candidates if not candidate.trouble]
        self._records = [r for file in files if (r := ledger.find(file)) is not None]
        known = {record["path"] for record in self._records}
        self._closed = [troubled_record(c) for c in candidates if c.trouble]
        # Large files first: the last ones to end are then short, and no process waits for long.
        left = [candidate for candidate in files if candidate.path not in known]
        self._left = sorted(left, key=lambda candidate: -candidate.size)
        self._found = len(files)
        self._seconds = 0.0

    def run(self, options: Options, jobs: int, cluster: ClusterOptions | None) -> int:
        """Judge what is left, write the summary, and return the exit code."""
        if self._records:
            _say(f"going on: {len(self._records)} of {self._found} files are done")
        began = time.monotonic()
        self._found += len(self._closed)
        self._records += self._closed
        try:
            if self._left:
                self._judge(options, min(jobs, len(self._left)), cluster)
        finally:
            left = self._found - len(self._records)
            finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
            write_summary(
                self._out, self._records, {**self._about, "finished": finished, "left": left}
            )
        return self._close(time.monotonic() - began)

    def _judge(self, options: Options, jobs: int, cluster: ClusterOptions | None) -> None:
        bar = Bar([candidate.size for candidate in self._left])
        try:
            start, lost = (
                partial(open_kit, options),
                partial(lost_record, timeout_s=options.timeout_s),
            )
            seconds = options.timeout_s
            with open_pool(cluster, jobs, start, judge_in_worker, seconds) as pool:
                for index, record in pool.map(self._left, lost, bar.share):
                    self._records.append(self._ledger.add(record))
                    self._seconds += record.get("seconds") or 0.0
                    bar.done(index)
        finally:
            bar.close()

    def _close(self, elapsed_s: float) -> int:
        bad = [r for r in self._records if r["status"] not in (JUDGED, SKIPPED)]
        for record in bad:
            _say(f"{printable(record['path'])}: {record['reason']}")
        _say(_closing(self._records, self._seconds, elapsed_s))
        print(self._out / HTML)
        return USAGE if bad else 0


def _closing(records: Sequence[Record], seconds: float, elapsed_s: float) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in totals(records).items() if count)
    line = f"{len(records)} files: {counts}"
    if seconds:
        speed = seconds / max(elapsed_s, 1e-9)
        line += f"; {seconds:.1f} s of video in {elapsed_s:.1f} s: {speed:.1f} x real time"
    return line


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


def _make_folders(out: Path) -> None:
    try:
        for name in (RECORDS, THUMBS):
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"expected a folder for results, received '{out}': {error.strerror}"
        raise UserError(f"{message}; name another --out", output_code(error)) from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
